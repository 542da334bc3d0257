"""Quality metrics of the finished model on held-out images, by style.

Distances use the features of this run's own CLIP and are named accordingly: they compare runs with one another, and are
neither LPIPS nor FID.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.evaluation.distribution_metrics import frechet_distance
from ghibli_studio.miniature.landmarks.painting import STYLES
from ghibli_studio.miniature.landmarks.raster import rasterise
from ghibli_studio.pretraining.data.scenes import subject
from ghibli_studio.pretraining.loop import Progress, to_bytes, to_model_input
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import TARGET_STYLE
from ghibli_studio.pretraining.stages import clip, tokenizer

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from transformers import CLIPModel


FILE = "metrics.json"
PAIRS = 512
"""Images that each caption is ranked against."""
BATCH_SIZE = 32
GUIDANCE = 5.0
OUTLINE_IMAGES = 64
"""Images in the target style for the outline metric."""

Table = dict[str, dict[str, float]]
"""'all' or a style -> metric -> value."""


def evaluate(run: Run) -> Table:
    """Return all quality metrics of the model card, of all held-out images and of each style."""
    training_images, settings = run.training_images(), run.settings
    rows = training_images.held_out_rows
    styles = training_images.styles[rows]
    images, clip_model = training_images.images[rows[0] :], run.clip()
    captions = [image_captions[0] for image_captions in training_images.captions[rows[0] :]]
    pipeline = load_pipeline(run.out, run.device)
    reconstructions = reconstruct(pipeline.vae, images, run.device)
    per_image = {
        "squared_error": squared_errors(reconstructions, images),
        "clip_distance": clip_distances(clip_model, reconstructions, images, run.device),
        "caption_top_1": own_caption_first(clip_model, images[:PAIRS], run, captions[:PAIRS]),
    }
    table = {
        name: {
            metric: float(np.mean(values[_of_style(name, styles[: len(values)])]))
            for metric, values in per_image.items()
            if _of_style(name, styles[: len(values)]).any()
        }
        for name in ("all", *STYLES)
    }
    for values in table.values():
        values["psnr"] = psnr(values.pop("squared_error"))
    table[TARGET_STYLE]["outline_retention"] = outline_retention(run, reconstructions, images)
    generated = generate_images(run, pipeline, captions[: settings.measured_images], styles)
    for name in table:
        selected = _of_style(name, styles[: len(generated)])
        if selected.sum() > 1:
            ours, theirs = (
                clip.embed_images(clip_model, generated[selected], run.device),
                clip.embed_images(clip_model, images[: len(generated)][selected], run.device),
            )
            distance = frechet_distance(ours, theirs)
            table[name] |= {"clip_frechet_distance": distance, "generated_images": int(selected.sum())}
    table["all"]["pairs"] = min(PAIRS, len(images))
    return table


def _of_style(name: str, styles: np.ndarray) -> np.ndarray:
    return np.ones(len(styles), bool) if name == "all" else styles == name


def load_pipeline(folder: Path, device: str) -> StableDiffusionPipeline:
    """Return the pipeline of a folder of weights, loaded from its half-precision files as users do."""
    import torch
    from diffusers import DPMSolverMultistepScheduler
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, safety_checker=None, local_files_only=True
    ).to(device)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def reconstruct(vae: AutoencoderKL, images: np.ndarray, device: str) -> np.ndarray:
    """Return images, (count, size, size, 3) bytes, after encoding and decoding by the autoencoder."""
    import torch

    def decoded(batch: np.ndarray) -> np.ndarray:
        return to_bytes(vae.decode(vae.encode(to_model_input(device, batch)).latent_dist.mean).sample)

    with torch.no_grad():
        return np.concatenate(
            [decoded(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE)]
        )


def squared_errors(outputs: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return each image's mean squared error as a share of the squared value range, (count,)."""
    return np.array(
        [np.square(ours.astype(np.float32) - theirs).mean() / 255**2 for ours, theirs in zip(outputs, references)]
    )


def psnr(squared_error: float) -> float:
    """Return the peak signal-to-noise ratio of a mean squared error in dB; at most 60, without visible difference."""
    return float(-10 * np.log10(max(squared_error, 1e-6)))


def clip_distances(clip_model: CLIPModel, outputs: np.ndarray, references: np.ndarray, device: str) -> np.ndarray:
    """Return the distances of images in the features of this run's CLIP, (count,)."""
    import torch

    with torch.no_grad():
        return np.concatenate(
            [
                clip.distance(
                    clip_model,
                    to_model_input(device, outputs[start : start + BATCH_SIZE]),
                    to_model_input(device, references[start : start + BATCH_SIZE]),
                )
                .cpu()
                .numpy()
                for start in range(0, len(references), BATCH_SIZE)
            ]
        )


def own_caption_first(clip_model: CLIPModel, images: np.ndarray, run: Run, captions: list[str]) -> np.ndarray:
    """Return 1 where an image's own caption is the most similar of all these captions, else 0, (count,)."""
    ids = tokenizer.token_ids(run.tokenizer(), [[caption] for caption in captions])[:, 0]
    similarities = clip.embed_images(clip_model, images, run.device) @ clip.embed_texts(clip_model, ids, run.device).T
    return (similarities.argmax(1) == np.arange(len(images))).astype(float)


def outline_retention(run: Run, reconstructions: np.ndarray, images: np.ndarray) -> float:
    """Return the share of the outlines' darkness that the autoencoder preserves: 1 all, 0 none.

    The darkness relative to the surroundings is measured where the painter drew outlines.
    """
    from scipy import ndimage

    settings, preserved, original = run.settings, 0.0, 0.0
    rows = [
        number for number in range(len(images)) if subject(settings, settings.image_count + number)[1] == TARGET_STYLE
    ][:OUTLINE_IMAGES]
    for number in rows:
        scene, *_ = subject(settings, settings.image_count + number)
        outline = rasterise(scene, settings.image_size).edge > 0.6
        after, before = (
            float((ndimage.uniform_filter(gray, 5) - gray)[outline].sum())
            for gray in (image.mean(-1).astype(np.float32) for image in (reconstructions[number], images[number]))
        )
        preserved, original = preserved + after, original + before
    return preserved / original if original else 0.0


def generate_images(run: Run, pipeline: StableDiffusionPipeline, captions: list[str], styles: np.ndarray) -> np.ndarray:
    """Return an image per caption, (count, size, size, 3) bytes; the target style is generated with the teacher."""
    size = run.settings.image_size
    images = np.zeros((len(captions), size, size, 3), np.uint8)
    with_teacher = styles[: len(captions)] == TARGET_STYLE
    generate_rows(run, pipeline, captions, np.flatnonzero(~with_teacher), images, "generating")
    pipeline.load_lora_weights(
        str(run.out / "style_teacher"),
        weight_name="pytorch_lora_weights.safetensors",
        adapter_name="style_teacher",
        local_files_only=True,
    )
    pipeline.unet.eval()
    generate_rows(run, pipeline, captions, np.flatnonzero(with_teacher), images, "generating with the teacher")
    return images


def generate_rows(
    run: Run, pipeline: StableDiffusionPipeline, captions: list[str], rows: np.ndarray, images: np.ndarray, what: str
) -> None:
    """Generate the captions at these rows into the same rows of `images`; each row has its own noise."""
    import torch

    batches = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
    progress = Progress(what, len(batches), lines=4)
    for number, batch in enumerate(batches):
        noise = [torch.Generator("cpu").manual_seed(int(row)) for row in batch]
        generated = pipeline(
            [captions[row] for row in batch],
            num_inference_steps=run.settings.sheet_steps,
            guidance_scale=GUIDANCE,
            generator=noise,
            output_type="np",
        ).images
        images[batch] = (generated * 255).round().astype(np.uint8)
        if progress.due(number):
            progress.say(number)
