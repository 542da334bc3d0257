"""Settings of an evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adapters.settings import Settings
from ghibli_studio.runtime.device import Attention, Device

PAPER_LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")


class EvaluationSettings(Settings):
    """How to evaluate: every variant generates the same prompts and photos from the same noise."""

    tasks: tuple[Literal["txt2img", "img2img"], ...] = Field(default=("txt2img", "img2img"), min_length=1)
    """Generate from the prompt, from the landmark's photo, or both."""
    landmarks: tuple[str, ...] = ()
    """Names of validation landmarks to generate; empty uses all of them."""
    seeds: int = Field(default=1, ge=1, le=100)
    """Images per landmark, task and variant; more give narrower intervals."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """First random seed of the initial noise; every variant uses the same seeds."""
    num_inference_steps: int = Field(default=25, ge=1, le=1000)
    """Denoising steps per image; more are slower and usually cleaner."""
    guidance_scale: float = Field(default=5.0, ge=0, le=50)
    """How strongly images follow the prompt; higher is stricter, 1 turns guidance off."""
    strength: float = Field(default=0.6, gt=0, le=1)
    """How much of the photo changes: near 0 keeps it, 1 ignores it."""
    clip_model: str = Field(default="auto", min_length=1, max_length=500)
    """CLIP that scores: auto, miniature (a proxy), or a folder or Hub id of a published one."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    attention: Attention = "sdpa"
    """Attention code: PyTorch's own (sdpa), or xformers on a CUDA GPU."""
