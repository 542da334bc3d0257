"""A data set in the making: photographs with their prompts, crops and styled pictures, none of it final.

How photographs get in is `gathering`, what the prompts say is `prompts`, what is wrong is `checking`, and how it
becomes the project's data set is `finishing`. Every change is on disk, whole, before the function returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from adapters.settings import StudioError
from ghibli_studio.curation.photos import EDITABLE, WORDS, Attempt, Photo, State, changed
from ghibli_studio.data.file_source import read_plain
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.models.description import describe
from ghibli_studio.workspace.files import explain_os_error, make_folder, read_json, write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


__all__ = [
    "EDITABLE",
    "WORDS",
    "Attempt",
    "Collection",
    "Photo",
    "State",
    "add_attempt",
    "begin",
    "change",
    "changed",
    "changing",
    "edit",
    "edit_many",
    "exists",
    "load",
    "picture",
    "remove",
    "save",
    "set_style",
    "with_changes",
]

VERSION = 1
PATIENCE_SECONDS = 20.0  # changes are short, but somebody may be writing thousands of photographs


@dataclass(frozen=True)
class Collection:
    """All photographs, and what they are for."""

    base_model: str
    resolution: int
    """Side of the pictures to learn from, px."""
    token_limit: int
    """Tokens of a prompt that the base model reads, start and end included."""
    photos: tuple[Photo, ...] = ()
    problems: tuple[dict[str, str], ...] = ()
    """Files that were left out: `{"file": ..., "reason": ...}`."""
    notes: tuple[str, ...] = ()
    """What was decided on the person's behalf, in sentences."""
    style: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the whole batch (`config.StyleSettings`), as plain values."""

    def photo(self, id: str) -> Photo:
        """The photograph of that id; raises StudioError with the ids there are."""
        for photo in self.photos:
            if photo.id == id:
                return photo
        there = f"they go from {self.photos[0].id} to {self.photos[-1].id}" if self.photos else "there is none yet"
        raise StudioError(f"there is no photograph {id!r}; {there}")

    def select(self, ids: Iterable[str] | None) -> list[Photo]:
        """The photographs of these ids in the collection's order, or all; raises StudioError for an unknown id."""
        if ids is None:
            return list(self.photos)
        wanted = set(ids)
        found = [photo for photo in self.photos if photo.id in wanted]
        for id in sorted(wanted - {photo.id for photo in found}):
            self.photo(id)
        return found


def exists(project: Project) -> bool:
    """Whether the project has a collection."""
    return project.collection.file.exists()


def load(project: Project) -> Collection:
    """The project's collection; raises StudioError where there is none or it is damaged. Read anew only if changed."""
    path = project.collection.file
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise StudioError(
            f"project {project.name!r} has no photographs yet; add some in the Data set tab, or with: "
            f"python -m ghibli_studio gather {project.name!r} FOLDER"
        ) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return _parsed(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)  # a page asks for every page of its table, and nothing in a collection can be changed in place
def _parsed(path: Path, inode: int, size: int, modified: int) -> Collection:
    try:
        stored = read_json(path)
        if stored.pop("version", None) != VERSION:
            raise StudioError(f"{path} is of another version than {VERSION}; gather the photographs again")
        photos = []
        for one in stored.pop("photos"):
            attempts = tuple(
                Attempt(**{**attempt, "center": tuple(attempt["center"])}) for attempt in one.pop("attempts")
            )
            photos.append(Photo(**{**one, "attempts": attempts, "center": tuple(one["center"])}))
        lists = {name: tuple(stored.pop(name)) for name in ("problems", "notes")}
        return Collection(photos=tuple(photos), **lists, **stored)
    except (AttributeError, KeyError, TypeError) as error:
        raise StudioError(f"{path} is damaged ({error}); gather the photographs again") from error


def save(project: Project, collection: Collection) -> Collection:
    """Write the collection, all or nothing, one photograph a line. Only within `changing`."""
    plain = {**vars(collection), "version": VERSION}
    del plain["photos"]
    head = json.dumps(plain, ensure_ascii=False, indent=1).rstrip("}\n")
    lines = (
        json.dumps({**vars(photo), "attempts": [vars(one) for one in photo.attempts]}, ensure_ascii=False)
        for photo in collection.photos
    )
    write_atomic(project.collection.file, head + ',\n "photos": [\n' + ",\n".join(lines) + "\n ]\n}\n")
    return collection


@contextmanager
def changing(project: Project) -> Iterator[None]:
    """Hold the right to change the collection; waits a little, then raises StudioError if another keeps it."""
    make_folder(project.collection.folder)
    lock = FileLock(project.collection.lock, thread_local=False)  # a page's generator is driven by several threads
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout as error:
        raise StudioError(
            f"the photographs of project {project.name!r} are being changed by somebody else; try again in a minute"
        ) from error
    except OSError as error:
        raise explain_os_error(error, project.collection.lock) from error
    try:
        yield
    finally:
        lock.release()


def begin(project: Project, base_model: str) -> Collection:
    """The project's collection, for this base model; an empty one is made where there is none."""
    description = describe(base_model)
    with changing(project):
        collection = load(project) if exists(project) else None
        size = (description.spec, description.resolution, description.token_limit)
        if collection and (collection.base_model, collection.resolution, collection.token_limit) == size:
            return collection
        collection = (
            replace(collection, base_model=size[0], resolution=size[1], token_limit=size[2])
            if collection
            else Collection(*size)
        )
        project.register()
        return save(project, collection)


def change(project: Project, how: Callable[[Collection], Collection]) -> Collection:
    """Read, change and write in one go, so that nobody's change is lost."""
    with changing(project):
        return save(project, how(load(project)))


def edit(project: Project, id: str, **changes: Any) -> Collection:
    """Change fields of one photograph (those in EDITABLE); raises StudioError for bad values and an unknown id."""
    return edit_many(project, {id: changes})


def edit_many(project: Project, changes: Mapping[str, Mapping[str, Any]]) -> Collection:
    """Change fields of several photographs, `id -> {field: value}`, all of them or none."""
    return change(project, lambda collection: with_changes(collection, changes))


def with_changes(collection: Collection, changes: Mapping[str, Mapping[str, Any]]) -> Collection:
    """The collection with fields of some photographs changed."""
    collection.select(changes)
    return replace(
        collection,
        photos=tuple(
            changed(photo, changes[photo.id]) if photo.id in changes else photo for photo in collection.photos
        ),
    )


def add_attempt(project: Project, id: str, attempt: Attempt) -> Collection:
    """Put a styled picture behind the others of its photograph; its file must be there."""
    if not project.collection.styled(attempt.file).is_file():
        raise StudioError(f"{project.collection.styled(attempt.file)} is not there; write the picture first")

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


def set_style(project: Project, style: Mapping[str, Any]) -> Collection:
    """Remember the settings of the whole batch."""
    return change(project, lambda collection: replace(collection, style=dict(style)))


def remove(project: Project, ids: Iterable[str]) -> Collection:
    """Take photographs out, with their files and styled pictures."""
    gone: list[Photo] = []

    def without(collection: Collection) -> Collection:
        gone.extend(collection.select(ids))
        known = {photo.id for photo in gone}
        return replace(collection, photos=tuple(photo for photo in collection.photos if photo.id not in known))

    collection = change(project, without)
    for photo in gone:  # afterwards: a kill in between leaves files that nobody names, never names without files
        project.collection.source(photo.file).unlink(missing_ok=True)
        for attempt in photo.attempts:
            project.collection.styled(attempt.file).unlink(missing_ok=True)
    return collection


def picture(project: Project, photo: Photo) -> Image.Image:
    """The photograph, upright RGB."""
    return open_image(read_plain(project.collection.source(photo.file), photo.original), photo.original)
