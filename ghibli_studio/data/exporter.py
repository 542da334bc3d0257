"""Exports the project's dataset: as a folder, for the `datasets` library, for kohya's sd-scripts, or as a ZIP.

`importer` reads all of these back; `folder_layout` reads what they hold besides images and captions.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from adapters.base import with_trigger
from adapters.settings import StudioError
from ghibli_studio.config.export import DatasetExportSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item, Split
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.files import explain_os_error, make_folder, write_plain
from ghibli_studio.workspace.project import Project

Write = Callable[[str, bytes], None]
"""Writes a file: takes a relative name with forward slashes, and the bytes."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a ZIP; a fixed one, so that the same content gives the same bytes
FOLDER_NAME = re.compile(r'[^\x00-\x1f<>:"/\\|?*]*[^\x00-\x1f<>:"/\\|?*. ]')
"""Names of folders that are valid on Windows, too."""


def default_target(project: Project, settings: DatasetExportSettings) -> Path:
    """Return the default target of an export: `exports/<project>-<layout>` in the project's folder."""
    return project.export(f"{project.name}-{settings.layout}{'.zip' if settings.zipped else ''}")


def export(project: Project, settings: DatasetExportSettings, target: Path | None = None) -> Iterator[Progress]:
    """Write the dataset to a new folder or ZIP, all or nothing; without a target, replace `default_target`.

    Raises StudioError if the target exists already, and for an image that differs from the manifest.
    """
    dataset = datasets.load(project)
    files = _names(dataset, settings)
    if target is not None:
        refuse_existing(target)
    path = target or default_target(project, settings)
    with (atomic_zip if settings.zipped else atomic_folder)(path, overwrite=target is None) as write:
        for name, data in _listings(dataset, settings, files):
            write(name, data)
        for done, item in enumerate(dataset.items, 1):
            write(files[item.id], datasets.image_bytes(project, item))
            if settings.sources:
                write(f"sources/{item.source}", _source(project, item))
            yield Progress(done, len(dataset.items), f"writing {item.id}.png")


def _names(dataset: Dataset, settings: DatasetExportSettings) -> dict[str, str]:
    """Return id -> relative name of the image in this layout."""
    if settings.layout == "folder":
        return {item.id: f"{item.id}.png" for item in dataset.items}
    if settings.layout == "imagefolder":
        return {item.id: f"{item.split}/{item.id}.png" for item in dataset.items}
    words = " ".join(part for part in (settings.trigger.strip(), settings.class_word.strip()) if part)
    if not FOLDER_NAME.fullmatch(words):
        raise StudioError(
            f"{words!r} cannot be the name of kohya's folder; set trigger or class_word to letters, digits and spaces"
        )
    # validation images are never repeated
    repeats = {"train": settings.repeats, "validation": 1}
    return {item.id: f"{item.split}/{repeats[item.split]}_{words}/{item.id}.png" for item in dataset.items}


def _listings(dataset: Dataset, settings: DatasetExportSettings, files: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every file that is not an image."""
    if settings.manifest:
        yield "manifest.json", (json.dumps(datasets.to_json(dataset), indent=1, ensure_ascii=False) + "\n").encode()
    trigger = settings.trigger.strip()
    if settings.layout == "imagefolder":
        splits: tuple[Split, ...] = ("train", "validation")
        for split in splits:
            rows = [_row(item, trigger) for item in dataset.part(split)]
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            yield f"{split}/metadata.jsonl", "".join(lines).encode()
        return
    for item in dataset.items:
        caption = item.caption if settings.layout == "folder" else with_trigger(item.caption, trigger)
        yield files[item.id].removesuffix(".png") + ".txt", f"{caption}\n".encode()
    if settings.layout == "folder":
        lists: dict[str, Split] = {"train.txt": "train", "val.txt": "validation"}
        for name, split in lists.items():
            yield name, "".join(f"{item.id}.png\n" for item in dataset.part(split)).encode()


def _row(item: Item, trigger: str) -> dict[str, str]:
    """Return a line of metadata.jsonl: `file_name` is the key of `datasets`, `text` that of diffusers' scripts."""
    row = {"file_name": f"{item.id}.png", "text": with_trigger(item.caption, trigger), "landmark": item.landmark}
    return {**row, "trigger": trigger} if trigger else row


def _source(project: Project, item: Item) -> bytes:
    path = project.sources / Path(item.source).name
    try:
        return path.read_bytes()
    except OSError as error:
        raise StudioError(f"{path} of the dataset is missing; export without sources") from error


def refuse_existing(target: Path) -> None:
    """Raise StudioError for an existing target: a user's own files are never overwritten."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise StudioError(f"{target} exists already; choose another name, or move it away")


@contextmanager
def atomic_folder(target: Path, overwrite: bool) -> Iterator[Write]:
    """Open a new folder for writing; it appears at the target once it is complete."""
    temporary = make_folder(target.absolute().parent) / f".{target.name}.{uuid4().hex}"
    try:
        yield lambda name, data: write_plain(temporary / name, data)
        _remove_previous(target, overwrite)
        temporary.rename(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_zip(target: Path, overwrite: bool) -> Iterator[Write]:
    """Open a new ZIP for writing; it appears at the target once it is complete, and equal content gives equal bytes."""
    temporary = make_folder(target.absolute().parent) / f".{target.name}.{uuid4().hex}"
    try:
        with zipfile.ZipFile(temporary, "x") as archive:

            def write(name: str, data: bytes) -> None:
                member = zipfile.ZipInfo(name, EPOCH)
                member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
                # images are compressed already, and other versions of zlib would give other bytes
                archive.writestr(member, data, zipfile.ZIP_STORED)

            yield write
        _remove_previous(target, overwrite)
        temporary.replace(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def _remove_previous(target: Path, overwrite: bool) -> None:
    """Remove a previous export if `overwrite`, else an empty folder."""
    if target.is_dir():
        shutil.rmtree(target) if overwrite else target.rmdir()
