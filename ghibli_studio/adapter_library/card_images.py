"""The pictures of an adapter's card: what was drawn with it, and the curve of its training, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.adapter_library.catalog import Entry, shareable
from ghibli_studio.evaluation.evaluator import PICTURES
from ghibli_studio.generation import metadata
from ghibli_studio.plotting.figures import COLORS
from ghibli_studio.training import learning_curve
from ghibli_studio.workspace.project import Project

SETS = 30
"""Generated sets and comparisons that are looked through, from the newest on."""


@dataclass(frozen=True)
class Sample:
    """A picture drawn with an adapter."""

    file: Path
    recipe: dict[str, Any]


Index = dict[str, list[Sample]]
"""SHA-256 of an adapter file -> what was drawn with it."""


def index(project: Project) -> Index:
    """The pictures of the newest generated sets, then of the newest comparisons, by what drew them.

    A picture that began as a photograph is left out: it may show somebody. So is one drawn at another strength.
    """
    folders = [*project.image_sets()[:SETS], *(one / PICTURES for one in project.evaluations()[:SETS])]
    found: Index = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.png"))):
        recipe = _recipe(file, file.stat().st_mtime_ns)
        drawn_with = (recipe.get("adapter") or {}).get("sha256")
        if drawn_with and "photograph" not in recipe and recipe["settings"].get("adapter_scale", 1) == 1:
            found.setdefault(drawn_with, []).append(Sample(file, recipe))
    return found


@lru_cache(maxsize=4096)
def _recipe(file: Path, modified: int) -> dict[str, Any]:
    """The recipe in a picture; empty where there is none."""
    with suppress(StudioError, OSError):
        return metadata.read_recipe(file)
    return {}


def samples(project: Project, entry: Entry, most: int, known: Index | None = None) -> list[Sample]:
    """Pictures drawn with this very file from prompts alone, one a prompt; the sample of the run's epoch comes last.

    `known` is the project's index, for whoever asks for many adapters.
    """
    drawn = (index(project) if known is None else known).get(entry.sha256, [])
    found = {sample.recipe["caption"]: sample for sample in reversed(drawn)}
    chosen = list(reversed(found.values()))
    if entry.run is not None and entry.epoch is not None:
        file = entry.run.sample_file(entry.epoch)
        if file.exists() and (recipe := _recipe(file, file.stat().st_mtime_ns)) and recipe["caption"] not in found:
            chosen.append(Sample(file, recipe))
    return chosen[:most]


def sample_bytes(sample: Sample) -> bytes:
    """The picture for others: its recipe without paths of this machine, nothing else of the file but the pixels."""
    with Image.open(sample.file) as image:
        return metadata.to_png(image.convert("RGB"), shareable(sample.recipe))


def training_curve(entry: Entry) -> bytes | None:
    """The run's validation losses as a PNG; None for an adapter without a run, or before the first epoch.

    The training loss is left out: it is weighted by noise level, and not on the validation's scale.
    """
    if entry.run is None:
        return None
    events = entry.run.progress()
    validation = learning_curve.validation_curve(events, "validation")
    return _drawn_curve(entry, validation, learning_curve.base_line([events])) if validation else None


def _drawn_curve(entry: Entry, validation: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> bytes:
    from matplotlib.figure import Figure  # without pyplot there is no window, and nothing is shared between threads
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes, color = figure.add_subplot(), COLORS.get(entry.method, "#444444")
    axes.plot(
        [row["epoch"] for row in validation],
        [row["loss"] for row in validation],
        color=color,
        marker="o",
        markersize=4,
        label=entry.label,
    )
    axes.plot(
        [row["epoch"] for row in base],
        [row["loss"] for row in base],
        color="#777777",
        linestyle="--",
        label="base model",
    )
    if entry.epoch is not None:
        axes.axvline(entry.epoch, color="#777777", linewidth=0.8, label=f"this file: epoch {entry.epoch}")
    axes.set(xlabel="epoch", ylabel="validation loss", title="Held-out pictures, fixed noise")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
