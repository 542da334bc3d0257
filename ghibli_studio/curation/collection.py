"""The photos of a project on their way to a dataset, with prompts, crops and stylized images: `collection.json`.

How photos are added is in `ingest`, prompts in `prompts`, checks in `review`, and the dataset is built in `build`.
Every change is completely written to disk before the function returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.curation.photos import EDITABLE, PROMPT_PARTS, Attempt, Photo, State, edited
from ghibli_studio.data.file_source import read_file
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.models.description import describe
from ghibli_studio.workspace.files import explain_os_error, file_lock, read_json, write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


__all__ = [
    "EDITABLE",
    "PROMPT_PARTS",
    "Attempt",
    "Collection",
    "Photo",
    "State",
    "add_attempt",
    "apply_edits",
    "change",
    "edit",
    "edit_many",
    "edited",
    "exists",
    "load",
    "load_or_create",
    "load_photo",
    "remove",
    "save",
    "save_stylization_settings",
    "write_lock",
]

VERSION = 1
LOCK_TIMEOUT_SECONDS = 20.0  # changes are short, but another process may be writing thousands of photos


@dataclass(frozen=True)
class Collection:
    """All photos, and the base model that they are prepared for."""

    base_model: str
    resolution: int
    """Side of the training images, px."""
    token_limit: int
    """Tokens of a prompt that the base model reads, start and end included."""
    photos: tuple[Photo, ...] = ()
    skipped: tuple[dict[str, str], ...] = ()
    """Files that were not added: `{"file": ..., "reason": ...}`."""
    notes: tuple[str, ...] = ()
    """What was decided automatically, in sentences."""
    stylization: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the last batch (`config.StylizationSettings`) as plain values."""

    def photo(self, id: str) -> Photo:
        """Return the photo with this id; raises StudioError with the range of ids."""
        for photo in self.photos:
            if photo.id == id:
                return photo
        ids = f"the ids go from {self.photos[0].id} to {self.photos[-1].id}" if self.photos else "add photos first"
        raise StudioError(f"there is no photo {id!r}; {ids}")

    def select(self, ids: Iterable[str] | None) -> list[Photo]:
        """Return the photos with these ids in the collection's order, or all; raises StudioError for an unknown id."""
        if ids is None:
            return list(self.photos)
        selected = set(ids)
        photos = [photo for photo in self.photos if photo.id in selected]
        for id in sorted(selected - {photo.id for photo in photos}):
            self.photo(id)
        return photos


def exists(project: Project) -> bool:
    """Return whether the project has a collection."""
    return project.collection.file.exists()


def load(project: Project) -> Collection:
    """Return the project's collection, cached until its file changes; raises StudioError if missing or damaged."""
    path = project.collection.file
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise StudioError(
            f"project {project.name!r} has no photos yet; add some in the Dataset tab, or with: "
            f"ghibli-studio curate add {project.name!r} FOLDER"
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return _parsed(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)  # the page reads it for every page of its table, and a collection is immutable
def _parsed(path: Path, inode: int, size: int, modified: int) -> Collection:
    try:
        stored = read_json(path)
        if stored.pop("version", None) != VERSION:
            raise StudioError(f"{path} has a version other than {VERSION}; add the photos again")
        photos = []
        for values in stored.pop("photos"):
            attempts = tuple(
                Attempt(**{**attempt, "center": tuple(attempt["center"])}) for attempt in values.pop("attempts")
            )
            photos.append(Photo(**{**values, "attempts": attempts, "center": tuple(values["center"])}))
        skipped, notes = tuple(stored.pop("skipped")), tuple(stored.pop("notes"))
        return Collection(photos=tuple(photos), skipped=skipped, notes=notes, **stored)
    except (AttributeError, KeyError, TypeError) as error:
        raise StudioError(f"{path} is damaged ({error}); add the photos again") from error


def save(project: Project, collection: Collection) -> Collection:
    """Write the collection all at once, one photo per line; call it only inside `write_lock`."""
    plain = {**vars(collection), "version": VERSION}
    del plain["photos"]
    head = json.dumps(plain, ensure_ascii=False, indent=1).rstrip("}\n")
    lines = (
        json.dumps({**vars(photo), "attempts": [vars(attempt) for attempt in photo.attempts]}, ensure_ascii=False)
        for photo in collection.photos
    )
    write_atomic(project.collection.file, head + ',\n "photos": [\n' + ",\n".join(lines) + "\n ]\n}\n")
    return collection


@contextmanager
def write_lock(project: Project) -> Iterator[None]:
    """Hold the lock for changing the collection; raises StudioError if it is not free within the timeout."""
    taken = f"another user is changing the photos of project {project.name!r}; try again in a minute"
    with file_lock(project.collection.lock, taken, LOCK_TIMEOUT_SECONDS):
        yield


def load_or_create(project: Project, base_model: str) -> Collection:
    """Return the project's collection, set to this base model; an empty one is created if there is none."""
    description = describe(base_model)
    with write_lock(project):
        collection = load(project) if exists(project) else None
        model_id, resolution, token_limit = description.model_id, description.resolution, description.token_limit
        if collection is None:
            collection = Collection(model_id, resolution, token_limit)
        else:
            current = (collection.base_model, collection.resolution, collection.token_limit)
            if current == (model_id, resolution, token_limit):
                return collection
            collection = replace(collection, base_model=model_id, resolution=resolution, token_limit=token_limit)
        project.register()
        return save(project, collection)


def change(project: Project, how: Callable[[Collection], Collection]) -> Collection:
    """Read, change and write the collection under the lock, so that no other change is lost."""
    with write_lock(project):
        return save(project, how(load(project)))


def edit(project: Project, id: str, **changes: Any) -> Collection:
    """Edit fields of one photo (those in EDITABLE); raises StudioError for a bad value or an unknown id."""
    return edit_many(project, {id: changes})


def edit_many(project: Project, changes: Mapping[str, Mapping[str, Any]]) -> Collection:
    """Edit fields of several photos, `id -> {field: value}`, all of them or none."""
    return change(project, lambda collection: apply_edits(collection, changes))


def apply_edits(collection: Collection, changes: Mapping[str, Mapping[str, Any]]) -> Collection:
    """Return the collection with fields of some photos changed."""
    collection.select(changes)
    return replace(
        collection,
        photos=tuple(edited(photo, changes[photo.id]) if photo.id in changes else photo for photo in collection.photos),
    )


def add_attempt(project: Project, id: str, attempt: Attempt) -> Collection:
    """Append a stylized image to the attempts of its photo; raises StudioError if its file is missing."""
    if not project.collection.stylized(attempt.file).is_file():
        raise StudioError(f"{project.collection.stylized(attempt.file)} is missing; write the image first")

    def added(collection: Collection) -> Collection:
        collection.photo(id)
        return replace(
            collection,
            photos=tuple(
                replace(photo, attempts=(*photo.attempts, attempt)) if photo.id == id else photo
                for photo in collection.photos
            ),
        )

    return change(project, added)


def save_stylization_settings(project: Project, stylization: Mapping[str, Any]) -> Collection:
    """Save the settings of a batch for later batches."""
    return change(project, lambda collection: replace(collection, stylization=dict(stylization)))


def remove(project: Project, ids: Iterable[str]) -> Collection:
    """Remove photos with their files and stylized images."""
    removed: list[Photo] = []

    def without(collection: Collection) -> Collection:
        removed.extend(collection.select(ids))
        removed_ids = {photo.id for photo in removed}
        return replace(collection, photos=tuple(photo for photo in collection.photos if photo.id not in removed_ids))

    collection = change(project, without)
    for photo in removed:  # last: a kill in between leaves unlisted files, never listed photos without files
        project.collection.source(photo.file).unlink(missing_ok=True)
        for attempt in photo.attempts:
            project.collection.stylized(attempt.file).unlink(missing_ok=True)
    return collection


def load_photo(project: Project, photo: Photo) -> Image.Image:
    """Return the photo's image, upright RGB."""
    return open_image(read_file(project.collection.source(photo.file), photo.original), photo.original)
