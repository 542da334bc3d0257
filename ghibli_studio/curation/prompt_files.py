"""Prompts out of a collection and in again: `.txt` files, `metadata.jsonl` of an imagefolder, a table in CSV.

The table has the parts of each prompt, the others the whole prompt; what comes back unchanged changes nothing.
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
from ghibli_studio.curation.caption_files import Problem, Words, escape, is_list, parts, read_text, rows
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import WORDS, Photo, changed
from ghibli_studio.curation.prompts import compose
from ghibli_studio.data.captions import clean
from ghibli_studio.data.file_source import FilesShelf, Shelf, open_shelf
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

COLUMNS = ("file_name", "original", *WORDS)


def to_csv(collection: Collection) -> str:
    """A row for each photograph with the parts of its prompt; no cell is a formula to a spreadsheet."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for photo in collection.photos:
        table.writerow([photo.file, *(escape(getattr(photo, column)) for column in COLUMNS[1:])])
    return text.getvalue()


def to_jsonl(collection: Collection) -> str:
    """One object a line with `file_name` and `text`, as the imagefolder of the `datasets` library reads it."""
    lines = ({"file_name": photo.file, "text": compose(photo)} for photo in collection.photos)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def to_texts(collection: Collection) -> dict[str, str]:
    """`<id>.txt` -> the prompt."""
    return {f"{photo.id}.txt": compose(photo) + "\n" for photo in collection.photos}


def write_prompts(project: Project, target: Path) -> Path:
    """Write all prompts: `.csv`, `.jsonl`, a `.zip` of `.txt` files, or a folder of them; returns the target.

    The same prompts give the same bytes. Raises StudioError for another ending and where the place may not be written.
    """
    collection = collections.load(project)
    ending = target.suffix.lower()
    if ending == ".csv":
        write_atomic(target, to_csv(collection))
    elif ending == ".jsonl":
        write_atomic(target, to_jsonl(collection))
    elif ending == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in to_texts(collection).items():
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)  # of 1980, whenever it is written
        write_atomic(target, packed.getvalue())
    elif not ending and not target.is_file():
        for name, text in to_texts(collection).items():
            write_atomic(target / name, text)
    else:
        raise StudioError(f"{target} ends in {ending or 'nothing'!r}; give .csv, .jsonl, .zip, or a folder")
    return target


def read_prompts(project: Project, source: Path | Sequence[Path]) -> tuple[Collection, list[Problem]]:
    """Take prompts over from a CSV, a `.jsonl`, `.txt` files, or a folder or ZIP of such; and what was not used, why.

    A row or text file names its photograph by id, by file in the collection, or by the name that it came with.
    """
    chosen = [source] if isinstance(source, Path) else list(source)
    if missing := [path for path in chosen if not path.exists()]:
        raise StudioError(f"{missing[0]} does not exist; give a CSV, a .jsonl, or .txt files, maybe in a folder or ZIP")
    single = len(chosen) != 1 or chosen[0].suffix.lower() in (".csv", ".jsonl", ".txt")
    if not single:
        with open_shelf(chosen[0]) as shelf:
            return _take_over(project, *_read(shelf))
    return _take_over(project, *_read(FilesShelf(chosen)))


def _read(shelf: Shelf) -> tuple[list[tuple[str, Words]], list[Problem]]:
    """What is called how, and its words; lists and texts that cannot be read are told."""
    found, problems = [], []
    for name in shelf.names():
        try:
            if is_list(name):
                found += rows(read_text(shelf, name), name)
            elif name.lower().endswith(".txt"):
                found.append((PurePosixPath(name).stem, {"text": read_text(shelf, name)}))
        except StudioError as error:
            problems.append({"file": clean(name), "reason": clean(str(error))})
    return found, problems


def _take_over(
    project: Project, found: list[tuple[str, Words]], problems: list[Problem]
) -> tuple[Collection, list[Problem]]:
    def edited(collection: Collection) -> Collection:
        exact, loose = _names(collection)
        changes: dict[str, Words] = {}
        for name, words in found:
            photos = exact.get(name) or loose.get(name, [])
            try:
                if len(photos) != 1:
                    many = f"{len(photos)} photographs are called so; name it by its id"
                    raise StudioError(many if photos else "no photograph is called so; name it by its id, such as 0001")
                photo = photos[0]
                if "text" in words and clean(words["text"]) == compose(photo):
                    continue  # nothing new: the parts stay as somebody sorted them
                changed(photo, parts(words))
                changes[photo.id] = parts(words)
            except StudioError as error:
                problems.append({"file": clean(name), "reason": clean(f"{name}: {error}")})
        return collections.with_changes(collection, changes)

    return collections.change(project, edited), problems


def _names(collection: Collection) -> tuple[dict[str, list[Photo]], dict[str, list[Photo]]]:
    """Photographs by id and file, which are unique, and by what they were called where they came from."""
    exact, loose = defaultdict(list), defaultdict(list)
    for photo in collection.photos:
        exact[photo.id].append(photo)
        exact[photo.file].append(photo)
        path = PurePosixPath(photo.original)
        for name in {photo.original, path.name, path.stem}:
            loose[name].append(photo)
    return exact, loose
