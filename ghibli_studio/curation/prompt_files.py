"""Export and import of a collection's prompts: `.txt` files, `metadata.jsonl` of an imagefolder, CSV.

The CSV has the parts of each prompt, the others the whole prompt; importing an unchanged file changes nothing.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.caption_files import (
    PromptParts,
    SkippedFile,
    escape,
    is_caption_list,
    read_rows,
    read_text,
    to_parts,
)
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import PROMPT_PARTS, Photo, edited
from ghibli_studio.curation.prompts import compose
from ghibli_studio.data.captions import clean
from ghibli_studio.data.file_source import FileSource, UploadSource, open_source
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

COLUMNS = ("file_name", "original", *PROMPT_PARTS)


def to_csv(collection: Collection) -> str:
    """Return a row for each photo with the parts of its prompt; no cell is a formula for a spreadsheet."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for photo in collection.photos:
        table.writerow([photo.file, *(escape(getattr(photo, column)) for column in COLUMNS[1:])])
    return text.getvalue()


def to_jsonl(collection: Collection) -> str:
    """Return one object per line with `file_name` and `text`, as the imagefolder of the `datasets` library reads it."""
    lines = ({"file_name": photo.file, "text": compose(photo)} for photo in collection.photos)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def to_texts(collection: Collection) -> dict[str, str]:
    """Return the prompts by file name, `<id>.txt`."""
    return {f"{photo.id}.txt": compose(photo) + "\n" for photo in collection.photos}


def export_prompts(project: Project, target: Path) -> Path:
    """Write all prompts as `.csv`, `.jsonl`, a `.zip` of `.txt` files or a folder of them; returns the target.

    The same prompts give the same bytes. Raises StudioError for another suffix or if the target cannot be written.
    """
    collection = collections.load(project)
    suffix = target.suffix.lower()
    if suffix == ".csv":
        write_atomic(target, to_csv(collection))
    elif suffix == ".jsonl":
        write_atomic(target, to_jsonl(collection))
    elif suffix == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in to_texts(collection).items():
                archive.writestr(
                    zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED
                )  # dated 1980, whenever it is written
        write_atomic(target, packed.getvalue())
    elif not suffix and not target.is_file():
        for name, text in to_texts(collection).items():
            write_atomic(target / name, text)
    else:
        raise StudioError(f"{target} ends in {suffix or 'nothing'!r}; use .csv, .jsonl, .zip, or a folder")
    return target


def import_prompts(project: Project, source: Path | Sequence[Path]) -> tuple[Collection, list[SkippedFile]]:
    """Import prompts from a CSV, a `.jsonl`, `.txt` files, or a folder or ZIP of them; returns also the skipped files.

    A row or text file names its photo by id, by its file in the collection, or by its original file name.
    """
    chosen = [source] if isinstance(source, Path) else list(source)
    if missing := [path for path in chosen if not path.exists()]:
        raise StudioError(f"{missing[0]} does not exist; give a CSV, a .jsonl, .txt files, or a folder or ZIP of them")
    single = len(chosen) != 1 or chosen[0].suffix.lower() in (".csv", ".jsonl", ".txt")
    if not single:
        with open_source(chosen[0]) as opened:
            return _apply(project, *_read(opened))
    return _apply(project, *_read(UploadSource(chosen)))


def _read(source: FileSource) -> tuple[list[tuple[str, PromptParts]], list[SkippedFile]]:
    """Return (photo name, prompt parts) of every row and text, and the files that cannot be read."""
    prompts: list[tuple[str, PromptParts]] = []
    skipped: list[SkippedFile] = []
    for name in source.names():
        try:
            if is_caption_list(name):
                prompts += read_rows(read_text(source, name), name)
            elif name.lower().endswith(".txt"):
                prompts.append((PurePosixPath(name).stem, {"text": read_text(source, name)}))
        except StudioError as error:
            skipped.append({"file": clean(name), "reason": clean(str(error))})
    return prompts, skipped


def _apply(
    project: Project, prompts: list[tuple[str, PromptParts]], skipped: list[SkippedFile]
) -> tuple[Collection, list[SkippedFile]]:
    def imported(collection: Collection) -> Collection:
        exact, loose = _photos_by_name(collection)
        changes: dict[str, PromptParts] = {}
        for name, parts in prompts:
            photos = exact.get(name) or loose.get(name, [])
            try:
                if len(photos) != 1:
                    several = f"{len(photos)} photos have this name; use the photo's id"
                    raise StudioError(several if photos else "no photo has this name; use the photo's id, such as 0001")
                photo = photos[0]
                if "text" in parts and clean(parts["text"]) == compose(photo):
                    continue  # unchanged: the parts stay as the user sorted them
                edited(photo, to_parts(parts))
                changes[photo.id] = to_parts(parts)
            except StudioError as error:
                skipped.append({"file": clean(name), "reason": clean(f"{name}: {error}")})
        return collections.apply_edits(collection, changes)

    return collections.change(project, imported), skipped


def _photos_by_name(collection: Collection) -> tuple[dict[str, list[Photo]], dict[str, list[Photo]]]:
    """Return the photos by id and file, which are unique, and by original name, which is not."""
    exact: dict[str, list[Photo]] = defaultdict(list)
    loose: dict[str, list[Photo]] = defaultdict(list)
    for photo in collection.photos:
        exact[photo.id].append(photo)
        exact[photo.file].append(photo)
        path = PurePosixPath(photo.original)
        for name in {photo.original, path.name, path.stem}:
            loose[name].append(photo)
    return exact, loose
