"""Turns prompts into token ids and text encoder states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adapters.base import Host
from adapters.settings import StudioError
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.tokenizer import token_count

if TYPE_CHECKING:
    from torch import Tensor


def token_ids(host: Host, captions: Sequence[str], limit: int) -> Tensor:
    """Return padded token ids (captions, limit); raises StudioError for a caption over the token limit."""
    for caption in captions:
        if (count := token_count(host.tokenizer, caption)) > limit:
            raise StudioError(
                f"the prompt {caption[:60]!r}... has {count} tokens, at most {limit} are allowed; shorten it"
            )
    return host.tokenizer(list(captions), padding="max_length", max_length=limit, return_tensors="pt").input_ids


def encode(host: Host, ids: Tensor) -> Tensor:
    """Return text states (captions, limit, width) of token ids (captions, limit), in the UNet's precision."""
    text_encoder: Any = host.text_encoder
    return text_encoder(ids.to(text_encoder.device))[0].to(host.unet.dtype)


def text_states(base: BaseModel, ids: Tensor) -> Tensor:
    """Return text states of all captions without gradient, (captions, limit, width)."""
    import torch

    with torch.no_grad():
        return torch.cat([encode(base.host, batch) for batch in ids.split(32)])
