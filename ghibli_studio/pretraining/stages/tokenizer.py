"""The tokenizer: a CLIP tokenizer whose merges are learned from the captions, and captions as token ids."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch
    from transformers import CLIPTokenizer


LENGTH = 77
"""Tokens per caption, with markers and padding, as in Stable Diffusion 1.x."""
WORD_END = "</w>"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
# how CLIP splits a text before merging: English endings, words, single digits, runs of other characters
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train(captions: Iterable[str], vocabulary: int) -> CLIPTokenizer:
    """Learn byte-pair merges of pairs that occur at least twice, up to `vocabulary` tokens in total.

    `vocabulary` is at least SMALLEST_VOCABULARY, which Settings checks.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix=WORD_END, continuing_subword_prefix=""))
    learner.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    reserved = 2 * len(alphabet) + 2
    learner.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=vocabulary - reserved,
            end_of_word_suffix=WORD_END,
            initial_alphabet=alphabet,
            min_frequency=2,
            show_progress=False,
        ),
    )
    trained = json.loads(learner.to_str())["model"]
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in trained["merges"]]
    # CLIP's order: bytes, bytes at the end of a word, merges, then the markers
    tokens = dict.fromkeys(alphabet + [byte + WORD_END for byte in alphabet] + ["".join(merge) for merge in merges])
    tokens |= dict.fromkeys(token for token in trained["vocab"] if token not in (BEGIN, END))
    order = [*tokens, BEGIN, END]
    # `vocab=` and `merges=`: transformers 5 takes `vocab_file=` without complaint and ignores it
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(order)},
        merges=cast("Any", merges),  # annotated as text, but pairs are what it takes
        unk_token=END,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=LENGTH,
    )


def token_ids(tokenizer: CLIPTokenizer, captions: list[list[str]]) -> torch.Tensor:
    """Return the token ids of several captions per image, (images, captions, 77); longer captions are truncated."""
    texts = [caption for image_captions in captions for caption in image_captions]
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
    return ids.view(len(captions), -1, LENGTH)


def empty_ids(tokenizer: CLIPTokenizer) -> torch.Tensor:
    """Return the token ids of the empty caption, which guidance uses as the unconditional prompt, (1, 77)."""
    return token_ids(tokenizer, [[""]])[0]
