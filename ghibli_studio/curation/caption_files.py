"""Words that lie beside pictures: `<stem>.txt`, `captions.txt`, `metadata.jsonl` of an imagefolder, CSV.

Nothing here refuses a whole shelf: a list that cannot be read is told, and the pictures are kept without it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from adapters.settings import StudioError
from ghibli_studio.curation.photos import WORDS
from ghibli_studio.curation.prompts import parse
from ghibli_studio.data.captions import MAX_CHARACTERS, clean
from ghibli_studio.data.file_source import Shelf
from ghibli_studio.data.folder_layout import without_trigger
from ghibli_studio.data.importer import listed_key, picture_keys

FILE_COLUMNS = ("file_name", "file", "filename", "image", "path")
TEXT_COLUMNS = ("text", "caption", "prompt")
LISTS = (".csv", ".jsonl")
FORMULA = re.compile(r"'+[=+\-@]")

Words = dict[str, str]
Problem = dict[str, str]


class Sidecars:
    """All words that a shelf has for its pictures, and what is wrong with the files that they stand in."""

    def __init__(self, shelf: Shelf, names: list[str]):
        self.problems: list[Problem] = []
        self._shelf, self._there, self._listed = shelf, set(names), {}
        for name in names:
            if is_list(name):
                try:
                    for file, words in rows(read_text(shelf, name), name):
                        self._listed[listed_key(name, file)] = words
                except StudioError as error:
                    self.problems.append({"file": clean(name), "reason": clean(str(error))})

    def words(self, picture: str) -> Words:
        """What is said of a picture: in a list, nearest first, else in the text beside it; empty where nothing is."""
        try:
            for key in picture_keys(picture):
                if key in self._listed:
                    return _bounded(parts(self._listed[key]), picture)
            beside = PurePosixPath(picture).with_suffix(".txt").as_posix()
            if beside in self._there and not is_list(beside):
                return _bounded(parse(without_trigger(picture, read_text(self._shelf, beside))), picture)
        except StudioError as error:
            self.problems.append({"file": clean(picture), "reason": clean(f"{error}; it is kept without a prompt")})
        return {}


def is_list(name: str) -> bool:
    """Whether a file is read as a list of words."""
    return PurePosixPath(name).name.lower() == "captions.txt" or name.lower().endswith(LISTS)


def rows(text: str, name: str) -> Iterator[tuple[str, Words]]:
    """File and words of every row of a list, the parts of a prompt or `{"text": prompt}`.

    Raises StudioError where it is none, with the line.
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


def _from_csv(text: str, name: str) -> Iterator[tuple[str, Words]]:
    table = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = {(column or "").strip().casefold(): column for column in table.fieldnames or ()}
        if not any(column in columns for column in FILE_COLUMNS):
            raise StudioError(f"{name} has no column file_name; name each row's picture in one")
        for row in table:
            plain = {low: unescape(row[column] or "") for low, column in columns.items()}
            yield _file(plain, f"line {table.line_num} of {name}"), _words(plain)
    except csv.Error as error:
        raise StudioError(f"line {table.line_num} of {name} is no CSV ({error}); save it as CSV again") from error


def _from_jsonl(text: str, name: str) -> Iterator[tuple[str, Words]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StudioError(f"line {number} of {name} is no JSON ({error}); write one object a line") from error
        if not isinstance(row, dict):
            raise StudioError(f'line {number} of {name} is no object; write {{"file_name": ..., "text": ...}}')
        plain = {key.casefold(): value for key, value in row.items() if isinstance(value, str)}
        yield _file(plain, f"line {number} of {name}"), _words(plain)


def _file(row: Words, where: str) -> str:
    for column in FILE_COLUMNS:
        if row.get(column):
            return row[column].strip()
    raise StudioError(f"{where} names no file; fill its file_name")


def _words(row: Words) -> Words:
    """The parts where there are any, else the whole prompt."""
    words = {word: clean(row.get(word, "")) for word in WORDS}
    if any(words.values()):
        return words
    text = next((row[column] for column in TEXT_COLUMNS if row.get(column)), "")
    trigger = clean(row.get("trigger", ""))  # an exported list says which words at the end are no part of the prompt
    return {"text": clean(text).removesuffix(f", {trigger}") if trigger else text}


def parts(words: Words) -> Words:
    """The parts of a prompt, whichever way it came."""
    return parse(words["text"]) if "text" in words else words


def _bounded(words: Words, picture: str) -> Words:
    for name, text in words.items():
        if len(text) > MAX_CHARACTERS:
            raise StudioError(f"the {name} of {picture} has {len(text)} characters, at most {MAX_CHARACTERS}")
    return words


def read_text(shelf: Shelf, name: str) -> str:
    """A file as text; raises StudioError for one that is not UTF-8."""
    try:
        return shelf.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudioError(f"{name} is not UTF-8 text; save it as UTF-8") from error


def escape(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"); `unescape` gives it back."""
    return f"'{cell}" if FORMULA.match(f"'{cell}") else cell


def unescape(cell: str) -> str:
    """What `escape` was given."""
    return cell[1:] if FORMULA.match(cell) else cell
