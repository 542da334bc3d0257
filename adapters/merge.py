"""An adapter at another strength, and the average of several of one method, as files with the recipes of the parents.

What the arithmetic is, a method's own `scaled` and `averaged` know; one that has none says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters import registry
from adapters.base import Adapter, Host
from adapters.formats import safetensors_file
from adapters.formats.metadata import saved
from adapters.formats.safetensors_file import RECIPE_KEY
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


BOUND = 2.0
"""Weights are from -2 to 2, as a drawing's strength is."""


def at_strength(path: Path, weight: float, host: Callable[[], Host]) -> tuple[Adapter, dict[str, Tensor]]:
    """The adapter of a file and its tensors, such that strength 1 of it is strength `weight` of the file.

    `host` gives the base model, and is asked only where the line from untrained to trained starts at values of its own:
    for words and DoRA. Raises StudioError for a weight out of bounds.
    """
    _check(weight)
    adapter, state = registry.load_file(path)
    module = registry.method(adapter.method)
    if not hasattr(module, "scaled"):
        raise StudioError(f"{module.LABEL} cannot be saved at another strength; draw with it at that strength instead")

    def untrained() -> dict[str, Tensor]:
        fresh = registry.build(adapter.method, adapter.settings)
        fresh.attach(host())
        try:
            return {name: tensor.cpu() for name, tensor in fresh.state().items()}
        finally:
            fresh.detach()

    settings, tensors = module.scaled(adapter.settings, state, weight, untrained)
    return registry.build(adapter.method, settings), tensors


def average(
    paths: Sequence[Path], weights: Sequence[float] | None = None, rank: int | None = None
) -> tuple[Adapter, dict[str, Tensor], dict[str, Any]]:
    """The average of several files of one method; equal weights unless they are given, and they need not add up to 1.

    LoRA: exact with the ranks added up, or the nearest update of `rank`. Words: vector by vector. The third of what
    comes back says how it was done, for the recipe.
    """
    if len(paths) < 2:
        raise StudioError(f"{len(paths)} adapter is no average; name two or more")
    weights = [1 / len(paths)] * len(paths) if weights is None else list(weights)
    if len(weights) != len(paths):
        raise StudioError(f"there are {len(paths)} adapters and {len(weights)} weights; give one for each")
    for weight in weights:
        _check(weight)
    if rank is not None and not 1 <= rank <= 512:
        raise StudioError(f"rank is {rank}; it must be 1 to 512")
    opened = [registry.load_file(path) for path in paths]
    kinds = {adapter.method for adapter, _ in opened}
    if len(kinds) > 1:
        labels = ", ".join(registry.method(kind).LABEL for kind in sorted(kinds))
        raise StudioError(f"the adapters are of different methods ({labels}); average those of one method")
    module = registry.method(kinds.pop())
    if not hasattr(module, "averaged"):
        raise StudioError(f"{module.LABEL} cannot be averaged")
    parents = [(adapter.settings, state) for adapter, state in opened]
    settings, tensors, told = module.averaged(parents, weights, rank)
    return registry.build(module.NAME, settings), tensors, {**told, "weights": weights}


def file_bytes(adapter: Adapter, state: Mapping[str, Tensor], recipe: Mapping[str, Any]) -> bytes:
    """The file of an adapter that need not be attached, as `to_bytes` writes that of one that is."""
    whole = {**recipe, "method": adapter.method, "adapter": adapter.settings.model_dump(mode="json")}
    header = {"format": "pt", **adapter.metadata(), RECIPE_KEY: json.dumps(whole, sort_keys=True)}
    return saved(state, header)


def parent(path: Path, weight: float) -> dict[str, Any]:
    """What a recipe says of one that it was made from: its name, weight, hash, and its own recipe."""
    return {
        "file": Path(path).name,
        "weight": weight,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "recipe": safetensors_file.recipe_of(path),
    }


def _check(weight: float) -> None:
    if not -BOUND <= weight <= BOUND:
        raise StudioError(f"the weight is {weight:g}; it must be {-BOUND:g} to {BOUND:g}")


def read_weights(text: str) -> list[float]:
    """Numbers with commas between; raises StudioError for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise StudioError(f"weights are {text!r}; write them as 0.7,0.3") from error
