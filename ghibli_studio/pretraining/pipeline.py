"""The order of the stages. Finished stages are kept: a rerun continues with the first unfinished stage.

Every stage writes into a temporary folder, which is renamed when all of it is on disk, so an existing folder is
complete. An interrupted training stage resumes from its last checkpoint. Worker processes render the images in advance
while CLIP, which needs only a few at first, is trained. Inside the result, `stages/` holds what later stages need, in
full precision; the finished model does not need it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ghibli_studio.pretraining.atomic_folder import atomic_folder, write_json
from ghibli_studio.pretraining.data import scenes
from ghibli_studio.pretraining.data.photos import read_photos
from ghibli_studio.pretraining.data.renderer import BLOCK
from ghibli_studio.pretraining.evaluation import contact_sheet, metrics, model_card
from ghibli_studio.pretraining.loop import Progress, duration
from ghibli_studio.pretraining.run import LATENTS, Run
from ghibli_studio.pretraining.settings import LARGEST_WEIGHTS, TARGET_WORD, InvalidInput, Settings
from ghibli_studio.pretraining.stages import autoencoder, clip, style_teacher, tokenizer, unet

LARGEST_SHARD = "9MB"
"""Keeps files below 10 MB for the git repository."""

Metrics = dict[str, float]


def make_captions(run: Run, folder: Path) -> Metrics:
    """Decide what every image shows, and write the captions."""
    photos = read_photos(run.photos) if run.settings.photo_count and run.photos is not None else []
    return scenes.describe(run.settings, photos, folder)


def make_tokenizer(run: Run, folder: Path) -> Metrics:
    """Train the tokenizer on the captions."""
    descriptions = scenes.read_descriptions(run.stage_folder("captions"))[: run.settings.image_count]
    captions = (caption for description in descriptions for caption in description["captions"])
    trained = tokenizer.train(captions, run.settings.vocabulary)
    trained.save_pretrained(folder)
    return {"tokens": len(trained)}


def make_clip(run: Run, folder: Path) -> Metrics:
    """Train CLIP while the images are rendered."""
    trained = run.tokenizer()
    with run.renderer() as renderer:
        data = run.training_images()
        ids = tokenizer.token_ids(trained, data.captions[: data.count])
        model = clip.train(data.images, renderer.wait, ids, trained, run.settings, run.device, run.training_of("clip"))
    model.save_pretrained(folder)
    return {}


def render_images(run: Run, folder: Path) -> Metrics:
    """Render the remaining images; the stage's folder only records that all of them are finished."""
    total = run.settings.total_count
    with run.renderer() as renderer:
        blocks = range(BLOCK, total + BLOCK, BLOCK)
        progress = Progress(f"blocks of {BLOCK} images", len(blocks))
        for number, rows in enumerate(blocks):
            renderer.wait(rows)
            if progress.due(number):
                progress.say(number)
    (folder / "finished.json").write_text(json.dumps({"images": total}), encoding="utf-8")
    return {"images": total}


def make_autoencoder(run: Run, folder: Path) -> Metrics:
    """Train the autoencoder."""
    data = run.training_images()
    model = autoencoder.train(
        data.images, data.count, run.clip(), run.settings, run.device, run.training_of("autoencoder")
    )
    model.save_pretrained(folder)
    return {"scaling_factor": model.config["scaling_factor"]}


def make_latents(run: Run, folder: Path) -> Metrics:
    """Encode every training image once for the UNet."""
    data = run.training_images()
    latents = autoencoder.encode(run.autoencoder(), data.images[: data.count], run.device)
    np.save(folder / LATENTS, latents, allow_pickle=False)
    return {"standard_deviation": float(latents.std(dtype=np.float64))}


def make_denoiser(run: Run, folder: Path) -> Metrics:
    """Train the UNet."""
    model, metrics_of_stage = unet.train(
        run.noisy_latents(target_style=False), run.settings, run.device, run.compiled, run.training_of("denoiser")
    )
    model.save_pretrained(folder)
    return metrics_of_stage


def make_teacher(run: Run, folder: Path) -> Metrics:
    """Train the style teacher."""
    metrics_of_stage = style_teacher.train(
        run.denoiser(),
        run.noisy_latents(target_style=True),
        run.settings,
        run.device,
        folder,
        run.training_of("teacher"),
    )
    # the trigger of the style, where web UIs look for that of a LoRA
    write_json(folder / "pytorch_lora_weights.json", {"activation text": TARGET_WORD})
    return metrics_of_stage


def publish_base(run: Run, folder: Path) -> Metrics:
    """Write the diffusion pipeline in half precision and small shards."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=run.autoencoder().half(),
        text_encoder=clip.text_encoder(run.clip()).half(),
        tokenizer=run.tokenizer(),
        unet=run.denoiser().half(),
        scheduler=unet.scheduler(),  # type: ignore[arg-type]  # the annotation is an enum of names
        safety_checker=None,  # type: ignore[arg-type]  # optional components may be None
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, max_shard_size=LARGEST_SHARD)
    # the studio reads the suffix of prompts for the base model from this file
    (folder / "studio.json").write_text(json.dumps({"base_style_suffix": "photo"}) + "\n", encoding="utf-8")
    return {}


def publish_clip(run: Run, folder: Path) -> Metrics:
    """Write CLIP in half precision and small shards, with its processor."""
    run.clip().half().save_pretrained(folder, max_shard_size=LARGEST_SHARD)
    clip.processor(run.tokenizer()).save_pretrained(folder)
    return {}


def make_contact_sheets(run: Run, folder: Path) -> Metrics:
    """Generate the contact sheets with the published files."""
    contact_sheet.make_contact_sheets(run.out, run.settings, run.device, folder)
    return {}


def make_metrics(run: Run, folder: Path) -> Metrics:
    """Compute the metrics of the published files on the held-out images, by style."""
    table = metrics.evaluate(run)
    write_json(folder / metrics.FILE, table)
    return table["all"]


@dataclass(frozen=True)
class Stage:
    """One step of the run, done completely or not at all."""

    name: str
    result: str
    """Folder of its result, relative to the run's folder."""
    make: Callable[[Run, Path], Metrics]
    """Fills the given folder; returns metrics."""


STAGES = (
    Stage("captions", "stages/captions", make_captions),
    Stage("tokenizer", "stages/tokenizer", make_tokenizer),
    Stage("clip", "stages/clip", make_clip),
    Stage("images", "stages/images", render_images),
    Stage("autoencoder", "stages/autoencoder", make_autoencoder),
    Stage("latents", "stages/latents", make_latents),
    Stage("denoiser", "stages/denoiser", make_denoiser),
    Stage("base", "base", publish_base),
    Stage("published clip", "clip", publish_clip),
    Stage("teacher", "style_teacher", make_teacher),
    Stage("contact sheets", "sheets", make_contact_sheets),
    Stage("metrics", "metrics", make_metrics),
)


def pretrain(run: Run) -> Iterator[tuple[str, Metrics]]:
    """Run the unfinished stages and yield each one's name and metrics; to stop, stop iterating.

    A stage that runs invalidates all later stages. At the end, it writes the model card, its list of hashes and, last
    of all, `done.json` with all metrics; if that exists, there is nothing to do. Raises InvalidInput if the folder
    belongs to other settings or to something else, if photos cannot be read, if the disk is too full, or if the weights
    would be too large to publish.
    """
    begin(run)
    if (run.out / "done.json").exists():
        return
    metrics_file = run.out / "stages" / "metrics.json"
    by_stage = json.loads(metrics_file.read_text(encoding="utf-8")) if metrics_file.exists() else {}
    first = next((n for n, stage in enumerate(STAGES) if not (run.out / stage.result).exists()), len(STAGES))
    for stage in STAGES[first:]:
        began = time.monotonic()
        for other in run.checkpoint(stage.name).parent.glob("*"):
            if other != run.checkpoint(stage.name):
                other.unlink()  # of a later stage, which will run again with another model
        with atomic_folder(run.out / stage.result) as folder:
            stage_metrics = stage.make(run, folder)
        by_stage[stage.name] = stage_metrics | {"seconds": round(time.monotonic() - began, 1)}
        write_json(metrics_file, by_stage)
        run.checkpoint(stage.name).unlink(missing_ok=True)
        yield stage.name, by_stage[stage.name]
    model_card.write(run, by_stage)
    write_json(run.out / "done.json", by_stage)


def begin(run: Run) -> None:
    """Check that the folder is new or has the same settings, and delete interrupted results."""
    settings_file = run.out / "settings.json"
    if settings_file.exists():
        differences = run.settings.differences(json.loads(settings_file.read_text(encoding="utf-8")))
        if differences:
            raise InvalidInput(
                f"{run.out} was started with {', '.join(differences)}: use those settings, or choose another --out"
            )
    elif run.out.exists() and (not run.out.is_dir() or any(run.out.iterdir())):
        raise InvalidInput(f"{run.out} is not empty and is not a pretraining run: choose an empty or new --out")
    check_size(run.settings)
    for interrupted in (*run.out.glob("*.partial"), *run.out.glob("stages/*.partial")):
        shutil.rmtree(interrupted) if interrupted.is_dir() else interrupted.unlink()
    if not run.stage_folder("rendering").exists() and not (run.out / "done.json").exists():
        check_disk_space(run)
    run.out.mkdir(parents=True, exist_ok=True)
    write_json(settings_file, asdict(run.settings))


def check_size(settings: Settings) -> None:
    """Raise InvalidInput before any training if the published weights would be larger than 75 MB."""
    import torch

    with torch.device("meta"):
        parameters = sum(
            tensor.numel()
            for model in (autoencoder.build(settings), unet.build(settings))
            for tensor in model.parameters()
        )
    size = (
        2 * parameters
        + clip.published_bytes(settings.vocabulary)
        + style_teacher.BYTES_PER_RANK * settings.teacher_rank
    )
    if size > LARGEST_WEIGHTS:
        raise InvalidInput(
            f"the weights would have about {size / 1e6:.0f} MB, but the maximum is "
            f"{LARGEST_WEIGHTS / 1e6:.0f} MB: choose a smaller --teacher-rank or --latent-factor 8"
        )


def check_disk_space(run: Run) -> None:
    """Raise InvalidInput if the disk is too full: a memory-mapped file without disk space crashes the process."""
    existing = next(folder for folder in (run.out.absolute(), *run.out.absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(existing).free, run.settings.disk_bytes
    if free < needed:
        raise InvalidInput(
            f"{run.out} has {free / 1e9:.1f} GB of free disk, but {run.settings.total_count:,} images and the models "
            f"need {needed / 1e9:.1f} GB: free space, choose another --out, or reduce --image-count"
        )


def describe_stage(name: str, stage_metrics: Metrics) -> str:
    """Return one line about a finished stage."""
    values = "".join(f", {key.replace('_', ' ')} {value:g}" for key, value in stage_metrics.items() if key != "seconds")
    return f"{name} finished in {duration(stage_metrics['seconds'])}{values}"
