"""Prompts of photos: the paper's template, token counts, and edits of many at once.

Prompts are read from files in `caption_files` and `prompt_files`, and written in `prompt_files`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import PROMPT_PARTS, Photo
from ghibli_studio.data.captions import clean, landmark_of
from ghibli_studio.models.description import describe
from ghibli_studio.models.tokenizer import load_tokenizer
from ghibli_studio.workspace.project import Project

COMMA = re.compile(r"\s*,(?!\d)\s*")  # the comma in 1,000 separates nothing
MAX_NAME = 60
MAX_NAME_WORDS = 8
MAX_PLACE_WORDS = 4
MAX_PLACES = 3
VIEW = re.compile(
    r"\b(shot|view|angle|close-up|closeup|perspective|off-cent(re|er)|portrait|panorama|skyline|from (above|below|the "
    r"air|afar|inside|behind))\b",
    re.IGNORECASE,
)
MAX_VIEW_WORDS = 6
CAMERA_WORDS = {
    "img",
    "image",
    "dsc",
    "dscn",
    "dscf",
    "pxl",
    "mvi",
    "photo",
    "pic",
    "picture",
    "scan",
    "screenshot",
    "foto",
    "untitled",
    "file",
    "frame",
}


@dataclass(frozen=True)
class TokenUsage:
    """Tokens of a prompt with the longest trigger, and the token limit."""

    tokens: int
    """Tokens of the prompt with start and end, plus the longest trigger."""
    limit: int
    """Tokens that the base model reads."""

    @property
    def share(self) -> float:
        """Share of the limit: 0 (empty) to 1 (full); more is over the limit."""
        return self.tokens / self.limit

    @property
    def over(self) -> int:
        """Tokens over the limit, which the base model would not read."""
        return max(0, self.tokens - self.limit)


def compose(photo: Photo) -> str:
    """Return `<name>, <location>, <description>, <composition>`, like the painter's captions, without empty parts."""
    parts = (getattr(photo, name).strip(" ,") for name in PROMPT_PARTS)
    return ", ".join(part for part in parts if part)


def parse(caption: str) -> dict[str, str]:
    """Return the parts of a prompt, split at its commas, so that `compose` gives the prompt back.

    The name is the first part; the location is the following parts that begin with a capital letter; the composition is
    a last part that names a view; the description is the rest.
    """
    parts = [part for part in COMMA.split(clean(caption)) if part]
    result = dict.fromkeys(PROMPT_PARTS, "")
    if len(parts) > 1 and len(parts[0]) <= MAX_NAME and len(parts[0].split()) <= MAX_NAME_WORDS:
        result["name"] = parts.pop(0)
        places = 0
        while places < min(len(parts), MAX_PLACES) and _is_place(parts[places]):
            places += 1
        result["location"] = ", ".join(parts[:places])
        parts = parts[places:]
    if parts and VIEW.search(parts[-1]) and len(parts[-1].split()) <= MAX_VIEW_WORDS:
        result["composition"] = parts.pop()
    result["description"] = ", ".join(parts)
    return result


def _is_place(part: str) -> bool:
    return part[0].isupper() and len(part.split()) <= MAX_PLACE_WORDS


def name_from_file(stem: str) -> str:
    """Return the landmark that a file seems to be named after; empty for names from cameras and downloads."""
    words = re.split(r"[\W_]+", landmark_of("", stem))
    if any(word.casefold() in CAMERA_WORDS for word in words) or re.fullmatch(r"[0-9a-fA-F-]{8,}", stem):
        return ""
    name = " ".join(word for word in words if word)
    short = len(name) <= MAX_NAME and len(name.split()) <= MAX_NAME_WORDS
    return name if short and sum(letter.isalpha() for letter in name) >= 2 else ""


def token_usage(collection: Collection, photos: Sequence[Photo] | None = None) -> list[TokenUsage]:
    """Return the token usage of each photo, or of those given."""
    chosen = collection.photos if photos is None else photos
    extra, limit = _extra_tokens(collection.base_model), collection.token_limit
    counts = _token_counts(collection.base_model, tuple(compose(photo) for photo in chosen))
    return [TokenUsage(count + extra, limit) for count in counts]


@lru_cache(maxsize=32)  # the page asks again for the prompts that it shows
def _token_counts(base_model: str, prompts: tuple[str, ...]) -> list[int]:
    if not prompts:
        return []
    encoded = load_tokenizer(base_model)(list(prompts), truncation=False, verbose=False)
    return [len(ids) for ids in encoded.input_ids]


@lru_cache(maxsize=4)
def _extra_tokens(base_model: str) -> int:
    """Return the tokens of the longest trigger of all methods, or of the base model's style suffix if longer."""
    tokenizer = load_tokenizer(base_model)
    prompt = describe(base_model).base_prompt("a")
    extra = [len(tokenizer(prompt).input_ids) - len(tokenizer("a").input_ids)]
    for name, module in registry.methods().items():
        extra.append(registry.build(name, module.SETTINGS()).trigger_tokens(tokenizer))
    return max(extra)


def set_parts(project: Project, ids: Iterable[str] | None, **parts: str) -> Collection:
    """Set parts of the prompts of several photos; of all photos without ids."""
    return _edit_parts(project, ids, parts, lambda old, name: parts[name])


def append_text(project: Project, ids: Iterable[str] | None, field: str, text: str) -> Collection:
    """Append text to a part of the prompts of several photos, unless it already ends in it."""
    text = clean(text)
    return _edit_parts(project, ids, [field], lambda old, _: old if old.endswith(text) else _append(old, text))


def _append(old: str, text: str) -> str:
    return f"{old}{text}" if not old or text.startswith(",") else f"{old} {text}"


def find_and_replace(
    project: Project, ids: Iterable[str] | None, find: str, replacement: str, fields: Iterable[str] = PROMPT_PARTS
) -> Collection:
    """Find and replace text (no pattern) in parts of the prompts of several photos."""
    if not find:
        raise StudioError("the text to find is empty; write the text to replace")
    return _edit_parts(project, ids, fields, lambda old, _: old.replace(find, replacement))


def _edit_parts(project: Project, ids: Iterable[str] | None, fields: Iterable[str], new: Any) -> Collection:
    """Edit parts of the prompts of several photos at once; `new` returns the new part for the old one and its name."""
    fields = list(fields)
    if unknown := [name for name in fields if name not in PROMPT_PARTS]:
        raise StudioError(f"a prompt has no part {unknown[0]!r}; choose one of: {', '.join(PROMPT_PARTS)}")

    def edited(collection: Collection) -> Collection:
        changes = {
            photo.id: {name: new(getattr(photo, name), name) for name in fields} for photo in collection.select(ids)
        }
        return collections.apply_edits(collection, changes)

    return collections.change(project, edited)
