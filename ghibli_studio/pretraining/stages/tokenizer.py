"""The words: a CLIP tokenizer whose merges are learnt from the captions, and captions as numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import CLIPTokenizer


LENGTH = 77
"""Tokens of a caption, markers and padding included, as in Stable Diffusion 1.x."""
WORD_END = "</w>"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
# how CLIP cuts a text before merging: English endings, words, single digits, runs of other signs
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train(captions: Iterable[str], vocabulary: int) -> CLIPTokenizer:
    """Learn byte-pair merges of pairs that occur twice or more, within `vocabulary` tokens in all.

    `vocabulary` is SMALLEST_VOCABULARY or more, which Settings sees to.
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
    learnt = json.loads(learner.to_str())["model"]
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in learnt["merges"]]
    # CLIP's order: bytes, bytes that end a word, merges, then the markers
    tokens = dict.fromkeys(alphabet + [byte + WORD_END for byte in alphabet] + ["".join(merge) for merge in merges])
    tokens |= dict.fromkeys(token for token in learnt["vocab"] if token not in (BEGIN, END))
    order = [*tokens, BEGIN, END]
    # `vocab=` and `merges=`: transformers 5 takes `vocab_file=` without complaint and ignores it
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(order)},
        merges=merges,
        unk_token=END,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=LENGTH,
    )


def token_ids(tokenizer: CLIPTokenizer, captions: list[list[str]]) -> torch.Tensor:
    """Several captions a picture -> (pictures, captions, 77) token numbers; longer captions are cut."""
    every = [caption for several in captions for caption in several]
    ids = tokenizer(every, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
    return ids.view(len(captions), -1, LENGTH)


def empty_ids(tokenizer: CLIPTokenizer) -> torch.Tensor:
    """(1, 77) token numbers of the empty caption, which stands for 'no caption' in guidance."""
    return token_ids(tokenizer, [[""]])[0]
