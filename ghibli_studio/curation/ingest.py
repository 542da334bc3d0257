"""Photos into a collection: from a folder, ZIPs, single files, the bundled photos or the painter's landmarks.

Photos are added to the existing ones. Files that cannot be used are listed with the reason; the others are kept, even
if the import is stopped halfway.
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

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.caption_files import CaptionFiles, SkippedFile, is_caption_list
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import PROMPT_PARTS, Photo
from ghibli_studio.curation.prompts import name_from_file
from ghibli_studio.data.captions import clean
from ghibli_studio.data.file_source import MAX_FILES, FileSource, UploadSource, open_source
from ghibli_studio.data.importer import UNSUPPORTED_SUFFIXES
from ghibli_studio.data.sample_dataset import LANDMARK_COUNT, render_landmarks, render_photo
from ghibli_studio.imaging.image_io import SUFFIXES, open_image
from ghibli_studio.imaging.perceptual_hash import hash_and_brightness, near_duplicate_groups
from ghibli_studio.miniature.photo_credits import PHOTOS as BUNDLED_PHOTOS
from ghibli_studio.miniature.photo_credits import read_credits
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.plotting.formatting import pluralize
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.files import file_lock, write_plain
from ghibli_studio.workspace.project import Project

Source = Path | Sequence[Path] | Literal["photos", "landmarks"]
PAINTER_CREDIT = "the painter of Ghibli Studio"
MAX_WRITING_SHARE = 0.05  # of the time may go into writing the collection, which grows with its photos


@dataclass
class _Ingestion:
    """Photos being added to a collection: each is checked once, and the collection is written every so often."""

    project: Project
    collection: Collection
    pending: list[Photo] = field(default_factory=list)
    """Photos that are not yet in `collection.json`."""
    skipped: list[SkippedFile] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Every file that was checked this time; earlier problems with these are forgotten."""
    named_after_files: int = 0
    already_present: int = 0

    def __post_init__(self) -> None:
        photos = self.collection.photos
        self.known_hashes = {photo.sha256: (photo.id, photo.original) for photo in photos}
        self.number = max((int(photo.id) for photo in photos), default=0)
        self.last_written, self.write_seconds = time.monotonic(), 0.1

    def add(self, data: bytes, original: str, parts: dict[str, str], credit: str = "") -> None:
        """Add a photo unless it is already present; raises StudioError for a duplicate or an unreadable image."""
        digest = hashlib.sha256(data).hexdigest()
        if digest in self.known_hashes:
            id, other = self.known_hashes[digest]
            if other == original:
                self.already_present += 1
                return
            raise StudioError(f"{original} is the same file as {other} (photo {id}); it is added only once")
        image = open_image(data, original)
        perceptual_hash, brightness = hash_and_brightness(image)
        if not any(parts.values()) and (name := name_from_file(PurePosixPath(original).stem)):
            parts = {"name": name}
            self.named_after_files += 1
        self.number += 1
        id = f"{self.number:04d}"
        self.known_hashes[digest] = id, original
        file = id + PurePosixPath(original).suffix.lower()
        write_plain(self.project.collection.source(file), data)
        name, location, description, composition = (parts.get(part, "") for part in PROMPT_PARTS)
        self.pending.append(
            Photo(
                id,
                file,
                original,
                digest,
                *image.size,
                perceptual_hash,
                brightness,
                name,
                location,
                description,
                composition,
                credit=credit,
            )
        )
        if time.monotonic() - self.last_written > self.write_seconds / MAX_WRITING_SHARE:
            self.write()

    def skip(self, file: str, reason: str) -> None:
        """Note a file that cannot be used, and the reason."""
        self.skipped.append({"file": clean(file), "reason": clean(reason)})

    def write(self, notes: Sequence[str] | None = None) -> None:
        """Write the pending photos to the collection, and with `notes` also the skipped files."""
        started = time.monotonic()
        added, self.pending = self.pending, []

        def with_added(collection: Collection) -> Collection:
            collection = replace(collection, photos=(*collection.photos, *added))
            if notes is None:
                return collection
            new = {skipped["file"] for skipped in self.skipped}
            old = [skipped for skipped in collection.skipped if skipped["file"] not in self.seen | new]
            return replace(collection, skipped=(*old, *self.skipped), notes=tuple(notes))

        collections.change(self.project, with_added)
        self.last_written = time.monotonic()
        self.write_seconds = self.last_written - started


def add_photos(
    project: Project, source: Source, base_model: str | None = None, *, count: int = LANDMARK_COUNT, seed: int = 0
) -> Iterator[Progress]:
    """Add photos to the project's collection for `base_model`; the collection is created if there is none.

    The source is a folder, a ZIP, several files (also ZIPs), "photos" (the 45 bundled ones) or "landmarks" (`count`
    painted ones; `seed` determines their scenes). Captions beside the images become prompts (see `caption_files`).
    Without `base_model`, the collection's base model or the miniature is used. Raises StudioError if the source has no
    image; problems with single files are in `Collection.skipped`, automatic decisions in `Collection.notes`.
    """
    with _ingest_lock(project), ExitStack() as stack:
        sources: list[_SortedSource] = []
        skipped: list[SkippedFile] = []
        if source != "landmarks":
            sources, skipped = _open_sources(stack, source)
        current = collections.load(project).base_model if collections.exists(project) else MINIATURE
        ingestion = _Ingestion(project, collections.load_or_create(project, base_model or current), skipped=skipped)
        try:
            if source == "landmarks":
                yield from _ingest_painted(ingestion, count, seed)
            else:
                yield from _ingest_files(ingestion, sources, read_credits() if source == "photos" else {})
        finally:  # also if the page was closed: the photos so far are kept
            others = [name for one in sources for name in one.others] if source != "photos" else []
            ingestion.write(_notes(ingestion, others))


class _SortedSource:
    """The files of one source, sorted by what they are."""

    def __init__(self, source: FileSource, ambiguous: Iterable[str] = ()):
        self.source, self.names = source, source.names()
        self.ambiguous = set(ambiguous)
        """Stems that several chosen files share, so that it is unclear which one a caption belongs to."""
        if len(self.names) > MAX_FILES:
            raise StudioError(f"a folder or ZIP has more than {MAX_FILES} files; split it")
        low = {name: name.lower() for name in self.names}
        self.images = [name for name in self.names if low[name].endswith(SUFFIXES)]
        self.unsupported = [name for name in self.names if low[name].endswith(UNSUPPORTED_SUFFIXES)]
        image_names = {*self.images, *self.unsupported}
        self.others = [
            name
            for name in self.names
            if name not in image_names and not is_caption_list(name) and not low[name].endswith(".txt")
        ]


def _open_sources(
    stack: ExitStack, source: Path | Sequence[Path] | str
) -> tuple[list[_SortedSource], list[SkippedFile]]:
    """Return the opened sources, and those of several that cannot be opened; raises StudioError if there is no image.

    Each folder or ZIP is a source, and all single files together are one. Files with the same name, which a browser
    sends if they come from several folders, go into separate sources.
    """
    chosen = [BUNDLED_PHOTOS] if isinstance(source, str) else [source] if isinstance(source, Path) else list(source)
    single = [path for path in chosen if path.is_file() and not zipfile.is_zipfile(path)]
    sources: list[_SortedSource] = []
    skipped: list[SkippedFile] = []
    for path in (path for path in chosen if path not in single):
        try:
            sources.append(_SortedSource(stack.enter_context(open_source(path))))
        except StudioError as error:
            if len(chosen) == 1:
                raise
            skipped.append({"file": clean(path.name), "reason": clean(str(error))})
    groups: list[dict[str, Path]] = []
    times: Counter[str] = Counter()
    for path in single:
        if times[path.name] == len(groups):
            groups.append({})
        groups[times[path.name]][path.name] = path
        times[path.name] += 1
    ambiguous = {PurePosixPath(name).stem for name, count in times.items() if count > 1}
    sources += [_SortedSource(UploadSource(list(files.values())), ambiguous) for files in groups]
    if not any(one.images or one.unsupported for one in sources):
        files = sum(len(one.names) for one in sources)
        where = f"the {len(chosen)} chosen files have" if not isinstance(source, Path) else f"{source} has"
        reasons = "".join(f". {problem['reason']}" for problem in skipped[:3])
        raise StudioError(f"{where} no image ({files} files); images end in {', '.join(SUFFIXES)}{reasons}")
    return sources, skipped


def _ingest_files(ingestion: _Ingestion, sources: list[_SortedSource], credits: dict[str, str]) -> Iterator[Progress]:
    """Add every image of the sources."""
    total = sum(len(one.images) for one in sources)
    done = 0
    for one in sources:
        ingestion.seen |= {clean(name) for name in one.names}
        for name in one.unsupported:
            ingestion.skip(name, f"{name} has an unsupported format; save it as PNG, JPEG or WebP")
        caption_files = CaptionFiles(one.source, one.names)
        for name in one.images:
            parts = caption_files.read(name)
            if parts and PurePosixPath(name).stem in one.ambiguous:
                parts = {}
                ingestion.skip(
                    name,
                    f"several files are named {name}, so its caption may belong to another one; it is added without "
                    "a prompt",
                )
            try:
                ingestion.add(one.source.read(name), clean(name), parts, credits.get(name, ""))
            except StudioError as error:
                ingestion.skip(name, str(error))
            done += 1
            yield Progress(done, total, f"reading {clean(PurePosixPath(name).name)}")
        ingestion.skipped += caption_files.skipped


def _ingest_painted(ingestion: _Ingestion, count: int, seed: int) -> Iterator[Progress]:
    """Add the painter's landmarks as photos."""
    resolution = ingestion.collection.resolution
    for done, (parts, data) in enumerate(render_landmarks(render_photo, count, seed, resolution), 1):
        ingestion.add(data, f"{parts['name']} (painted, seed {seed}).png", parts, PAINTER_CREDIT)
        yield Progress(done, count, f"painting {parts['name']}")


def _notes(ingestion: _Ingestion, others: list[str]) -> list[str]:
    """Return what was decided automatically and should be checked."""
    notes = []
    if ingestion.already_present:
        notes.append(f"{pluralize(ingestion.already_present, 'photo')} already in the collection.")
    if ingestion.named_after_files:
        notes.append(f"{pluralize(ingestion.named_after_files, 'photo')} named after the file; check the names.")
    if others:
        listed = ", ".join(clean(name) for name in others[:5]) + (", ..." if len(others) > 5 else "")
        notes.append(f"{pluralize(len(others), 'file')} ignored, neither image nor caption: {listed}.")
    photos = (*collections.load(ingestion.project).photos, *ingestion.pending)
    if groups := near_duplicate_groups({photo.id: photo.perceptual_hash for photo in photos}):
        listed = "; ".join(", ".join(group[:6]) for group in groups[:5]) + ("; ..." if len(groups) > 5 else "")
        notes.append(
            f"{pluralize(len(groups), 'group')} of near duplicates ({listed}); each group stays on one side of the "
            "split, or reject all but one of its photos."
        )
    return notes


@contextmanager
def _ingest_lock(project: Project) -> Iterator[None]:
    """Hold the lock for adding photos, since each photo gets the next number."""
    taken = f"photos are being added to project {project.name!r} right now; wait until that is done"
    with file_lock(project.collection.ingest_lock, taken):
        yield
