"""The generated images of a project: search, thumbnails, ZIP, deletion.

Everything about an image is read from its own metadata, so there is no index that could be out of date.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from adapters.settings import Settings, StudioError
from ghibli_studio.generation import model_choice
from ghibli_studio.generation.metadata import METADATA_KEY
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

Kind = Literal["generated", "grid", "sample", "stylized", "evaluation"]
KINDS: dict[str, str] = {
    "generated": "generated in the Generate tab",
    "grid": "X/Y plot",
    "sample": "sample of a training run",
    "stylized": "stylized photo",
    "evaluation": "evaluation",
}
"""Label of every kind of image."""
UNDELETABLE = {
    "sample": "a training run shows it",
    "stylized": "the dataset is built from it; reject it in the Dataset tab",
    "evaluation": "an evaluation was computed from it",
}
"""Why an image of this kind cannot be deleted by itself."""
PAGE_SIZE = 24
THUMBNAIL = 256
MAX_IMAGES_IN_ZIP = 1000


class Search(Settings):
    """Search terms; empty ones match every image."""

    words: str = Field(default="", max_length=500)
    """Words in the prompt, the file name or the adapter; all must match, in any order."""
    method: str = Field(default="", max_length=100)
    """base, lora, ti, or the name of another method."""
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    """The seed of the noise."""
    adapter: str = Field(default="", max_length=300)
    """Part of the adapter's file name, run or hash."""
    kind: Literal["", "generated", "grid", "sample", "stylized", "evaluation"] = ""
    """What generated the image."""
    since: date | None = None
    """First day, such as 2026-01-31."""
    until: date | None = None
    """Last day."""


@dataclass(frozen=True)
class Entry:
    """One image of the gallery."""

    id: str
    """Its path within the project, such as `images/20260131-120000/001-lora.png`."""
    file: Path
    kind: Kind
    created: datetime
    metadata: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The prompt, without the trigger."""
        return str(self.metadata.get("prompt", ""))

    @property
    def method(self) -> str:
        """`base`, or the method of the adapter."""
        return str(self.metadata.get("method", ""))

    @property
    def seed(self) -> int | None:
        """The seed of the noise."""
        return self.metadata.get("settings", {}).get("seed")

    @property
    def adapter(self) -> str:
        """File, run, epoch and hash of the adapter as one text; empty for the base model."""
        identity = self.metadata.get("adapter") or {}
        return " ".join(str(identity[key]) for key in ("file", "run", "epoch", "sha256") if identity.get(key))

    @property
    def title(self) -> str:
        """The model and the beginning of the prompt."""
        return f"{model_choice.short_label(self.method or BASE)} · {self.prompt.split(',')[0][:60] or self.file.stem}"

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values, without the full metadata."""
        return {
            "id": self.id,
            "kind": self.kind,
            "created": self.created.isoformat(timespec="seconds"),
            "prompt": self.prompt,
            "method": self.method,
            "seed": self.seed,
            "adapter": self.adapter,
            "file": str(self.file),
        }


def all_images(project: Project) -> list[Entry]:
    """Return every image that has metadata, newest first."""
    files_by_kind = project.outputs.images().items()
    entries = [
        entry for kind, files in files_by_kind for file in files if (entry := _entry(project, file, cast(Kind, kind)))
    ]
    return sorted(entries, key=lambda entry: (entry.created, entry.id), reverse=True)


def load_entry(project: Project, file: Path, kind: Kind) -> Entry:
    """Return the entry of an image file of the project; raises StudioError if it is missing or has no metadata."""
    if entry := _entry(project, file, kind):
        return entry
    raise StudioError(f"{file} is missing or has no generation metadata; generate the image again")


def _entry(project: Project, file: Path, kind: Kind) -> Entry | None:
    try:
        stat = file.stat()
    except FileNotFoundError:  # deleted in the meantime
        return None
    if (metadata := _read_metadata(file, stat.st_size, stat.st_mtime_ns)) is None:
        return None
    created = datetime.fromtimestamp(stat.st_mtime).astimezone()
    return Entry(file.relative_to(project.folder).as_posix(), file, kind, created, metadata)


@lru_cache(maxsize=50_000)
def _read_metadata(file: Path, size: int, modified: int) -> dict[str, Any] | None:
    """Return the metadata without decoding the image; None for a file that has none or cannot be read."""
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:  # the text chunk comes before the pixels
            metadata = json.loads(image.info[METADATA_KEY])
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError):
        return None
    return metadata if isinstance(metadata, dict) else None


def search(project: Project, terms: Search | None = None) -> list[Entry]:
    """Return the images that match all terms, newest first."""
    terms = terms or Search()
    if terms.since and terms.until and terms.since > terms.until:
        raise StudioError(f"since is {terms.since} and until is {terms.until}; since must not be later than until")
    return [entry for entry in all_images(project) if _matches(entry, terms)]


def _matches(entry: Entry, terms: Search) -> bool:
    text = " ".join((entry.prompt, str(entry.metadata.get("caption", "")), entry.id, entry.adapter)).casefold()
    day = entry.created.date()
    return (
        all(word in text for word in terms.words.casefold().split())
        and terms.method in ("", entry.method)
        and terms.seed in (None, entry.seed)
        and terms.adapter.casefold() in entry.adapter.casefold()
        and terms.kind in ("", entry.kind)
        and (terms.since is None or day >= terms.since)
        and (terms.until is None or day <= terms.until)
    )


def paginate(entries: Sequence[Entry], number: int, size: int = PAGE_SIZE) -> tuple[Sequence[Entry], int, int]:
    """Return (the entries of a page counted from 1, the page's number, the number of pages)."""
    pages = max(-(-len(entries) // size), 1)
    number = min(max(int(number), 1), pages)
    return entries[(number - 1) * size : number * size], number, pages


def find(project: Project, id: str) -> Entry:
    """Return the image with this id; raises StudioError if it does not exist."""
    for entry in all_images(project):
        if entry.id == id:
            return entry
    raise _missing(project, id)


def _missing(project: Project, id: str) -> StudioError:
    return StudioError(f"project {project.name!r} has no image {id!r}; it may have been deleted, so search again")


def thumbnail(project: Project, entry: Entry) -> Path:
    """Return the image's thumbnail, created on first use: WebP, at most 256 px a side."""
    from PIL import Image

    stat = entry.file.stat()
    key = hashlib.sha256(f"{entry.id} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:24]
    file = project.outputs.thumbnail(key)
    if not file.exists():
        with Image.open(entry.file, formats=["PNG"]) as image:
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=85)
        write_atomic(file, buffer.getvalue())
    return file


def remove(project: Project, ids: Iterable[str]) -> int:
    """Delete images for good; returns how many.

    Raises StudioError before anything is deleted if one is missing or belongs to a training run, an evaluation or the
    photos of a dataset.
    """
    entries = {entry.id: entry for entry in all_images(project)}
    chosen = list(dict.fromkeys(ids))
    for id in chosen:
        if id not in entries:
            raise _missing(project, id)
        if reason := UNDELETABLE.get(entries[id].kind):
            raise StudioError(f"{id} cannot be deleted by itself, because {reason}")
    for id in chosen:
        entries[id].file.unlink(missing_ok=True)
    for folder in {entries[id].file.parent for id in chosen}:
        if not any(folder.glob("*.png")):
            _remove_empty_set(folder)
    return len(chosen)


def _remove_empty_set(folder: Path) -> None:
    """Delete what is left of a set or a grid without images: `set.json`, or `grid.json` and `grid.png`, and folders."""
    grid = folder.parent if folder.name == "images" else None
    for file in (grid / "grid.json", grid / "grid.png") if grid else (folder / "set.json",):
        file.unlink(missing_ok=True)
    for empty in (folder, grid) if grid else (folder,):
        with suppress(OSError):  # it has other files
            empty.rmdir()


def zip_images(entries: Sequence[Entry]) -> bytes:
    """Return a ZIP of the image files, unchanged, with `images.json` that lists them with their metadata."""
    if not entries:
        raise StudioError("there is no image to download; search for some first")
    if len(entries) > MAX_IMAGES_IN_ZIP:
        raise StudioError(
            f"{len(entries)} images were found, and a ZIP holds at most {MAX_IMAGES_IN_ZIP}; narrow the search"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # a PNG does not compress further
        listed = [{**entry.to_dict(), "file": entry.id, "metadata": entry.metadata} for entry in entries]
        archive.writestr("images.json", json.dumps(listed, indent=1, ensure_ascii=False))
        for entry in entries:
            archive.write(entry.file, entry.id)
    return buffer.getvalue()


def reusable_settings(project: Project, entry: Entry) -> dict[str, Any]:
    """Return what generates the image again, as JSON values: `prompt`, `model` and `settings`.

    An img2img image also has `init_image` (`sha256`, `strength`). Raises StudioError if its adapter is gone.
    """
    metadata = entry.metadata
    if entry.kind == "stylized":
        raise StudioError(f"{entry.id} is a stylized photo; stylize it again in the Dataset tab, step Stylize")
    values = {name: metadata[name] for name in ("prompt", "settings")}
    start = {"init_image": metadata["init_image"]} if "init_image" in metadata else {}
    return {**values, "model": model_choice.choice_name(project, metadata), **start}
