"""The project's data set for other programs: as a folder, for the `datasets` library, for kohya's sd-scripts, zipped.

`importing` reads all of these back; what the layouts tell beside pictures and captions is read by `layouts`.
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
from ghibli_studio.config.export import ExportSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.files import explain_os_error, make_folder, write_plain
from ghibli_studio.workspace.project import Project

Write = Callable[[str, bytes], None]
"""Takes a relative name with forward slashes, and the bytes."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day that a ZIP can tell: the same content gives the same bytes
FOLDER_NAME = re.compile(r'[^\x00-\x1f<>:"/\\|?*]*[^\x00-\x1f<>:"/\\|?*. ]')
"""What Windows, too, takes for the name of a folder."""


def default_place(project: Project, settings: ExportSettings) -> Path:
    """Where an export goes if nobody says where: `exports/<project>-<layout>` in the project's folder."""
    return project.export(f"{project.name}-{settings.layout}{'.zip' if settings.zipped else ''}")


def export(project: Project, settings: ExportSettings, target: Path | None = None) -> Iterator[Progress]:
    """Write the data set to a new folder or ZIP, all or nothing; without a target, to `default_place`, made anew.

    Raises StudioError if the target is there already, and for a picture that is not the one of the manifest.
    """
    dataset = datasets.load(project)
    files = _names(dataset, settings)
    if target is not None:
        refuse_existing(target)
    place = target or default_place(project, settings)
    with (whole_zip if settings.zipped else whole_folder)(place, ours=target is None) as write:
        for name, data in _listings(dataset, settings, files):
            write(name, data)
        for done, item in enumerate(dataset.items, 1):
            write(files[item.id], datasets.picture_bytes(project, item))
            if settings.sources:
                write(f"sources/{item.source}", _source(project, item))
            yield Progress(done, len(dataset.items), f"writing {item.id}.png")


def _names(dataset: Dataset, settings: ExportSettings) -> dict[str, str]:
    """Id -> relative name of the picture in this layout."""
    if settings.layout == "folder":
        return {item.id: f"{item.id}.png" for item in dataset.items}
    if settings.layout == "imagefolder":
        return {item.id: f"{item.split}/{item.id}.png" for item in dataset.items}
    words = " ".join(part for part in (settings.trigger.strip(), settings.class_word.strip()) if part)
    if not FOLDER_NAME.fullmatch(words):
        raise StudioError(
            f"kohya's folder cannot be called {words!r}; give a trigger or class_word of letters, digits and spaces"
        )
    # validation pictures are never repeated
    repeats = {"train": settings.repeats, "validation": 1}
    return {item.id: f"{item.split}/{repeats[item.split]}_{words}/{item.id}.png" for item in dataset.items}


def _listings(dataset: Dataset, settings: ExportSettings, files: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of everything but pictures."""
    if settings.manifest:
        yield "manifest.json", (json.dumps(datasets.to_json(dataset), indent=1, ensure_ascii=False) + "\n").encode()
    trigger = settings.trigger.strip()
    if settings.layout == "imagefolder":
        for side in ("train", "validation"):
            rows = [_row(item, trigger) for item in dataset.part(side)]
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            yield f"{side}/metadata.jsonl", "".join(lines).encode()
        return
    for item in dataset.items:
        caption = item.caption if settings.layout == "folder" else with_trigger(item.caption, trigger)
        yield files[item.id].removesuffix(".png") + ".txt", f"{caption}\n".encode()
    if settings.layout == "folder":
        for listing, side in (("train.txt", "train"), ("val.txt", "validation")):
            yield listing, "".join(f"{item.id}.png\n" for item in dataset.part(side)).encode()


def _row(item: Item, trigger: str) -> dict[str, str]:
    """A line of metadata.jsonl: `file_name` is the library's own word, `text` that of diffusers' training scripts."""
    row = {"file_name": f"{item.id}.png", "text": with_trigger(item.caption, trigger), "landmark": item.landmark}
    return {**row, "trigger": trigger} if trigger else row


def _source(project: Project, item: Item) -> bytes:
    path = project.sources / Path(item.source).name
    try:
        return path.read_bytes()
    except OSError as error:
        raise StudioError(f"{path} of the data set is missing; export without sources") from error


def refuse_existing(target: Path) -> None:
    """Nothing of a person's own is ever overwritten: it may be their only copy."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise StudioError(f"{target} is there already; choose another name, or move it away")


@contextmanager
def whole_folder(target: Path, ours: bool) -> Iterator[Write]:
    """A folder that is in its place once it is complete."""
    growing = make_folder(target.absolute().parent) / f".{target.name}.{uuid4().hex}"
    try:
        yield lambda name, data: write_plain(growing / name, data)
        _give_way(target, ours)
        growing.rename(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)


@contextmanager
def whole_zip(target: Path, ours: bool) -> Iterator[Write]:
    """A ZIP that is in its place once it is complete; no time, no owner, so that equal content gives equal bytes."""
    growing = make_folder(target.absolute().parent) / f".{target.name}.{uuid4().hex}"
    try:
        with zipfile.ZipFile(growing, "x") as archive:

            def write(name: str, data: bytes) -> None:
                member = zipfile.ZipInfo(name, EPOCH)
                member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
                # pictures are compressed already, and other versions of zlib would pack them otherwise
                archive.writestr(member, data, zipfile.ZIP_STORED)

            yield write
        _give_way(target, ours)
        growing.replace(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        growing.unlink(missing_ok=True)


def _give_way(target: Path, ours: bool) -> None:
    """Take away an earlier export from the project's own place, or a person's folder if it is empty."""
    if target.is_dir():
        shutil.rmtree(target) if ours else target.rmdir()
