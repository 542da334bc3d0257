"""What is compared: the base model, runs at their best epoch, and the same at other strengths and epochs for curves."""

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

STRENGTHS = (0.25, 0.5, 0.75, 1.25)
MOST_EPOCHS = 5


@dataclass(frozen=True)
class Variant:
    """What is compared: the base model, or an adapter's file at a strength."""

    name: str
    """As people read it; no two of a comparison have the same."""
    method: str
    """`base`, or the short name of a method."""
    file: Path | None = None
    """None for the base model."""
    adapter_scale: float = 1.0
    run: str | None = None
    epoch: int | None = None
    group: Literal["compare", "adapter_scale", "epoch"] = "compare"
    """`compare`: in the comparisons; the others are drawn for curves."""

    @cached_property
    def sha256(self) -> str | None:
        """Of the file; None for the base model."""
        return None if self.file is None else hashlib.sha256(self.file.read_bytes()).hexdigest()

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "file": None if self.file is None else str(self.file), "sha256": self.sha256}


def variants_of_runs(project: Project, run_ids: Sequence[str], *, base: bool = True) -> list[Variant]:
    """The best epoch of each run, after the base model if that is wanted too.

    Raises StudioError for an unknown run, one without an adapter, and for a run named twice.
    """
    if len(set(run_ids)) < len(run_ids):
        raise StudioError("a run is named twice; name each once")
    runs = [project.run(run_id) for run_id in run_ids]
    labels = [registry.method(run.config().method).LABEL for run in runs]
    found = [Variant(model_choice.label(BASE), BASE)] if base else []
    for run, label in zip(runs, labels):
        if not run.adapter_file.exists():
            raise StudioError(f"run {run.id} has no adapter yet; wait until its first epoch is done")
        name = label if labels.count(label) == 1 else f"{label} {run.id.removesuffix(f'-{run.config().method}')}"
        epoch = safetensors_file.recipe_of(run.adapter_file).get("epoch")
        found.append(Variant(name, run.config().method, run.adapter_file, run=run.id, epoch=epoch))
    return found


def variant_of_file(name: str, file: Path) -> Variant:
    """An adapter from a file of any place; raises StudioError for a file that is none."""
    recipe, method = safetensors_file.recipe_of(file), registry.open_file(file).method
    return Variant(name.strip() or file.stem, method, file.absolute(), epoch=recipe.get("epoch"))


def strength_sweep(project: Project, compared: Sequence[Variant]) -> list[Variant]:
    """The compared adapters at other strengths."""
    return [
        replace(variant, name=f"{variant.name} x {strength:g}", adapter_scale=strength, group="adapter_scale")
        for variant in compared
        if variant.file
        for strength in STRENGTHS
    ]


def epoch_sweep(project: Project, compared: Sequence[Variant]) -> list[Variant]:
    """The compared runs after other epochs, at most five of each, evenly spread and the last among them."""
    found = []
    for variant in compared:
        if variant.run is None:
            continue
        files = project.run(variant.run).epoch_adapter_files()
        others = [epoch for epoch in files if epoch != variant.epoch]
        count = min(MOST_EPOCHS, len(others))
        for place in range(1, count + 1):
            epoch = others[round(place * len(others) / count) - 1]
            found.append(
                replace(variant, name=f"{variant.name} epoch {epoch}", file=files[epoch], epoch=epoch, group="epoch")
            )
    return found


def from_told(told: dict[str, Any]) -> Variant:
    """A variant as it was asked for; raises StudioError where its file is gone or no longer the same."""
    file = Path(told["file"]) if told["file"] else None
    if file is not None and not file.exists():
        raise StudioError(f"{file}, the adapter of {told['name']}, is gone; begin another evaluation")
    fields = {name: told[name] for name in ("name", "method", "adapter_scale", "run", "epoch", "group")}
    variant = Variant(file=file, **fields)
    if variant.sha256 != told["sha256"]:
        raise StudioError(f"{file}, the adapter of {told['name']}, has changed since; begin another evaluation")
    return variant
