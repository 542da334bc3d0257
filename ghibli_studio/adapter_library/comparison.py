"""Two adapters of the library beside each other: what was set otherwise, their curves, their pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.adapter_library import card_images
from ghibli_studio.adapter_library.card_images import Sample
from ghibli_studio.adapter_library.catalog import Entry
from ghibli_studio.plotting.formatting import size
from ghibli_studio.training import learning_curve
from ghibli_studio.workspace.project import Project

PICTURES = 4
APART = "not set"


@dataclass(frozen=True)
class Comparison:
    """What is to be seen of two adapters."""

    rows: list[tuple[str, str, str]]
    """(setting or figure, of the one, of the other), only where they differ."""
    curves: list[list[tuple[float, float]]]
    """(epoch, validation loss) of each; empty for one without a run."""
    samples: list[tuple[str, Sample | None, Sample | None]]
    """(caption without the trigger, picture of the one, of the other)."""


def compare(project: Project, one: Entry, other: Entry) -> Comparison:
    """Two adapters beside each other; raises StudioError for one and the same, and for one that cannot be used."""
    if one.file == other.file:
        raise StudioError(f"{one.name} cannot be compared with itself; choose another one")
    for entry in (one, other):
        if entry.problem:
            raise StudioError(f"{entry.name} cannot be compared: {entry.problem}")
    told = [facts(entry) for entry in (one, other)]
    names = list(dict.fromkeys([*told[0], *told[1]]))
    rows = [
        (name, told[0].get(name, APART), told[1].get(name, APART))
        for name in names
        if told[0].get(name) != told[1].get(name)
    ]
    return Comparison(rows, [validation(entry) for entry in (one, other)], _paired(project, one, other))


def facts(entry: Entry) -> dict[str, str]:
    """Everything that an adapter can say of itself, by name, as texts."""
    recipe, metrics = entry.recipe, entry.run.metrics() if entry.run else {}
    values: dict[str, Any] = {
        "method": entry.label,
        "origin": entry.origin,
        "trigger": entry.trigger,
        "epoch": entry.epoch,
        "file": size(entry.file.stat().st_size),
        "base model": recipe.get("base_model", {}).get("spec"),
        "training pictures": recipe.get("dataset", {}).get("pictures"),
        "data set": recipe.get("dataset", {}).get("digest", "")[:12],
        "made from": ", ".join(f"{one['file']} x {one['weight']:g}" for one in recipe.get("parents", ())),
        "best validation loss": _short(metrics.get("best_validation_loss")),
        "trained numbers": metrics.get("trainable_parameters"),
        "seconds": _short(metrics.get("seconds")),
    }
    for section in ("training", "adapter"):
        values |= recipe.get(section, {})
    return {name: _text(value) for name, value in values.items() if value not in (None, "", [])}


def validation(entry: Entry) -> list[tuple[float, float]]:
    """(epoch, validation loss) of an adapter's run."""
    events = entry.run.progress() if entry.run else []
    return [(row["epoch"], row["loss"]) for row in learning_curve.validation_curve(events, entry.name)]


def _paired(project: Project, one: Entry, other: Entry) -> list[tuple[str, Sample | None, Sample | None]]:
    """Pictures of the same prompts beside each other first, then what only one of them has."""
    found: list[Mapping[str, Sample]] = [
        {sample.recipe["prompt"]: sample for sample in card_images.samples(project, entry, 4 * PICTURES)}
        for entry in (one, other)
    ]
    prompts = sorted(dict.fromkeys([*found[0], *found[1]]), key=lambda prompt: prompt not in found[0].keys() & found[1])
    return [(prompt, found[0].get(prompt), found[1].get(prompt)) for prompt in prompts[:PICTURES]]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
