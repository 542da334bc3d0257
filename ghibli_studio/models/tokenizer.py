"""Loads the tokenizer, counts tokens, and truncates a caption to the token limit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import takewhile
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.models.location import locate

BYTE_SYMBOLS = 256
SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and ideographs: no spaces
WORD_END = re.compile(rf"\s|(?<=[{SPACELESS}])|(?=[{SPACELESS}])")


@lru_cache(maxsize=4)
def load_tokenizer(model_id: str) -> Any:
    """Return the model's CLIP tokenizer; imports no torch."""
    from transformers import CLIPTokenizer

    folder = locate(model_id).folder / "tokenizer"
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        if len(tokenizer) < BYTE_SYMBOLS:  # transformers builds an empty one if the vocabulary is missing
            raise ValueError(f"{len(tokenizer)} tokens")
    except (OSError, ValueError) as error:
        raise StudioError(
            f"base_model {model_id!r} has no readable tokenizer; copy or download the model again"
        ) from error
    return tokenizer


def token_count(tokenizer: Any, caption: str) -> int:
    """Return the number of tokens of the whole caption, start and end included."""
    return len(tokenizer(caption, truncation=False, verbose=False).input_ids)


def truncate_caption(tokenizer: Any, caption: str, limit: int) -> str:
    """Return the longest start of the caption with at most `limit` tokens; whole words, if one fits at all.

    All cuts are tried, the shortest first: more words never have fewer tokens, but more letters may ("faisalabad" is
    one token, "faisalaba" four), so a binary search within a word would be wrong.
    """
    if token_count(tokenizer, caption) <= limit:
        return caption
    words = (match.start() for match in WORD_END.finditer(caption))
    whole_words = _longest_fit(tokenizer, caption, words, limit)
    return whole_words or _longest_fit(tokenizer, caption, range(len(caption)), limit)


def _longest_fit(tokenizer: Any, caption: str, ends: Iterable[int], limit: int) -> str:
    """Return the caption up to the last end before the first one that does not fit."""
    cuts = (caption[:end].rstrip(", ") for end in ends)
    return max(takewhile(lambda cut: token_count(tokenizer, cut) <= limit, cuts), default="", key=len)
