"""What a LoRA file of diffusers' layout says of itself: its layers, their ranks, their scale. Reads no tensor.

One scale for all updates, one rank for each of three groups of layers: that is what `LoraSettings` can say. A file that
is more mixed than this is refused, never guessed at.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from adapters.base import StudioError

UNET, TEXT = "unet.", "text_encoder."
TEXT_MODEL = "text_model."
DOWN, UP, LENGTHS, WEIGHT = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector", ".weight"
HEADER = "lora_adapter_metadata"

Shapes = dict[str, tuple[int, ...]]


def of_the_layout(shapes: Shapes) -> bool:
    """True if every tensor is an update of the UNet or the text encoder by its name."""
    return bool(shapes) and all(
        name.startswith((UNET, TEXT)) and name.endswith((DOWN, UP, LENGTHS, LENGTHS + WEIGHT)) for name in shapes
    )


def saved_name(name: str) -> str:
    """A tensor's name in a file; only the text encoder's differ from peft's own.

    They keep the inner `text_model.`, which transformers 5 has dropped from its modules, so that programs with an older
    one find the layers; newer ones take it off themselves. DoRA's lengths end in `.weight` there, since transformers 5
    does not find them by peft's name and puts the untrained ones in their place, with no more than a warning.
    """
    if not name.startswith(TEXT):
        return name
    bare = name.removeprefix(TEXT).removeprefix(TEXT_MODEL)
    return TEXT + TEXT_MODEL + (bare + WEIGHT if bare.endswith(LENGTHS) else bare)


def name_in(module: Any, name: str) -> str:
    """What peft calls a tensor of the file inside this UNet or text encoder; the part's prefix is off already."""
    if name.endswith(LENGTHS + WEIGHT):
        name = name.removesuffix(WEIGHT)
    return name if hasattr(module, "text_model") else name.removeprefix(TEXT_MODEL)


def described(shapes: Shapes, metadata: dict[str, str]) -> dict[str, Any]:
    """Values for `LoraSettings` from tensor shapes and header; raises StudioError for a file too mixed for them."""
    ranks = {name.removesuffix(DOWN): shape[0] for name, shape in shapes.items() if name.endswith(DOWN)}
    unet = {name.removeprefix(UNET): rank for name, rank in ranks.items() if name.startswith(UNET)}
    text = {
        name.removeprefix(TEXT).removeprefix(TEXT_MODEL): rank
        for name, rank in ranks.items() if name.startswith(TEXT)
    }
    if not unet:
        raise StudioError("the LoRA file updates only the text encoder; files that update the UNet too can be loaded")
    convolutions = {
        name.removeprefix(UNET).removesuffix(DOWN) for name, shape in shapes.items()
        if len(shape) == 4 and name.startswith(UNET) and name.endswith(DOWN)
    }
    rank, conv_rank = _two_ranks(unet, convolutions)
    values = {
        "rank": rank,
        "lora_alpha": _alpha(rank, ranks, metadata),
        "target_modules": _of_rank(unet, rank),
        "use_dora": any(LENGTHS in name for name in shapes),
    }
    if conv_rank:
        values |= {"conv_rank": conv_rank, "conv_modules": _of_rank(unet, conv_rank)}
    if text:
        if len(set(text.values())) > 1:
            raise _mixed("ranks", text.values(), " in the text encoder")
        values |= {"text_encoder_rank": min(text.values()), "text_encoder_modules": tuple(sorted(text))}
    return values


def _of_rank(layers: dict[str, int], rank: int) -> tuple[str, ...]:
    return tuple(sorted(name for name, found in layers.items() if found == rank))


def _mixed(what: str, found: Iterable[float], where: str = "") -> StudioError:
    return StudioError(
        f"the LoRA file mixes the {what} {sorted(set(found))}{where}; one can be loaded that has one of them, and at "
        "most another rank for convolutions"
    )


def _two_ranks(layers: dict[str, int], convolutions: set[str]) -> tuple[int, int]:
    """(rank, rank of convolutions); the second is 0 where all layers have the first."""
    found = sorted(set(layers.values()))
    if len(found) == 1:
        return found[0], 0
    for conv_rank in found:
        if len(found) == 2 and set(_of_rank(layers, conv_rank)) <= convolutions:
            return sum(found) - conv_rank, conv_rank
    raise _mixed("ranks", found)


def _alpha(rank: int, ranks: dict[str, int], metadata: dict[str, str]) -> float:
    """The alpha that goes with `rank`; where the header is silent, alpha is the rank, as diffusers takes it."""
    told = json.loads(metadata.get(HEADER, "{}"))
    scales = {}
    for name, own in ranks.items():
        part = UNET if name.startswith(UNET) else TEXT
        alpha = told.get(part + "lora_alpha", own)
        for pattern, special in told.get(part + "alpha_pattern", {}).items():
            if re.match(rf"(.*\.)?({pattern})$", name.removeprefix(part)):  # peft's own rule
                alpha = special
                break
        # rank-stabilised: Kalajdzievski 2023, arXiv:2312.03732
        scales[name] = alpha / (math.sqrt(own) if told.get(part + "use_rslora") else own)
    smallest, largest = min(scales.values()), max(scales.values())
    if not math.isclose(smallest, largest, rel_tol=1e-6):
        raise _mixed("scales", (smallest, largest))
    return round(smallest * rank, 9)
