"""A grid of settings: every combination of some settings' values, as runs to queue.

`rank=4,8` and `learning_rate=1e-3,2e-3` are four runs. A method takes part in the settings that it has; a setting of
one method alone may be told apart as `ti.learning_rate=1e-3,5e-3`.
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
from ghibli_studio.training.run_group import MOST_SEEDS, SEEDS_END

MOST_RUNS = 200


def read_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Values by setting, from texts such as `rank=4,8`; a list of lists is written in JSON, `name=[[...], [...]]`.

    Raises StudioError for a text of another form, a setting named twice, and a value named twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            raise StudioError(f"grid {text.strip()!r} does not say NAME=VALUES; write it as rank=4,8,16")
        if name in grid:
            raise StudioError(f"grid names {name!r} twice; put all its values behind one name")
        whole = _value(values)
        grid[name] = whole if isinstance(whole, list) else [_value(part.strip()) for part in values.split(",")]
        if twice := [value for place, value in enumerate(grid[name]) if value in grid[name][:place]]:
            raise StudioError(f"grid {name!r} has the value {twice[0]!r} twice; name each once")
    return grid


def lines_of(text: str) -> list[str]:
    """The settings of a text from a form: one a line, or with ';' between."""
    return [part for line in text.splitlines() for part in line.split(";") if part.strip()]


def plan(
    preset_name: str,
    methods: Sequence[str],
    changes: Mapping[str, Mapping[str, Any]],
    grid: Mapping[str, list[Any]],
    seeds: float | str | None = 1,
) -> list[RunConfig]:
    """Every method's runs: each combination of the grid with each seed, all of one seed before the next.

    `changes` are values by method, as `config.preset` takes them. Methods alternate, so that there soon is something
    to compare. Raises StudioError for a setting that none of the methods has, a value out of bounds, and for more runs
    than 200.
    """
    if not methods:
        raise StudioError("no method is chosen; tick at least one")
    for name in grid:
        if name.rpartition(".")[2] == "seed":
            raise StudioError("grid names 'seed'; give the seeds by themselves: how many, or 1,5,9")
        refuse_unknown(name, methods)
    of_methods = []
    for method in methods:
        own = {name: values for name, values in grid.items() if belongs(name, method)}
        varied = [dict(zip(map(_plain, own), values)) for values in itertools.product(*own.values())]
        of_methods.append([preset(preset_name, method, **{**changes.get(method, {}), **one}) for one in varied])
    in_turn = [config for together in itertools.zip_longest(*of_methods) for config in together if config is not None]
    seeded = [with_seeds(config, seeds) for config in in_turn]
    runs = [config for of_seed in zip(*seeded) for config in of_seed]
    if len(runs) > MOST_RUNS:
        raise StudioError(f"the grid asks for {len(runs)} runs; take fewer values or seeds, at most {MOST_RUNS} runs")
    return runs


def belongs(name: str, method: str) -> bool:
    """Whether the method has the setting; `rank`, `training.seed`, `adapter.rank` and `lora.rank` are understood."""
    section, _, field = name.rpartition(".")
    own, common = registry.method(method).SETTINGS.model_fields, TrainingSettings.model_fields
    return field in {"": {**own, **common}, "training": common, "adapter": own, method: own}.get(section, {})


def refuse_unknown(name: str, methods: Sequence[str]) -> None:
    """Raise StudioError unless one of the methods has the setting."""
    if not any(belongs(name, method) for method in methods):
        own = [field for method in methods for field in registry.method(method).SETTINGS.model_fields]
        known = [*TrainingSettings.model_fields, *own]
        near = difflib.get_close_matches(name.rpartition(".")[2], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near and near[0] != name else f"known are {', '.join(known)}"
        who = f"{' and '.join(methods)} {'has' if len(methods) == 1 else 'have'}"
        raise StudioError(f"{who} no setting {name!r}; {hint}")


def for_each(values: Mapping[str, Any], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The values by method, where several are trained with one set of settings: each takes what it has.

    Raises StudioError for a setting that none of them has.
    """
    for name in values:
        refuse_unknown(name, methods)
    return {
        method: {_plain(name): value for name, value in values.items() if belongs(name, method)} for method in methods
    }


def _plain(name: str) -> str:
    """The setting's name as `config.preset` knows it: a method's own are the section `adapter`."""
    section, _, field = name.rpartition(".")
    return name if section in ("", "training", "adapter") else f"adapter.{field}"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def with_seeds(config: RunConfig, wanted: float | str | None) -> list[RunConfig]:
    """The configuration with several seeds; raises StudioError for what is no seeds.

    `wanted` is how many, from the configuration's own upwards (a whole number as a form gives it, 3.0, will do), or
    the seeds themselves with commas between, `1,5,9`.
    """
    first = config.training.seed
    if isinstance(wanted, str) and "," in wanted:
        seeds = _listed(wanted)
    else:
        count = _count(wanted)
        if first + count > SEEDS_END:
            raise StudioError(f"seeds is {wanted} from seed {first} on; the last seed there is, is {SEEDS_END - 1}")
        seeds = list(range(first, first + count))
    return [config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})}) for seed in seeds]


def _count(wanted: float | str | None) -> int:
    number = wanted
    if isinstance(wanted, str) and wanted.strip().isascii() and wanted.strip().isdigit():
        number = int(wanted)
    if isinstance(number, bool) or number not in range(1, MOST_SEEDS + 1):
        raise StudioError(
            f"seeds is {wanted}; it is how many runs to queue, a whole number from 1 to {MOST_SEEDS}, "
            "or the seeds themselves, as 1,5,9"
        )
    return int(number)


def _listed(wanted: str) -> list[int]:
    """The seeds that a text names; a comma at its end is allowed, so that `5,` is seed 5 alone."""
    parts = [part.strip() for part in wanted.strip().removesuffix(",").split(",")]
    wrong = [part for part in parts if not (part.isascii() and part.isdigit() and int(part) < SEEDS_END)]
    if wrong:
        raise StudioError(f"seeds holds {wrong[0]!r}; a seed is a whole number from 0 to {SEEDS_END - 1}")
    seeds = [int(part) for part in parts]
    if twice := [seed for place, seed in enumerate(seeds) if seed in seeds[:place]]:
        raise StudioError(f"seeds names {twice[0]} twice; name each once")
    if len(seeds) > MOST_SEEDS:
        raise StudioError(f"seeds names {len(seeds)} seeds; at most {MOST_SEEDS} can be queued at once")
    return seeds
