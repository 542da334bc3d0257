"""What a LoRA file in diffusers' layout says about itself: its layers, their ranks, their scale.

`LoraSettings` can describe one scale for all updates and one rank for each of three groups of layers. `pad_ranks`
brings a more mixed file into that form without changing any update: it pads matrices with zeros and multiplies `lora_B`
by factors.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


UNET, TEXT = "unet.", "text_encoder."
TEXT_MODEL = "text_model."
DOWN, UP, MAGNITUDE, WEIGHT = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector", ".weight"
HEADER = "lora_adapter_metadata"
TRIGGER = "modelspec.trigger_phrase"
MAX_TRIGGER_LENGTH = 200

Shapes = dict[str, tuple[int, ...]]


def recognizes(shapes: Shapes) -> bool:
    """Return whether every tensor is, by its name, an update of the UNet or the text encoder."""
    return bool(shapes) and all(
        name.startswith((UNET, TEXT)) and name.endswith((DOWN, UP, MAGNITUDE, MAGNITUDE + WEIGHT)) for name in shapes
    )


def saved_name(name: str) -> str:
    """Return a tensor's name in a file; only the text encoder's differ from peft's own.

    They keep the inner `text_model.`, which transformers 5 has dropped from its modules, so that programs with an older
    version find the layers; newer ones remove it. DoRA's magnitudes end in `.weight` there, since transformers 5 does
    not find them by peft's name and uses the untrained ones instead, with no more than a warning.
    """
    if not name.startswith(TEXT):
        return name
    bare = name.removeprefix(TEXT).removeprefix(TEXT_MODEL)
    return TEXT + TEXT_MODEL + (bare + WEIGHT if bare.endswith(MAGNITUDE) else bare)


def peft_name(module: Any, name: str) -> str:
    """Return peft's name for a file's tensor inside this UNet or text encoder; `name` has no prefix of the part."""
    if name.endswith(MAGNITUDE + WEIGHT):
        name = name.removesuffix(WEIGHT)
    return name if hasattr(module, "text_model") else name.removeprefix(TEXT_MODEL)


def settings_from_shapes(shapes: Shapes, metadata: dict[str, str]) -> dict[str, Any]:
    """Return the values for `LoraSettings` from tensor shapes and header; `pad_ranks` brings the tensors to them.

    Raises StudioError for a file whose matrices do not belong together, and for one that does not update the UNet.
    """
    ranks = _ranks(shapes)
    unet, text = _parts(ranks)
    if not unet:
        raise StudioError("the LoRA file updates only the text encoder; choose a file that updates the UNet too")
    target, scale = _targets(shapes, ranks), _scale(_scales(ranks, metadata))
    rank, conv_rank = _two_ranks({layer: target[UNET + layer] for layer in unet}, _convolutions(shapes)) or (0, 0)
    values: dict[str, Any] = {
        "rank": rank,
        "lora_alpha": round(scale * rank, 9),
        "target_modules": tuple(sorted(layer for layer in unet if target[UNET + layer] == rank)),
        "use_dora": any(MAGNITUDE in name for name in shapes),
        "trigger": trigger if len(trigger := metadata.get(TRIGGER, "").strip()) <= MAX_TRIGGER_LENGTH else "",
    }
    if conv_rank:
        values |= {
            "conv_rank": conv_rank,
            "conv_modules": tuple(sorted(layer for layer in unet if target[UNET + layer] == conv_rank)),
        }
    if text:
        values |= {"text_encoder_rank": max(text.values()), "text_encoder_modules": tuple(sorted(text))}
    return values


def pad_ranks(state: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Tensor]:
    """Return the same updates with one scale and the ranks of `settings_from_shapes`.

    Matrices are padded with zeros and `lora_B` is multiplied by factors; a file that already has one scale and these
    ranks is returned unchanged, bit for bit.
    """
    import torch

    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    ranks = _ranks(shapes)
    target, scales = _targets(shapes, ranks), _scales(ranks, metadata)
    common, result = _scale(scales), dict(state)
    for layer, rank in ranks.items():
        down, up = state[layer + DOWN], state[layer + UP]
        if not math.isclose(scales[layer], common, rel_tol=1e-6):
            up = up * (scales[layer] / common)
        if more := target[layer] - rank:
            down = torch.cat([down, down.new_zeros(more, *down.shape[1:])])
            up = torch.cat([up, up.new_zeros(up.shape[0], more, *up.shape[2:])], dim=1)
        result[layer + DOWN], result[layer + UP] = down, up
    return result


def reshape_like(own: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the given tensors, reshaped to the own ones where they differ only by axes of length 1.

    Some programs save a 1x1 convolution as a matrix, and some save DoRA's magnitudes with more axes.
    """

    def long_axes(tensor: Tensor) -> list[int]:
        return [size for size in tensor.shape if size != 1]

    return {
        name: tensor.reshape(own[name].shape) if name in own and long_axes(own[name]) == long_axes(tensor) else tensor
        for name, tensor in given.items()
    }


def _ranks(shapes: Shapes) -> dict[str, int]:
    """Return layer (with the prefix of its part) -> rank; raise StudioError where down and up do not match."""
    downs = {name.removesuffix(DOWN): shape for name, shape in shapes.items() if name.endswith(DOWN)}
    ups = {name.removesuffix(UP): shape for name, shape in shapes.items() if name.endswith(UP)}
    if unpaired := sorted(downs.keys() ^ ups.keys()):
        raise StudioError(
            f"layer {unpaired[0]} of the LoRA file has only one of its two matrices ({len(unpaired)} such layers); "
            "download or export the file again"
        )
    for layer, down in downs.items():
        up = ups[layer]
        if {len(down), len(up)} - {2, 4} or down[0] < 1 or down[0] != up[1] or any(size != 1 for size in up[2:]):
            raise StudioError(
                f"layer {layer} of the LoRA file has matrices of the shapes {down} and {up}; they must be (rank, in) "
                "and (out, rank), or of a convolution (rank, in, height, width) and (out, rank, 1, 1); download or "
                "export it again"
            )
    return {layer: shape[0] for layer, shape in downs.items()}


def _parts(ranks: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the UNet's and the text encoder's layers without the prefix of the part."""
    unet = {name.removeprefix(UNET): rank for name, rank in ranks.items() if name.startswith(UNET)}
    return unet, {
        name.removeprefix(TEXT).removeprefix(TEXT_MODEL): rank for name, rank in ranks.items() if name.startswith(TEXT)
    }


def _convolutions(shapes: Shapes) -> set[str]:
    return {
        name.removeprefix(UNET).removesuffix(DOWN)
        for name, shape in shapes.items()
        if len(shape) == 4 and name.startswith(UNET) and name.endswith(DOWN)
    }


def _targets(shapes: Shapes, ranks: dict[str, int]) -> dict[str, int]:
    """Return layer -> target rank: its own where the settings can describe it, else the largest of its part."""
    unet, text = _parts(ranks)
    describable = _two_ranks(unet, _convolutions(shapes)) is not None
    return {
        layer: max(text.values()) if layer.startswith(TEXT) else rank if describable else max(unet.values())
        for layer, rank in ranks.items()
    }


def _two_ranks(layers: dict[str, int], convolutions: set[str]) -> tuple[int, int] | None:
    """Return (rank, rank of convolutions), the second 0 if all layers have the first; None if two are not enough."""
    ranks = sorted(set(layers.values()))
    if len(ranks) <= 1:
        return (ranks[0] if ranks else 0), 0
    for conv_rank in ranks:
        if len(ranks) == 2 and {layer for layer, rank in layers.items() if rank == conv_rank} <= convolutions:
            return sum(ranks) - conv_rank, conv_rank
    return None


def _scale(scales: dict[str, float]) -> float:
    """Return the one scale of all updates; 1 if the file has several."""
    smallest, largest = min(scales.values()), max(scales.values())
    return smallest if smallest > 0 and math.isclose(smallest, largest, rel_tol=1e-6) else 1.0


def _scales(ranks: dict[str, int], metadata: dict[str, str]) -> dict[str, float]:
    """Return layer -> alpha / rank; where the header has no alpha, it is the rank, as in diffusers."""
    header = layer_metadata(metadata)
    scales = {}
    for name, own in ranks.items():
        part = UNET if name.startswith(UNET) else TEXT
        alpha = header.get(part + "lora_alpha", own)
        bare = name.removeprefix(part)
        patterns = header.get(part + "alpha_pattern", {})
        if re.escape(bare) in patterns:
            alpha = patterns[re.escape(bare)]
        else:
            for pattern, special in patterns.items():
                if re.match(rf"(.*\.)?({pattern})$", bare):  # peft's own rule
                    alpha = special
                    break
        # rank-stabilized: Kalajdzievski 2023, arXiv:2312.03732
        scales[name] = alpha / (math.sqrt(own) if header.get(part + "use_rslora") else own)
    return scales


def layer_metadata(metadata: dict[str, str]) -> dict[str, Any]:
    """Return what the header says about the layers; raise StudioError if that is not a JSON object."""
    try:
        values = json.loads(metadata.get(HEADER, "{}"))
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__}")
    except ValueError as error:
        raise StudioError(
            f"the LoRA file's {HEADER} is not a JSON object ({error}); download or export it again"
        ) from error
    return values
