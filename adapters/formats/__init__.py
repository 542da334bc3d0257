"""Adapter files in and out: safetensors, diffusers, kohya, AUTOMATIC1111 and ComfyUI layouts."""
