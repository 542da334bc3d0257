"""Integrity check after a soak: whether every finished image, adapter and answer in a workspace can still be read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from adapters import registry
from adapters.formats import safetensors_file
from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation.blind_study import open_study
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.jobs import queue
from ghibli_studio.workspace.project import Project, Workspace
from ghibli_studio.workspace.run import Run
from study.simulation.participant import SimulationLog


def find_damage(workspace: Workspace, study_project: Project, simulated: SimulationLog) -> Iterator[str]:
    """Yield a sentence for everything lost or damaged; `simulated` has the answers that the study acknowledged.

    Cancels all runs and closes the study first, so that nothing changes during the check.
    """
    for run in workspace.runs():
        queue.cancel(run)
    for name in workspace.projects():
        project = workspace.project(name)
        for folder in project.image_sets():
            for path in folder.glob("*.png"):
                yield from _check_readable(path, partial(_read_image, path))
        if project.manifest_file.exists():
            yield from _check_readable(project.manifest_file, partial(datasets.load, project))
        for run in project.runs():
            yield from _check_run(run)
    yield from _check_study(study_project, simulated)


def _read_image(path: Path) -> None:
    read_metadata(path)
    with Image.open(path) as image:
        image.load()


def _read_adapter(path: Path) -> None:
    safetensors_file.read_adapter_metadata(path)
    registry.open_file(path)


def _check_run(run: Run) -> Iterator[str]:
    reported = {event["epoch"] for event in run.progress() if event["event"] == "epoch" and event["epoch"]}
    saved = run.epoch_adapter_files()
    if missing := sorted(reported - set(saved)):
        yield f"{run.folder} reports the epochs {missing}, but their adapters are missing"
    best = [run.adapter_file] if reported else []
    for path in (*saved.values(), *best):
        yield from _check_readable(path, partial(_read_adapter, path))


def _check_study(project: Project, simulated: SimulationLog) -> Iterator[str]:
    store = open_study(project)
    if store is None:
        yield f"the study of {project.folder} is missing"
        return
    store.close()
    if not store.audit_chain_ok():
        yield f"the audit log of {store.folder} is broken"
    if lost := {completion for completion, _ in simulated.codes} - set(store.completion_codes()):
        yield f"{len(lost)} participants finished the study and are not in it"
    with tempfile.TemporaryDirectory() as folder:
        table = store.export(Path(folder) / "export") / "responses.csv"
        saved = len(table.read_text().splitlines()) - 1
    if saved < len(simulated.answers):
        yield f"{len(simulated.answers)} answers were acknowledged and {saved} are in {store.folder}"


def _check_readable(path: Path, read: Callable[[], object]) -> Iterator[str]:
    try:
        read()
    except (OSError, StudioError, ValueError) as error:
        yield f"{path} cannot be read: {error}"
