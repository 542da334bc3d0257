"""One comparison of adapters: every variant draws the same landmarks from the same noise, each picture is scored.

A comparison is a folder: `evaluation.json` says what was asked for, `pictures/` grows, `result.json` is written last.
A picture that is there is never drawn again, so that whatever stopped a comparison, it goes on where it was. What the
pictures get is `scores`, what follows from it `evaluation`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import EvaluationSettings
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item
from ghibli_studio.evaluation import analysis
from ghibli_studio.evaluation.metrics import METRICS
from ghibli_studio.evaluation.variants import Variant, from_told
from ghibli_studio.generation import metadata, model_cache, pipeline
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.runtime import environment
from ghibli_studio.runtime.device import choose_device, machine
from ghibli_studio.training.diffusion import derived_seed
from ghibli_studio.workspace.files import read_json, write_atomic, write_json
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor

    from ghibli_studio.evaluation.scorer import Scored, Scorer, Subject
    from ghibli_studio.models.base_model import BaseModel


ASKED, RESULT, PICTURES = "evaluation.json", "result.json", "pictures"
ENOUGH_ORIGINALS = 20  # with 8 the style distance ranks 1 in 5 pictures wrongly, with 38 or more 1 in 27


@dataclass(frozen=True)
class Progress:
    """Steps and scores done of all; `row` is there when a picture has just been scored."""

    done: int
    total: int
    what: str
    row: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Cell:
    """One picture to draw and score."""

    variant: Variant
    task: str
    index: int
    """Of the subject."""
    seed: int
    """Counted from the settings' seed, for all subjects alike."""
    file: Path


def evaluations(project: Project) -> list[Path]:
    """Folders of all comparisons, the newest first, finished or not."""
    return [folder for folder in project.evaluations() if (folder / ASKED).exists()]


def load(folder: Path) -> dict[str, Any]:
    """The result of a finished comparison; raises StudioError for one that is not."""
    if not (folder / RESULT).exists():
        raise StudioError(f"evaluation {folder.name} is not finished; go on with it first")
    return read_json(folder / RESULT)


def evaluate(project: Project, variants: Sequence[Variant], settings: EvaluationSettings) -> Iterator[Progress]:
    """Begin a comparison in a new folder; raises StudioError for what is known to be wrong before a model is loaded."""
    names = [variant.name for variant in variants]
    if len(set(names)) < len(names):
        raise StudioError(f"two variants have one name ({', '.join(names)}); give each its own")
    if not variants:
        raise StudioError("there is nothing to compare; choose the base model or a trained run")
    dataset = datasets.load(project)
    items = _chosen_items(project, dataset, settings)
    base = model_cache.base_of(project, {variant.name: variant.file for variant in variants})
    folder = project.new_evaluation()
    write_json(
        folder / ASKED,
        {
            "settings": settings.model_dump(mode="json"),
            "variants": [variant.told() for variant in variants],
            "subjects": [{"landmark": item.landmark, "prompt": item.caption, "item": item.id} for item in items],
            "base_model": base,
            "dataset": _described(dataset),
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        },
    )
    yield from _work(project, folder)


def resume(project: Project, folder: Path) -> Iterator[Progress]:
    """Go on with a comparison; raises StudioError where data set or adapters have changed since it was begun."""
    if not (folder / ASKED).exists():
        raise StudioError(f"{folder} is no evaluation; begin one first")
    yield from _work(project, folder)


def _chosen_items(project: Project, dataset: Dataset, settings: EvaluationSettings) -> list[Item]:
    """One held-out item a landmark, with a photograph where the task needs one."""
    held_out: dict[str, Item] = {}
    for item in dataset.part("validation"):
        held_out.setdefault(item.landmark.casefold(), item)
    for name in settings.landmarks:
        if name.casefold() not in held_out:
            raise StudioError(
                f"landmark {name!r} was not held out; held out are "
                f"{', '.join(item.landmark for item in held_out.values())}"
            )
    items = [held_out[name.casefold()] for name in settings.landmarks] or list(held_out.values())
    if not items:
        raise StudioError("the data set holds no landmark out; import pictures of two or more landmarks")
    bare = [item.landmark for item in items if datasets.photograph(project, item) is None]
    if "photo" in settings.tasks and bare:
        raise StudioError(
            f"there is no photograph behind {len(bare)} of {len(items)} pictures ({', '.join(bare[:3])}); "
            "choose the task prompt, or landmarks that have one"
        )
    return items


def _work(project: Project, folder: Path) -> Iterator[Progress]:
    """Draw what is missing, score everything, analyze, write the result."""
    asked, started = read_json(folder / ASKED), time.monotonic()
    settings = EvaluationSettings.checked(asked["settings"])
    variants = [from_told(told) for told in asked["variants"]]
    dataset = datasets.load(project)
    if _described(dataset) != asked["dataset"]:
        raise StudioError(f"the data set has changed since evaluation {folder.name} was begun; begin another one")
    cells = [
        _Cell(
            variant,
            task,
            index,
            settings.seed + turn,
            folder / PICTURES / f"{number + 1:02d}-{task}-{index + 1:03d}-{settings.seed + turn}.png",
        )
        for number, variant in enumerate(variants)
        for task in settings.tasks
        for index in range(len(asked["subjects"]))
        for turn in range(settings.seeds)
    ]
    steps = {
        "prompt": settings.num_inference_steps,
        "photo": pipeline.steps_drawn(settings.num_inference_steps, settings.strength),
    }
    total, done = sum(steps[cell.task] for cell in cells), 0
    yield Progress(0, total, "loading the networks that look")
    by_id = {item.id: item for item in dataset.items}
    subjects = [_subject(project, by_id[told["item"]]) for told in asked["subjects"]]
    scorer = _scorer(project, dataset, settings)
    model = None
    rows: list[dict[str, Any]] = []
    features: list[Tensor] = []
    for variant in variants:
        own = [cell for cell in cells if cell.variant is variant]
        if any(not cell.file.exists() for cell in own):
            yield Progress(done, total, "loading the base model")
            model = model or model_cache.loaded_base(asked["base_model"], settings.device, settings.attention)
            for step in _drawn(model, variant, own, subjects, settings):
                yield Progress(done + step[0], total, step[1])
        for cell in own:
            scored = _scored(scorer, cell, subjects[cell.index])
            row = {
                "task": cell.task,
                "landmark": subjects[cell.index].landmark,
                "seed": cell.seed,
                "variant": variant.name,
                "file": f"{PICTURES}/{cell.file.name}",
                "scores": scored.scores,
            }
            rows.append(row)
            features.append(scored.features)
            done += steps[cell.task]
            yield Progress(done, total, f"scoring {row['landmark']}, {variant.name}", row)
    yield Progress(total, total, "comparing")
    compared = [
        analysis.Row(**{name: row[name] for name in ("task", "landmark", "seed", "variant", "scores")}) for row in rows
    ]
    told = analysis.analyze(compared, features, scorer.originals, variants, METRICS, scorer.networks)
    told["warnings"] += _warnings(scorer, subjects)
    write_json(
        folder / RESULT,
        {
            **asked,
            "networks": scorer.networks,
            "metrics": scorer.metrics,
            "rows": rows,
            **told,
            "truth": {task: _truth(scorer, subjects, task) for task in settings.tasks},
            "versions": environment.versions(),
            "machine": machine(choose_device(settings.device), model.dtype if model else None),
            "seconds": round(time.monotonic() - started, 1),
        },
    )


def _subject(project: Project, item: Item) -> Subject:
    from ghibli_studio.evaluation.scorer import Subject

    photo = datasets.photograph(project, item)
    return Subject(item.landmark, item.caption, item.id, photo, next(datasets.images(project, [item])))


def _scorer(project: Project, dataset: Dataset, settings: EvaluationSettings) -> Scorer:
    """Compares the style with the originals that the methods were trained on, which show other landmarks."""
    from ghibli_studio.evaluation import clip, reference_network
    from ghibli_studio.evaluation.scorer import Scorer

    learned = dataset.part("train")
    photographs = [photo for item in learned if (photo := datasets.photograph(project, item)) is not None]
    return Scorer(
        clip.clip(settings.clip_model, settings.device),
        reference_network.perceptual(device=settings.device),
        list(datasets.images(project, learned)),
        inception=reference_network.inception(device=settings.device),
        photographs=photographs,
    )


def _drawn(
    model: BaseModel,
    variant: Variant,
    cells: Sequence[_Cell],
    subjects: Sequence[Subject],
    settings: EvaluationSettings,
) -> Iterator[tuple[int, str]]:
    """Draw the pictures of a variant that are not there yet; yields (steps done or passed over, what)."""
    done = 0
    shared = {
        name: getattr(settings, name) for name in ("num_inference_steps", "guidance_scale", "device", "attention")
    }
    with model_cache.on_base(model, variant.file) as loaded:
        for cell in cells:
            if cell.file.exists():
                continue
            subject = subjects[cell.index]
            # noise of its own for each landmark, the same for every variant and task
            seed = derived_seed(cell.seed, "evaluation", cell.index) % 2**31
            chosen = GenerationSettings(seed=seed, adapter_scale=variant.adapter_scale, **shared)
            start = Photograph(subject.photo, settings.strength) if cell.task == "photo" else None
            for drawing in pipeline.draw(loaded, subject.prompt, chosen, start):
                if drawing.image is None:
                    done += 1
                    yield done, f"{subject.landmark}, {variant.name}"
                else:
                    write_atomic(cell.file, metadata.to_png(drawing.image, drawing.recipe))


def _scored(scorer: Scorer, cell: _Cell, subject: Subject) -> Scored:
    return scorer.score(open_image(cell.file.read_bytes(), cell.file.name), subject, cell.task)


def _truth(scorer: Scorer, subjects: Sequence[Subject], task: str) -> dict[str, float]:
    """What the true styled pictures get on average: the mark that a perfect method would reach."""
    scores = [scorer.score(subject.truth, subject, task).scores for subject in subjects]
    known = [key for key in scores[0] if all(key in one for one in scores)]
    return {key: sum(one[key] for one in scores) / len(scores) for key in known}


def _warnings(scorer: Scorer, subjects: Sequence[Subject]) -> Iterator[str]:
    if len(scorer.originals) < ENOUGH_ORIGINALS:
        yield (
            f"The style is known from {len(scorer.originals)} originals only; {ENOUGH_ORIGINALS} or more tell it "
            "reliably."
        )
    if cut := [subject.landmark for subject in subjects if scorer.clip.unread(subject.prompt)]:
        yield (
            f"{scorer.clip.name} does not read {len(cut)} of {len(subjects)} prompts to their end "
            f"({', '.join(cut[:3])}), so their CLIP scores do not know the rest."
        )


def _described(dataset: Dataset) -> dict[str, Any]:
    return {"digest": datasets.digest(dataset), "pictures": len(dataset.items)}
