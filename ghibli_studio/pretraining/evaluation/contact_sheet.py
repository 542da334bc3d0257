"""Contact sheets: images of the finished model beside the painter's images of the same scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ghibli_studio.miniature.landmarks.captions import caption
from ghibli_studio.miniature.landmarks.catalog import landmark_by_name
from ghibli_studio.miniature.landmarks.painting import render
from ghibli_studio.miniature.landmarks.scene import Scene, sample_scene
from ghibli_studio.pretraining.data.scenes import with_target_word
from ghibli_studio.pretraining.loop import to_bytes, to_model_input
from ghibli_studio.pretraining.settings import TARGET_STYLE, Settings

if TYPE_CHECKING:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline


LANDMARKS = (
    "Big Ben",
    "Colosseum",
    "Petra",
    "Bab-e-Khyber",
    "Sydney Opera House",
    "Eiffel Tower",
    "Taj Mahal",
    "Great Pyramid of Giza",
)
STRENGTHS = (0.4, 0.6, 0.75)
GUIDANCE, STRONG_GUIDANCE, IMAGE_GUIDANCE = 5.0, 8.0, 4.0
SECOND_SEED = 50
GAP = 2
"""White pixels between images."""

Row = list[np.ndarray]
"""Images side by side, (size, size, 3) bytes each."""


def make_contact_sheets(result: Path, settings: Settings, device: str, folder: Path) -> None:
    """Generate with the published files in `result`, and write base.jpg and teacher.jpg to the folder.

    base.jpg: the painter's images, their reconstructions by the autoencoder, then prompts in photo, oil painting,
    pencil sketch, watercolor, the target style, which the model does not know, and photo with strong guidance.
    teacher.jpg: the painter's target style, two seeds with the teacher, img2img at strength 0.4, 0.6, 0.75.
    """
    import torch
    from diffusers import DPMSolverMultistepScheduler
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import StableDiffusionImg2ImgPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        result / "base", dtype=torch.float32, safety_checker=None, local_files_only=True
    ).to(device)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    scenes = choose_scenes(settings.sheet_scenes)
    originals = painted(scenes, "photo", settings.image_size)
    photo, target = prompts(scenes, "photo"), prompts(scenes, TARGET_STYLE)
    rows = [originals, reconstruct(pipeline, originals, device), generate(pipeline, photo, settings)]
    for style in ("oil painting", "pencil sketch", "watercolor", TARGET_STYLE):
        rows.append(generate(pipeline, prompts(scenes, style), settings))
    rows.append(generate(pipeline, photo, settings, seed=SECOND_SEED, guidance=STRONG_GUIDANCE))
    sheet(rows).save(folder / "base.jpg", quality=88)

    pipeline.load_lora_weights(
        str(result / "style_teacher"),
        weight_name="pytorch_lora_weights.safetensors",
        adapter_name="style_teacher",
        local_files_only=True,
    )
    pipeline.unet.eval()
    rows = [
        painted(scenes, TARGET_STYLE, settings.image_size),
        generate(pipeline, target, settings),
        generate(pipeline, target, settings, seed=SECOND_SEED),
    ]
    img2img = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    img2img.set_progress_bar_config(disable=True)
    for strength in STRENGTHS:
        images = img2img(
            target,
            image=[Image.fromarray(pixels) for pixels in originals],
            strength=strength,
            guidance_scale=IMAGE_GUIDANCE,
            num_inference_steps=settings.sheet_steps,
            generator=generators(len(target), 0),
            output_type="np",
        ).images
        rows.append(list((images * 255).round().astype(np.uint8)))
    sheet(rows).save(folder / "teacher.jpg", quality=88)


def choose_scenes(count: int) -> list[Scene]:
    """Return a random scene of each of the first `count` LANDMARKS; the same for every run."""
    return [
        sample_scene(np.random.default_rng([99, number]), landmark_by_name(name))
        for number, name in enumerate(LANDMARKS[:count])
    ]


def painted(scenes: list[Scene], style: str, size: int) -> Row:
    """Return the painter's images of the scenes."""
    return [np.asarray(render(scene, style, size).convert("RGB")) for scene in scenes]


def prompts(scenes: list[Scene], style: str) -> list[str]:
    """Return the captions of the scenes, with the style at the end."""
    return [with_target_word(caption(scene, style)) for scene in scenes]


def reconstruct(pipeline: StableDiffusionPipeline, images: Row, device: str) -> Row:
    """Return the images after encoding and decoding: the upper limit of the quality of generated images."""
    import torch

    with torch.no_grad():
        latents = pipeline.vae.encode(to_model_input(device, np.stack(images))).latent_dist.mean
        return list(to_bytes(pipeline.vae.decode(latents).sample))


def generate(
    pipeline: StableDiffusionPipeline, texts: list[str], settings: Settings, seed: int = 0, guidance: float = GUIDANCE
) -> Row:
    """Return an image per text; equal seeds give equal images."""
    images = pipeline(
        texts,
        num_inference_steps=settings.sheet_steps,
        guidance_scale=guidance,
        generator=generators(len(texts), seed),
        output_type="np",
    ).images
    return list((images * 255).round().astype(np.uint8))


def generators(count: int, seed: int) -> list:
    """Return one generator per image, on the CPU, so that the noise is the same on every device."""
    import torch

    return [torch.Generator("cpu").manual_seed(seed + number) for number in range(count)]


def sheet(rows: list[Row]) -> Image.Image:
    """Return the rows below each other on white, with a gap between images."""
    height, width = rows[0][0].shape[:2]
    down, across = height + GAP, width + GAP
    canvas = np.full((down * len(rows), across * max(map(len, rows)), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            canvas[y * down : y * down + height, x * across : x * across + width] = pixels
    return Image.fromarray(canvas)
