"""Settings of image generation."""

from __future__ import annotations

from pydantic import Field

from adapters.settings import Settings
from ghibli_studio.runtime.device import Attention, Device


class GenerationSettings(Settings):
    """How to generate: the same for the base model and every adapter."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Random seed of the initial noise; the same seed gives the same image."""
    num_inference_steps: int = Field(default=25, ge=1, le=1000)
    """Denoising steps per image; more are slower and usually cleaner."""
    guidance_scale: float = Field(default=5.0, ge=0, le=50)
    """How strongly the image follows the prompt; higher is stricter, 1 turns guidance off."""
    adapter_scale: float = Field(default=1.0, ge=-2, le=2)
    """Strength of the adapter: 0 is untrained, 1 as trained, more exaggerates."""
    negative_prompt: str = Field(default="", max_length=2000)
    """What the image should not show."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    attention: Attention = "sdpa"
    """Attention code: PyTorch's own (sdpa), or xformers on a CUDA GPU."""
