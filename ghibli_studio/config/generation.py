"""Settings of an image."""

from __future__ import annotations

from pydantic import Field

from adapters.settings import Settings
from ghibli_studio.runtime.device import Attention, Device


class GenerationSettings(Settings):
    """How to draw: the same for the base model and every adapter."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the initial noise; the same seed gives the same picture."""
    num_inference_steps: int = Field(25, ge=1, le=1000)
    """Steps from noise to picture."""
    guidance_scale: float = Field(5.0, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    adapter_scale: float = Field(1.0, ge=-2, le=2)
    """How strongly the adapter acts: 0 is its untrained start, 1 as trained."""
    negative_prompt: str = Field("", max_length=2000)
    """What the picture should not show."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""
