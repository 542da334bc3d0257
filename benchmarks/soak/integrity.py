"""Was anything lost? Looks at a workspace after a soak, without the app: all that was finished must still read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from adapters import registry
from adapters.formats import safetensors_file
from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation.blind_study import open_study
from ghibli_studio.generation.metadata import read_recipe
from ghibli_studio.jobs import queue
from ghibli_studio.workspace.project import Project, Workspace
from ghibli_studio.workspace.run import Run
from study.simulation.participant import Simulated


def losses(workspace: Workspace, project: Project, simulated: Simulated) -> Iterator[str]:
    """A sentence for everything lost or damaged; `simulated` are the answers that `project`'s study said it keeps.

    Ends all runs and closes the study, so that nothing is in the making any more.
    """
    for run in workspace.runs():
        queue.cancel(run)
    for name in workspace.projects():
        one = workspace.project(name)
        for folder in one.image_sets():
            for path in folder.glob("*.png"):
                yield from _readable(path, lambda at=path: _whole_picture(at))
        if one.manifest_file.exists():
            yield from _readable(one.manifest_file, lambda of=one: datasets.load(of))
        for run in one.runs():
            yield from _of_run(run)
    yield from _of_study(project, simulated)


def _whole_picture(path: Path) -> None:
    read_recipe(path)
    with Image.open(path) as image:
        image.load()


def _of_run(run: Run) -> Iterator[str]:
    told = {event["epoch"] for event in run.progress() if event["event"] == "epoch" and event["epoch"]}
    kept = run.epoch_adapter_files()
    if missing := sorted(told - set(kept)):
        yield f"{run.folder} tells of the epochs {missing}, and their adapters are not there"
    best = [run.adapter_file] if told else []
    for path in (*kept.values(), *best):
        yield from _readable(path, lambda at=path: (safetensors_file.recipe_of(at), registry.open_file(at)))


def _of_study(project: Project, simulated: Simulated) -> Iterator[str]:
    store = open_study(project)
    if store is None:
        yield f"the study of {project.folder} is gone"
        return
    store.close()
    if not store.audit_chain_ok():
        yield f"the audit of {store.folder} is broken"
    if lost := {completion for completion, _ in simulated.codes} - set(store.completion_codes()):
        yield f"{len(lost)} people finished the study and are not in it"
    with tempfile.TemporaryDirectory() as place:
        table = store.export(Path(place) / "export") / "responses.csv"
        there = len(table.read_text().splitlines()) - 1
    if there < len(simulated.answers):
        yield f"{len(simulated.answers)} answers were acknowledged and {there} are in {store.folder}"


def _readable(path: Path, read: Callable[[], object]) -> Iterator[str]:
    try:
        read()
    except (OSError, StudioError, ValueError) as error:
        yield f"{path} cannot be read any more: {error}"
