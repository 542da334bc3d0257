"""The models that can generate in a project: base model, newest run of a method, run, epoch of a run, imported adapter.

Each has a name, the same on the command line, on the page and in the API: `base`, a method such as `lora`, a run such
as `20260131-120000-lora`, an epoch of a run such as `20260131-120000-lora@3`, or the name of an imported adapter file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.workspace.files import sha256_of
from ghibli_studio.workspace.project import Project
from ghibli_studio.workspace.run import Run

RUN = re.compile(r"(\d{8}-\d{6})-([^-@]+)(?:-\d+)?(?:@(\d+))?")


@dataclass(frozen=True)
class ModelChoice:
    """A model that can generate images."""

    name: str
    label: str
    """Its name on the page."""
    kind: str
    """`base`, `method` (its newest run), `run`, or `imported`."""
    file: Path | None
    """The adapter; None for the base model."""


def newest_finished_run(project: Project, method: str) -> Run:
    """Return the newest run of a method that has an adapter; raises StudioError if there is none."""
    registry.method(method)
    for run in reversed(project.runs(method)):
        if run.adapter_file.exists():
            return run
    raise StudioError(
        f"project {project.name!r} has no trained {registry.method(method).LABEL} yet; train one in the Train tab, or "
        f"with: ghibli-studio train {project.name!r} --method {method}"
    )


def run_of(project: Project, name: str) -> Run:
    """Return the run of a model choice; raises StudioError if it has none, like the base model."""
    if name in registry.methods():
        return newest_finished_run(project, name)
    return project.run(name.partition("@")[0])


def adapter_file(project: Project, name: str) -> Path | None:
    """Return the adapter file of a model choice, None for the base model; raises StudioError for an unknown name."""
    if name == BASE:
        return None
    if name in registry.methods():
        return newest_finished_run(project, name).adapter_file
    if imported := {path.stem: path for path in project.adapters.files()}.get(name):
        return imported
    if RUN.fullmatch(name) is None:
        known = ", ".join(choice.name for choice in model_choices(project))
        raise StudioError(f"project {project.name!r} has no model {name!r}; choose one of: {known}")
    run_id, _, epoch = name.partition("@")
    run = project.run(run_id)
    file = epoch_file(run, int(epoch)) if epoch else run.adapter_file
    if not file.exists():
        raise StudioError(f"run {run_id} has no adapter yet; wait until it has finished its first epoch")
    return file


def epoch_file(run: Run, epoch: int) -> Path:
    """Return the adapter file after an epoch, counted from 1; raises StudioError with the epochs that exist."""
    files = run.epoch_adapter_files()
    if epoch not in files:
        known = f"epochs 1 to {max(files)}; choose one of them" if files else "none yet; wait for the first"
        raise StudioError(f"run {run.id} has no epoch {epoch}; it has {known}")
    return files[epoch]


def adapter_files(project: Project, names: Sequence[str]) -> dict[str, Path | None]:
    """Return the adapter file of each model choice by name; None for the base model."""
    return {name: adapter_file(project, name) for name in names}


def model_choices(project: Project) -> list[ModelChoice]:
    """Return every model choice: base model, trained methods, runs (newest first), imported adapters."""
    runs = [run for run in reversed(project.runs()) if run.adapter_file.exists()]
    newest: dict[str, Run] = {}
    for run in runs:
        newest.setdefault(run.config().method, run)
    return [
        ModelChoice(BASE, label(BASE), "base", None),
        *(
            ModelChoice(name, label(name), "method", newest[name].adapter_file)
            for name in registry.methods()
            if name in newest
        ),
        *(ModelChoice(run.id, _run_label(run), "run", run.adapter_file) for run in runs),
        *(ModelChoice(path.stem, f"{path.stem}, imported", "imported", path) for path in project.adapters.files()),
    ]


def _run_label(run: Run) -> str:
    config, metrics = run.config(), run.metrics()
    best = f", epoch {metrics['best_epoch']} of {metrics['epochs']}" if metrics else ""
    return f"{registry.method(config.method).LABEL}{best}, seed {config.training.seed}, {run.id}"


def label(name: str) -> str:
    """Return the label of a model choice: spelled out for a method or a run, otherwise the name itself."""
    return _label(name, "LABEL", "Base model")


def short_label(name: str) -> str:
    """Return the short label of a model choice."""
    return _label(name, "SHORT_LABEL", "Base")


def _label(name: str, which: str, base: str) -> str:
    if name == BASE:
        return base
    if name in registry.methods():
        return getattr(registry.method(name), which)
    if (found := RUN.fullmatch(name)) and found[2] in registry.methods():
        epoch = f", epoch {found[3]}" if found[3] else ""
        return f"{getattr(registry.method(found[2]), which)} of {found[1]}{epoch}"
    return name


def choice_name(project: Project, metadata: dict[str, Any]) -> str:
    """Return the model choice that generated an image; raises StudioError if it is no longer in the project.

    For the newest run of a method this is the method's name, as in the form.
    """
    identity = metadata.get("adapter")
    return BASE if identity is None else find_adapter(project, identity)[0]


def find_adapter(project: Project, identity: dict[str, Any]) -> tuple[str, Path]:
    """Return (name, file) of the adapter in generation metadata; raises StudioError if the project lacks it."""
    if "sha256" not in identity:  # a sample that a run generated while it trained
        if not identity["epoch"]:
            raise StudioError(
                f"run {identity['run']} generated this image before its first training step, and that adapter was not "
                "saved; choose the base model, which generates nearly the same image"
            )
        return f"{identity['run']}@{identity['epoch']}", epoch_file(project.run(identity["run"]), identity["epoch"])
    digest = identity["sha256"]
    for choice in model_choices(project):
        if choice.file is not None and sha256_of(choice.file) == digest:
            return choice.name, choice.file
    for run in project.runs(identity["method"]):
        for epoch, file in run.epoch_adapter_files().items():
            if sha256_of(file) == digest:
                return f"{run.id}@{epoch}", file
    raise StudioError(
        f"project {project.name!r} has no adapter with the hash {digest[:12]} that generated this image (run "
        f"{identity.get('run')}); it was deleted or trained elsewhere, so import it or choose another model"
    )
