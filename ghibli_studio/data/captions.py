"""Prompts: the landmark that one names, its form, and the gauge of tokens. Nothing is cut in silence."""

from __future__ import annotations

import re

MAX_CHARACTERS = 4000
JOINERS = "\u200c\u200d"  # invisible, but letters and emoji are written with them


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
