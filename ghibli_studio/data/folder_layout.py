"""Reads what a file source holds besides captions: this studio's manifest, imagefolder's metadata, folder names.

All of this comes from outside: a name is looked up among those of the source and never becomes a path.
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
from ghibli_studio.data.file_source import FileSource

LISTING = "metadata.jsonl"
"""The metadata of `datasets`' imagefolder: one JSON object per line, with `file_name` and `text`."""
MANIFEST = "manifest.json"
SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
"""Names that other programs give to the folders of the two splits."""
KOHYA = re.compile(r"\d+_(.+)")
"""`<repeats>_<trigger> <class>`: the name of a folder in kohya's sd-scripts."""
MAX_NAME = 300


@dataclass(frozen=True)
class ImageInfo:
    """What a source says about an image; None is unknown."""

    caption: str | None = None
    landmark: str | None = None
    split: Split | None = None
    source: str | None = None
    """Name in the file source: the uncropped image, or the photo behind a stylized one."""
    original: str | None = None
    """Original file name."""


def read_layout(source: FileSource, names: list[str], images: list[str]) -> dict[str, ImageInfo]:
    """Return what the source says about each image, by name; source images of other images are left out.

    Raises StudioError for a metadata.jsonl with an invalid line; a manifest of another program is ignored.
    """
    all_names = set(names)
    found = {image: ImageInfo() for image in images}
    for name in names:
        if PurePosixPath(name).name == MANIFEST:
            _read_manifest(source, name, all_names, found)
    sources = {info.source for info in found.values() if info.source}
    found = {name: info for name, info in found.items() if name not in sources or info.source == name}
    for name in names:
        if PurePosixPath(name).name == LISTING:
            _read_listing(source, name, found)
    return _split_by_folders(found)


def strip_trigger(image: str, caption: str) -> str:
    """Return the caption without the trigger that the name of kohya's folder starts with."""
    folder = KOHYA.fullmatch(PurePosixPath(image).parent.name)
    if folder is None:
        return caption
    for comma in re.finditer(", ", caption):
        if f"{folder[1]} ".startswith(caption[comma.end() :].strip() + " "):
            return caption[: comma.start()]
    return caption


def _read_manifest(source: FileSource, name: str, all_names: set[str], found: dict[str, ImageInfo]) -> None:
    try:
        rows = json.loads(source.read(name))["items"]
        by_id = {row["id"]: row for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    folder = PurePosixPath(name).parent
    for image in found:
        path = PurePosixPath(image)
        row = by_id.get(path.stem) if folder in path.parents else None
        if row is None or (folder / "sources") in path.parents:
            continue
        source_name = _text(row, "source")
        source_path = (folder / "sources" / source_name).as_posix() if source_name else None
        found[image] = ImageInfo(
            None,
            _text(row, "landmark"),
            SPLITS.get(_text(row, "split") or ""),
            source_path if source_path in all_names else None,
            _text(row, "original"),
        )


def _read_listing(source: FileSource, name: str, found: dict[str, ImageInfo]) -> None:
    folder = PurePosixPath(name).parent
    try:
        lines = source.read(name).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise StudioError(f"{name} is not UTF-8 text; save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            image = (folder / row["file_name"]).as_posix()
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StudioError(
                f"line {number} of {name} is {line[:60]!r}; it must be a JSON object with file_name and text"
            ) from error
        if image in found:
            caption, trigger = _text(row, "text"), _text(row, "trigger")
            if caption and trigger:
                caption = caption.removesuffix(f", {trigger}")
            landmark = _text(row, "landmark") or found[image].landmark
            found[image] = replace(found[image], caption=caption, landmark=landmark)


def _split_by_folders(found: dict[str, ImageInfo]) -> dict[str, ImageInfo]:
    """Set missing splits from folder names; unless every image has one and there are both, no split is set."""
    splits = {name: info.split or _split_of_folder(name) for name, info in found.items()}
    if set(splits.values()) != {"train", "validation"}:
        return {name: replace(info, split=None) for name, info in found.items()}
    return {name: replace(info, split=splits[name]) for name, info in found.items()}


def _split_of_folder(image: str) -> Split | None:
    folders: Iterable[str] = PurePosixPath(image).parts[:-1]
    return next((SPLITS[folder.lower()] for folder in folders if folder.lower() in SPLITS), None)


def _text(row: Any, key: str) -> str | None:
    """Return a row's value on one line if it is non-empty text."""
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str):
        return None
    return (clean(value) if key == "text" else clean(value)[:MAX_NAME]) or None
