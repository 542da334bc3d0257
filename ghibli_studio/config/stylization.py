"""Settings of img2img: stylizing photos."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adapters.settings import Settings
from ghibli_studio.runtime.device import Attention, Device


class PhotographStyling(Settings):
    """What one photograph wants otherwise than its batch when it is styled; empty is the batch's."""

    prompt: str | None = Field(None, max_length=4000)
    """What to draw, instead of the photograph's own prompt."""
    negative_prompt: str | None = Field(None, max_length=2000)
    """What the picture should not show."""
    strength: float | None = Field(None, gt=0, le=1)
    """How much of the photograph is drawn anew."""
    guidance_scale: float | None = Field(None, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    """Steps from noise to picture."""
    seed: int | None = Field(None, ge=0, lt=2**31)
    """Decides the noise."""
    adapter_scale: float | None = Field(None, ge=-2, le=2)
    """How strongly the adapter acts."""


class StyleSettings(Settings):
    """How to style photographs: image-to-image, for a whole batch; a photograph may want some of it otherwise."""

    source: Literal["teacher", "prompt", "adapter"] = "teacher"
    """Where the style comes from: the embedded style teacher, words in the prompt alone, or an adapter file."""
    adapter_file: str = Field("", max_length=4000)
    """The LoRA or Textual Inversion (.safetensors) that knows the style, for the source 'adapter'."""
    style_words: str = Field("oil painting", max_length=200)
    """Words at the end of every prompt that ask for the style, for the source 'prompt'."""
    strength: float = Field(0.2, gt=0, le=1)
    """How much is drawn anew: little keeps the landmark, much brings the style; 0.5 for drawn landmarks."""
    guidance_scale: float = Field(5.0, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    num_inference_steps: int = Field(25, ge=1, le=1000)
    """Steps from noise to picture; of these the share of denoising_strength is done."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the noise, together with the photograph's number."""
    adapter_scale: float = Field(1.0, ge=-2, le=2)
    """How strongly the teacher or the adapter acts."""
    negative_prompt: str = Field("", max_length=2000)
    """What the pictures should not show."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""
