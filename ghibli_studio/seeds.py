"""Runs that differ in nothing but their seed: how they are queued, and how they are found again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import adapters
from ghibli_studio.config import RunConfig, StudioError
from ghibli_studio.workspace import Run

MOST_SEEDS = 100
SEEDS_END = 2**31


@dataclass(frozen=True)
class Group:
    """Runs of one method with one set of settings, one run a seed."""

    name: str
    """What it is called beside the others: the method, with what tells it from others of that method."""
    method: str
    runs: tuple[Run, ...]
    """In order of their seeds."""

    @property
    def seeds(self) -> list[int]:
        """One a run."""
        return [run.config().training.seed for run in self.runs]


def with_seeds(config: RunConfig, count: float | None) -> list[RunConfig]:
    """The configuration with `count` seeds, from its own upwards; raises StudioError for a count out of bounds.

    A whole number as a form gives it, 3.0, will do.
    """
    first = config.training.seed
    if isinstance(count, bool) or count not in range(1, MOST_SEEDS + 1):
        raise StudioError(f"seeds is {count}; it is how many runs to queue, a whole number from 1 to {MOST_SEEDS}")
    if first + count > SEEDS_END:
        raise StudioError(f"seeds is {count} from seed {first} on; the last seed there is, is {SEEDS_END - 1}")
    return [
        config.model_copy(update={"training": config.training.model_copy(update={"seed": first + offset})})
        for offset in range(int(count))
    ]


def groups(runs: Sequence[Run]) -> list[Group]:
    """The runs that finished an epoch, grouped by all settings but the seed, in order of first appearance.

    Of two runs with the same seed only the newer counts: the older says the same once more. Runs on another data set
    or base model are another group.
    """
    found: dict[str, dict[int, Run]] = {}
    for run in runs:
        metrics = run.metrics()
        if metrics:
            settings = run.config().model_dump(mode="json")
            seed = settings["training"].pop("seed")
            # older runs did not say on what they learned; another data set gives the base model another loss
            facts = [settings, metrics.get("dataset") or round(metrics["base_validation_loss"], 3)]
            facts.append(metrics.get("base_model"))
            found.setdefault(json.dumps(facts, sort_keys=True), {})[seed] = run
    members = [tuple(run for _, run in sorted(of_seed.items())) for of_seed in found.values()]
    names = _names([of_group[0] for of_group in members])
    return [Group(name, of_group[0].config().method, of_group) for name, of_group in zip(names, members)]


def _names(firsts: Sequence[Run]) -> list[str]:
    """The method alone where that is clear; else with preset and epochs, or the settings that differ."""
    configs = [run.config() for run in firsts]
    names = [adapters.method(config.method).SHORT_LABEL for config in configs]
    settings = [_flat(config) for config in configs]
    result = []
    for name, own in zip(names, settings):
        others = [other for label, other in zip(names, settings) if label == name]
        differ = [key for key in own if any(other.get(key) != own[key] for other in others)]
        words = ", ".join(f"{key.rpartition('.')[2].replace('_', ' ')} {own[key]}" for key in differ[:3])
        result.append(f"{name} ({words})" if words else name)
    return [name if result.count(name) == 1 else f"{name}, run {run.id}" for name, run in zip(result, firsts)]


def _flat(config: RunConfig) -> dict[str, Any]:
    sections = config.model_dump(mode="json")
    flat = {key: value for key, value in sections.items() if not isinstance(value, dict)}
    for name in ("training", "adapter"):
        flat |= {f"{name}.{key}": value for key, value in sections[name].items() if key != "seed"}
    return flat
