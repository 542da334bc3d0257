"""The finished dataset: write, read, import, export, cache latents, compute statistics."""
