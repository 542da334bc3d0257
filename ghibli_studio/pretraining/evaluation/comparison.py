"""Comparison of old and new weights on the same scenes: reconstructions, generated images and trained adapters.

Writes a table and contact sheets. The scenes are those that this run held out. The old weights may have been trained on
other images of the same landmarks, but not on these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ghibli_studio.miniature.landmarks.painting import render
from ghibli_studio.pretraining.atomic_folder import atomic_folder, write_json, write_text
from ghibli_studio.pretraining.data.scenes import full_caption, subject
from ghibli_studio.pretraining.evaluation import contact_sheet
from ghibli_studio.pretraining.evaluation import metrics as evaluation_metrics
from ghibli_studio.pretraining.loop import move
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import TARGET_STYLE, InvalidInput
from ghibli_studio.pretraining.stages import clip, tokenizer

if TYPE_CHECKING:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline


SCENES = 64
SHOWN = 12
"""Scenes per row of the contact sheets."""
METHODS = ("lora", "ti")
FOLDER = "comparison"
METRICS = {
    "psnr_photo": "PSNR of the autoencoder, photos, dB",
    "psnr_target": "PSNR of the autoencoder, target style, dB",
    "top_1": "own caption first, own CLIP, painted",
    "generated_top_1_old": "own caption first, old CLIP, generated",
    "generated_top_1_new": "own caption first, new CLIP, generated",
    "seconds": "seconds to generate all images",
    "lora_base_loss": "validation loss before LoRA",
    "lora_loss": "validation loss with LoRA",
    "ti_base_loss": "validation loss before Textual Inversion",
    "ti_loss": "validation loss with Textual Inversion",
}


@dataclass(frozen=True)
class Extent:
    """How much the comparison trains."""

    preset: str
    """One of the studio's presets."""
    landmarks: int
    """Images of the sample project, 2 to 115."""
    epochs: int | None
    """In place of the preset's; None keeps it."""


def extent(preset: str, quick: bool) -> Extent:
    """Return the full extent, or for `quick` one epoch over a few landmarks as a smoke test."""
    return Extent(preset, 8, 1) if quick else Extent(preset, 115, None)


def check(old: Path, preset: str, image_size: int) -> None:
    """Raise InvalidInput before any training if the old weights are missing or differ in size, or for a bad preset."""
    from ghibli_studio.config.training import PRESETS

    for part in ("base/model_index.json", "clip/config.json"):
        if not (old / part).is_file():
            raise InvalidInput(
                f"--compare is {old}, but it has no {part}: choose a folder with base/ and clip/, "
                "such as ghibli_studio/miniature/weights"
            )
    if preset not in PRESETS:
        raise InvalidInput(f"--compare-preset is {preset!r}, but the presets are {', '.join(PRESETS)}: choose one")
    unet, vae = (json.loads((old / f"base/{part}/config.json").read_text()) for part in ("unet", "vae"))
    size = unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)
    if size != image_size:
        raise InvalidInput(
            f"{old} generates {size} pixels per side, but this run {image_size}: compare with weights of the "
            "same size, or choose another --image-size"
        )


def compare(run: Run, old: Path, how: Extent) -> Iterator[str]:
    """Reconstruct, generate and train with both, and yield a line per result; writes `comparison/` in the run's folder.

    It contains table.json, README.md with the table, reconstructions.jpg (the painter's images and both
    reconstructions, of photos and of the target style), generated.jpg (the painter's and both generated images) and
    landmarks.jpg (the painter's, then LoRA and Textual Inversion of old and new). An existing folder is replaced.
    """
    models = {"old": old, "new": run.out}
    settings = run.settings
    first = settings.image_count
    scenes = [subject(settings, first + number)[0] for number in range(min(SCENES, settings.held_out))]
    originals = {
        style: np.stack([np.asarray(render(scene, style, settings.image_size)) for scene in scenes])
        for style in ("photo", TARGET_STYLE)
    }
    captions = [full_caption(scene, "photo") for scene in scenes]
    table: dict[str, dict[str, float]] = {"old": {}, "new": {}}
    rows: dict[str, list[contact_sheet.Row]] = {"reconstructions": [], "generated": [list(originals["photo"][:SHOWN])]}
    generated: dict[str, np.ndarray] = {}
    for name, folder in models.items():
        pipeline = evaluation_metrics.load_pipeline(folder, run.device)
        for style, metric in (("photo", "psnr_photo"), (TARGET_STYLE, "psnr_target")):
            reconstructions = evaluation_metrics.reconstruct(pipeline.vae, originals[style], run.device)
            table[name][metric] = evaluation_metrics.psnr(
                evaluation_metrics.squared_errors(reconstructions, originals[style]).mean()
            )
            if name == "old":
                rows["reconstructions"].append(list(originals[style][:SHOWN]))
            rows["reconstructions"].append(list(reconstructions[:SHOWN]))
        table[name]["top_1"] = top_1(run, folder, originals["photo"], captions)
        generated[name], table[name]["seconds"] = generate(run, pipeline, captions)
        rows["generated"].append(list(generated[name][:SHOWN]))
        yield f"{name}: {table[name]['psnr_photo']:.1f} dB, own caption first {table[name]['top_1']:.0%}"
    for clip_name, folder in models.items():
        for name in models:
            table[name][f"generated_top_1_{clip_name}"] = top_1(run, folder, generated[name], captions)
    with atomic_folder(run.out / FOLDER) as result:
        for sheet, sheet_rows in rows.items():
            contact_sheet.sheet(sheet_rows).save(result / f"{sheet}.jpg", quality=90)
        landmarks: list[contact_sheet.Row] = []
        for name, folder in models.items():
            results = train_methods(folder, result / "projects", name, how)
            for method in METHODS:
                trained = next(results)
                table[name] |= {f"{method}_base_loss": trained.base_loss, f"{method}_loss": trained.loss}
                landmarks = landmarks or [trained.originals]
                landmarks.append(trained.images)
                yield f"{name}: {method} from {trained.base_loss:.4f} to {trained.loss:.4f}"
        contact_sheet.sheet(landmarks).save(result / "landmarks.jpg", quality=90)
        write_json(result / "table.json", table)
        write_text(result / "README.md", text(table, old, how, len(scenes)))
    yield f"compared: {run.out / FOLDER}"


def top_1(run: Run, folder: Path, images: np.ndarray, captions: list[str]) -> float:
    """Return how often the CLIP of a folder ranks an image's own caption first among all captions."""
    from transformers import CLIPModel, CLIPTokenizer

    clip_model = move(CLIPModel.from_pretrained(folder / "clip", local_files_only=True).float(), run.device).eval()
    folder_tokenizer = CLIPTokenizer.from_pretrained(folder / "base" / "tokenizer", local_files_only=True)
    ids = tokenizer.token_ids(folder_tokenizer, [[caption] for caption in captions])[:, 0]
    similarities = clip.embed_images(clip_model, images, run.device) @ clip.embed_texts(clip_model, ids, run.device).T
    return float((similarities.argmax(1) == np.arange(len(images))).mean())


def generate(run: Run, pipeline: StableDiffusionPipeline, captions: list[str]) -> tuple[np.ndarray, float]:
    """Return an image per caption, (count, size, size, 3) bytes, and the total seconds."""
    import time

    size = run.settings.image_size
    images = np.zeros((len(captions), size, size, 3), np.uint8)
    began = time.monotonic()
    evaluation_metrics.generate_rows(run, pipeline, captions, np.arange(len(captions)), images, "generating")
    return images, time.monotonic() - began


@dataclass(frozen=True)
class TrainingResult:
    """The result of training one method on a base model."""

    base_loss: float
    loss: float
    originals: contact_sheet.Row
    """The paper's landmarks in the style, from the dataset."""
    images: contact_sheet.Row
    """The same landmarks, generated with the trained adapter."""


def train_methods(folder: Path, projects: Path, name: str, how: Extent) -> Iterator[TrainingResult]:
    """Train every method with the studio itself on a sample project for these weights."""
    from ghibli_studio.config.evaluation import PAPER_LANDMARKS
    from ghibli_studio.config.generation import GenerationSettings
    from ghibli_studio.config.training import preset
    from ghibli_studio.data import dataset as datasets
    from ghibli_studio.data.sample_dataset import create_sample
    from ghibli_studio.generation import model_cache
    from ghibli_studio.generation import pipeline as generation_pipeline
    from ghibli_studio.imaging.image_io import open_image
    from ghibli_studio.models import base_model
    from ghibli_studio.training import runs
    from ghibli_studio.workspace.project import Workspace

    model_id = str((folder / "base").resolve())
    project = Workspace(projects).project(name, new=True)
    for _ in create_sample(project, model_id, count=how.landmarks):
        pass
    data = datasets.load(project)
    items = [next(item for item in data.items if item.landmark == landmark) for landmark in PAPER_LANDMARKS]
    originals = [np.asarray(open_image((project.dataset / f"{item.id}.png").read_bytes(), item.id)) for item in items]
    changes: dict[str, Any] = {} if how.epochs is None else {"num_train_epochs": how.epochs}
    generation_settings = cast(GenerationSettings, GenerationSettings.checked({}))
    for method in METHODS:
        run = project.new_run(preset(how.preset, method, base_model=model_id, **changes))
        for _ in runs.execute(run):
            pass
        metrics, images = run.metrics(), []
        with model_cache.with_adapter(base_model.load(model_id), run.adapter_file) as adapted:
            for item in items:
                *_, last = generation_pipeline.generate(adapted, item.caption, generation_settings)
                images.append(np.asarray(last.image))
        yield TrainingResult(metrics["base_validation_loss"], metrics["best_validation_loss"], originals, images)


def text(table: dict[str, dict[str, float]], old: Path, how: Extent, scenes: int) -> str:
    """Return the table as Markdown."""
    lines = [f"| {words} | {table['old'][name]:.4g} | {table['new'][name]:.4g} |" for name, words in METRICS.items()]
    rows = "\n".join(lines)
    epochs = "" if how.epochs is None else f", stopped after epoch {how.epochs},"
    return f"""# Old and new weights

Old: `{old.name}`. On the same {scenes} scenes, which the new weights were not trained on. LoRA and Textual Inversion
are trained by the studio with its preset `{how.preset}`{epochs} on {how.landmarks} landmarks. Validation losses of two
autoencoders have different scales, so compare each with the loss before training.

| metric | old | new |
|---|---|---|
{rows}

`reconstructions.jpg`: photos, the old reconstructions, the target style, its old reconstructions, then the new
reconstructions of both. `generated.jpg`: painted, generated by old, generated by new. `landmarks.jpg`: painted, then
old LoRA, old Textual Inversion, new LoRA, new Textual Inversion.
"""
