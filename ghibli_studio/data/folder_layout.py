"""What a shelf tells about its pictures besides captions: this studio's manifest, imagefolder's list, folders' names.

Everything here comes from outside: a name is looked up among those of the shelf and never becomes a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.data.captions import clean
from ghibli_studio.data.dataset import Split
from ghibli_studio.data.file_source import Shelf

LISTING = "metadata.jsonl"
"""The list of the `datasets` library's imagefolder: a JSON object a line, with `file_name` and `text`."""
MANIFEST = "manifest.json"
SIDES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
"""What other programs call the folders of the two sides."""
KOHYA = re.compile(r"\d+_(.+)")
"""`<repeats>_<trigger> <class>`: the folder's name in kohya's sd-scripts."""
MAX_NAME = 300


@dataclass(frozen=True)
class Told:
    """What is known of a picture; None is unknown."""

    caption: str | None = None
    landmark: str | None = None
    split: Split | None = None
    source: str | None = None
    """Name in the shelf: the picture as it came, or the photograph behind a styled one."""
    original: str | None = None
    """What it was called where it came from."""


def told(shelf: Shelf, names: list[str], pictures: list[str]) -> dict[str, Told]:
    """What the shelf tells, by the names of the pictures; those that are others' sources are left out.

    Raises StudioError for a list that is no JSON; a manifest that is not this studio's tells nothing.
    """
    there = set(names)
    found = {picture: Told() for picture in pictures}
    for name in names:
        if PurePosixPath(name).name == MANIFEST:
            _read_manifest(shelf, name, there, found)
    sources = {one.source for one in found.values() if one.source}
    found = {name: one for name, one in found.items() if name not in sources or one.source == name}
    for name in names:
        if PurePosixPath(name).name == LISTING:
            _read_listing(shelf, name, found)
    return _by_folders(found)


def without_trigger(picture: str, caption: str) -> str:
    """The caption without the trigger that the name of kohya's folder begins with: it is no part of the prompt."""
    called = KOHYA.fullmatch(PurePosixPath(picture).parent.name)
    if called is None:
        return caption
    for comma in re.finditer(", ", caption):
        if f"{called[1]} ".startswith(caption[comma.end() :].strip() + " "):
            return caption[: comma.start()]
    return caption


def _read_manifest(shelf: Shelf, name: str, there: set[str], found: dict[str, Told]) -> None:
    try:
        rows = json.loads(shelf.read(name))["items"]
        by_id = {row["id"]: row for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    home = PurePosixPath(name).parent
    for picture in found:
        path = PurePosixPath(picture)
        row = by_id.get(path.stem) if home in path.parents else None
        if row is None or (home / "sources") in path.parents:
            continue
        source = _text(row, "source")
        beside = (home / "sources" / source).as_posix() if source else None
        found[picture] = Told(
            None,
            _text(row, "landmark"),
            SIDES.get(_text(row, "split") or ""),
            beside if beside in there else None,
            _text(row, "original"),
        )


def _read_listing(shelf: Shelf, name: str, found: dict[str, Told]) -> None:
    home = PurePosixPath(name).parent
    try:
        lines = shelf.read(name).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise StudioError(f"{name} is not UTF-8 text; save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            picture = (home / row["file_name"]).as_posix()
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StudioError(
                f"line {number} of {name} is {line[:60]!r}; it must be a JSON object with file_name and text"
            ) from error
        if picture in found:
            caption, trigger = _text(row, "text"), _text(row, "trigger")
            if caption and trigger:
                caption = caption.removesuffix(f", {trigger}")
            found[picture] = replace(
                found[picture], caption=caption, landmark=_text(row, "landmark") or found[picture].landmark
            )


def _by_folders(found: dict[str, Told]) -> dict[str, Told]:
    """The sides by the folders' names, if there are both and every picture is in one, and nothing else told them."""
    sides = {name: one.split or _side_of_folder(name) for name, one in found.items()}
    if set(sides.values()) != {"train", "validation"}:
        return {name: replace(one, split=None) for name, one in found.items()}
    return {name: replace(one, split=sides[name]) for name, one in found.items()}


def _side_of_folder(picture: str) -> Split | None:
    folders: Iterable[str] = PurePosixPath(picture).parts[:-1]
    return next((SIDES[folder.lower()] for folder in folders if folder.lower() in SIDES), None)


def _text(row: Any, key: str) -> str | None:
    """A row's value if it is text with something in it, on one line."""
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str):
        return None
    return (clean(value) if key == "text" else clean(value)[:MAX_NAME]) or None
