"""What the finished model is worth, on pictures that no stage has seen, style by style.

Distances are in the features of this recipe's own CLIP and are called so: they compare runs of this recipe with one
another, and are neither LPIPS nor FID.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.evaluation.distribution_metrics import frechet
from ghibli_studio.miniature.landmarks.painting import STYLES
from ghibli_studio.miniature.landmarks.raster import rasterise
from ghibli_studio.pretraining.data.scenes import subject
from ghibli_studio.pretraining.loop import Progress, as_bytes, shown_to
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import TARGET_STYLE
from ghibli_studio.pretraining.stages import clip, tokenizer

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, StableDiffusionPipeline
    from transformers import CLIPModel


FILE = "measured.json"
PAIRS = 512
"""Pictures among which each caption must find its own."""
AT_ONCE = 32
GUIDANCE = 5.0
OUTLINED = 64
"""Pictures in the target style whose outlines are looked at."""

Table = dict[str, dict[str, float]]
"""'all' or a style -> measure -> value."""


def measure(run: Run) -> Table:
    """Everything that the model card says of quality, of all held-out pictures and of each style."""
    shown, settings = run.pictures(), run.settings
    rows, styles = shown.held_out_rows, shown.styles[shown.held_out_rows]
    images, eyes = shown.images[rows[0] :], run.clip()
    captions = [about["captions"][0] for about in shown.described[rows[0] :]]
    pipeline = published(run.out, run.device)
    copies = copied(pipeline.vae, images, run.device)
    per_picture = {
        "squared_error": squared_errors(copies, images),
        "own_clip_distance": unlike(eyes, copies, images, run.device),
        "own_caption_first": found_first(eyes, images[:PAIRS], run, captions[:PAIRS]),
    }
    table = {
        name: {
            measure: float(np.mean(values[_these(name, styles[: len(values)])]))
            for measure, values in per_picture.items()
            if _these(name, styles[: len(values)]).any()
        }
        for name in ("all", *STYLES)
    }
    for values in table.values():
        values["peak_signal_to_noise_decibels"] = decibels(values.pop("squared_error"))
    table[TARGET_STYLE]["outlines_kept"] = outlines_kept(run, copies, images)
    made = drawings(run, pipeline, captions[: settings.measured_drawings], styles)
    for name in table:
        these = _these(name, styles[: len(made)])
        if these.sum() > 1:
            ours, theirs = (
                clip.embed(eyes, made[these], run.device),
                clip.embed(eyes, images[: len(made)][these], run.device),
            )
            table[name] |= {"own_clip_frechet_distance": frechet(ours, theirs), "drawn": int(these.sum())}
    table["all"]["pairs"] = min(PAIRS, len(images))
    return table


def _these(name: str, styles: np.ndarray) -> np.ndarray:
    return np.ones(len(styles), bool) if name == "all" else styles == name


def published(folder: Path, device: str) -> StableDiffusionPipeline:
    """The pipeline of a folder of weights as others will load it: from its half-precision files."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, safety_checker=None, local_files_only=True
    ).to(device)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def copied(vae: AutoencoderKL, images: np.ndarray, device: str) -> np.ndarray:
    """(count, size, size, 3) bytes -> the same after one way through the autoencoder."""
    import torch

    with torch.no_grad():
        return np.concatenate(
            [
                as_bytes(
                    vae.decode(vae.encode(shown_to(device, images[start : start + AT_ONCE])).latent_dist.mean).sample
                )
                for start in range(0, len(images), AT_ONCE)
            ]
        )


def squared_errors(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(count,) mean squared error of each picture of bytes, as parts of the squared range."""
    return np.array([np.square(ours.astype(np.float32) - theirs).mean() / 255**2 for ours, theirs in zip(made, true)])


def decibels(squared_error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error over all pictures together; 60 for no visible difference."""
    return float(-10 * np.log10(max(squared_error, 1e-6)))


def unlike(eyes: CLIPModel, made: np.ndarray, true: np.ndarray, device: str) -> np.ndarray:
    """(count,) distance of pictures in the features of this recipe's CLIP."""
    import torch

    with torch.no_grad():
        return np.concatenate(
            [
                clip.distance(
                    eyes,
                    shown_to(device, made[start : start + AT_ONCE]),
                    shown_to(device, true[start : start + AT_ONCE]),
                )
                .cpu()
                .numpy()
                for start in range(0, len(true), AT_ONCE)
            ]
        )


def found_first(eyes: CLIPModel, images: np.ndarray, run: Run, captions: list[str]) -> np.ndarray:
    """(count,) 1 where a picture's own caption suits it best of all these captions, else 0."""
    words = tokenizer.token_ids(run.tokenizer(), [[caption] for caption in captions])[:, 0]
    likeness = clip.embed(eyes, images, run.device) @ clip.embed_words(eyes, words, run.device).T
    return (likeness.argmax(1) == np.arange(len(images))).astype(float)


def outlines_kept(run: Run, copies: np.ndarray, images: np.ndarray) -> float:
    """How much of the outlines' darkness is left after the autoencoder: 1 all, 0 none.

    The painter knows where it drew outlines, so that is where darkness against the surroundings is measured.
    """
    from scipy import ndimage

    settings, kept, there = run.settings, 0.0, 0.0
    rows = [
        number for number in range(len(images)) if subject(settings, settings.picture_count + number)[1] == TARGET_STYLE
    ][:OUTLINED]
    for number in rows:
        scene, *_ = subject(settings, settings.picture_count + number)
        outline = rasterise(scene, settings.picture_size).edge > 0.6
        left, before = (
            float((ndimage.uniform_filter(gray, 5) - gray)[outline].sum())
            for gray in (picture.mean(-1).astype(np.float32) for picture in (copies[number], images[number]))
        )
        kept, there = kept + left, there + before
    return kept / there if there else 0.0


def drawings(run: Run, pipeline: StableDiffusionPipeline, captions: list[str], styles: np.ndarray) -> np.ndarray:
    """(count, size, size, 3) bytes: a picture for each caption, those in the target style drawn with the teacher."""
    size = run.settings.picture_size
    made = np.zeros((len(captions), size, size, 3), np.uint8)
    taught = styles[: len(captions)] == TARGET_STYLE
    draw_some(run, pipeline, captions, np.flatnonzero(~taught), made, "drawing")
    pipeline.load_lora_weights(
        str(run.out / "style_teacher"),
        weight_name="pytorch_lora_weights.safetensors",
        adapter_name="style_teacher",
        local_files_only=True,
    )
    pipeline.unet.eval()
    draw_some(run, pipeline, captions, np.flatnonzero(taught), made, "drawing with the teacher")
    return made


def draw_some(
    run: Run, pipeline: StableDiffusionPipeline, captions: list[str], rows: np.ndarray, made: np.ndarray, what: str
) -> None:
    """Draw the captions at these rows into the same rows of `made`; each row's noise is its own."""
    import torch

    parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
    progress = Progress(what, len(parts), lines=4)
    for number, part in enumerate(parts):
        noise = [torch.Generator("cpu").manual_seed(int(row)) for row in part]
        images = pipeline(
            [captions[row] for row in part],
            num_inference_steps=run.settings.sheet_steps,
            guidance_scale=GUIDANCE,
            generator=noise,
            output_type="np",
        ).images
        made[part] = (images * 255).round().astype(np.uint8)
        if progress.due(number):
            progress.say(number)
