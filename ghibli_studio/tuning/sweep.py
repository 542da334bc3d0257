"""Sweeps: every combination of several settings' values, and several seeds, as runs to queue.

`rank=4,8` and `learning_rate=1e-3,2e-3` are four runs. A method uses only the settings that it has; a setting for one
method is written as `ti.learning_rate=1e-3,5e-3`.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.config.training import RunConfig, TrainingSettings, preset
from ghibli_studio.training.run_group import MAX_SEEDS, SEED_LIMIT

MAX_RUNS = 200


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values by setting, from texts like `rank=4,8`; a list of lists is JSON, `name=[[...], [...]]`.

    Raises StudioError for a text of another form, and for a setting or a value that appears twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            raise StudioError(f"grid {text.strip()!r} is not NAME=VALUES; write it like rank=4,8,16")
        if name in grid:
            raise StudioError(f"grid has {name!r} twice; put all its values in one NAME=VALUES")
        parsed = _parse_value(values)
        grid[name] = parsed if isinstance(parsed, list) else [_parse_value(part.strip()) for part in values.split(",")]
        if twice := [value for index, value in enumerate(grid[name]) if value in grid[name][:index]]:
            raise StudioError(f"grid {name!r} has the value {twice[0]!r} twice; list each value once")
    return grid


def split_lines(text: str) -> list[str]:
    """Return the settings in a form's text: one per line, or separated by ';'."""
    return [part for line in text.splitlines() for part in line.split(";") if part.strip()]


def plan(
    preset_name: str,
    methods: Sequence[str],
    changes: Mapping[str, Mapping[str, Any]],
    grid: Mapping[str, list[Any]],
    seeds: float | str | None = 1,
) -> list[RunConfig]:
    """Return the runs of every method: each combination of the grid with each seed, all of one seed before the next.

    `changes` are values by method, as `config.training.preset` takes them. Methods alternate, so that there soon is
    something to compare. Raises StudioError for a setting that no method has, a value out of bounds, and more than
    200 runs.
    """
    if not methods:
        raise StudioError("no method is selected; select at least one")
    for name in grid:
        if name.rpartition(".")[2] == "seed":
            raise StudioError("grid has 'seed'; use the seeds option instead: a number of seeds, or a list like 1,5,9")
        check_setting_name(name, methods)
    by_method = []
    for method in methods:
        own = {name: values for name, values in grid.items() if has_setting(name, method)}
        combinations = [dict(zip(map(_preset_name, own), values)) for values in itertools.product(*own.values())]
        by_method.append(
            [preset(preset_name, method, **{**changes.get(method, {}), **values}) for values in combinations]
        )
    alternating = [config for row in itertools.zip_longest(*by_method) for config in row if config is not None]
    seeded = [with_seeds(config, seeds) for config in alternating]
    runs = [config for of_seed in zip(*seeded) for config in of_seed]
    if len(runs) > MAX_RUNS:
        raise StudioError(f"the grid has {len(runs)} runs; the limit is {MAX_RUNS}, so use fewer values or seeds")
    return runs


def has_setting(name: str, method: str) -> bool:
    """Return whether the method has the setting, given as `rank`, `training.seed`, `adapter.rank` or `lora.rank`."""
    section, _, field = name.rpartition(".")
    own, common = registry.method(method).SETTINGS.model_fields, TrainingSettings.model_fields
    return field in {"": {**own, **common}, "training": common, "adapter": own, method: own}.get(section, {})


def check_setting_name(name: str, methods: Sequence[str]) -> None:
    """Raise StudioError unless at least one of the methods has the setting."""
    if not any(has_setting(name, method) for method in methods):
        own = [field for method in methods for field in registry.method(method).SETTINGS.model_fields]
        known = [*TrainingSettings.model_fields, *own]
        close = difflib.get_close_matches(name.rpartition(".")[2], known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close and close[0] != name else f"choose one of {', '.join(known)}"
        subject = f"{' and '.join(methods)} {'has' if len(methods) == 1 else 'have'}"
        raise StudioError(f"{subject} no setting {name!r}; {hint}")


def settings_by_method(values: Mapping[str, Any], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the values by method, where several methods are trained with one set of values: each uses what it has.

    Raises StudioError for a setting that no method has.
    """
    for name in values:
        check_setting_name(name, methods)
    return {
        method: {_preset_name(name): value for name, value in values.items() if has_setting(name, method)}
        for method in methods
    }


def with_seeds(config: RunConfig, seeds: float | str | None) -> list[RunConfig]:
    """Return the configuration with several seeds; raise StudioError if `seeds` is not valid.

    `seeds` is a number of seeds, from the configuration's own seed upward (a form's whole number 3.0 is fine), or a
    list with commas, `1,5,9`.
    """
    first = config.training.seed
    if isinstance(seeds, str) and "," in seeds:
        numbers = _parse_seeds(seeds)
    else:
        count = _parse_count(seeds)
        if first + count > SEED_LIMIT:
            raise StudioError(
                f"seeds is {seeds} from seed {first} up; the largest seed is {SEED_LIMIT - 1}, so start lower"
            )
        numbers = list(range(first, first + count))
    return [
        config.model_copy(update={"training": config.training.model_copy(update={"seed": number})})
        for number in numbers
    ]


def _preset_name(name: str) -> str:
    """Return the setting's name for `config.training.preset`: a method's own settings are in the section `adapter`."""
    section, _, field = name.rpartition(".")
    return name if section in ("", "training", "adapter") else f"adapter.{field}"


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parse_count(text: float | str | None) -> int:
    number = text
    if isinstance(text, str) and text.strip().isascii() and text.strip().isdigit():
        number = int(text)
    if number is None or isinstance(number, bool | str) or number not in range(1, MAX_SEEDS + 1):
        raise StudioError(
            f"seeds is {text}; it must be the number of runs to queue, from 1 to {MAX_SEEDS}, "
            "or a list of seeds like 1,5,9"
        )
    return int(number)


def _parse_seeds(text: str) -> list[int]:
    """Return a list of seeds; a comma at the end is allowed, so that `5,` is seed 5 alone."""
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    wrong = [part for part in parts if not (part.isascii() and part.isdigit() and int(part) < SEED_LIMIT)]
    if wrong:
        raise StudioError(f"seeds has {wrong[0]!r}; a seed must be a whole number from 0 to {SEED_LIMIT - 1}")
    seeds = [int(part) for part in parts]
    if twice := [seed for index, seed in enumerate(seeds) if seed in seeds[:index]]:
        raise StudioError(f"seeds has {twice[0]} twice; list each seed once")
    if len(seeds) > MAX_SEEDS:
        raise StudioError(f"seeds has {len(seeds)} seeds; at most {MAX_SEEDS} can be queued at once")
    return seeds
