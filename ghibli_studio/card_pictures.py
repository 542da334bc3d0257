"""The pictures of an adapter's card: what was drawn with it, and the curve of its training, as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ghibli_studio import curves, generation
from ghibli_studio.comparing import PICTURES
from ghibli_studio.config import StudioError
from ghibli_studio.figures import COLOURS
from ghibli_studio.library import Entry, shareable
from ghibli_studio.workspace import Project

SETS = 30
"""Generated sets and comparisons that are looked through, from the newest on."""


@dataclass(frozen=True)
class Sample:
    """A picture drawn with an adapter."""

    file: Path
    recipe: dict[str, Any]


def samples(project: Project, entry: Entry, most: int) -> list[Sample]:
    """Pictures drawn with this very file from prompts alone, one a prompt: of the generated sets, then of comparisons.

    The sample of the run's epoch comes last. A picture that began as a photograph is left out: it may show somebody.
    """
    found: dict[str, Sample] = {}
    for sample in _drawn(project, entry):
        if len(found) >= most:
            break
        if "photograph" not in sample.recipe:
            found.setdefault(sample.recipe["caption"], sample)
    return list(found.values())


def _drawn(project: Project, entry: Entry) -> Iterator[Sample]:
    folders = [*project.image_sets()[:SETS], *(one / PICTURES for one in project.evaluations()[:SETS])]
    wanted = entry.sha256
    for file in (file for folder in folders for file in sorted(folder.glob("*.png"))):
        with suppress(StudioError, OSError):
            recipe = generation.read_recipe(file)
            drawn_with, strength = recipe["adapter"] or {}, recipe["settings"].get("strength", 1)
            if drawn_with.get("sha256") == wanted and strength == 1:
                yield Sample(file, recipe)
    if entry.run is not None and entry.epoch is not None:
        file = entry.run.sample_file(entry.epoch)
        with suppress(StudioError, OSError):
            yield Sample(file, generation.read_recipe(file))


def sample_bytes(sample: Sample) -> bytes:
    """The picture for others: its recipe without paths of this machine, nothing else of the file but the pixels."""
    with Image.open(sample.file) as image:
        return generation.to_png(image.convert("RGB"), shareable(sample.recipe))


def training_curve(entry: Entry) -> bytes | None:
    """The run's validation losses as a PNG; None for an adapter without a run, or before the first epoch.

    The training loss is left out: it is weighted by noise level, and not on the validation's scale.
    """
    if entry.run is None:
        return None
    events = entry.run.progress()
    validation = curves.validation_curve(events, "validation")
    return _drawn_curve(entry, validation, curves.base_line([events])) if validation else None


def _drawn_curve(entry: Entry, validation: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> bytes:
    from matplotlib.figure import Figure  # without pyplot there is no window, and nothing is shared between threads
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes, colour = figure.add_subplot(), COLOURS.get(entry.method, "#444444")
    axes.plot([row["epoch"] for row in validation], [row["loss"] for row in validation], color=colour, marker="o",
              markersize=4, label=entry.label)
    axes.plot([row["epoch"] for row in base], [row["loss"] for row in base], color="#777777", linestyle="--",
              label="base model")
    if entry.epoch is not None:
        axes.axvline(entry.epoch, color="#777777", linewidth=0.8, label=f"this file: epoch {entry.epoch}")
    axes.set(xlabel="epoch", ylabel="validation loss", title="Held-out pictures, fixed noise")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
