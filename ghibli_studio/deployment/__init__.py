"""Hugging Face Space files, and checks of this machine."""
