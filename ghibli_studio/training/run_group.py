"""Runs that differ in nothing but their seed: how they are queued, how they are found again, what runs are called."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters import registry
from ghibli_studio.config.training import RunConfig
from ghibli_studio.workspace.run import Run

MOST_SEEDS = 100
SEEDS_END = 2**31
MOST_TOLD = 3
"""Settings that a name tells, besides the seed."""


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


def names_of(runs: Sequence[Run]) -> list[str]:
    """What each run is called beside the others: its method, with the settings and the seed that tell it from others.

    Runs that differ in nothing of it are told apart by their time.
    """
    return _named(runs, ("seed",), lambda run: run.id[9:15])


def _names(firsts: Sequence[Run]) -> list[str]:
    return _named(firsts, (), lambda run: f"run {run.id}")


def _named(runs: Sequence[Run], also: Sequence[str], apart: Callable[[Run], str]) -> list[str]:
    """The method alone where that is clear; else with preset and epochs, or the settings that differ."""
    configs = [run.config() for run in runs]
    names = [registry.method(config.method).SHORT_LABEL for config in configs]
    settings = [_flat(config, also) for config in configs]
    result = []
    for name, own in zip(names, settings):
        others = [other for label, other in zip(names, settings) if label == name]
        differ = [key for key in own if any(other.get(key) != own[key] for other in others)]
        told = [key for key in differ if key not in also][:MOST_TOLD] + [key for key in differ if key in also]
        words = ", ".join(f"{key.rpartition('.')[2].replace('_', ' ')} {own[key]}" for key in told)
        result.append(f"{name} ({words})" if words else name)
    return [name if result.count(name) == 1 else f"{name}, {apart(run)}" for name, run in zip(result, runs)]


def _flat(config: RunConfig, also: Sequence[str] = ()) -> dict[str, Any]:
    """Every setting but the seed; `also` are names of the training's settings to put last."""
    sections = config.model_dump(mode="json")
    flat = {key: value for key, value in sections.items() if not isinstance(value, dict)}
    for name in ("training", "adapter"):
        flat |= {f"{name}.{key}": value for key, value in sections[name].items() if key != "seed"}
    return flat | {name: sections["training"][name] for name in also}
