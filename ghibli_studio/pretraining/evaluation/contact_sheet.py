"""Contact sheets: what the finished model draws, beside what the painter would have painted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ghibli_studio.miniature.landmarks.captions import caption
from ghibli_studio.miniature.landmarks.catalogue import landmark_by_name
from ghibli_studio.miniature.landmarks.painting import render
from ghibli_studio.miniature.landmarks.scene import Scene, sample_scene
from ghibli_studio.pretraining.data.scenes import in_caption_words
from ghibli_studio.pretraining.loop import as_bytes, shown_to
from ghibli_studio.pretraining.settings import TARGET_STYLE, Settings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


SHOWN = (
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
"""White pixels between pictures."""

Row = list[np.ndarray]
"""Pictures side by side, (size, size, 3) bytes each."""


def draw(result: Path, settings: Settings, device: str, folder: Path) -> None:
    """Draw with the published files below `result`, and leave base.jpg and teacher.jpg in the folder.

    base.jpg: the painter's pictures, the autoencoder's copies of them, then prompts in photo, oil painting, pencil
    sketch, watercolor, the target style that the model does not know, and photo with strong guidance.
    teacher.jpg: the painter's target style, two seeds with the teacher, image-to-image at strength 0.4, 0.6, 0.75.
    """
    import torch
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        result / "base", dtype=torch.float32, safety_checker=None, local_files_only=True
    ).to(device)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    scenes = chosen_scenes(settings.sheet_scenes)
    truth = painted(scenes, "photo", settings.picture_size)
    photo, target = prompts(scenes, "photo"), prompts(scenes, TARGET_STYLE)
    rows = [truth, copied(pipeline, truth, device), drawn(pipeline, photo, settings)]
    for style in ("oil painting", "pencil sketch", "watercolor", TARGET_STYLE):
        rows.append(drawn(pipeline, prompts(scenes, style), settings))
    rows.append(drawn(pipeline, photo, settings, seed=SECOND_SEED, guidance=STRONG_GUIDANCE))
    sheet(rows).save(folder / "base.jpg", quality=88)

    pipeline.load_lora_weights(
        str(result / "style_teacher"),
        weight_name="pytorch_lora_weights.safetensors",
        adapter_name="style_teacher",
        local_files_only=True,
    )
    pipeline.unet.eval()
    rows = [
        painted(scenes, TARGET_STYLE, settings.picture_size),
        drawn(pipeline, target, settings),
        drawn(pipeline, target, settings, seed=SECOND_SEED),
    ]
    redraw = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    redraw.set_progress_bar_config(disable=True)
    for strength in STRENGTHS:
        images = redraw(
            target,
            image=[Image.fromarray(pixels) for pixels in truth],
            strength=strength,
            guidance_scale=IMAGE_GUIDANCE,
            num_inference_steps=settings.sheet_steps,
            generator=generators(len(target), 0),
            output_type="np",
        ).images
        rows.append(list((images * 255).round().astype(np.uint8)))
    sheet(rows).save(folder / "teacher.jpg", quality=88)


def chosen_scenes(count: int) -> list[Scene]:
    """A random scene of each of the first `count` landmarks that the sheets show; the same at every run."""
    return [
        sample_scene(np.random.default_rng([99, number]), landmark_by_name(name))
        for number, name in enumerate(SHOWN[:count])
    ]


def painted(scenes: list[Scene], style: str, size: int) -> Row:
    """The painter's pictures of the scenes."""
    return [np.asarray(render(scene, style, size).convert("RGB")) for scene in scenes]


def prompts(scenes: list[Scene], style: str) -> list[str]:
    """The scenes in words, with the style at the end."""
    return [in_caption_words(caption(scene, style)) for scene in scenes]


def copied(pipeline: StableDiffusionPipeline, pictures: Row, device: str) -> Row:
    """The pictures after one way through the autoencoder: the best that any drawing can look."""
    import torch

    with torch.no_grad():
        latents = pipeline.vae.encode(shown_to(device, np.stack(pictures))).latent_dist.mean
        return list(as_bytes(pipeline.vae.decode(latents).sample))


def drawn(
    pipeline: StableDiffusionPipeline, texts: list[str], settings: Settings, seed: int = 0, guidance: float = GUIDANCE
) -> Row:
    """A picture for each text; equal seeds give equal pictures."""
    images = pipeline(
        texts,
        num_inference_steps=settings.sheet_steps,
        guidance_scale=guidance,
        generator=generators(len(texts), seed),
        output_type="np",
    ).images
    return list((images * 255).round().astype(np.uint8))


def generators(count: int, seed: int) -> list:
    """One generator a picture, on the CPU, so that the noise is the same on every device."""
    import torch

    return [torch.Generator("cpu").manual_seed(seed + number) for number in range(count)]


def sheet(rows: list[Row]) -> Image.Image:
    """The rows under each other on white, with a gap between pictures."""
    height, width = rows[0][0].shape[:2]
    down, across = height + GAP, width + GAP
    canvas = np.full((down * len(rows), across * max(map(len, rows)), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            canvas[y * down : y * down + height, x * across : x * across + width] = pixels
    return Image.fromarray(canvas)
