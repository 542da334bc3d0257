"""Old weights against new ones on the same scenes: what each copies, draws and learns. A table and contact sheets.

The scenes are those that this run held out. The old weights may have seen other pictures of the same landmarks, but
these pictures neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.miniature.landmarks.painting import render
from ghibli_studio.pretraining.atomic_folder import whole_folder, write_json, write_text
from ghibli_studio.pretraining.data.scenes import subject, whole_caption
from ghibli_studio.pretraining.evaluation import contact_sheet
from ghibli_studio.pretraining.evaluation import metrics as evaluation_metrics
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import TARGET_STYLE, WrongInput
from ghibli_studio.pretraining.stages import clip, tokenizer

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


SCENES = 64
SHOWN = 12
"""Scenes on a row of the sheets."""
METHODS = ("lora", "ti")
FOLDER = "comparison"
MEASURES = {
    "psnr_photo": "PSNR of the autoencoder, photographs, dB",
    "psnr_target": "PSNR of the autoencoder, target style, dB",
    "top_1": "own caption first, own CLIP, painted",
    "drawn_top_1_old": "own caption first, old CLIP, drawn",
    "drawn_top_1_new": "own caption first, new CLIP, drawn",
    "seconds": "seconds to draw them all",
    "lora_base_loss": "validation loss before LoRA",
    "lora_loss": "validation loss with LoRA",
    "ti_base_loss": "validation loss before Textual Inversion",
    "ti_loss": "validation loss with Textual Inversion",
}


@dataclass(frozen=True)
class Extent:
    """How much the comparison trains."""

    preset: str
    """Of the studio's presets."""
    landmarks: int
    """Pictures of the sample project, 2 to 115."""
    epochs: int | None
    """Instead of the preset's."""


def extent(preset: str, quick: bool) -> Extent:
    """All of it, or one epoch over some landmarks to see that it works."""
    return Extent(preset, 8, 1) if quick else Extent(preset, 115, None)


def check(old: Path, preset: str, picture_size: int) -> None:
    """Raise WrongInput before anything is trained: old weights not there or of another size, or an unknown preset."""
    from ghibli_studio.config.training import PRESETS

    for part in ("base/model_index.json", "clip/config.json"):
        if not (old / part).is_file():
            raise WrongInput(
                f"--compare is {old}, but there is no {part} in it: name a folder with base/ and clip/, "
                "such as ghibli_studio/miniature/weights"
            )
    if preset not in PRESETS:
        raise WrongInput(f"--compare-preset is {preset!r}, but the presets are {', '.join(PRESETS)}: choose one")
    unet, vae = (json.loads((old / f"base/{part}/config.json").read_text()) for part in ("unet", "vae"))
    size = unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)
    if size != picture_size:
        raise WrongInput(
            f"{old} draws {size} pixels a side, but this run {picture_size}: compare with weights of the "
            "same size, or choose another --picture-size"
        )


def compare(run: Run, old: Path, how: Extent) -> Iterator[str]:
    """Draw, train and measure with both; yields a line now and then. Leaves `comparison/` in the run's folder.

    In it: table.json, README.md with the table, copies.jpg (truth, both copies, in the photograph's and the target
    style), drawings.jpg (truth, both drawings) and landmarks.jpg (truth, then for old and new LoRA and Textual
    Inversion). A folder that is there already is made anew.
    """
    models = {"old": old, "new": run.out}
    settings = run.settings
    first = settings.picture_count
    scenes = [subject(settings, first + number)[0] for number in range(min(SCENES, settings.held_out))]
    truth = {
        style: np.stack([np.asarray(render(scene, style, settings.picture_size)) for scene in scenes])
        for style in ("photo", TARGET_STYLE)
    }
    captions = [whole_caption(scene, "photo") for scene in scenes]
    table: dict[str, dict[str, float]] = {"old": {}, "new": {}}
    rows: dict[str, list[contact_sheet.Row]] = {"copies": [], "drawings": [list(truth["photo"][:SHOWN])]}
    drawn = {}
    for name, folder in models.items():
        pipeline = evaluation_metrics.published(folder, run.device)
        for style, measure in (("photo", "psnr_photo"), (TARGET_STYLE, "psnr_target")):
            copies = evaluation_metrics.copied(pipeline.vae, truth[style], run.device)
            table[name][measure] = evaluation_metrics.decibels(
                evaluation_metrics.squared_errors(copies, truth[style]).mean()
            )
            if name == "old":
                rows["copies"].append(list(truth[style][:SHOWN]))
            rows["copies"].append(list(copies[:SHOWN]))
        table[name]["top_1"] = top_1(run, folder, truth["photo"], captions)
        drawn[name], table[name]["seconds"] = draw(run, pipeline, captions)
        rows["drawings"].append(list(drawn[name][:SHOWN]))
        yield f"{name}: {table[name]['psnr_photo']:.1f} dB, own caption first {table[name]['top_1']:.0%}"
    for judge, folder in models.items():
        for name in models:
            table[name][f"drawn_top_1_{judge}"] = top_1(run, folder, drawn[name], captions)
    with whole_folder(run.out / FOLDER) as result:
        for sheet, several in rows.items():
            contact_sheet.sheet(several).save(result / f"{sheet}.jpg", quality=90)
        landmarks: list[contact_sheet.Row] = []
        for name, folder in models.items():
            lessons = taught(folder, result / "projects", name, how)
            for method in METHODS:
                lesson = next(lessons)
                table[name] |= {f"{method}_base_loss": lesson.base_loss, f"{method}_loss": lesson.loss}
                landmarks = landmarks or [lesson.truth]
                landmarks.append(lesson.drawings)
                yield f"{name}: {method} from {lesson.base_loss:.4f} to {lesson.loss:.4f}"
        contact_sheet.sheet(landmarks).save(result / "landmarks.jpg", quality=90)
        write_json(result / "table.json", table)
        write_text(result / "README.md", text(table, old, how, len(scenes)))
    yield f"compared: {run.out / FOLDER}"


def top_1(run: Run, folder: Path, images: np.ndarray, captions: list[str]) -> float:
    """How often the CLIP of a folder finds a picture's own caption first among all of them."""
    from transformers import CLIPModel, CLIPTokenizer

    eyes = CLIPModel.from_pretrained(folder / "clip", local_files_only=True).float().to(run.device).eval()
    words = CLIPTokenizer.from_pretrained(folder / "base" / "tokenizer", local_files_only=True)
    ids = tokenizer.token_ids(words, [[caption] for caption in captions])[:, 0]
    likeness = clip.embed(eyes, images, run.device) @ clip.embed_words(eyes, ids, run.device).T
    return float((likeness.argmax(1) == np.arange(len(images))).mean())


def draw(run: Run, pipeline: StableDiffusionPipeline, captions: list[str]) -> tuple[np.ndarray, float]:
    """A picture for each caption, (count, size, size, 3) bytes, and the seconds that all of them took."""
    import time

    size = run.settings.picture_size
    made = np.zeros((len(captions), size, size, 3), np.uint8)
    began = time.monotonic()
    evaluation_metrics.draw_some(run, pipeline, captions, np.arange(len(captions)), made, "drawing")
    return made, time.monotonic() - began


@dataclass(frozen=True)
class Lesson:
    """What a base model made of one method's training."""

    base_loss: float
    loss: float
    truth: contact_sheet.Row
    """The paper's landmarks in the style, from the data set."""
    drawings: contact_sheet.Row
    """The same as the trained adapter draws them."""


def taught(folder: Path, projects: Path, name: str, how: Extent) -> Iterator[Lesson]:
    """Train every method with the studio itself on a sample project made for these weights."""
    from ghibli_studio.config.evaluation import PAPER_LANDMARKS
    from ghibli_studio.config.generation import GenerationSettings
    from ghibli_studio.config.training import preset
    from ghibli_studio.data import dataset as datasets
    from ghibli_studio.data.sample_dataset import make_sample
    from ghibli_studio.generation import model_cache
    from ghibli_studio.generation import pipeline as generation_pipeline
    from ghibli_studio.imaging.image_io import open_image
    from ghibli_studio.models import base_model
    from ghibli_studio.training import runs
    from ghibli_studio.workspace.project import Workspace

    spec = str((folder / "base").resolve())
    project = Workspace(projects).project(name, new=True)
    for _ in make_sample(project, spec, count=how.landmarks):
        pass
    data = datasets.load(project)
    items = [next(item for item in data.items if item.landmark == landmark) for landmark in PAPER_LANDMARKS]
    truth = [np.asarray(open_image((project.dataset / f"{item.id}.png").read_bytes(), item.id)) for item in items]
    changes = {} if how.epochs is None else {"num_train_epochs": how.epochs}
    for method in METHODS:
        run = project.new_run(preset(how.preset, method, base_model=spec, **changes))
        for _ in runs.execute(run):
            pass
        metrics, drawings = run.metrics(), []
        with model_cache.with_adapter(base_model.load(spec), run.adapter_file) as adapted:
            for item in items:
                *_, last = generation_pipeline.draw(adapted, item.caption, GenerationSettings())
                drawings.append(np.asarray(last.image))
        yield Lesson(metrics["base_validation_loss"], metrics["best_validation_loss"], truth, drawings)


def text(table: dict[str, dict[str, float]], old: Path, how: Extent, scenes: int) -> str:
    """The table as Markdown."""
    lines = [f"| {words} | {table['old'][name]:.4g} | {table['new'][name]:.4g} |" for name, words in MEASURES.items()]
    rows = "\n".join(lines)
    epochs = "" if how.epochs is None else f", stopped after epoch {how.epochs},"
    return f"""# Old against new

Old: `{old.name}`. On the same {scenes} scenes, which the new weights have not seen. LoRA and Textual Inversion by the
studio with its preset `{how.preset}`{epochs} on {how.landmarks} landmarks. A validation loss is of latents: those of
two autoencoders are two scales, so read it against the loss before.

| measure | old | new |
|---|---|---|
{rows}

`copies.jpg`: photographs, the old copies, the target style, its old copies, then the new copies of both.
`drawings.jpg`: painted, drawn by old, drawn by new. `landmarks.jpg`: painted, then old LoRA, old Textual Inversion,
new LoRA, new Textual Inversion.
"""
