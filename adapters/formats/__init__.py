"""Reads and writes adapter files: safetensors in the layouts of diffusers, kohya, AUTOMATIC1111 and ComfyUI."""
