"""Two adapters of the library side by side: the settings that differ, their curves, their images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.adapter_library import card_images
from ghibli_studio.adapter_library.card_images import SampleImage
from ghibli_studio.adapter_library.catalog import Entry
from ghibli_studio.plotting.formatting import size
from ghibli_studio.training import learning_curve
from ghibli_studio.workspace.project import Project

MAX_IMAGES = 4
NOT_SET = "not set"


@dataclass(frozen=True)
class Comparison:
    """What differs between two adapters."""

    rows: list[tuple[str, str, str]]
    """(setting or figure, left value, right value), only where they differ."""
    curves: list[list[tuple[float, float]]]
    """(epoch, validation loss) of each; empty for an adapter without a run."""
    samples: list[tuple[str, SampleImage | None, SampleImage | None]]
    """(prompt without the trigger, left image, right image)."""


def compare(project: Project, left: Entry, right: Entry) -> Comparison:
    """Compare two adapters; raise StudioError if they are the same, or if one cannot be used."""
    if left.file == right.file:
        raise StudioError(f"{left.name} cannot be compared with itself; choose another adapter")
    for entry in (left, right):
        if entry.problem:
            raise StudioError(f"{entry.name} cannot be compared: {entry.problem}")
    first, second = describe(left), describe(right)
    rows = [
        (name, first.get(name, NOT_SET), second.get(name, NOT_SET))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]
    return Comparison(rows, [validation_losses(entry) for entry in (left, right)], _pairs(project, left, right))


def describe(entry: Entry) -> dict[str, str]:
    """Return all that is known of an adapter, by name, as text."""
    metadata, metrics = entry.metadata, entry.run.metrics() if entry.run else {}
    values: dict[str, Any] = {
        "method": entry.label,
        "origin": entry.origin,
        "trigger": entry.trigger,
        "epoch": entry.epoch,
        "file size": size(entry.file.stat().st_size),
        "base model": metadata.get("base_model", {}).get("model_id"),
        "training images": metadata.get("dataset", {}).get("images"),
        "dataset": metadata.get("dataset", {}).get("digest", "")[:12],
        "parents": ", ".join(f"{parent['file']} x {parent['weight']:g}" for parent in metadata.get("parents", ())),
        "best validation loss": _rounded(metrics.get("best_validation_loss")),
        "trainable parameters": metrics.get("trainable_parameters"),
        "seconds": _rounded(metrics.get("seconds")),
    }
    for section in ("training", "adapter"):
        values |= metadata.get(section, {})
    return {name: _text(value) for name, value in values.items() if value not in (None, "", [])}


def validation_losses(entry: Entry) -> list[tuple[float, float]]:
    """Return (epoch, validation loss) of an adapter's run."""
    events = entry.run.progress() if entry.run else []
    return [(row["epoch"], row["loss"]) for row in learning_curve.validation_curve(events, entry.name)]


def _pairs(project: Project, left: Entry, right: Entry) -> list[tuple[str, SampleImage | None, SampleImage | None]]:
    """Return images of the same prompts as pairs, then those that only one adapter has."""
    samples: list[Mapping[str, SampleImage]] = [
        {sample.metadata["prompt"]: sample for sample in card_images.sample_images(project, entry, 4 * MAX_IMAGES)}
        for entry in (left, right)
    ]
    first, second = samples
    prompts = sorted(dict.fromkeys([*first, *second]), key=lambda prompt: prompt not in first.keys() & second)
    return [(prompt, first.get(prompt), second.get(prompt)) for prompt in prompts[:MAX_IMAGES]]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
