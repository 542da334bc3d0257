"""Settings of an evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adapters.settings import Settings
from ghibli_studio.runtime.device import Attention, Device

PAPER_LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")


class EvaluationSettings(Settings):
    """How to evaluate: every variant draws the same pictures from the same noise."""

    tasks: tuple[Literal["prompt", "photo"], ...] = Field(("prompt", "photo"), min_length=1)
    """Draw from the prompt alone, or from the landmark's photograph, or both."""
    landmarks: tuple[str, ...] = ()
    """Names of held-out landmarks. Empty: all of them."""
    seeds: int = Field(1, ge=1, le=100)
    """Pictures of each landmark and task by every variant."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the initial noise; the same for every variant."""
    num_inference_steps: int = Field(25, ge=1, le=1000)
    """Steps from noise to picture."""
    guidance_scale: float = Field(5.0, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    strength: float = Field(0.6, gt=0, le=1)
    """How much of the photograph is drawn anew."""
    clip_model: str = Field("auto", min_length=1, max_length=500)
    """Auto: the embedded miniature's CLIP, a stand-in; or a folder or hub id of a published one."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""
