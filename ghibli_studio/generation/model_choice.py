"""What can draw in a project: the base model, the newest run of each method, any run at any epoch, any adapter file.

Each has a name that is the same on the command line, in the page and in the programming interface:
`base`, a method such as `lora`, a run such as `20260131-120000-lora`, a run's epoch such as `20260131-120000-lora@3`,
or the name of an adapter file that was taken in.
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
class Drawer:
    """Something that draws."""

    name: str
    label: str
    """As people read it."""
    kind: str
    """`base`, `method` (its newest run), `run`, or `imported`."""
    file: Path | None
    """None for the base model."""


def finished_run(project: Project, method: str) -> Run:
    """The newest run of a method that has an adapter; raises StudioError where there is none."""
    registry.method(method)
    for run in reversed(project.runs(method)):
        if run.adapter_file.exists():
            return run
    raise StudioError(
        f"project {project.name!r} has no trained {registry.method(method).LABEL} yet; train one in the Train tab, or "
        f"with: python -m ghibli_studio train {project.name!r} --method {method}"
    )


def run_of(project: Project, name: str) -> Run:
    """The run behind a name; raises StudioError where there is none, as for the base model."""
    if name in registry.methods():
        return finished_run(project, name)
    return project.run(name.partition("@")[0])


def file_of(project: Project, name: str) -> Path | None:
    """The adapter's file; None for the base model. Raises StudioError for an unknown name, with what there is."""
    if name == BASE:
        return None
    if name in registry.methods():
        return finished_run(project, name).adapter_file
    if imported := {path.stem: path for path in project.adapters.files()}.get(name):
        return imported
    if RUN.fullmatch(name) is None:
        known = ", ".join(one.name for one in known_drawers(project))
        raise StudioError(f"nothing called {name!r} can draw in project {project.name!r}; there are {known}")
    run_id, _, epoch = name.partition("@")
    run = project.run(run_id)
    file = epoch_file(run, int(epoch)) if epoch else run.adapter_file
    if not file.exists():
        raise StudioError(f"run {run_id} has no adapter yet; wait until its first epoch is done")
    return file


def epoch_file(run: Run, epoch: int) -> Path:
    """The adapter after an epoch, counted from 1; raises StudioError with the epochs there are."""
    files = run.epoch_adapter_files()
    if epoch not in files:
        known = f"1 to {max(files)}" if files else "none yet"
        raise StudioError(f"run {run.id} has no epoch {epoch}; it has {known}")
    return files[epoch]


def adapter_files(project: Project, names: Sequence[str]) -> dict[str, Path | None]:
    """The adapter file behind each name; None for the base model."""
    return {name: file_of(project, name) for name in names}


def known_drawers(project: Project) -> list[Drawer]:
    """All that can draw: the base model, the trained methods, every run (the newest first), what was taken in."""
    runs = [run for run in reversed(project.runs()) if run.adapter_file.exists()]
    newest: dict[str, Run] = {}
    for run in runs:
        newest.setdefault(run.config().method, run)
    return [
        Drawer(BASE, label(BASE), "base", None),
        *(
            Drawer(name, label(name), "method", newest[name].adapter_file)
            for name in registry.methods()
            if name in newest
        ),
        *(Drawer(run.id, _told(run), "run", run.adapter_file) for run in runs),
        *(Drawer(path.stem, f"{path.stem}, taken in", "imported", path) for path in project.adapters.files()),
    ]


def _told(run: Run) -> str:
    config, metrics = run.config(), run.metrics()
    best = f", epoch {metrics['best_epoch']} of {metrics['epochs']}" if metrics else ""
    return f"{registry.method(config.method).LABEL}{best}, seed {config.training.seed}, {run.id}"


def label(name: str) -> str:
    """What is called so on the page: a method's or a run's in words, another name as it is."""
    return _named(name, "LABEL", "Base model")


def short_label(name: str) -> str:
    """The same where there is little room."""
    return _named(name, "SHORT_LABEL", "Base")


def _named(name: str, which: str, base: str) -> str:
    if name == BASE:
        return base
    if name in registry.methods():
        return getattr(registry.method(name), which)
    if (found := RUN.fullmatch(name)) and found[2] in registry.methods():
        epoch = f", epoch {found[3]}" if found[3] else ""
        return f"{getattr(registry.method(found[2]), which)} of {found[1]}{epoch}"
    return name


def name_of(project: Project, recipe: dict[str, Any]) -> str:
    """What drew a picture, by its recipe; raises StudioError where that is no longer in the project.

    A method's newest run is told by its method, so that the form shows it as it is most often chosen.
    """
    identity = recipe.get("adapter")
    return BASE if identity is None else of_identity(project, identity)[0]


def of_identity(project: Project, identity: dict[str, Any]) -> tuple[str, Path]:
    """(name, file) of the adapter that a recipe tells of; raises StudioError where it is no longer in the project."""
    if "sha256" not in identity:  # a sample that a run drew while it trained
        if not identity["epoch"]:
            raise StudioError(
                f"the picture was drawn by run {identity['run']} before it had learned, and no adapter of that is "
                "kept; choose the base model, which draws nearly the same"
            )
        return f"{identity['run']}@{identity['epoch']}", epoch_file(project.run(identity["run"]), identity["epoch"])
    wanted = identity["sha256"]
    for one in known_drawers(project):
        if one.file is not None and sha256_of(one.file) == wanted:
            return one.name, one.file
    for run in project.runs(identity["method"]):
        for epoch, file in run.epoch_adapter_files().items():
            if sha256_of(file) == wanted:
                return f"{run.id}@{epoch}", file
    raise StudioError(
        f"project {project.name!r} has no adapter with the hash {wanted[:12]}, with which the picture was drawn "
        f"(run {identity.get('run')}); it was deleted or trained elsewhere"
    )
