"""Prompt, seed, adapter -> pictures, one by one, each with its recipe. No training, no scoring.

The sampler is diffusers' DPM-Solver++ driven by a plain loop, so that every step can be reported and stopped. Pictures
are drawn one at a time from noise made on the CPU: a picture depends on its own recipe, never on its neighbors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.generation.metadata import recipe_for
from ghibli_studio.generation.model_cache import Loaded
from ghibli_studio.imaging.crop import square
from ghibli_studio.models.text_encoder import encode, token_ids
from ghibli_studio.models.vae import encode_images, to_image

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Drawing:
    """A picture on its way: `image` and `recipe` are there with the last step."""

    step: int
    steps: int
    image: Image.Image | None = None
    recipe: dict[str, Any] | None = None


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
    steps = steps_drawn(settings.num_inference_steps, photograph and photograph.strength)
    base, guided = loaded.base, settings.guidance_scale != 1
    description = base.description
    if loaded.adapter is not None:
        loaded.adapter.set_scale(settings.adapter_scale)
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


def steps_drawn(num_inference_steps: int, strength: float | None) -> int:
    """Steps that a picture takes: all of them, or from a photograph the last share of them, one at least."""
    return num_inference_steps if strength is None else max(int(num_inference_steps * strength), 1)
