"""Prompts: the landmark that one names, its form, and the gauge of tokens. Nothing is cut in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

MAX_CHARACTERS = 4000
JOINERS = "\u200c\u200d"  # invisible, but letters and emoji are written with them
SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and ideographs, written close
WORD_END = re.compile(rf"\s|(?<=[{SPACELESS}])|(?=[{SPACELESS}])")


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
    """As much of the caption, from its start, as has at most `limit` tokens; whole words, if one fits at all.

    Every cut is counted as it is, and they are tried from the shortest on: more words never have fewer tokens, but
    more letters may have ("faisalabad" is one token, "faisalaba" four), so that no search may jump within a word.
    """
    if token_count(tokenizer, caption) <= limit:
        return caption
    words = (found.start() for found in WORD_END.finditer(caption))
    return _fitting(tokenizer, caption, words, limit) or _fitting(tokenizer, caption, range(len(caption)), limit)


def _fitting(tokenizer: Any, caption: str, ends: Iterable[int], limit: int) -> str:
    """The caption up to the last of the ends before the first one that does not fit."""
    cuts = (caption[:end].rstrip(", ") for end in ends)
    return max(takewhile(lambda cut: token_count(tokenizer, cut) <= limit, cuts), default="", key=len)
