"""Groups of runs that differ only in their seed, and short names that tell runs apart. Seeds are queued by `sweep`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters import registry
from ghibli_studio.config.training import RunConfig
from ghibli_studio.workspace.run import Run

MAX_SEEDS = 100
SEED_LIMIT = 2**31
MAX_SETTINGS_IN_NAME = 3
"""Settings that a name lists, besides the seed."""


@dataclass(frozen=True)
class Group:
    """Runs of one method with the same settings, one run per seed."""

    name: str
    """The method, with the settings that differ from other groups of that method."""
    method: str
    runs: tuple[Run, ...]
    """Sorted by seed."""

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [run.config().training.seed for run in self.runs]


def groups(runs: Sequence[Run]) -> list[Group]:
    """Group the runs that finished an epoch by all settings but the seed, in order of first appearance.

    Of two runs with the same seed only the newer one counts, because they are equal. Runs on another dataset or base
    model form another group.
    """
    by_settings: dict[str, dict[int, Run]] = {}
    for run in runs:
        metrics = run.metrics()
        if metrics:
            settings = run.config().model_dump(mode="json")
            seed = settings["training"].pop("seed")
            # older runs did not record their dataset; another dataset gives the base model another loss
            facts = [settings, metrics.get("dataset") or round(metrics["base_validation_loss"], 3)]
            facts.append(metrics.get("base_model"))
            by_settings.setdefault(json.dumps(facts, sort_keys=True), {})[seed] = run
    members = [tuple(run for _, run in sorted(by_seed.items())) for by_seed in by_settings.values()]
    names = _group_names([of_group[0] for of_group in members])
    return [Group(name, of_group[0].config().method, of_group) for name, of_group in zip(names, members)]


def run_names(runs: Sequence[Run]) -> list[str]:
    """Return a name per run: its method, with the settings and the seed that differ from the other runs.

    Runs without any difference are named by their time.
    """
    return _distinct_names(runs, ("seed",), lambda run: run.id[9:15])


def _group_names(first_runs: Sequence[Run]) -> list[str]:
    return _distinct_names(first_runs, (), lambda run: f"run {run.id}")


def _distinct_names(runs: Sequence[Run], last: Sequence[str], fallback: Callable[[Run], str]) -> list[str]:
    """Return the method alone if that is distinct, else with the settings that differ; those in `last` come last."""
    configs = [run.config() for run in runs]
    methods = [registry.method(config.method).SHORT_LABEL for config in configs]
    settings = [_flat_settings(config, last) for config in configs]
    names = []
    for method, own in zip(methods, settings):
        others = [other for label, other in zip(methods, settings) if label == method]
        differ = [key for key in own if any(other.get(key) != own[key] for other in others)]
        listed = [key for key in differ if key not in last][:MAX_SETTINGS_IN_NAME]
        listed += [key for key in differ if key in last]
        values = ", ".join(f"{key.rpartition('.')[2].replace('_', ' ')} {own[key]}" for key in listed)
        names.append(f"{method} ({values})" if values else method)
    return [name if names.count(name) == 1 else f"{name}, {fallback(run)}" for name, run in zip(names, runs)]


def _flat_settings(config: RunConfig, last: Sequence[str] = ()) -> dict[str, Any]:
    """Return every setting but the seed by a flat name; `last` are training settings to put at the end."""
    sections = config.model_dump(mode="json")
    flat = {key: value for key, value in sections.items() if not isinstance(value, dict)}
    for name in ("training", "adapter"):
        flat |= {f"{name}.{key}": value for key, value in sections[name].items() if key != "seed"}
    return flat | {name: sections["training"][name] for name in last}
