"""One evaluation: every variant generates the same landmarks from the same noise, and each image is scored.

An evaluation is a folder: `evaluation.json` holds the request, `images/` fills up, and `result.json` is written last.
An existing image is never generated again, so a stopped evaluation resumes where it was. `scorer` computes the scores
of an image, and `analysis` computes the statistics over all scores.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import EvaluationSettings
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item
from ghibli_studio.evaluation import analysis
from ghibli_studio.evaluation.metrics import METRICS
from ghibli_studio.evaluation.variants import Variant
from ghibli_studio.generation import metadata, model_cache, pipeline
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.runtime import environment
from ghibli_studio.runtime.device import choose_device, describe_machine
from ghibli_studio.training.diffusion import derived_seed
from ghibli_studio.workspace.files import read_json, write_atomic, write_json
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from ghibli_studio.evaluation.scorer import Scorer, Subject
    from ghibli_studio.models.base_model import BaseModel


REQUEST_FILE, RESULT_FILE, IMAGES_FOLDER = "evaluation.json", "result.json", "images"
RECOMMENDED_ORIGINALS = 20  # with 8 the style distance ranks 1 in 5 images wrongly, with 38 or more 1 in 27


@dataclass(frozen=True)
class Progress:
    """The finished and the total number of inference steps, and a description of the current work."""

    done: int
    total: int
    what: str
    row: dict[str, Any] | None = None
    """The row of an image that has just been scored."""


@dataclass(frozen=True)
class _Cell:
    """One image to generate and score."""

    variant: Variant
    task: str
    index: int
    """Position of the subject."""
    seed: int
    """Counted up from the settings' seed; the same for all subjects."""
    file: Path


def evaluations(project: Project) -> list[Path]:
    """Return the folders of all evaluations, finished or not, newest first."""
    return [folder for folder in project.evaluations() if (folder / REQUEST_FILE).exists()]


def load(folder: Path) -> dict[str, Any]:
    """Return the result of a finished evaluation; raises StudioError if it is not finished."""
    if not (folder / RESULT_FILE).exists():
        raise StudioError(f"evaluation {folder.name} is not finished; resume it first")
    return read_json(folder / RESULT_FILE)


def evaluate(project: Project, variants: Sequence[Variant], settings: EvaluationSettings) -> Iterator[Progress]:
    """Run a new evaluation in a new folder.

    Raises StudioError before any model is loaded if the variants or landmarks are invalid.
    """
    names = [variant.name for variant in variants]
    if len(set(names)) < len(names):
        raise StudioError(f"two variants have the same name ({', '.join(names)}); give each its own name")
    if not variants:
        raise StudioError("there is nothing to compare; choose the base model or a trained run")
    dataset = datasets.load(project)
    items = _choose_items(project, dataset, settings)
    base = model_cache.base_model_of(project, {variant.name: variant.file for variant in variants})
    folder = project.new_evaluation()
    write_json(
        folder / REQUEST_FILE,
        {
            "settings": settings.model_dump(mode="json"),
            "variants": [variant.to_dict() for variant in variants],
            "subjects": [{"landmark": item.landmark, "prompt": item.caption, "item": item.id} for item in items],
            "base_model": base,
            "dataset": _dataset_summary(dataset),
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        },
    )
    yield from _run_evaluation(project, folder)


def resume(project: Project, folder: Path) -> Iterator[Progress]:
    """Resume a stopped evaluation; raises StudioError if its dataset or adapters have changed since it started."""
    if not (folder / REQUEST_FILE).exists():
        raise StudioError(f"{folder} is not an evaluation; start one first")
    yield from _run_evaluation(project, folder)


def _choose_items(project: Project, dataset: Dataset, settings: EvaluationSettings) -> list[Item]:
    """Return one held-out item per landmark; for img2img each needs a photo."""
    held_out: dict[str, Item] = {}
    for item in dataset.part("validation"):
        held_out.setdefault(item.landmark.casefold(), item)
    for name in settings.landmarks:
        if name.casefold() not in held_out:
            raise StudioError(
                f"landmark {name!r} was not held out; the held-out landmarks are "
                f"{', '.join(item.landmark for item in held_out.values())}"
            )
    items = [held_out[name.casefold()] for name in settings.landmarks] or list(held_out.values())
    if not items:
        raise StudioError("the dataset has no held-out landmark; import images of two or more landmarks")
    without_photo = [item.landmark for item in items if datasets.source_photo(project, item) is None]
    if "img2img" in settings.tasks and without_photo:
        raise StudioError(
            f"{len(without_photo)} of {len(items)} landmarks have no photo ({', '.join(without_photo[:3])}); "
            "choose the task txt2img, or landmarks that have a photo"
        )
    return items


def _run_evaluation(project: Project, folder: Path) -> Iterator[Progress]:
    """Generate the missing images, score all of them, analyze the scores and write the result."""
    request, started = read_json(folder / REQUEST_FILE), time.monotonic()
    settings = cast(EvaluationSettings, EvaluationSettings.checked(request["settings"]))
    variants = [Variant.from_dict(values) for values in request["variants"]]
    dataset = datasets.load(project)
    if _dataset_summary(dataset) != request["dataset"]:
        raise StudioError(f"the dataset has changed since evaluation {folder.name} was started; start a new one")
    cells = [
        _Cell(
            variant,
            task,
            index,
            settings.seed + offset,
            folder / IMAGES_FOLDER / f"{number + 1:02d}-{task}-{index + 1:03d}-{settings.seed + offset}.png",
        )
        for number, variant in enumerate(variants)
        for task in settings.tasks
        for index in range(len(request["subjects"]))
        for offset in range(settings.seeds)
    ]
    steps = {
        "txt2img": settings.num_inference_steps,
        "img2img": pipeline.steps_taken(settings.num_inference_steps, settings.strength),
    }
    total, done = sum(steps[cell.task] for cell in cells), 0
    yield Progress(0, total, "loading the scoring networks")
    by_id = {item.id: item for item in dataset.items}
    subjects = [_load_subject(project, by_id[values["item"]]) for values in request["subjects"]]
    scorer = _build_scorer(project, dataset, settings)
    model = None
    rows: list[dict[str, Any]] = []
    features: list[Tensor] = []
    for variant in variants:
        own_cells = [cell for cell in cells if cell.variant is variant]
        if any(not cell.file.exists() for cell in own_cells):
            yield Progress(done, total, "loading the base model")
            model = model or model_cache.load_base_model(request["base_model"], settings.device, settings.attention)
            for new_steps, description in _generate_missing(model, variant, own_cells, subjects, settings):
                yield Progress(done + new_steps, total, description)
        for cell in own_cells:
            image = open_image(cell.file.read_bytes(), cell.file.name)
            scored = scorer.score(image, subjects[cell.index], cell.task)
            row = {
                "task": cell.task,
                "landmark": subjects[cell.index].landmark,
                "seed": cell.seed,
                "variant": variant.name,
                "file": f"{IMAGES_FOLDER}/{cell.file.name}",
                "scores": scored.scores,
            }
            rows.append(row)
            features.append(scored.features)
            done += steps[cell.task]
            yield Progress(done, total, f"scoring {row['landmark']}, {variant.name}", row)
    yield Progress(total, total, "comparing")
    score_rows = [
        analysis.Row(**{name: row[name] for name in ("task", "landmark", "seed", "variant", "scores")}) for row in rows
    ]
    analyzed = analysis.analyze(score_rows, features, scorer.original_features, variants, METRICS, scorer.networks)
    analyzed["warnings"] += _warnings(scorer, subjects)
    write_json(
        folder / RESULT_FILE,
        {
            **request,
            "networks": scorer.networks,
            "metrics": scorer.metrics,
            "rows": rows,
            **analyzed,
            "ground_truth": {task: _ground_truth_scores(scorer, subjects, task) for task in settings.tasks},
            "versions": environment.versions(),
            "machine": describe_machine(choose_device(settings.device), model.dtype if model else None),
            "seconds": round(time.monotonic() - started, 1),
        },
    )


def _load_subject(project: Project, item: Item) -> Subject:
    from ghibli_studio.evaluation.scorer import Subject

    photo = datasets.source_photo(project, item)
    return Subject(item.landmark, item.caption, item.id, photo, next(datasets.images(project, [item])))


def _build_scorer(project: Project, dataset: Dataset, settings: EvaluationSettings) -> Scorer:
    """Return a scorer that compares styles with the training originals, which show other landmarks."""
    from ghibli_studio.evaluation import clip, reference_network
    from ghibli_studio.evaluation.scorer import Scorer

    training_items = dataset.part("train")
    photos = [photo for item in training_items if (photo := datasets.source_photo(project, item)) is not None]
    return Scorer(
        clip.load_clip(settings.clip_model, settings.device),
        reference_network.load_lpips(device=settings.device),
        list(datasets.images(project, training_items)),
        inception=reference_network.load_inception(device=settings.device),
        photos=photos,
    )


def _generate_missing(
    model: BaseModel,
    variant: Variant,
    cells: Sequence[_Cell],
    subjects: Sequence[Subject],
    settings: EvaluationSettings,
) -> Iterator[tuple[int, str]]:
    """Generate the missing images of a variant; yields (number of steps so far, description) after every step."""
    done = 0
    shared = {
        name: getattr(settings, name) for name in ("num_inference_steps", "guidance_scale", "device", "attention")
    }
    with model_cache.with_optional_adapter(model, variant.file) as loaded:
        for cell in cells:
            if cell.file.exists():
                continue
            subject = subjects[cell.index]
            # each landmark has its own noise, which is the same for every variant and task
            seed = derived_seed(cell.seed, "evaluation", cell.index) % 2**31
            generation_settings = GenerationSettings(seed=seed, adapter_scale=variant.adapter_scale, **shared)
            init_image = None
            if cell.task == "img2img":  # `_choose_items` made sure of a photo
                init_image = InitImage(cast("Image.Image", subject.photo), settings.strength)
            for event in pipeline.generate(loaded, subject.prompt, generation_settings, init_image):
                if event.image is None or event.metadata is None:
                    done += 1
                    yield done, f"{subject.landmark}, {variant.name}"
                else:
                    write_atomic(cell.file, metadata.to_png(event.image, event.metadata))


def _ground_truth_scores(scorer: Scorer, subjects: Sequence[Subject], task: str) -> dict[str, float]:
    """Return the mean score of the ground-truth images by metric: what a perfect method would reach."""
    scores = [
        scorer.score(subject.ground_truth, subject, task).scores
        for subject in subjects
        if subject.ground_truth is not None
    ]
    shared_keys = [key for key in scores[0] if all(key in image_scores for image_scores in scores)]
    return {key: sum(image_scores[key] for image_scores in scores) / len(scores) for key in shared_keys}


def _warnings(scorer: Scorer, subjects: Sequence[Subject]) -> Iterator[str]:
    if len(scorer.original_features) < RECOMMENDED_ORIGINALS:
        yield (
            f"The style is estimated from only {len(scorer.original_features)} originals; use at least "
            f"{RECOMMENDED_ORIGINALS} for reliable style metrics."
        )
    if truncated := [subject.landmark for subject in subjects if scorer.clip.truncated_tokens(subject.prompt)]:
        yield (
            f"{scorer.clip.name} truncates {len(truncated)} of {len(subjects)} prompts "
            f"({', '.join(truncated[:3])}), so their CLIP scores ignore the end of the prompt."
        )


def _dataset_summary(dataset: Dataset) -> dict[str, Any]:
    return {"digest": datasets.digest(dataset), "images": len(dataset.items)}
