"""Caption text: one clean line, and the landmark that it names. Nothing is truncated here."""

from __future__ import annotations

import re

MAX_CHARACTERS = 4000
JOINERS = "\u200c\u200d"  # invisible, but some letters and emoji need them


def landmark_of(caption: str, stem: str) -> str:
    """Return the landmark of an image: the caption up to its first comma, else the file name without its number.

    Images of one landmark must not be in both splits; without a comma, the file name tells landmarks apart.
    """
    head, comma, _ = caption.partition(",")
    if comma and head.strip():
        return head.strip()
    return re.sub(r"[\s_().-]*\d*[\s)]*$", "", stem) or stem


def clean(text: str) -> str:
    """Return the text on one line, without control characters, with single spaces."""
    return " ".join("".join(c if c.isprintable() or c in JOINERS else " " for c in text).split())
