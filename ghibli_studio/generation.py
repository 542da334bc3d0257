"""Prompt, seed, adapter -> pictures, one by one, each with its recipe. No training, no scoring.

The sampler is diffusers' DPM-Solver++ driven by a plain loop, so that every step can be reported and stopped. Pictures
are drawn one at a time from noise made on the CPU: a picture depends on its own recipe, never on its neighbours.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import adapters
from adapters import Adapter
from adapters.base import with_trigger
from ghibli_studio.base_model import BaseModel, encode, token_ids
from ghibli_studio.config import GenerationSettings, StudioError
from ghibli_studio.images import png_bytes, png_text, square
from ghibli_studio.latents import encode_images

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

BASE = "base"
RECIPE = "recipe"
PROOF_CAPTION = "a landmark"
PROOF_TIMESTEP = 500
MIN_DIFFERENCE = 1e-6


@dataclass(frozen=True)
class Drawing:
    """A picture on its way: `image` and `recipe` are there with the last step."""

    step: int
    steps: int
    image: Image.Image | None = None
    recipe: dict[str, Any] | None = None


@dataclass(frozen=True)
class Photograph:
    """A picture to start from instead of pure noise: image-to-image (Meng et al. 2021, SDEdit, arXiv:2108.01073)."""

    image: Image.Image
    """Upright RGB of any size; its centred square is taken."""
    denoising_strength: float
    """Above 0 to 1: the share of the steps that is done; at 1 nothing is left of the picture."""

    def __post_init__(self) -> None:
        """Raise StudioError for a strength out of bounds."""
        if not 0 < self.denoising_strength <= 1:
            raise StudioError(f"denoising_strength is {self.denoising_strength}; it must be above 0 and at most 1")

    @property
    def sha256(self) -> str:
        """Of its pixels."""
        return hashlib.sha256(repr(self.image.size).encode() + self.image.tobytes()).hexdigest()


@dataclass(frozen=True)
class Loaded:
    """A base model with at most one adapter on it."""

    base: BaseModel
    method: str = BASE
    adapter: Adapter | None = None
    identity: dict[str, Any] | None = None
    """What a recipe says of the adapter: file, hash, where it was trained."""
    style_words: str | None = None
    """Words that ask the bare model for a style; None asks for its plain one."""

    def caption(self, prompt: str) -> str:
        """The prompt with the trigger of the adapter, or with the words that ask the bare model for a style."""
        if self.adapter is not None:
            return self.adapter.caption(prompt)
        if self.style_words is not None:
            return with_trigger(prompt, self.style_words)
        return self.base.description.plain_caption(prompt)

    def unconditional(self, negative_prompt: str) -> str:
        """What guidance steers away from: the negative prompt, with the adapter's negative word if it has one."""
        return negative_prompt if self.adapter is None else self.adapter.unconditional(negative_prompt)


@contextmanager
def with_adapter(base: BaseModel, path: Path) -> Iterator[Loaded]:
    """The base model with the adapter of a file on it; raises StudioError if it does not fit or does nothing."""
    recipe = adapters.recipe_of(path)
    if "base_model" in recipe and recipe["base_model"]["shape"] != base.shape:
        raise StudioError(
            f"{path.name} was trained on {recipe['base_model']['spec']!r}, not on {base.description.spec!r}; "
            "choose that base model"
        )
    before = _proof_prediction(base, text := _proof_caption(path))
    adapter, host = adapters.attach_file(path, base.host)
    try:
        attached = replace(base, host=host)
        difference = (_proof_prediction(attached, text) - before).abs().max().item()
        if difference <= MIN_DIFFERENCE:
            raise StudioError(
                f"{path.name} changes nothing: the prediction on a fixed input is the base model's own; the adapter is "
                "untrained or was saved for another program"
            )
        identity = {
            "method": adapter.method,
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "trained_on": recipe.get("base_model", {}).get("digest", "unknown"),
            "run": recipe.get("run"),
            "epoch": recipe.get("epoch"),
        }
        yield Loaded(attached, adapter.method, adapter, identity)
    finally:
        adapter.detach()


def _proof_caption(path: Path) -> str:
    """A caption with the adapter's trigger, the same text for the prediction with and without the adapter."""
    return adapters.open_file(path).caption(PROOF_CAPTION)


def _proof_prediction(base: BaseModel, caption: str) -> Tensor:
    """The UNet's prediction on a fixed input."""
    import torch

    latents = torch.randn((1, *base.description.latent_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        text = encode(base.host, token_ids(base.host, [caption], base.description.token_limit))
        timestep = torch.tensor(PROOF_TIMESTEP, device=base.device)
        return base.host.unet(latents.to(base.device, base.dtype), timestep, text, return_dict=False)[0].float()


def draw(
    loaded: Loaded, prompt: str, settings: GenerationSettings, photograph: Photograph | None = None
) -> Iterator[Drawing]:
    """Draw one picture, a step at a time; the last event has the picture and its recipe.

    Raises StudioError for a prompt that is empty or longer than the model reads.
    """
    import torch
    from diffusers import DPMSolverMultistepScheduler

    if not prompt.strip():
        raise StudioError("the prompt is empty; write what the picture shall show")
    steps = steps_drawn(settings.num_inference_steps, photograph and photograph.denoising_strength)
    base, guided = loaded.base, settings.guidance_scale != 1
    description = base.description
    if loaded.adapter is not None:
        loaded.adapter.set_strength(settings.strength)
    caption = loaded.caption(prompt)
    base.host.unet.eval()
    scheduler = DPMSolverMultistepScheduler.from_config(base.scheduler_config)
    scheduler.set_timesteps(settings.num_inference_steps, device=base.device)
    source = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn((1, *description.latent_shape), generator=source).to(base.device)
    timesteps = scheduler.timesteps[-steps:]
    if photograph is None:
        latents = noise * scheduler.init_noise_sigma
    else:
        scheduler.set_begin_index(settings.num_inference_steps - steps)
        clean = encode_images(base, [square(photograph.image, description.resolution)]).to(base.device)
        latents = scheduler.add_noise(clean, noise, timesteps[:1])
    with torch.no_grad():
        texts = [loaded.unconditional(settings.negative_prompt), caption] if guided else [caption]
        states = encode(base.host, token_ids(base.host, texts, description.token_limit))
        for index, timestep in enumerate(timesteps):
            noisy = scheduler.scale_model_input(latents, timestep).to(base.dtype).expand(len(texts), -1, -1, -1)
            prediction = base.host.unet(noisy, timestep, states, return_dict=False)[0].float()
            if guided:  # classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598)
                without, following = prediction.chunk(2)
                prediction = without + settings.guidance_scale * (following - without)
            latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
            yield Drawing(index + 1, steps)
        latents = (latents / base.vae.config.scaling_factor).to(base.dtype)
        pixels = base.vae.decode(latents, return_dict=False)[0]
    yield Drawing(steps, steps, to_image(pixels[0]), recipe_for(loaded, prompt, caption, settings, photograph))


def steps_drawn(num_inference_steps: int, denoising_strength: float | None) -> int:
    """Steps that a picture takes: all of them, or from a photograph the last share of them, one at least."""
    return num_inference_steps if denoising_strength is None else max(int(num_inference_steps * denoising_strength), 1)


def to_image(pixels: Tensor) -> Image.Image:
    """(3, height, width) in -1..1 as an 8-bit RGB picture."""
    from PIL import Image

    values = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(values.permute(1, 2, 0).cpu().numpy(), "RGB")


def recipe_for(
    loaded: Loaded, prompt: str, caption: str, settings: GenerationSettings, photograph: Photograph | None = None
) -> dict[str, Any]:
    """Everything that decides a picture, as JSON values; of a photograph its hash."""
    import torch

    base = loaded.base
    started: dict[str, Any] = {}
    if photograph is not None:
        started["photograph"] = {"sha256": photograph.sha256, "denoising_strength": photograph.denoising_strength}
    if loaded.adapter is None and loaded.style_words is not None:
        started["style_words"] = loaded.style_words
    if (unconditional := loaded.unconditional(settings.negative_prompt)) != settings.negative_prompt:
        started["negative_caption"] = unconditional
    return {
        "prompt": prompt,
        "caption": caption,
        "method": loaded.method,
        "settings": settings.model_dump(),
        **started,
        "base_model": {"spec": base.description.spec, "digest": base.digest},
        "adapter": loaded.identity,
        "scheduler": "DPMSolverMultistepScheduler",
        "machine": {"device": base.device.type, "dtype": str(base.dtype), "threads": torch.get_num_threads()},
        "versions": versions(),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of everything that computes."""
    names = ("torch", "diffusers", "transformers", "peft", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def to_png(image: Image.Image, recipe: dict[str, Any]) -> bytes:
    """The picture with its recipe as a text chunk."""
    return png_bytes(image, {RECIPE: json.dumps(recipe, ensure_ascii=False, sort_keys=True)})


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe in a picture; raises StudioError for a picture without one."""
    text = png_text(path)
    if RECIPE not in text:
        raise StudioError(f"{path} carries no recipe; it was not drawn by this studio, or something stripped its text")
    return json.loads(text[RECIPE])
