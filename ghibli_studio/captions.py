"""Prompts: the template, the landmark that a prompt names, and the gauge of tokens. Nothing is cut in silence."""

from __future__ import annotations

import re
from typing import Any

MAX_CHARACTERS = 4000
JOINERS = "\u200c\u200d"  # invisible, but letters and emoji are written with them


def compose(name: str, location: str, description: str, composition: str) -> str:
    """The template `<name of landmark> <location> <description> <description of composition>`, with commas."""
    return ", ".join(part.strip() for part in (name, location, description, composition) if part.strip())


def landmark_of(caption: str, stem: str) -> str:
    """The landmark that a picture shows: the prompt up to its first comma, else the file's name without its number.

    Pictures of one landmark must not stand on both sides of the split, so an unknown one is told by its file.
    """
    head, comma, _ = caption.partition(",")
    if comma and head.strip():
        return head.strip()
    return re.sub(r"[\s_().-]*\d*[\s)]*$", "", stem) or stem


def clean(text: str) -> str:
    """One line without control characters, white space run together."""
    return " ".join("".join(c if c.isprintable() or c in JOINERS else " " for c in text).split())


def token_count(tokenizer: Any, caption: str) -> int:
    """Tokens of the caption with its start and end token, uncut."""
    return len(tokenizer(caption, truncation=False, verbose=False).input_ids)


def fit(tokenizer: Any, caption: str, limit: int) -> str:
    """The caption without its last words, as many as must go for it to have at most `limit` tokens."""
    words = caption.split()
    while words and token_count(tokenizer, " ".join(words)) > limit:
        words.pop()
    return " ".join(words).rstrip(",")
