"""X/Y grids: one setting across, another down, every combination generated, and one labeled image of all of them.

A grid is a folder: `grid.json` has the plan, `images/` grows, and `grid.png` is written last. An existing image is
never generated again, so a stopped grid resumes where it was. The layout of `grid.png` is in `imaging.labeled_grid`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import init_image as init_images
from ghibli_studio.generation import metadata, model_cache, model_choice, pipeline
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.imaging.labeled_grid import render_grid
from ghibli_studio.workspace.files import read_json, sha256_of, write_atomic, write_json
from ghibli_studio.workspace.project import Project

GRID_FILE, GRID_IMAGE = "grid.json", "grid.png"
GRID_METADATA_KEY = "grid"
"""Key of the text chunk of `grid.png` that has the plan."""
MAX_CELLS = 400
SETTINGS = {"adapter_scale": float, "seed": int, "guidance_scale": float, "num_inference_steps": int}
AXES = ("adapter_scale", "seed", "epoch", "prompt", "guidance_scale", "num_inference_steps", "method", "strength")
"""Settings that an axis can vary; `strength` only for img2img."""
PROMPT_SEPARATOR = "|"


@dataclass(frozen=True)
class Axis:
    """One setting and its values along one side of the grid."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Plan:
    """A grid to generate; everything is checked except the models."""

    x: Axis
    y: Axis
    prompt: str
    model: str
    """Name of the model choice where the grid does not vary the method."""
    settings: GenerationSettings
    init_image: dict[str, Any] | None = None
    """`sha256` of a stored photo, and `strength`; None for txt2img."""


@dataclass(frozen=True)
class Cell:
    """One image of a grid."""

    column: int
    row: int
    model: str
    """Name of the model choice."""
    file: Path | None
    """The adapter; None for the base model."""
    prompt: str
    settings: GenerationSettings
    strength: float | None
    """None for txt2img."""


@dataclass(frozen=True)
class Progress:
    """Steps done of all steps, with the image that was just finished, or at the end the whole grid."""

    done: int
    total: int
    what: str
    seconds_left: float | None = None
    image_file: Path | None = None
    grid_file: Path | None = None


def read_axis(name: str, text: str) -> Axis:
    """Return an axis from text: values separated by commas, prompts separated by `|` or line breaks.

    Raises StudioError for an unknown setting, a value that is not a number where one is needed, and a repeated value.
    """
    name = name.strip()
    if name not in AXES:
        raise StudioError(f"an axis cannot be {name!r}; choose one of: {', '.join(AXES)}")
    separator = PROMPT_SEPARATOR if name == "prompt" else ","
    parts = [part.strip() for line in text.splitlines() for part in line.split(separator) if part.strip()]
    if not parts:
        example = {"prompt": "Big Ben, London | Petra, Jordan", "method": "base, lora, ti"}.get(name, "0, 1, 2")
        raise StudioError(f"{name} has no values; write some, such as {example}")
    kind: type = {**SETTINGS, "epoch": int, "strength": float}.get(name, str)
    try:
        values = tuple(kind(part) for part in parts)
    except ValueError as error:
        numbers = "whole numbers" if kind is int else "numbers"
        raise StudioError(f"{name} is {text.strip()!r}; it must be {numbers} separated by commas") from error
    if repeated := [value for index, value in enumerate(values) if value in values[:index]]:
        raise StudioError(f"{name} has the value {repeated[0]!r} twice; write each value once")
    return Axis(name, values)


def cells(project: Project, plan: Plan) -> list[Cell]:
    """Return every cell of a grid by rows; raises StudioError for errors that can be found without loading a model."""
    if plan.x.name == plan.y.name:
        raise StudioError(f"both axes are {plan.x.name}; choose two different settings")
    if "strength" in (plan.x.name, plan.y.name) and plan.init_image is None:
        raise StudioError("strength can be an axis only for image to image; choose a photo to start from")
    if (count := len(plan.x.values) * len(plan.y.values)) > MAX_CELLS:
        raise StudioError(f"the grid has {count} images, and at most {MAX_CELLS} are allowed; use fewer values")
    result = []
    for row, y_value in enumerate(plan.y.values):
        for column, x_value in enumerate(plan.x.values):
            result.append(_cell(project, plan, column, row, {plan.x.name: x_value, plan.y.name: y_value}))
    if not all(cell.prompt.strip() for cell in result):
        raise StudioError("the prompt is empty; write what the images should show, or make the prompt an axis")
    model_cache.base_model_of(project, {cell.model: cell.file for cell in result})
    return result


def _cell(project: Project, plan: Plan, column: int, row: int, values: dict[str, Any]) -> Cell:
    model = values.get("method", plan.model)
    if "epoch" in values:
        if model == model_cache.BASE:
            raise StudioError("the base model has no epochs; choose a run or a method")
        run = model_choice.run_of(project, model)
        model = f"{run.id}@{values['epoch']}"
    start = plan.init_image or {}
    return Cell(
        column,
        row,
        model,
        model_choice.adapter_file(project, model),
        values.get("prompt", plan.prompt),
        plan.settings.changed(**{name: values[name] for name in SETTINGS if name in values}),
        values.get("strength", start.get("strength")),
    )


def generate_grid(project: Project, plan: Plan) -> Iterator[Progress]:
    """Start a grid in a new folder; closing the iterator stops it and keeps the finished images."""
    all_cells = cells(project, plan)
    if plan.init_image and init_images.find(project, plan.init_image["sha256"]) is None:
        raise StudioError("the photo to start from is not in the project; upload it again")
    folder = project.outputs.new_grid()
    write_json(
        folder / GRID_FILE,
        {
            "x": {"name": plan.x.name, "values": plan.x.values},
            "y": {"name": plan.y.name, "values": plan.y.values},
            "prompt": plan.prompt,
            "model": plan.model,
            "settings": plan.settings.model_dump(mode="json"),
            "init_image": plan.init_image,
            "adapters": {cell.model: sha256_of(cell.file) for cell in all_cells if cell.file},
        },
    )
    yield from resume(project, folder)


def load(folder: Path) -> Plan:
    """Return the plan of a grid; raises StudioError if its file is missing or damaged."""
    content = read_json(folder / GRID_FILE)
    x, y = (Axis(content[side]["name"], tuple(content[side]["values"])) for side in "xy")
    settings = GenerationSettings.checked(content["settings"])
    return Plan(x, y, content["prompt"], content["model"], settings, content["init_image"])


def is_finished(folder: Path) -> bool:
    """Return whether every image of a grid was generated."""
    return (folder / GRID_IMAGE).exists()


def image_file(folder: Path, column: int, row: int) -> Path:
    """Return the image file of a cell, counted from 0."""
    return folder / "images" / f"{row + 1:02d}-{column + 1:02d}.png"


def resume(project: Project, folder: Path) -> Iterator[Progress]:
    """Generate the missing images of a grid, then `grid.png`; raises StudioError if an adapter has changed."""
    plan = load(folder)
    all_cells = cells(project, plan)
    _check_adapters_unchanged(folder, all_cells)
    photo = init_images.find(project, plan.init_image["sha256"]) if plan.init_image else None
    if plan.init_image and photo is None:
        raise StudioError("the photo to start from is not in the project; upload it again and start a new grid")
    missing = [cell for cell in all_cells if not image_file(folder, cell.column, cell.row).exists()]
    total, done, started = sum(map(_steps, missing)), 0, None
    if missing:
        yield Progress(0, total, "loading the base model")
        model_id = model_cache.base_model_of(project, {cell.model: cell.file for cell in all_cells})
        base = model_cache.load_base_model(model_id, plan.settings.device, plan.settings.attention)
    for model in dict.fromkeys(cell.model for cell in missing):  # each adapter is attached once
        cells_of_model = [cell for cell in missing if cell.model == model]
        with model_cache.with_optional_adapter(base, cells_of_model[0].file) as loaded:
            for cell in cells_of_model:
                start = InitImage(photo, cell.strength) if photo and cell.strength is not None else None
                what = f"row {cell.row + 1}, column {cell.column + 1}"
                for event in pipeline.generate(loaded, cell.prompt, cell.settings, start):
                    started = started or time.monotonic()
                    if event.image is None or event.metadata is None:
                        done += 1
                        left = (time.monotonic() - started) / done * (total - done) if done > 1 else None
                        yield Progress(done, total, what, left)
                    else:
                        file = image_file(folder, cell.column, cell.row)
                        write_atomic(file, metadata.to_png(event.image, event.metadata))
                        yield Progress(done, total, what, None, file)
    write_atomic(folder / GRID_IMAGE, grid_png(folder))
    yield Progress(total, total, "done", 0.0, None, folder / GRID_IMAGE)


def _steps(cell: Cell) -> int:
    return pipeline.steps_taken(cell.settings.num_inference_steps, cell.strength)


def _check_adapters_unchanged(folder: Path, all_cells: Sequence[Cell]) -> None:
    before = read_json(folder / GRID_FILE)["adapters"]
    for cell in all_cells:
        if cell.file and before.get(cell.model) != sha256_of(cell.file):
            raise StudioError(f"{model_choice.label(cell.model)} has changed since the grid started; start a new grid")


def grid_png(folder: Path) -> bytes:
    """Return the grid as one PNG with labeled axes; missing images are gray."""
    plan = load(folder)
    rows = [
        [_open_if_exists(image_file(folder, column, row)) for column in range(len(plan.x.values))]
        for row in range(len(plan.y.values))
    ]
    axes = (plan.x.name, plan.y.name)
    fixed = {"prompt": plan.prompt, "model": model_choice.label(plan.model)}
    if "prompt" in axes:
        del fixed["prompt"]
    if "method" in axes:
        del fixed["model"]
    subtitle = ", ".join(f"{name}: {value}" for name, value in fixed.items())
    columns, lines = ([_value_label(axis, value) for value in axis.values] for axis in (plan.x, plan.y))
    image = render_grid(rows, columns, lines, _axis_title(plan.x.name), _axis_title(plan.y.name), subtitle)
    content = json.dumps(read_json(folder / GRID_FILE), ensure_ascii=False, sort_keys=True)
    return png_bytes(image, {GRID_METADATA_KEY: content})


def _open_if_exists(file: Path) -> Any:
    return open_image(file.read_bytes(), file.name) if file.exists() else None


def _axis_title(name: str) -> str:
    return name.replace("_", " ")


def _value_label(axis: Axis, value: Any) -> str:
    if axis.name == "method":
        return model_choice.label(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
