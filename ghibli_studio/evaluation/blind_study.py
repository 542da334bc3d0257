"""From a project to its blind study: which pictures go in, and which study the page serves.

What a study is and does is `study`, which knows nothing of projects.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item
from ghibli_studio.generation.image_set import PictureSet, load_set
from ghibli_studio.generation.metadata import read_recipe
from ghibli_studio.workspace.files import explain_os_error
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from study.analysis.result import Result
    from study.design.definition import Definition
    from study.design.spec import Picture
    from study.store import Store


METHODS = ("lora", "ti")
LANDMARKS, REFERENCES, PRACTICE = 5, 4, 3


def usable_sets(project: Project) -> list[str]:
    """Names of the sets of pictures that a study can be made of, the newest first."""
    found = []
    for folder in project.image_sets():
        with suppress(StudioError):  # a set that is damaged, or just being begun, is no reason to hide the others
            if len(landmarks_of(project, folder.name)) >= LANDMARKS:
                found.append(folder.name)
    return found


def landmarks_of(project: Project, set_name: str) -> list[str]:
    """Landmarks of the data set of which a set has a picture by both methods; held-out ones first."""
    made, dataset = load_set(project.image_set(set_name)), datasets.load(project)
    items = [dataset.by_landmark(title) for index, title in enumerate(made.titles) if _complete(made, index)]
    found = sorted((item for item in items if item), key=lambda item: item.split != "validation")
    return list(dict.fromkeys(item.landmark for item in found))


def pictures_for(project: Project, set_name: str, landmarks: Sequence[str]) -> list[Picture]:
    """All pictures of a study: candidates by origin, photographs, and originals of other landmarks.

    The originals are the data set's styled pictures of landmarks that no method was trained on, as far as there are
    enough; StudioError where a landmark was trained on, or the set lacks a picture of it.
    """
    from study.design.spec import Picture

    dataset, made = datasets.load(project), load_set(project.image_set(set_name))
    found: list[Picture] = []
    for name in landmarks:
        item = _held_out(project, dataset, name)
        index = next((i for i, title in enumerate(made.titles) if title == item.landmark and _complete(made, i)), None)
        if index is None:
            raise StudioError(f"the set {set_name} has no picture of {name} by LoRA and by TI; draw them in Generate")
        found.append(Picture("photo", item.landmark, None, project.sources / item.source))
        found.append(Picture("candidate", item.landmark, "original", _styled(project, item), {"item": item.id}))
        for method in METHODS:
            file = made.files[index, method]
            found.append(Picture("candidate", item.landmark, method, file, read_recipe(file)))
    for role, item in _others(dataset, landmarks):
        found.append(Picture(role, item.landmark, "original", _styled(project, item), {"item": item.id}))
    return found


def create_study(project: Project, set_name: str, definition: Definition) -> Store:
    """Make the project's study as a draft; StudioError or StudyError where a part is missing."""
    from study.store import create

    return create(project.study, definition, pictures_for(project, set_name, definition.landmarks))


def lock(project: Project) -> None:
    """Open the draft to participants; StudioError while another project's study is live, since one is served."""
    from study.analysis.preregistered import analysis_sha256

    store = study_of(project)
    for name in project.workspace.projects():
        other = open_study(project.workspace.project(name))
        if name != project.name and other is not None and other.status().state == "live":
            raise StudioError(f"project {name!r} has a live study, and one is served at a time; close that one first")
    store.lock(analysis_sha256())


def set_aside(project: Project) -> Path:
    """Move a draft or a closed study to `study-<when it was made>`, so that another can be made; returns the place."""
    store = study_of(project)
    status = store.status()
    if status.state == "live":
        raise StudioError("the study is live; close it first, since people may be answering")
    place = project.folder / f"study-{status.created_at[:19].replace(':', '')}"
    try:
        store.move(place)
    except OSError as error:
        raise explain_os_error(error, place) from error
    return place


def open_study(project: Project) -> Store | None:
    """The project's study, or None."""
    from study.store import Store

    return Store(project.study) if (project.study / "study.db").exists() else None


def study_of(project: Project) -> Store:
    """The project's study; StudioError where it has none."""
    store = open_study(project)
    if store is None:
        raise StudioError(f"project {project.name!r} has no study; make one first")
    return store


def outcome(project: Project) -> Result:
    """What came out of a closed study; StudyError while it is not closed."""
    status = study_of(project).status()
    return _outcome(project.study, status.closed_at, status.places.get("complete"))


@lru_cache(maxsize=4)  # the key is opened, and that is written down, once and not at every look
def _outcome(folder: Path, closed_at: str | None, complete: int | None) -> Result:
    """Somebody may withdraw after the closing, so the number of people who finished is part of the question."""
    from study.analysis.result import result
    from study.store import Store

    return result(Store(folder))


def closed_outcome(project: Project) -> dict[str, Any] | None:
    """What came out of the project's study as JSON values, with its findings in words; None unless it is closed.

    Keys: `values` as `study.result.Result` has them, `notes` (what a reader has to know first), and `findings`, a list
    of {question, title, verdict, may, may_not}.
    """
    from study.analysis.findings import TITLES, findings

    store = open_study(project)
    if store is None or store.status().state != "closed":
        return None
    found = outcome(project)
    told = [{**asdict(one), "title": TITLES.get(one.question, "How blind it was")} for one in findings(found.values)]
    return {"values": found.values, "notes": list(found.notes), "findings": told}


def served_study(workspace: Workspace) -> Store:
    """The study that participants meet: one that is live, else the newest; StudyError where there is none."""
    from study import StudyError

    stores = [store for name in workspace.projects() if (store := open_study(workspace.project(name)))]
    if not stores:
        raise StudyError("there is no study here yet; make one in the Study tab")
    return max(stores, key=_live_then_new)


def _live_then_new(store: Store) -> tuple[bool, str]:
    status = store.status()
    return status.state == "live", status.created_at


def _complete(made: PictureSet, index: int) -> bool:
    return all((index, method) in made.files for method in METHODS)


def _styled(project: Project, item: Item) -> Path:
    return project.dataset / f"{item.id}.png"


def _held_out(project: Project, dataset: Dataset, name: str) -> Item:
    item = dataset.by_landmark(name)
    if item is None:
        raise StudioError(f"the data set has no landmark {name!r}; choose one that it has")
    if item.split != "validation":
        raise StudioError(
            f"both methods were trained on {item.landmark}; choose a landmark that was held out for validation"
        )
    if datasets.photograph(project, item) is None:
        raise StudioError(f"{item.landmark} has no photograph; a study shows one beside the pictures")
    return item


def _others(dataset: Dataset, landmarks: Sequence[str]) -> list[tuple[str, Item]]:
    """(role, item) of originals of other landmarks, held-out ones first, one of each landmark."""
    asked = {name.casefold() for name in landmarks}
    one_each = {item.landmark.casefold(): item for item in reversed(dataset.items)}
    others = [item for name, item in one_each.items() if name not in asked]
    others.sort(key=lambda item: (item.split != "validation", item.id))
    wanted = ["reference"] * REFERENCES + ["practice"] * PRACTICE
    if len(others) < len(wanted):
        raise StudioError(
            f"the data set has {len(others)} landmarks besides the five; {len(wanted)} are needed for the style sheet "
            "and the practice, so take in more pictures"
        )
    return list(zip(wanted, others))
