"""Scaled copies of an adapter and merges of several adapters of one method, as files with their parents' metadata.

The arithmetic is the method's own (`scale` and `merge` in its module); a method without it is refused.
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
from adapters.formats.metadata import safetensors_bytes
from adapters.formats.safetensors_file import METADATA_KEY
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


MAX_WEIGHT = 2.0
"""Weights are from -2 to 2, like the adapter scale of a generation."""


def scale_file(path: Path, weight: float, host: Callable[[], Host]) -> tuple[Adapter, dict[str, Tensor]]:
    """Return the adapter of a file and its tensors, scaled so that scale 1 of it equals scale `weight` of the file.

    `host` returns the base model; it is called only if the untrained start is not zero: for Textual Inversion and DoRA.
    Raises StudioError for a weight out of bounds.
    """
    _check_weight(weight)
    adapter, state = registry.load_file(path)
    module = registry.method(adapter.method)
    if not hasattr(module, "scale"):
        raise StudioError(f"{module.LABEL} cannot be scaled into a new file; generate with an adapter scale instead")

    def untrained() -> dict[str, Tensor]:
        fresh = registry.build(adapter.method, adapter.settings)
        fresh.attach(host())
        try:
            return {name: tensor.cpu() for name, tensor in fresh.state().items()}
        finally:
            fresh.detach()

    settings, tensors = module.scale(adapter.settings, state, weight, untrained)
    return registry.build(adapter.method, settings), tensors


def merge_files(
    paths: Sequence[Path], weights: Sequence[float] | None = None, rank: int | None = None
) -> tuple[Adapter, dict[str, Tensor], dict[str, Any]]:
    """Return the weighted sum of several files of one method; the default weights are equal and add up to 1.

    LoRA: exact with the ranks added up, or the nearest update of `rank`. Textual Inversion: vector by vector. The third
    value says how it was done, for the metadata.
    """
    if len(paths) < 2:
        raise StudioError(f"{len(paths)} adapter cannot be merged; name two or more")
    weights = [1 / len(paths)] * len(paths) if weights is None else list(weights)
    if len(weights) != len(paths):
        raise StudioError(f"there are {len(paths)} adapters and {len(weights)} weights; give one weight for each")
    for weight in weights:
        _check_weight(weight)
    if rank is not None and not 1 <= rank <= 512:
        raise StudioError(f"rank is {rank}; it must be 1 to 512")
    opened = [registry.load_file(path) for path in paths]
    names = {adapter.method for adapter, _ in opened}
    if len(names) > 1:
        labels = ", ".join(registry.method(name).LABEL for name in sorted(names))
        raise StudioError(f"the adapters are of different methods ({labels}); merge adapters of one method")
    module = registry.method(names.pop())
    if not hasattr(module, "merge"):
        raise StudioError(f"{module.LABEL} adapters cannot be merged; choose another method")
    parents = [(adapter.settings, state) for adapter, state in opened]
    settings, tensors, how = module.merge(parents, weights, rank)
    return registry.build(module.NAME, settings), tensors, {**how, "weights": weights}


def file_bytes(adapter: Adapter, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """Return the file of an adapter that need not be attached, as `to_bytes` writes it for an attached one."""
    complete = {**metadata, "method": adapter.method, "adapter": adapter.settings.model_dump(mode="json")}
    header = {"format": "pt", **adapter.metadata(), METADATA_KEY: json.dumps(complete, sort_keys=True)}
    return safetensors_bytes(state, header)


def parent_metadata(path: Path, weight: float) -> dict[str, Any]:
    """Return what the metadata says of a parent: its file name, weight, hash and own metadata."""
    return {
        "file": Path(path).name,
        "weight": weight,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "metadata": safetensors_file.read_adapter_metadata(path),
    }


def _check_weight(weight: float) -> None:
    if not -MAX_WEIGHT <= weight <= MAX_WEIGHT:
        raise StudioError(f"the weight is {weight:g}; it must be {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}")


def parse_weights(text: str) -> list[float]:
    """Parse numbers separated by commas; raise StudioError for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise StudioError(f"weights are {text!r}; write them as 0.7,0.3") from error
