"""Everything that was drawn in a project: found by words, method, seed, adapter and date; small copies; taken away.

A picture tells everything about itself: it is read from its own recipe, so there is no index that could be wrong.
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
from typing import Any, Literal

from pydantic import Field

from adapters.settings import Settings, StudioError
from ghibli_studio.generation import model_choice
from ghibli_studio.generation.metadata import RECIPE
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

Kind = Literal["generated", "grid", "sample", "styled", "evaluation"]
KINDS: dict[str, str] = {
    "generated": "drawn in Generate",
    "grid": "of a grid",
    "sample": "sample of a run",
    "styled": "styled photograph",
    "evaluation": "of an evaluation",
}
"""Every kind of picture, in words."""
OWNED = {
    "sample": "a run shows it in its strip",
    "styled": "the data set is made from it; reject it in the Data set tab",
    "evaluation": "an evaluation's numbers come from it",
}
"""Why a picture of that kind is not taken away by itself."""
A_PAGE = 24
THUMBNAIL = 256
MOST_PACKED = 1000


class Search(Settings):
    """What to look for; what is empty does not matter."""

    words: str = Field("", max_length=500)
    """Words that the prompt, the file's name or the adapter has; all of them, in any order."""
    method: str = Field("", max_length=100)
    """base, lora, ti, or the name of another method."""
    seed: int | None = Field(None, ge=0, lt=2**31)
    """The seed of the noise."""
    adapter: str = Field("", max_length=300)
    """Part of the adapter's file name, of its run, or of its hash."""
    kind: Literal["", "generated", "grid", "sample", "styled", "evaluation"] = ""
    """Where it was drawn."""
    since: date | None = None
    """Not older than this day, such as 2026-01-31."""
    until: date | None = None
    """Not newer than this day."""


@dataclass(frozen=True)
class Entry:
    """One picture."""

    id: str
    """Its place within the project, such as `images/20260131-120000/001-lora.png`."""
    file: Path
    kind: Kind
    made: datetime
    recipe: dict[str, Any]

    @property
    def prompt(self) -> str:
        """What was asked for, without the trigger."""
        return str(self.recipe.get("prompt", ""))

    @property
    def method(self) -> str:
        """`base`, or the method of the adapter."""
        return str(self.recipe.get("method", ""))

    @property
    def seed(self) -> int | None:
        """Of the noise."""
        return self.recipe.get("settings", {}).get("seed")

    @property
    def adapter(self) -> str:
        """File, run, epoch and hash of the adapter, in one text; empty for the base model."""
        identity = self.recipe.get("adapter") or {}
        return " ".join(str(identity[key]) for key in ("file", "run", "epoch", "sha256") if identity.get(key))

    @property
    def title(self) -> str:
        """Who drew what, in a few words."""
        return f"{model_choice.short_label(self.method or BASE)} · {self.prompt.split(',')[0][:60] or self.file.stem}"

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "made": self.made.isoformat(timespec="seconds"),
            "prompt": self.prompt,
            "method": self.method,
            "seed": self.seed,
            "adapter": self.adapter,
            "file": str(self.file),
        }


def pictures(project: Project) -> list[Entry]:
    """Every picture with a recipe, the newest first."""
    places = project.made.pictures().items()
    found = [entry for kind, files in places for file in files if (entry := _entry(project, file, kind))]
    return sorted(found, key=lambda entry: (entry.made, entry.id), reverse=True)


def entry_of(project: Project, file: Path, kind: Kind) -> Entry:
    """The picture of a file in the project; raises StudioError where it is none."""
    if entry := _entry(project, file, kind):
        return entry
    raise StudioError(f"{file} is no picture with a recipe; it was taken away, or something stripped its text")


def _entry(project: Project, file: Path, kind: Kind) -> Entry | None:
    try:
        stat = file.stat()
    except FileNotFoundError:  # taken away since
        return None
    if (recipe := _recipe(file, stat.st_size, stat.st_mtime_ns)) is None:
        return None
    made = datetime.fromtimestamp(stat.st_mtime).astimezone()
    return Entry(file.relative_to(project.folder).as_posix(), file, kind, made, recipe)


@lru_cache(maxsize=50_000)
def _recipe(file: Path, size: int, modified: int) -> dict[str, Any] | None:
    """The recipe, without decoding the picture; None for a picture that has none or cannot be read."""
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:  # the text stands before the pixels
            recipe = json.loads(image.info[RECIPE])
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError):
        return None
    return recipe if isinstance(recipe, dict) else None


def search(project: Project, wanted: Search | None = None) -> list[Entry]:
    """The pictures that have all that is asked for, the newest first."""
    wanted = wanted or Search()
    if wanted.since and wanted.until and wanted.since > wanted.until:
        raise StudioError(f"since is {wanted.since} and until {wanted.until}; since must not be the later day")
    return [entry for entry in pictures(project) if _fits(entry, wanted)]


def _fits(entry: Entry, wanted: Search) -> bool:
    text = " ".join((entry.prompt, str(entry.recipe.get("caption", "")), entry.id, entry.adapter)).casefold()
    day = entry.made.date()
    return (
        all(word in text for word in wanted.words.casefold().split())
        and wanted.method in ("", entry.method)
        and wanted.seed in (None, entry.seed)
        and wanted.adapter.casefold() in entry.adapter.casefold()
        and wanted.kind in ("", entry.kind)
        and (wanted.since is None or day >= wanted.since)
        and (wanted.until is None or day <= wanted.until)
    )


def page_of(entries: Sequence[Entry], number: int, size: int = A_PAGE) -> tuple[Sequence[Entry], int, int]:
    """(the entries of a page counted from 1, the page's number, how many pages there are)."""
    pages = max(-(-len(entries) // size), 1)
    number = min(max(int(number), 1), pages)
    return entries[(number - 1) * size : number * size], number, pages


def find(project: Project, id: str) -> Entry:
    """The picture of that id; raises StudioError for one that is not there (any longer)."""
    for entry in pictures(project):
        if entry.id == id:
            return entry
    raise StudioError(f"project {project.name!r} has no picture {id!r}; search again, it may have been taken away")


def thumbnail(project: Project, entry: Entry) -> Path:
    """A small copy, made when it is first asked for: WebP, at most 256 px."""
    from PIL import Image

    stat = entry.file.stat()
    key = hashlib.sha256(f"{entry.id} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:24]
    file = project.made.thumbnail(key)
    if not file.exists():
        with Image.open(entry.file, formats=["PNG"]) as image:
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=85)
        write_atomic(file, buffer.getvalue())
    return file


def remove(project: Project, ids: Iterable[str]) -> int:
    """Take pictures away for good; returns how many.

    Raises StudioError before anything is taken away where one is not there, or belongs to a run, to an evaluation or
    to the data set in the making, which would miss it.
    """
    known = {entry.id: entry for entry in pictures(project)}
    chosen = list(dict.fromkeys(ids))
    for id in chosen:
        if id not in known:
            raise StudioError(
                f"project {project.name!r} has no picture {id!r}; search again, it may have been taken away"
            )
        if why := OWNED.get(known[id].kind):
            raise StudioError(f"{id} is not taken away by itself, because {why}")
    for id in chosen:
        known[id].file.unlink(missing_ok=True)
    for folder in {known[id].file.parent for id in chosen}:
        if not any(folder.glob("*.png")):
            _remove_frame(folder)
    return len(chosen)


def _remove_frame(folder: Path) -> None:
    """Take away what stands around pictures that are all gone: of a set its list, of a grid the whole."""
    frame = [folder / "set.json"]
    if folder.name == "pictures":
        frame = [folder.parent / "grid.json", folder.parent / "grid.png"]
    for file in frame:
        file.unlink(missing_ok=True)
    for empty in (folder, *((folder.parent,) if folder.name == "pictures" else ())):
        with suppress(OSError):  # somebody else's file lies there
            empty.rmdir()


def pack(entries: Sequence[Entry]) -> bytes:
    """A ZIP of the pictures as they are, recipes and all, with `pictures.json`, which tells them."""
    if not entries:
        raise StudioError("there is no picture to pack; search for some first")
    if len(entries) > MOST_PACKED:
        raise StudioError(f"there are {len(entries)} pictures, at most {MOST_PACKED} are packed; search for fewer")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # a PNG does not get any smaller
        told = [{**entry.told(), "file": entry.id, "recipe": entry.recipe} for entry in entries]
        archive.writestr("pictures.json", json.dumps(told, indent=1, ensure_ascii=False))
        for entry in entries:
            archive.write(entry.file, entry.id)
    return buffer.getvalue()


def settings_again(project: Project, entry: Entry) -> dict[str, Any]:
    """What draws the picture once more, as JSON values: `prompt`, `drawer`, `settings`, and `photograph` if it began
    with one (`sha256`, `denoising_strength`). Raises StudioError where its adapter is gone.
    """
    recipe = entry.recipe
    if entry.kind == "styled":
        raise StudioError(f"{entry.id} is a styled photograph; draw it again in the Data set tab, in the step Style")
    again = {name: recipe[name] for name in ("prompt", "settings")}
    started = {"photograph": recipe["photograph"]} if "photograph" in recipe else {}
    return {**again, "drawer": model_choice.name_of(project, recipe), **started}
