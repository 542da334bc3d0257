"""The tokenizer: load it, count tokens, cut a caption to what the model reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import takewhile
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.models.location import locate

BYTE_SYMBOLS = 256
SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and ideographs, written close
WORD_END = re.compile(rf"\s|(?<=[{SPACELESS}])|(?=[{SPACELESS}])")


@lru_cache(maxsize=4)
def load_tokenizer(spec: str) -> Any:
    """The model's own CLIP tokenizer; imports no torch."""
    from transformers import CLIPTokenizer

    folder = locate(spec).folder / "tokenizer"
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        if len(tokenizer) < BYTE_SYMBOLS:  # transformers makes an empty one where the vocabulary is missing
            raise ValueError(f"{len(tokenizer)} words")
    except (OSError, ValueError) as error:
        raise StudioError(f"base_model {spec!r} has no readable tokenizer; copy or download the model again") from error
    return tokenizer


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
