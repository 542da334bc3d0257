"""X/Y grids: one setting across, another down, every combination drawn; one picture with labeled axes in the end.

A grid is a folder: `grid.json` says what was asked for, `pictures/` grows, `grid.png` is written last. A picture that
is there is never drawn again, so a grid that was stopped goes on where it was. How the whole looks is `grid_sheet`.
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
from ghibli_studio.generation import init_image, metadata, model_cache, model_choice, pipeline
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.imaging.labeled_grid import sheet
from ghibli_studio.workspace.files import read_json, sha256_of, write_atomic, write_json
from ghibli_studio.workspace.project import Project

ASKED, WHOLE = "grid.json", "grid.png"
GRID = "grid"
"""The whole picture's text chunk that says what it shows."""
MOST_CELLS = 400
SETTINGS = {"adapter_scale": float, "seed": int, "guidance_scale": float, "num_inference_steps": int}
AXES = ("adapter_scale", "seed", "epoch", "prompt", "guidance_scale", "num_inference_steps", "method", "strength")
"""What may vary; `denoising_strength` only where the pictures start from a photograph."""
BETWEEN_PROMPTS = "|"


@dataclass(frozen=True)
class Axis:
    """What varies along one side."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Plan:
    """A grid as it was asked for, everything checked but the models."""

    x: Axis
    y: Axis
    prompt: str
    drawer: str
    """What draws where the grid does not vary the method."""
    settings: GenerationSettings
    photograph: dict[str, Any] | None = None
    """`sha256` of a kept photograph, and `denoising_strength`."""


@dataclass(frozen=True)
class Cell:
    """One picture of a grid."""

    column: int
    row: int
    drawer: str
    file: Path | None
    """Of the adapter."""
    prompt: str
    settings: GenerationSettings
    strength: float | None


@dataclass(frozen=True)
class Progress:
    """Steps done of all; `picture` is there when one has just been finished, `whole` when the grid has."""

    done: int
    total: int
    what: str
    seconds_left: float | None = None
    picture: Path | None = None
    whole: Path | None = None


def read_axis(name: str, text: str) -> Axis:
    """An axis from a text: values with commas between, prompts with `|` between or one a line.

    Raises StudioError for an unknown name, a value that is no number where one is needed, and one named twice.
    """
    name = name.strip()
    if name not in AXES:
        raise StudioError(f"a grid cannot vary {name!r}; it can vary {', '.join(AXES)}")
    between = BETWEEN_PROMPTS if name == "prompt" else ","
    parts = [part.strip() for line in text.splitlines() for part in line.split(between) if part.strip()]
    if not parts:
        example = {"prompt": "Big Ben, London | Petra, Jordan", "method": "base, lora, ti"}.get(name, "0, 1, 2")
        raise StudioError(f"there is no value for {name}; write some, such as {example}")
    kind = {**SETTINGS, "epoch": int, "strength": float}.get(name, str)
    try:
        values = tuple(kind(part) for part in parts)
    except ValueError as error:
        what = "whole numbers" if kind is int else "numbers"
        raise StudioError(f"{name} is {text.strip()!r}; it must be {what} with commas between") from error
    if twice := [value for place, value in enumerate(values) if value in values[:place]]:
        raise StudioError(f"{name} has the value {twice[0]!r} twice; name each once")
    return Axis(name, values)


def cells(project: Project, plan: Plan) -> list[Cell]:
    """Every picture of a grid, by rows; raises StudioError for what is known to be wrong before a model is loaded."""
    if plan.x.name == plan.y.name:
        raise StudioError(f"both sides of the grid vary {plan.x.name}; choose two different settings")
    varied = (plan.x.name, plan.y.name)
    if "strength" in varied and plan.photograph is None:
        raise StudioError("denoising_strength varies only where the pictures start from a photograph; choose one")
    if (count := len(plan.x.values) * len(plan.y.values)) > MOST_CELLS:
        raise StudioError(f"the grid has {count} pictures, at most {MOST_CELLS} are drawn; take fewer values")
    found = []
    for row, down in enumerate(plan.y.values):
        for column, across in enumerate(plan.x.values):
            found.append(_cell(project, plan, column, row, {plan.x.name: across, plan.y.name: down}))
    if not all(cell.prompt.strip() for cell in found):
        raise StudioError("the prompt is empty; write what the pictures shall show, or vary the prompt")
    model_cache.base_of(project, {cell.drawer: cell.file for cell in found})
    return found


def _cell(project: Project, plan: Plan, column: int, row: int, values: dict[str, Any]) -> Cell:
    drawer = values.get("method", plan.drawer)
    if "epoch" in values:
        if drawer == model_cache.BASE:
            raise StudioError("the base model has no epochs; choose a run or a method to draw with")
        run = model_choice.run_of(project, drawer)
        drawer = f"{run.id}@{values['epoch']}"
    noise = plan.photograph or {}
    return Cell(
        column,
        row,
        drawer,
        model_choice.file_of(project, drawer),
        values.get("prompt", plan.prompt),
        plan.settings.changed(**{name: values[name] for name in SETTINGS if name in values}),
        values.get("strength", noise.get("strength")),
    )


def draw(project: Project, plan: Plan) -> Iterator[Progress]:
    """Begin a grid in a new folder; closing the generator stops it, and what was drawn is kept."""
    all_cells = cells(project, plan)
    if plan.photograph and init_image.find(project, plan.photograph["sha256"]) is None:
        raise StudioError("the photograph is not in the project; upload it again")
    folder = project.made.new_grid()
    write_json(
        folder / ASKED,
        {
            "x": {"name": plan.x.name, "values": plan.x.values},
            "y": {"name": plan.y.name, "values": plan.y.values},
            "prompt": plan.prompt,
            "drawer": plan.drawer,
            "settings": plan.settings.model_dump(mode="json"),
            "photograph": plan.photograph,
            "adapters": {cell.drawer: sha256_of(cell.file) for cell in all_cells if cell.file},
        },
    )
    yield from resume(project, folder)


def load(folder: Path) -> Plan:
    """What was asked for of a grid; raises StudioError where its file is missing or damaged."""
    asked = read_json(folder / ASKED)
    x, y = (Axis(asked[side]["name"], tuple(asked[side]["values"])) for side in "xy")
    settings = GenerationSettings.checked(asked["settings"])
    return Plan(x, y, asked["prompt"], asked["drawer"], settings, asked["photograph"])


def finished(folder: Path) -> bool:
    """Whether all of it was drawn."""
    return (folder / WHOLE).exists()


def picture_file(folder: Path, column: int, row: int) -> Path:
    """Where the picture of a place is, counted from 0."""
    return folder / "pictures" / f"{row + 1:02d}-{column + 1:02d}.png"


def resume(project: Project, folder: Path) -> Iterator[Progress]:
    """Draw what is missing of a grid, then the whole; raises StudioError where one of its adapters has changed."""
    plan = load(folder)
    all_cells = cells(project, plan)
    _refuse_other_adapters(folder, all_cells)
    image = init_image.find(project, plan.photograph["sha256"]) if plan.photograph else None
    if plan.photograph and image is None:
        raise StudioError("the photograph is not in the project; upload it again, and begin another grid")
    missing = [cell for cell in all_cells if not picture_file(folder, cell.column, cell.row).exists()]
    total, done, started = sum(map(_steps, missing)), 0, None
    if missing:
        yield Progress(0, total, "loading the base model")
        spec = model_cache.base_of(project, {cell.drawer: cell.file for cell in all_cells})
        model = model_cache.loaded_base(spec, plan.settings.device, plan.settings.attention)
    for drawer in dict.fromkeys(cell.drawer for cell in missing):  # each adapter is put on once
        own = [cell for cell in missing if cell.drawer == drawer]
        with model_cache.on_base(model, own[0].file) as loaded:
            for cell in own:
                start = Photograph(image, cell.strength) if image else None
                what = f"row {cell.row + 1}, column {cell.column + 1}"
                for drawing in pipeline.draw(loaded, cell.prompt, cell.settings, start):
                    started = started or time.monotonic()
                    if drawing.image is None:
                        done += 1
                        left = (time.monotonic() - started) / done * (total - done) if done > 1 else None
                        yield Progress(done, total, what, left)
                    else:
                        file = picture_file(folder, cell.column, cell.row)
                        write_atomic(file, metadata.to_png(drawing.image, drawing.recipe))
                        yield Progress(done, total, what, None, file)
    write_atomic(folder / WHOLE, whole(folder))
    yield Progress(total, total, "done", 0.0, None, folder / WHOLE)


def _steps(cell: Cell) -> int:
    return pipeline.steps_drawn(cell.settings.num_inference_steps, cell.strength)


def _refuse_other_adapters(folder: Path, all_cells: Sequence[Cell]) -> None:
    before = read_json(folder / ASKED)["adapters"]
    for cell in all_cells:
        if cell.file and before.get(cell.drawer) != sha256_of(cell.file):
            raise StudioError(
                f"{model_choice.label(cell.drawer)} has changed since the grid was begun; begin another one"
            )


def whole(folder: Path) -> bytes:
    """The grid as one PNG, with labeled axes; what is not there yet is left gray."""
    plan = load(folder)
    rows = [
        [_opened(picture_file(folder, column, row)) for column in range(len(plan.x.values))]
        for row in range(len(plan.y.values))
    ]
    told = [
        f"{name}: {value}"
        for name, value in (("prompt", plan.prompt), ("drawn by", model_choice.label(plan.drawer)))
        if name != "prompt" or "prompt" not in (plan.x.name, plan.y.name)
    ]
    if "method" in (plan.x.name, plan.y.name):
        told.pop()
    columns, lines = ([_label(axis, value) for value in axis.values] for axis in (plan.x, plan.y))
    image = sheet(rows, columns, lines, _words(plan.x.name), _words(plan.y.name), ", ".join(told))
    return png_bytes(image, {GRID: json.dumps(read_json(folder / ASKED), ensure_ascii=False, sort_keys=True)})


def _opened(file: Path) -> Any:
    return open_image(file.read_bytes(), file.name) if file.exists() else None


def _words(name: str) -> str:
    return name.replace("_", " ")


def _label(axis: Axis, value: Any) -> str:
    if axis.name == "method":
        return model_choice.label(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
