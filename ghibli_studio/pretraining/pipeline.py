"""The order of the stages. What is finished is kept: a rerun continues with the first stage that is not.

Every stage writes into a folder of another name, which is renamed when all of it is on disk, so a folder that is
there is whole. A training stage that was cut off goes on from its last checkpoint. The pictures are painted ahead by
worker processes while CLIP, which needs only the first ones at first, is trained. Below the result, `stages/` holds
what later stages need, in full precision; a finished run does not.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ghibli_studio.pretraining.atomic_folder import whole_folder, write_json
from ghibli_studio.pretraining.data import scenes
from ghibli_studio.pretraining.data.photographs import read_photographs
from ghibli_studio.pretraining.data.renderer import BLOCK
from ghibli_studio.pretraining.evaluation import contact_sheet, metrics, model_card
from ghibli_studio.pretraining.loop import Progress, duration
from ghibli_studio.pretraining.run import LATENTS, Run
from ghibli_studio.pretraining.settings import LARGEST_WEIGHTS, TARGET_WORD, Settings, WrongInput
from ghibli_studio.pretraining.stages import autoencoder, clip, style_teacher, tokenizer, unet

LARGEST_SHARD = "9MB"
"""Files above 10 MB are not welcome in a git repository."""

Figures = dict[str, float]


def make_captions(run: Run, folder: Path) -> Figures:
    """Decide what every picture shows, and say it."""
    taken = read_photographs(run.photographs) if run.settings.photograph_count else []
    return scenes.describe(run.settings, taken, folder)


def make_tokenizer(run: Run, folder: Path) -> Figures:
    """Learn the words of the captions."""
    described = scenes.read_described(run.kept("captions"))[: run.settings.picture_count]
    words = tokenizer.train((caption for about in described for caption in about["captions"]), run.settings.vocabulary)
    words.save_pretrained(folder)
    return {"tokens": len(words)}


def make_clip(run: Run, folder: Path) -> Figures:
    """Train CLIP while the pictures are painted."""
    words = run.tokenizer()
    with run.painting() as painting:
        shown = run.pictures()
        ids = tokenizer.token_ids(words, shown.captions[: shown.count])
        model = clip.train(shown.images, painting.wait, ids, words, run.settings, run.device, run.training_of("clip"))
    model.save_pretrained(folder)
    return {}


def make_pictures(run: Run, folder: Path) -> Figures:
    """Paint what CLIP did not wait for; the pictures stay where they are, the folder says that all are there."""
    total = run.settings.total_count
    with run.painting() as painting:
        blocks = range(BLOCK, total + BLOCK, BLOCK)
        progress = Progress(f"blocks of {BLOCK} pictures", len(blocks))
        for number, rows in enumerate(blocks):
            painting.wait(rows)
            if progress.due(number):
                progress.say(number)
    (folder / "all_painted.json").write_text(json.dumps({"pictures": total}), encoding="utf-8")
    return {"pictures": total}


def make_autoencoder(run: Run, folder: Path) -> Figures:
    """Train the autoencoder."""
    shown = run.pictures()
    model = autoencoder.train(
        shown.images, shown.count, run.clip(), run.settings, run.device, run.training_of("autoencoder")
    )
    model.save_pretrained(folder)
    return {"scaling_factor": model.config.scaling_factor}


def make_latents(run: Run, folder: Path) -> Figures:
    """Encode every picture to train on once, so that the UNet need not."""
    shown = run.pictures()
    latents = autoencoder.encode(run.autoencoder(), shown.images[: shown.count], run.device)
    np.save(folder / LATENTS, latents, allow_pickle=False)
    return {"standard_deviation": float(latents.std(dtype=np.float64))}


def make_denoiser(run: Run, folder: Path) -> Figures:
    """Train the UNet."""
    model, figures = unet.train(
        run.noisy_latents(target_style=False), run.settings, run.device, run.compiled, run.training_of("denoiser")
    )
    model.save_pretrained(folder)
    return figures


def make_teacher(run: Run, folder: Path) -> Figures:
    """Train the style teacher."""
    figures = style_teacher.train(
        run.denoiser(),
        run.noisy_latents(target_style=True),
        run.settings,
        run.device,
        folder,
        run.training_of("teacher"),
    )
    # the words that call the style, where programs look for those of a LoRA
    write_json(folder / "pytorch_lora_weights.json", {"activation text": TARGET_WORD})
    return figures


def publish_base(run: Run, folder: Path) -> Figures:
    """Write the diffusion pipeline in half precision and small shards."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=run.autoencoder().half(),
        text_encoder=clip.text_encoder(run.clip()).half(),
        tokenizer=run.tokenizer(),
        unet=run.denoiser().half(),
        scheduler=unet.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, max_shard_size=LARGEST_SHARD)
    # the studio reads here how to ask the bare model for its plain style
    (folder / "studio.json").write_text(json.dumps({"plain_style": "photo"}) + "\n", encoding="utf-8")
    return {}


def publish_clip(run: Run, folder: Path) -> Figures:
    """Write CLIP in half precision and small shards, with what prepares its pictures and texts."""
    run.clip().half().save_pretrained(folder, max_shard_size=LARGEST_SHARD)
    clip.processor(run.tokenizer()).save_pretrained(folder)
    return {}


def draw_sheets(run: Run, folder: Path) -> Figures:
    """Draw the contact sheets with what was published."""
    contact_sheet.draw(run.out, run.settings, run.device, folder)
    return {}


def measure(run: Run, folder: Path) -> Figures:
    """Measure what was published on the pictures that were held out, style by style."""
    measured = metrics.measure(run)
    write_json(folder / metrics.FILE, measured)
    return measured["all"]


@dataclass(frozen=True)
class Stage:
    """A piece of the recipe that is done as a whole or not at all."""

    name: str
    result: str
    """The folder that it makes, below the run's."""
    make: Callable[[Run, Path], Figures]
    """Fills the folder that it is given; returns what it measured."""


STAGES = (
    Stage("captions", "stages/captions", make_captions),
    Stage("tokenizer", "stages/tokenizer", make_tokenizer),
    Stage("clip", "stages/clip", make_clip),
    Stage("pictures", "stages/pictures", make_pictures),
    Stage("autoencoder", "stages/autoencoder", make_autoencoder),
    Stage("latents", "stages/latents", make_latents),
    Stage("denoiser", "stages/denoiser", make_denoiser),
    Stage("base", "base", publish_base),
    Stage("published clip", "clip", publish_clip),
    Stage("teacher", "style_teacher", make_teacher),
    Stage("sheets", "sheets", draw_sheets),
    Stage("measured", "measured", measure),
)


def pretrain(run: Run) -> Iterator[tuple[str, Figures]]:
    """Run the stages that are not finished, yielding each one's name and figures when it is; stop when you like.

    Once a stage is made, all after it are made anew. The model card, its list of hashes and, last of all, `done.json`
    with all figures are written at the end; where that is, there is nothing to do. Raises WrongInput if the folder
    belongs to other settings or to something else, if photographs cannot be read, if the disk has no room, or if the
    weights would be too large to publish.
    """
    begin(run)
    if (run.out / "done.json").exists():
        return
    figures_file = run.out / "stages" / "figures.json"
    figures = json.loads(figures_file.read_text(encoding="utf-8")) if figures_file.exists() else {}
    first = next((n for n, stage in enumerate(STAGES) if not (run.out / stage.result).exists()), len(STAGES))
    for stage in STAGES[first:]:
        began = time.monotonic()
        for other in run.checkpoint(stage.name).parent.glob("*"):
            if other != run.checkpoint(stage.name):
                other.unlink()  # of a stage that is made anew, from what will be another model
        with whole_folder(run.out / stage.result) as folder:
            measured = stage.make(run, folder)
        figures[stage.name] = measured | {"seconds": round(time.monotonic() - began, 1)}
        write_json(figures_file, figures)
        run.checkpoint(stage.name).unlink(missing_ok=True)
        yield stage.name, figures[stage.name]
    model_card.write(run, figures)
    write_json(run.out / "done.json", figures)


def begin(run: Run) -> None:
    """Claim the folder for these settings, or see that it is theirs already and clear away what was interrupted."""
    settings_file = run.out / "settings.json"
    if settings_file.exists():
        differences = run.settings.differences(json.loads(settings_file.read_text(encoding="utf-8")))
        if differences:
            raise WrongInput(
                f"{run.out} was begun with {', '.join(differences)}: repeat those settings, or choose another --out"
            )
    elif run.out.exists() and (not run.out.is_dir() or any(run.out.iterdir())):
        raise WrongInput(f"{run.out} is not empty and holds no run of this recipe: choose an empty or new --out")
    check_size(run.settings)
    for interrupted in (*run.out.glob("*.partial"), *run.out.glob("stages/*.partial")):
        shutil.rmtree(interrupted) if interrupted.is_dir() else interrupted.unlink()
    if not run.kept("painting").exists() and not (run.out / "done.json").exists():
        check_room(run)
    run.out.mkdir(parents=True, exist_ok=True)
    write_json(settings_file, asdict(run.settings))


def check_size(settings: Settings) -> None:
    """Raise WrongInput if the published weights would be more than 75 MB: known from the settings, before any step."""
    import torch

    with torch.device("meta"):
        halves = sum(
            tensor.numel()
            for model in (autoencoder.build(settings), unet.build(settings))
            for tensor in model.parameters()
        )
    rough = 2 * halves + clip.published_bytes(settings.vocabulary) + style_teacher.BYTES_A_RANK * settings.teacher_rank
    if rough > LARGEST_WEIGHTS:
        raise WrongInput(
            f"the weights would have about {rough / 1e6:.0f} MB, but {LARGEST_WEIGHTS / 1e6:.0f} MB are "
            "the most: choose a smaller --teacher-rank or --latent-factor 8"
        )


def check_room(run: Run) -> None:
    """Raise WrongInput if the disk cannot hold the run: a memory-mapped file that outgrows it ends the process."""
    there = next(folder for folder in (run.out.absolute(), *run.out.absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(there).free, run.settings.disk_bytes
    if free < needed:
        raise WrongInput(
            f"{run.out} has {free / 1e9:.1f} GB of free disk, but {run.settings.total_count:,} pictures "
            f"and the models need {needed / 1e9:.1f} GB: make room, choose another --out, or fewer "
            "with --picture-count"
        )


def described(name: str, figures: Figures) -> str:
    """A finished stage in a line."""
    measured = "".join(f", {key.replace('_', ' ')} {value:g}" for key, value in figures.items() if key != "seconds")
    return f"{name} finished in {duration(figures['seconds'])}{measured}"
