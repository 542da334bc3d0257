"""Settings of img2img: stylizing photos."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adapters.settings import Settings
from ghibli_studio.runtime.device import Attention, Device


class PhotoStylization(Settings):
    """Settings of one photo that override those of its batch; an empty one keeps the batch's value."""

    prompt: str | None = Field(default=None, max_length=4000)
    """Prompt to use instead of the photo's own; empty keeps it."""
    negative_prompt: str | None = Field(default=None, max_length=2000)
    """What the image should not show."""
    strength: float | None = Field(default=None, gt=0, le=1)
    """How much of the photo changes: near 0 keeps it, 1 ignores it."""
    guidance_scale: float | None = Field(default=None, ge=0, le=50)
    """How strongly the image follows the prompt; higher is stricter, 1 turns guidance off."""
    num_inference_steps: int | None = Field(default=None, ge=1, le=1000)
    """Denoising steps per image; more are slower and usually cleaner."""
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    """Random seed of the noise; change it for another attempt."""
    adapter_scale: float | None = Field(default=None, ge=-2, le=2)
    """Strength of the adapter: 0 is untrained, 1 as trained, more exaggerates."""


class StylizationSettings(Settings):
    """How to stylize a batch of photos with image-to-image; a photo may override some of it."""

    source: Literal["teacher", "prompt", "adapter"] = "teacher"
    """Source of the style: the embedded style teacher, words in the prompt, or an adapter file."""
    adapter_file: str = Field(default="", max_length=4000)
    """LoRA or Textual Inversion file (.safetensors) with the style; only for source 'adapter'."""
    style_words: str = Field(default="oil painting", max_length=200)
    """Words added to every prompt to ask for the style; only for source 'prompt'."""
    strength: float = Field(default=0.2, gt=0, le=1)
    """How much of the photo changes: low keeps the photo, high adds style; try 0.5 if painted."""
    guidance_scale: float = Field(default=5.0, ge=0, le=50)
    """How strongly the image follows the prompt; higher is stricter, 1 turns guidance off."""
    num_inference_steps: int = Field(default=25, ge=1, le=1000)
    """Denoising steps at strength 1, fewer below; more are slower and usually cleaner."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Random seed of the noise, combined with the photo's number; change it for other attempts."""
    adapter_scale: float = Field(default=1.0, ge=-2, le=2)
    """Strength of the teacher or adapter: 0 is untrained, 1 as trained, more exaggerates."""
    negative_prompt: str = Field(default="", max_length=2000)
    """What the images should not show."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    attention: Attention = "sdpa"
    """Attention code: PyTorch's own (sdpa), or xformers on a CUDA GPU."""
