"""What is said of each photograph: the paper's template, the gauge of tokens, and changes to many at once.

How words come from files and go into them is `sidecars` and `prompt_files`.
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
from ghibli_studio.curation.photos import WORDS, Photo
from ghibli_studio.data.captions import clean, landmark_of
from ghibli_studio.models.description import describe
from ghibli_studio.models.tokenizer import load_tokenizer
from ghibli_studio.workspace.project import Project

COMMA = re.compile(r"\s*,(?!\d)\s*")  # 1,000 steps are one thing
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
CAMERA = {
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
class Gauge:
    """How full a prompt is once a method has put its trigger behind it."""

    tokens: int
    """Of the prompt with start and end, the longest trigger added."""
    limit: int
    """Tokens that the base model reads."""

    @property
    def share(self) -> float:
        """0 (empty) to 1 (full); more is over the limit."""
        return self.tokens / self.limit

    @property
    def over(self) -> int:
        """Tokens that the base model would not read."""
        return max(0, self.tokens - self.limit)


def compose(photo: Photo) -> str:
    """`<name>, <location>, <description>, <composition>`, as the painter's captions are; what is empty is left out."""
    parts = (getattr(photo, word).strip(" ,") for word in WORDS)
    return ", ".join(part for part in parts if part)


def parse(caption: str) -> dict[str, str]:
    """The parts of a prompt by its commas, such that `compose` gives it back; what cannot be told is description.

    The name stands first; places are the parts after it that begin with a capital; a last part that names a view is the
    composition.
    """
    parts = [part for part in COMMA.split(clean(caption)) if part]
    words = dict.fromkeys(WORDS, "")
    if len(parts) > 1 and len(parts[0]) <= MAX_NAME and len(parts[0].split()) <= MAX_NAME_WORDS:
        words["name"] = parts.pop(0)
        places = 0
        while places < min(len(parts), MAX_PLACES) and _is_place(parts[places]):
            places += 1
        words["location"] = ", ".join(parts[:places])
        parts = parts[places:]
    if parts and VIEW.search(parts[-1]) and len(parts[-1].split()) <= MAX_VIEW_WORDS:
        words["composition"] = parts.pop()
    words["description"] = ", ".join(parts)
    return words


def _is_place(part: str) -> bool:
    return part[0].isupper() and len(part.split()) <= MAX_PLACE_WORDS


def name_from_file(stem: str) -> str:
    """A landmark's name where the file seems to be called after it; empty for what cameras and downloads write."""
    words = re.split(r"[\W_]+", landmark_of("", stem))
    if any(word.casefold() in CAMERA for word in words) or re.fullmatch(r"[0-9a-fA-F-]{8,}", stem):
        return ""
    name = " ".join(word for word in words if word)
    whole = len(name) <= MAX_NAME and len(name.split()) <= MAX_NAME_WORDS
    return name if whole and sum(letter.isalpha() for letter in name) >= 2 else ""


def gauges(collection: Collection, photos: Sequence[Photo] | None = None) -> list[Gauge]:
    """The gauge of each photograph, or of those given."""
    chosen = collection.photos if photos is None else photos
    extra, limit = _extra(collection.base_model), collection.token_limit
    counts = _counts(collection.base_model, tuple(compose(photo) for photo in chosen))
    return [Gauge(count + extra, limit) for count in counts]


@lru_cache(maxsize=32)  # a page asks again for the prompts that it shows
def _counts(base_model: str, prompts: tuple[str, ...]) -> list[int]:
    if not prompts:
        return []
    encoded = load_tokenizer(base_model)(list(prompts), truncation=False, verbose=False)
    return [len(ids) for ids in encoded.input_ids]


@lru_cache(maxsize=4)
def _extra(base_model: str) -> int:
    """Tokens of the longest of the methods' triggers and the base model's words for its plain style."""
    tokenizer = load_tokenizer(base_model)
    plain = describe(base_model).plain_caption("a")
    extra = [len(tokenizer(plain).input_ids) - len(tokenizer("a").input_ids)]
    for name, module in registry.methods().items():
        extra.append(registry.build(name, module.SETTINGS()).trigger_tokens(tokenizer))
    return max(extra)


def set_words(project: Project, ids: Iterable[str] | None, **words: str) -> Collection:
    """Set parts of the prompts of several photographs; all of them without ids."""
    return _each(project, ids, words, lambda old, name: words[name])


def append_words(project: Project, ids: Iterable[str] | None, field: str, text: str) -> Collection:
    """Put words behind a part of the prompts of several photographs, where they do not end in them."""
    text = clean(text)
    return _each(project, ids, [field], lambda old, _: old if old.endswith(text) else _behind(old, text))


def _behind(old: str, text: str) -> str:
    return f"{old}{text}" if not old or text.startswith(",") else f"{old} {text}"


def replace_words(
    project: Project, ids: Iterable[str] | None, find: str, replacement: str, fields: Iterable[str] = WORDS
) -> Collection:
    """Replace words as they are written (no pattern) in parts of the prompts of several photographs."""
    if not find:
        raise StudioError("the words to find are empty; say which words to replace")
    return _each(project, ids, fields, lambda old, _: old.replace(find, replacement))


def _each(project: Project, ids: Iterable[str] | None, fields: Iterable[str], new: Any) -> Collection:
    """Change parts of the prompts of several photographs in one go; `new` makes a part from the old one."""
    fields = list(fields)
    if unknown := [name for name in fields if name not in WORDS]:
        raise StudioError(f"a prompt has no part {unknown[0]!r}; its parts are {', '.join(WORDS)}")

    def edited(collection: Collection) -> Collection:
        changes = {
            photo.id: {name: new(getattr(photo, name), name) for name in fields} for photo in collection.select(ids)
        }
        return collections.with_changes(collection, changes)

    return collections.change(project, edited)
