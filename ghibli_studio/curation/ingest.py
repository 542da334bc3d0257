"""Photographs into a collection: from a folder, ZIPs, single files, the bundled ones, the painter's landmarks.

They are added to what is there. What cannot be used is listed with the reason, and everything else is kept, also where
this is stopped in the middle.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from filelock import FileLock, Timeout

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.caption_files import Problem, Sidecars, is_list
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Photo
from ghibli_studio.curation.prompts import name_from_file
from ghibli_studio.data.captions import clean
from ghibli_studio.data.file_source import MAX_FILES, FilesShelf, Shelf, open_shelf
from ghibli_studio.data.importer import OTHER_PICTURES
from ghibli_studio.data.sample_dataset import LANDMARK_COUNT, draw_photograph, drawn
from ghibli_studio.imaging.image_io import SUFFIXES, open_image
from ghibli_studio.imaging.perceptual_hash import groups, look
from ghibli_studio.miniature.photo_credits import PHOTOGRAPHS as BUNDLED
from ghibli_studio.miniature.photo_credits import credits_of
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.files import explain_os_error, make_folder, write_plain
from ghibli_studio.workspace.project import Project

Source = Path | Sequence[Path] | Literal["photographs", "landmarks"]
PAINTED = "the painter of Ghibli Studio"
WRITING_SHARE = 0.05  # of the time may go into writing the list, which grows with what is in it


@dataclass
class _Basket:
    """Photographs on their way into a collection: each is looked at once, and written down with others."""

    project: Project
    collection: Collection
    waiting: list[Photo] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Every file that was looked at this time: what was wrong with it before is forgotten."""
    named_after_files: int = 0
    again: int = 0

    def __post_init__(self):
        photos = self.collection.photos
        self.known = {photo.sha256: (photo.id, photo.original) for photo in photos}
        self.number = max((int(photo.id) for photo in photos), default=0)
        self.written, self.cost = time.monotonic(), 0.1

    def add(self, data: bytes, original: str, words: dict[str, str], credit: str = "") -> None:
        """Take a photograph in, unless it is there already; raises StudioError for what is none."""
        digest = hashlib.sha256(data).hexdigest()
        if digest in self.known:
            id, other = self.known[digest]
            if other == original:
                self.again += 1
                return
            raise StudioError(f"{original} is the same file as {other} (photograph {id}); it is taken once")
        image = open_image(data, original)
        likeness, brightness = look(image)
        if not any(words.values()) and (name := name_from_file(PurePosixPath(original).stem)):
            words = {"name": name}
            self.named_after_files += 1
        self.number += 1
        id = f"{self.number:04d}"
        self.known[digest] = id, original
        file = id + PurePosixPath(original).suffix.lower()
        write_plain(self.project.collection.source(file), data)
        self.waiting.append(
            Photo(id, file, original, digest, *image.size, likeness, brightness, **words, credit=credit)
        )
        if time.monotonic() - self.written > self.cost / WRITING_SHARE:
            self.write()

    def leave_out(self, file: str, reason: str) -> None:
        """Note a file that cannot be used, and why."""
        self.problems.append({"file": clean(file), "reason": clean(reason)})

    def write(self, notes: Sequence[str] | None = None) -> None:
        """Put what is waiting into the collection, and with notes the rest of the story."""
        began = time.monotonic()
        arrived, self.waiting = self.waiting, []

        def with_news(collection: Collection) -> Collection:
            collection = replace(collection, photos=(*collection.photos, *arrived))
            if notes is None:
                return collection
            told = {problem["file"] for problem in self.problems}
            old = [one for one in collection.problems if one["file"] not in self.seen | told]
            return replace(collection, problems=(*old, *self.problems), notes=tuple(notes))

        collections.change(self.project, with_news)
        self.written = time.monotonic()
        self.cost = self.written - began


def gather(
    project: Project, source: Source, base_model: str | None = None, *, count: int = LANDMARK_COUNT, seed: int = 0
) -> Iterator[Progress]:
    """Add photographs to the project's collection, which is made where there is none, for `base_model`.

    The source is a folder, a ZIP, several files (ZIPs among them), "photographs" (the 45 bundled ones) or "landmarks"
    (`count` drawn ones; `seed` decides their scenes). Words beside the pictures fill the prompts (see `sidecars`).
    Without `base_model` it is the collection's, or the miniature. Raises StudioError where there is nothing to gather;
    what is wrong with single files stands in `Collection.problems`, and what was decided in `notes`.
    """
    with _gathering(project), ExitStack() as stack:
        places, problems = ([], []) if source == "landmarks" else _places(stack, source)
        there = collections.load(project).base_model if collections.exists(project) else MINIATURE
        basket = _Basket(project, collections.begin(project, base_model or there), problems=problems)
        try:
            if source == "landmarks":
                yield from _paint(basket, count, seed)
            else:
                yield from _take(basket, places, credits_of() if source == "photographs" else {})
        finally:  # also where the page was closed: what is here is kept
            others = [name for place in places for name in place.others] if source != "photographs" else []
            basket.write(_notes(basket, others))


class _Place:
    """One shelf, sorted by what its files are."""

    def __init__(self, shelf: Shelf, doubtful: Iterable[str] = ()):
        self.shelf, self.names = shelf, shelf.names()
        self.doubtful = set(doubtful)
        """Stems that several files of the choice share a name with: nobody knows whose their words are."""
        if len(self.names) > MAX_FILES:
            raise StudioError(f"a folder or ZIP holds more than {MAX_FILES} files; split it")
        low = {name: name.lower() for name in self.names}
        self.pictures = [name for name in self.names if low[name].endswith(SUFFIXES)]
        self.unreadable = [name for name in self.names if low[name].endswith(OTHER_PICTURES)]
        known = {*self.pictures, *self.unreadable}
        self.others = [
            name for name in self.names if name not in known and not is_list(name) and not low[name].endswith(".txt")
        ]


def _places(stack: ExitStack, source: Path | Sequence[Path] | str) -> tuple[list[_Place], list[Problem]]:
    """The source's shelves, open, and which of several could not be opened; raises StudioError if there is nothing.

    Of a choice of files each folder or ZIP is a shelf, and so are the rest; files that share a name, which a browser
    sends where they came from several folders, stand on shelves of their own.
    """
    source = BUNDLED if source == "photographs" else source
    chosen = [source] if isinstance(source, Path) else list(source)
    single = [path for path in chosen if path.is_file() and not zipfile.is_zipfile(path)]
    places, problems = [], []
    for path in (path for path in chosen if path not in single):
        try:
            places.append(_Place(stack.enter_context(open_shelf(path))))
        except StudioError as error:
            if len(chosen) == 1:
                raise
            problems.append({"file": clean(path.name), "reason": clean(str(error))})
    rounds: list[dict[str, Path]] = []
    times: Counter[str] = Counter()
    for path in single:
        if times[path.name] == len(rounds):
            rounds.append({})
        rounds[times[path.name]][path.name] = path
        times[path.name] += 1
    doubtful = {PurePosixPath(name).stem for name, count in times.items() if count > 1}
    places += [_Place(FilesShelf(list(files.values())), doubtful) for files in rounds]
    if not any(place.pictures or place.unreadable for place in places):
        files = sum(len(place.names) for place in places)
        where = f"{source} holds" if isinstance(source, Path) else f"the {len(chosen)} chosen files hold"
        reasons = "".join(f". {problem['reason']}" for problem in problems[:3])
        raise StudioError(f"{where} no picture ({files} files); pictures end in {', '.join(SUFFIXES)}{reasons}")
    return places, problems


def _take(basket: _Basket, places: list[_Place], credits: dict[str, str]) -> Iterator[Progress]:
    """Everything that lies on the shelves."""
    total = sum(len(place.pictures) for place in places)
    done = 0
    for place in places:
        basket.seen |= {clean(name) for name in place.names}
        for name in place.unreadable:
            basket.leave_out(name, f"{name} is of a kind that cannot be read; save it as PNG, JPEG or WebP")
        sidecars = Sidecars(place.shelf, place.names)
        for name in place.pictures:
            words = sidecars.words(name)
            if words and PurePosixPath(name).stem in place.doubtful:
                words = {}
                basket.leave_out(
                    name,
                    f"several files are called like {name}, so it is kept without a prompt; it is "
                    "not known whose the words are",
                )
            try:
                basket.add(place.shelf.read(name), clean(name), words, credits.get(name, ""))
            except StudioError as error:
                basket.leave_out(name, str(error))
            done += 1
            yield Progress(done, total, f"reading {clean(PurePosixPath(name).name)}")
        basket.problems += sidecars.problems


def _paint(basket: _Basket, count: int, seed: int) -> Iterator[Progress]:
    """The painter's landmarks, as photographs."""
    for done, (words, data) in enumerate(drawn(draw_photograph, count, seed, basket.collection.resolution), 1):
        basket.add(data, f"{words['name']} (drawn, seed {seed}).png", words, PAINTED)
        yield Progress(done, count, f"drawing {words['name']}")


def _notes(basket: _Basket, others: list[str]) -> list[str]:
    """What was decided on the person's behalf, and what they should look at."""
    notes = []
    if basket.again:
        notes.append(f"{basket.again} photographs were there already.")
    if basket.named_after_files:
        notes.append(f"{basket.named_after_files} photographs are named after their files; look these names over.")
    if others:
        listed = ", ".join(clean(name) for name in others[:5]) + (", ..." if len(others) > 5 else "")
        notes.append(f"{len(others)} files are neither pictures nor captions and were not looked at: {listed}.")
    photos = (*collections.load(basket.project).photos, *basket.waiting)
    if alike := groups({photo.id: photo.likeness for photo in photos}):
        listed = "; ".join(", ".join(group[:6]) for group in alike[:5]) + ("; ..." if len(alike) > 5 else "")
        notes.append(
            f"{len(alike)} groups of photographs look alike ({listed}); they stay on one side of the split, or reject "
            "all but one of each."
        )
    return notes


@contextmanager
def _gathering(project: Project) -> Iterator[None]:
    """Be the only one who adds photographs, since each gets the next number."""
    make_folder(project.collection.folder)
    lock = FileLock(project.collection.gathering_lock, thread_local=False)  # several threads drive a page's generator
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise StudioError(f"project {project.name!r} is getting photographs just now; wait until it is done") from error
    except OSError as error:
        raise explain_os_error(error, project.collection.gathering_lock) from error
    try:
        yield
    finally:
        lock.release()
