"""Teach Stable Diffusion a drawing style in several ways on equal footing, and look at what came of it."""
