"""Prompts to token ids and to text encoder states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapters.base import Host
from adapters.settings import StudioError
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.tokenizer import token_count

if TYPE_CHECKING:
    from torch import Tensor


def token_ids(host: Host, captions: Sequence[str], limit: int) -> Tensor:
    """Token ids (captions, limit), padded; raises StudioError for a caption over the limit."""
    for caption in captions:
        if (count := token_count(host.tokenizer, caption)) > limit:
            raise StudioError(f"the prompt {caption[:60]!r}... has {count} tokens, the model reads {limit}; shorten it")
    return host.tokenizer(list(captions), padding="max_length", max_length=limit, return_tensors="pt").input_ids


def encode(host: Host, ids: Tensor) -> Tensor:
    """Text states (captions, limit, width) of token ids (captions, limit), in the UNet's precision."""
    return host.text_encoder(ids.to(host.text_encoder.device))[0].to(host.unet.dtype)


def text_states(base: BaseModel, ids: Tensor) -> Tensor:
    """Text states of all captions without gradient, (captions, limit, width)."""
    import torch

    with torch.no_grad():
        return torch.cat([encode(base.host, batch) for batch in ids.split(32)])
