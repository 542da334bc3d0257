"""Captions in files beside the images: `<stem>.txt`, `captions.txt`, `metadata.jsonl` of an imagefolder, CSV.

A caption file that cannot be read is listed as skipped; its images are added without a prompt.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from adapters.settings import StudioError
from ghibli_studio.curation.photos import PROMPT_PARTS
from ghibli_studio.curation.prompts import parse
from ghibli_studio.data.captions import MAX_CHARACTERS, clean
from ghibli_studio.data.file_source import FileSource
from ghibli_studio.data.folder_layout import strip_trigger
from ghibli_studio.data.importer import image_keys, listed_key

FILE_COLUMNS = ("file_name", "file", "filename", "image", "path")
TEXT_COLUMNS = ("text", "caption", "prompt")
LIST_SUFFIXES = (".csv", ".jsonl")
FORMULA = re.compile(r"'+[=+\-@]")

PromptParts = dict[str, str]
"""The parts of a prompt by name, or `{"text": prompt}`."""
SkippedFile = dict[str, str]
"""`{"file": ..., "reason": ...}`."""


class CaptionFiles:
    """The captions that a source has for its images, and the caption files that cannot be read."""

    def __init__(self, source: FileSource, names: list[str]):
        self.skipped: list[SkippedFile] = []
        self._source, self._names = source, set(names)
        self._listed: dict[str, PromptParts] = {}
        for name in names:
            if is_caption_list(name):
                try:
                    for file, parts in read_rows(read_text(source, name), name):
                        self._listed[listed_key(name, file)] = parts
                except StudioError as error:
                    self.skipped.append({"file": clean(name), "reason": clean(str(error))})

    def read(self, image: str) -> PromptParts:
        """Return the prompt parts of an image: from the nearest list, else from the text beside it; empty if none."""
        try:
            for key in image_keys(image):
                if key in self._listed:
                    return _check_length(to_parts(self._listed[key]), image)
            beside = PurePosixPath(image).with_suffix(".txt").as_posix()
            if beside in self._names and not is_caption_list(beside):
                return _check_length(parse(strip_trigger(image, read_text(self._source, beside))), image)
        except StudioError as error:
            self.skipped.append({"file": clean(image), "reason": clean(f"{error}; it is added without a prompt")})
        return {}


def is_caption_list(name: str) -> bool:
    """Return whether a file is a list of captions."""
    return PurePosixPath(name).name.lower() == "captions.txt" or name.lower().endswith(LIST_SUFFIXES)


def read_rows(text: str, name: str) -> Iterator[tuple[str, PromptParts]]:
    """Yield the file and the caption of every row of a list: the parts of a prompt, or `{"text": prompt}`.

    Raises StudioError with the line for a row that has none.
    """
    if name.lower().endswith(".csv"):
        yield from _from_csv(text, name)
    elif name.lower().endswith(".jsonl"):
        yield from _from_jsonl(text, name)
    else:
        for number, line in enumerate(text.splitlines(), 1):
            file, bar, caption = line.partition("|")
            if bar:
                yield file.strip(), {"text": caption}
            elif line.strip():
                raise StudioError(f"line {number} of {name} is {line[:60]!r}; it must be file|caption")


def _from_csv(text: str, name: str) -> Iterator[tuple[str, PromptParts]]:
    table = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = {(column or "").strip().casefold(): column for column in table.fieldnames or ()}
        if not any(column in columns for column in FILE_COLUMNS):
            raise StudioError(f"{name} has no column file_name; add one with the image of each row")
        for row in table:
            values = {low: unescape(row[column] or "") for low, column in columns.items()}
            yield _file(values, f"line {table.line_num} of {name}"), _prompt_parts(values)
    except csv.Error as error:
        raise StudioError(f"line {table.line_num} of {name} is not CSV ({error}); save it as CSV again") from error


def _from_jsonl(text: str, name: str) -> Iterator[tuple[str, PromptParts]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StudioError(f"line {number} of {name} is not JSON ({error}); write one object per line") from error
        if not isinstance(row, dict):
            raise StudioError(f'line {number} of {name} is not an object; write {{"file_name": ..., "text": ...}}')
        values = {key.casefold(): value for key, value in row.items() if isinstance(value, str)}
        yield _file(values, f"line {number} of {name}"), _prompt_parts(values)


def _file(row: dict[str, str], where: str) -> str:
    for column in FILE_COLUMNS:
        if row.get(column):
            return row[column].strip()
    raise StudioError(f"{where} names no file; fill in its file_name")


def _prompt_parts(row: dict[str, str]) -> PromptParts:
    """Return the parts of a row if it has any, else the whole prompt."""
    parts = {part: clean(row.get(part, "")) for part in PROMPT_PARTS}
    if any(parts.values()):
        return parts
    text = next((row[column] for column in TEXT_COLUMNS if row.get(column)), "")
    trigger = clean(row.get("trigger", ""))  # an exported list names the trigger, which is not part of the prompt
    return {"text": clean(text).removesuffix(f", {trigger}") if trigger else text}


def to_parts(parts: PromptParts) -> PromptParts:
    """Return the parts of a prompt, parsed if they are `{"text": prompt}`."""
    return parse(parts["text"]) if "text" in parts else parts


def _check_length(parts: PromptParts, image: str) -> PromptParts:
    for name, text in parts.items():
        if len(text) > MAX_CHARACTERS:
            raise StudioError(f"the {name} of {image} has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    return parts


def read_text(source: FileSource, name: str) -> str:
    """Return a file as text; raises StudioError if it is not UTF-8."""
    try:
        return source.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudioError(f"{name} is not UTF-8 text; save it as UTF-8") from error


def escape(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula (OWASP, "CSV Injection"); `unescape` reverses it."""
    return f"'{cell}" if FORMULA.match(f"'{cell}") else cell


def unescape(cell: str) -> str:
    """Return the cell that was passed to `escape`."""
    return cell[1:] if FORMULA.match(cell) else cell
