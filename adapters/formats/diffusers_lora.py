"""What a LoRA file of diffusers' layout says of itself: its layers, their ranks, their scale.

One scale for all updates, one rank for each of three groups of layers: that is what `LoraSettings` can say. A file that
is more mixed than this is brought to that form by `evened`, which changes no update: zeros are added to matrices, and
factors go into `lora_B`.
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
DOWN, UP, LENGTHS, WEIGHT = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector", ".weight"
HEADER = "lora_adapter_metadata"
TRIGGER = "modelspec.trigger_phrase"
LONGEST_TRIGGER = 200

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
    """Values for `LoraSettings` from tensor shapes and header, to which `evened` fits the tensors.

    Raises StudioError for a file whose matrices do not belong together, and for one without an update of the UNet.
    """
    ranks = _ranks(shapes)
    unet, text = _parts(ranks)
    if not unet:
        raise StudioError("the LoRA file updates only the text encoder; files that update the UNet too can be loaded")
    target, scale = _targets(shapes, ranks), _scale(_scales(ranks, metadata))
    rank, conv_rank = _two_ranks({layer: target[UNET + layer] for layer in unet}, _convolutions(shapes))
    values = {
        "rank": rank,
        "lora_alpha": round(scale * rank, 9),
        "target_modules": tuple(sorted(layer for layer in unet if target[UNET + layer] == rank)),
        "use_dora": any(LENGTHS in name for name in shapes),
        "trigger": trigger if len(trigger := metadata.get(TRIGGER, "").strip()) <= LONGEST_TRIGGER else "",
    }
    if conv_rank:
        values |= {
            "conv_rank": conv_rank,
            "conv_modules": tuple(sorted(layer for layer in unet if target[UNET + layer] == conv_rank)),
        }
    if text:
        values |= {"text_encoder_rank": max(text.values()), "text_encoder_modules": tuple(sorted(text))}
    return values


def evened(state: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Tensor]:
    """The same updates with one scale and the ranks of `described`: longer matrices by zeros, factors into `lora_B`.

    A file that has them already is handed back as it is, to the bit.
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


def of_the_shapes(own: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The given tensors, those that differ from the own ones by axes of length 1 alone in the own ones' shape.

    A convolution of one pixel is a matrix to some programs, and DoRA's lengths have axes to some.
    """

    def bare(tensor: Tensor) -> list[int]:
        return [size for size in tensor.shape if size != 1]

    return {
        name: tensor.reshape(own[name].shape) if name in own and bare(own[name]) == bare(tensor) else tensor
        for name, tensor in given.items()
    }


def _ranks(shapes: Shapes) -> dict[str, int]:
    """Layer, its part in front, -> rank; raises StudioError where down and up do not belong together."""
    downs = {name.removesuffix(DOWN): shape for name, shape in shapes.items() if name.endswith(DOWN)}
    ups = {name.removesuffix(UP): shape for name, shape in shapes.items() if name.endswith(UP)}
    if lonely := sorted(downs.keys() ^ ups.keys()):
        raise StudioError(
            f"layer {lonely[0]} of the LoRA file has only one of its two matrices ({len(lonely)} such layers); "
            "export it again where it was made"
        )
    for layer, down in downs.items():
        up = ups[layer]
        if {len(down), len(up)} - {2, 4} or down[0] < 1 or down[0] != up[1] or any(size != 1 for size in up[2:]):
            raise StudioError(
                f"layer {layer} of the LoRA file has matrices of the shapes {down} and {up}; they must be (rank, in) "
                "and (out, rank), and of a convolution (rank, in, height, width) and (out, rank, 1, 1); export it "
                "again where it was made"
            )
    return {layer: shape[0] for layer, shape in downs.items()}


def _parts(ranks: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """(the UNet's, the text encoder's) layers without the part in front."""
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
    """Layer -> the rank that it shall have: its own where the settings can tell it, else the largest of its part."""
    unet, text = _parts(ranks)
    told = _two_ranks(unet, _convolutions(shapes)) is not None
    return {
        layer: max(text.values()) if layer.startswith(TEXT) else rank if told else max(unet.values())
        for layer, rank in ranks.items()
    }


def _two_ranks(layers: dict[str, int], convolutions: set[str]) -> tuple[int, int] | None:
    """(rank, rank of convolutions), the second 0 where all layers have the first; None where two do not say it all."""
    found = sorted(set(layers.values()))
    if len(found) <= 1:
        return (found[0] if found else 0), 0
    for conv_rank in found:
        if len(found) == 2 and {layer for layer, rank in layers.items() if rank == conv_rank} <= convolutions:
            return sum(found) - conv_rank, conv_rank
    return None


def _scale(scales: dict[str, float]) -> float:
    """The one scale of all updates; 1 where the file has several."""
    smallest, largest = min(scales.values()), max(scales.values())
    return smallest if smallest > 0 and math.isclose(smallest, largest, rel_tol=1e-6) else 1.0


def _scales(ranks: dict[str, int], metadata: dict[str, str]) -> dict[str, float]:
    """Layer -> alpha / rank; where the header is silent, alpha is the rank, as diffusers takes it."""
    told = told_of_layers(metadata)
    scales = {}
    for name, own in ranks.items():
        part = UNET if name.startswith(UNET) else TEXT
        alpha = told.get(part + "lora_alpha", own)
        bare = name.removeprefix(part)
        exact = told.get(part + "alpha_pattern", {})
        if re.escape(bare) in exact:
            alpha = exact[re.escape(bare)]
        else:
            for pattern, special in exact.items():
                if re.match(rf"(.*\.)?({pattern})$", bare):  # peft's own rule
                    alpha = special
                    break
        # rank-stabilised: Kalajdzievski 2023, arXiv:2312.03732
        scales[name] = alpha / (math.sqrt(own) if told.get(part + "use_rslora") else own)
    return scales


def told_of_layers(metadata: dict[str, str]) -> dict[str, Any]:
    """What the header says of the layers; raises StudioError where that is no JSON object."""
    try:
        told = json.loads(metadata.get(HEADER, "{}"))
        if not isinstance(told, dict):
            raise ValueError(f"a {type(told).__name__}")
    except ValueError as error:
        raise StudioError(
            f"the LoRA file's {HEADER} is not a JSON object ({error}); export it again where it was made"
        ) from error
    return told
