"""The variants of an evaluation: the base model, runs at their best epoch, and sweeps over scales and epochs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from adapters import registry
from adapters.formats import safetensors_file
from adapters.settings import StudioError
from ghibli_studio.generation import model_choice
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.workspace.project import Project

ADAPTER_SCALES = (0.25, 0.5, 0.75, 1.25)
MAX_EPOCHS = 5


@dataclass(frozen=True)
class Variant:
    """The base model, or an adapter file at one scale."""

    name: str
    """Display name, unique within an evaluation."""
    method: str
    """`base`, or the short name of a method."""
    file: Path | None = None
    """None for the base model."""
    adapter_scale: float = 1.0
    run: str | None = None
    epoch: int | None = None
    group: Literal["compare", "adapter_scale", "epoch"] = "compare"
    """`compare`: part of the comparisons; the others belong to a sweep."""

    @cached_property
    def sha256(self) -> str | None:
        """Hash of the file; None for the base model."""
        return None if self.file is None else hashlib.sha256(self.file.read_bytes()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the variant as JSON values."""
        return {**asdict(self), "file": None if self.file is None else str(self.file), "sha256": self.sha256}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Variant:
        """Build a variant from `to_dict`; raises StudioError if its file is missing or has changed."""
        file = Path(values["file"]) if values["file"] else None
        if file is not None and not file.exists():
            raise StudioError(f"{file}, the adapter of {values['name']}, is missing; start a new evaluation")
        fields = {name: values[name] for name in ("name", "method", "adapter_scale", "run", "epoch", "group")}
        variant = cls(file=file, **fields)
        if variant.sha256 != values["sha256"]:
            raise StudioError(f"{file}, the adapter of {values['name']}, has changed; start a new evaluation")
        return variant


def variants_of_runs(project: Project, run_ids: Sequence[str], *, base: bool = True) -> list[Variant]:
    """Return the best epoch of each run, after the base model if `base` is true.

    Raises StudioError for an unknown run, one without an adapter, and for a run that is named twice.
    """
    if len(set(run_ids)) < len(run_ids):
        raise StudioError("a run is named twice; name each once")
    runs = [project.run(run_id) for run_id in run_ids]
    labels = [registry.method(run.config().method).LABEL for run in runs]
    variants = [Variant(model_choice.label(BASE), BASE)] if base else []
    for run, label in zip(runs, labels):
        if not run.adapter_file.exists():
            raise StudioError(f"run {run.id} has no adapter yet; wait until its first epoch is done")
        name = label if labels.count(label) == 1 else f"{label} {run.id.removesuffix(f'-{run.config().method}')}"
        epoch = safetensors_file.read_adapter_metadata(run.adapter_file).get("epoch")
        variants.append(Variant(name, run.config().method, run.adapter_file, run=run.id, epoch=epoch))
    return variants


def variant_of_file(name: str, file: Path) -> Variant:
    """Return an adapter file at any path as a variant; raises StudioError if the file is not an adapter."""
    metadata, method = safetensors_file.read_adapter_metadata(file), registry.open_file(file).method
    return Variant(name.strip() or file.stem, method, file.absolute(), epoch=metadata.get("epoch"))


def adapter_scale_sweep(project: Project, compared: Sequence[Variant]) -> list[Variant]:
    """Return the compared adapters at other scales."""
    return [
        replace(variant, name=f"{variant.name} x {scale:g}", adapter_scale=scale, group="adapter_scale")
        for variant in compared
        if variant.file
        for scale in ADAPTER_SCALES
    ]


def epoch_sweep(project: Project, compared: Sequence[Variant]) -> list[Variant]:
    """Return the compared runs at other epochs: at most five per run, evenly spaced, including the last."""
    variants = []
    for variant in compared:
        if variant.run is None:
            continue
        files = project.run(variant.run).epoch_adapter_files()
        others = [epoch for epoch in files if epoch != variant.epoch]
        count = min(MAX_EPOCHS, len(others))
        for number in range(1, count + 1):
            epoch = others[round(number * len(others) / count) - 1]
            variants.append(
                replace(variant, name=f"{variant.name} epoch {epoch}", file=files[epoch], epoch=epoch, group="epoch")
            )
    return variants
