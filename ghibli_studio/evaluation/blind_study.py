"""The link from a project to its blind study: the images of the study, and which study the page serves.

The study itself is the package `study`, which knows nothing of projects.
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
from ghibli_studio.generation.image_set import ImageSet, load_set
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.workspace.files import explain_os_error
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from study.analysis.result import Result
    from study.design.definition import Definition
    from study.design.spec import StimulusImage
    from study.store import Store


METHODS = ("lora", "ti")
LANDMARKS, REFERENCES, PRACTICE = 5, 4, 3


def usable_image_sets(project: Project) -> list[str]:
    """Return the names of the image sets that a study can be created from, newest first."""
    names = []
    for folder in project.image_sets():
        with suppress(StudioError):  # a damaged or unfinished set does not hide the others
            if len(complete_landmarks(project, folder.name)) >= LANDMARKS:
                names.append(folder.name)
    return names


def complete_landmarks(project: Project, set_name: str) -> list[str]:
    """Return the dataset's landmarks of which a set has an image by both methods, held-out landmarks first."""
    image_set, dataset = load_set(project.image_set(set_name)), datasets.load(project)
    items = [
        dataset.by_landmark(title)
        for index, title in enumerate(image_set.titles)
        if _has_every_method(image_set, index)
    ]
    matched = sorted((item for item in items if item), key=lambda item: item.split != "validation")
    return list(dict.fromkeys(item.landmark for item in matched))


def study_images(project: Project, set_name: str, landmarks: Sequence[str]) -> list[StimulusImage]:
    """Return all images of a study: candidates by origin, photos, and originals of other landmarks.

    The originals are the dataset's stylized images of landmarks that no method was trained on, as long as there are
    enough. Raises StudioError if a landmark was trained on, or if the set lacks an image of it.
    """
    from study.design.spec import StimulusImage

    dataset, image_set = datasets.load(project), load_set(project.image_set(set_name))
    images: list[StimulusImage] = []
    for name in landmarks:
        item = _held_out_item(project, dataset, name)
        index = next(
            (
                index
                for index, title in enumerate(image_set.titles)
                if title == item.landmark and _has_every_method(image_set, index)
            ),
            None,
        )
        if index is None:
            raise StudioError(
                f"the set {set_name} lacks an image of {name} by LoRA or by TI; generate both in the Generate tab"
            )
        images.append(StimulusImage("photo", item.landmark, None, project.sources / item.source))
        images.append(
            StimulusImage("candidate", item.landmark, "original", _dataset_image(project, item), {"item": item.id})
        )
        for method in METHODS:
            file = image_set.files[index, method]
            images.append(StimulusImage("candidate", item.landmark, method, file, read_metadata(file)))
    for role, item in _other_landmarks(dataset, landmarks):
        images.append(StimulusImage(role, item.landmark, "original", _dataset_image(project, item), {"item": item.id}))
    return images


def create_study(project: Project, set_name: str, definition: Definition) -> Store:
    """Create the project's study as a draft; raises StudioError or StudyError if a part is missing."""
    from study.store import create

    return create(project.study, definition, study_images(project, set_name, definition.landmarks))


def lock_study(project: Project) -> None:
    """Open the draft to participants; raises StudioError while another project's study is live."""
    from study.analysis.preregistered import analysis_sha256

    store = require_study(project)
    for name in project.workspace.projects():
        other = open_study(project.workspace.project(name))
        if name != project.name and other is not None and other.status().state == "live":
            raise StudioError(f"project {name!r} has a live study, and only one can be served; close that one first")
    store.lock(analysis_sha256())


def archive_study(project: Project) -> Path:
    """Move a draft or a closed study to `study-<creation time>` to make room for a new one; returns the folder."""
    store = require_study(project)
    status = store.status()
    if status.state == "live":
        raise StudioError("the study is live; close it first, because participants may still be answering")
    folder = project.folder / f"study-{status.created_at[:19].replace(':', '')}"
    try:
        store.move(folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return folder


def open_study(project: Project) -> Store | None:
    """Return the project's study, or None."""
    from study.store import Store

    return Store(project.study) if (project.study / "study.db").exists() else None


def require_study(project: Project) -> Store:
    """Return the project's study; raises StudioError if it has none."""
    store = open_study(project)
    if store is None:
        raise StudioError(f"project {project.name!r} has no study; create one first")
    return store


def study_result(project: Project) -> Result:
    """Return the result of a closed study; raises StudyError while it is not closed."""
    status = require_study(project).status()
    return _cached_result(project.study, status.closed_at, status.slots.get("complete"))


@lru_cache(maxsize=4)  # opening the key is recorded in the audit, so it happens once and not at every call
def _cached_result(folder: Path, closed_at: str | None, complete: int | None) -> Result:
    """Return the result; participants may withdraw after the closing, so the number of finished ones is in the key."""
    from study.analysis import result
    from study.store import Store

    return result.study_result(Store(folder))


def closed_study_result(project: Project) -> dict[str, Any] | None:
    """Return the result of the project's study as JSON values, with its findings in words; None unless it is closed.

    Keys: `values` as in `study.analysis.result.Result`, `notes` (what a reader must know first), and `findings`, a
    list of {question, title, verdict, claim, not_claimed}.
    """
    from study.analysis.findings import BLINDING_TITLE, TITLES, findings

    store = open_study(project)
    if store is None or store.status().state != "closed":
        return None
    result = study_result(project)
    described = [
        {**asdict(finding), "title": TITLES.get(finding.question, BLINDING_TITLE)}
        for finding in findings(result.values)
    ]
    return {"values": result.values, "notes": list(result.notes), "findings": described}


def served_study(workspace: Workspace) -> Store:
    """Return the study that participants see: the live one, else the newest; raises StudyError if there is none."""
    from study import StudyError

    stores = [store for name in workspace.projects() if (store := open_study(workspace.project(name)))]
    if not stores:
        raise StudyError("there is no study yet; create one in the Study tab")
    return max(stores, key=_live_then_newest)


def _live_then_newest(store: Store) -> tuple[bool, str]:
    status = store.status()
    return status.state == "live", status.created_at


def _has_every_method(image_set: ImageSet, index: int) -> bool:
    return all((index, method) in image_set.files for method in METHODS)


def _dataset_image(project: Project, item: Item) -> Path:
    return project.dataset / f"{item.id}.png"


def _held_out_item(project: Project, dataset: Dataset, name: str) -> Item:
    item = dataset.by_landmark(name)
    if item is None:
        raise StudioError(f"the dataset has no landmark {name!r}; choose one of its landmarks")
    if item.split != "validation":
        raise StudioError(
            f"both methods were trained on {item.landmark}; choose a landmark that was held out for validation"
        )
    if datasets.source_photo(project, item) is None:
        raise StudioError(f"{item.landmark} has no photo; a study shows a photo beside the images")
    return item


def _other_landmarks(dataset: Dataset, landmarks: Sequence[str]) -> list[tuple[str, Item]]:
    """Return (role, item) of originals of other landmarks, held-out ones first, one per landmark."""
    study_landmarks = {name.casefold() for name in landmarks}
    one_each = {item.landmark.casefold(): item for item in reversed(dataset.items)}
    others = [item for name, item in one_each.items() if name not in study_landmarks]
    others.sort(key=lambda item: (item.split != "validation", item.id))
    roles = ["reference"] * REFERENCES + ["practice"] * PRACTICE
    if len(others) < len(roles):
        raise StudioError(
            f"the dataset has {len(others)} landmarks besides the five of the study; {len(roles)} are needed for the "
            "style sheet and the practice trials, so import more images"
        )
    return list(zip(roles, others))
