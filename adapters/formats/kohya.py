"""The LoRA layout of kohya's sd-scripts, which AUTOMATIC1111 and ComfyUI read: names and alphas.

`lora_unet_<path with _>.lora_down.weight`, `.lora_up.weight`, `.alpha`, and DoRA's `.dora_scale`; the text encoder's
layers begin with `lora_te_` (`lora_te1_` would be Stable Diffusion XL). Alpha is always written, since readers take the
scale to be 1 where it is missing. Known names are those of diffusers' UNet and of transformers' CLIP, which sd-scripts
uses for Stable Diffusion 1.x and 2.x; older LyCORIS files have the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapters.base import Adapter
from adapters.formats import metadata
from adapters.formats.diffusers_lora import (
    DOWN,
    HEADER,
    LENGTHS,
    TEXT,
    TEXT_MODEL,
    UNET,
    UP,
    WEIGHT,
    Shapes,
    saved_name,
)
from adapters.formats.metadata import Facts, Files
from adapters.formats.safetensors_file import RECIPE_KEY
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


PREFIXES = {"lora_unet_": UNET, "lora_te_": TEXT + TEXT_MODEL}
THEIR_DOWN, THEIR_UP, ALPHA, DORA = ".lora_down.weight", ".lora_up.weight", ".alpha", ".dora_scale"
ENDINGS = (THEIR_DOWN, THEIR_UP, ALPHA, DORA)
ATOMS = (
    "down_blocks",
    "up_blocks",
    "mid_block",
    "transformer_blocks",
    "to_q",
    "to_k",
    "to_v",
    "to_out",
    "proj_in",
    "proj_out",
    "conv_shortcut",
    "time_emb_proj",
    "conv_in",
    "conv_out",
    "time_embedding",
    "linear_1",
    "linear_2",
    "self_attn",
    "q_proj",
    "k_proj",
    "v_proj",
    "out_proj",
    "text_model",
    "add_k_proj",
    "add_v_proj",
)
"""Parts of module paths that have an underscore of their own; any other underscore stands for a dot."""
PIECE = re.compile("|".join([*sorted(ATOMS, key=len, reverse=True), "[^_]+"]))


def recognizes(shapes: Shapes) -> bool:
    """True if every tensor is one of a LoRA or DoRA in this layout, by its name."""
    return bool(shapes) and all(name.startswith(tuple(PREFIXES)) and name.endswith(ENDINGS) for name in shapes)


def key_of(layer: str) -> str:
    """`unet.down_blocks.0.attentions.0...` -> `lora_unet_down_blocks_0_attentions_0...`.

    Raises StudioError for a layer whose name could not be read back.
    """
    for theirs, ours in PREFIXES.items():
        if layer.startswith(ours):
            key = theirs + layer.removeprefix(ours.partition(".")[0] + ".").replace(".", "_")
            if layer_of(key) == layer:
                return key
    raise StudioError(f"layer {layer} has no name in kohya's layout; export the adapter for diffusers only")


def layer_of(key: str) -> str:
    """The way back: `lora_te_text_model_encoder_layers_0_mlp_fc1` -> `text_encoder.text_model.encoder.layers.0...`.

    Raises StudioError for a name of no known beginning.
    """
    for theirs, ours in PREFIXES.items():
        if key.startswith(theirs):
            path = ".".join(PIECE.findall(key.removeprefix(theirs)))
            return ours + path.removeprefix(ours.partition(".")[2])
    raise StudioError(f"tensor {key} of the LoRA file belongs to no part of a Stable Diffusion 1.x or 2.x")


def to_kohya(state: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Diffusers' names -> kohya's; `scale` is alpha / rank, of all layers. The matrices are the same to the bit."""
    import torch

    found = {}
    for name, tensor in state.items():
        layer, ending = _split(name)
        key = key_of(layer)
        if ending == DOWN:
            found[key + THEIR_DOWN] = tensor
            found[key + ALPHA] = torch.tensor(scale * tensor.shape[0], dtype=torch.float32)
        elif ending == UP:
            found[key + THEIR_UP] = tensor
        else:  # (out,) or (1, out, 1, 1) -> (out, 1) or (out, 1, 1, 1)
            axes = [1] * (state[layer + DOWN].dim() - 1)
            found[key + DORA] = tensor.reshape(-1, *axes)
    return dict(sorted(found.items()))


def _split(name: str) -> tuple[str, str]:
    for ending in (DOWN, UP, LENGTHS + WEIGHT, LENGTHS):
        if name.endswith(ending):
            return name.removesuffix(ending), ending
    raise StudioError(f"tensor {name} is none of a LoRA's; only LoRA has kohya's layout")


def shapes_from_kohya(shapes: Shapes) -> Shapes:
    """The shapes that `from_kohya` gives."""
    return {
        ours: _lengths(shape) if DORA in theirs else shape
        for theirs, ours, shape in ((name, _ours(name), shape) for name, shape in shapes.items())
        if ours
    }


def from_kohya(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kohya's names -> diffusers'; the alphas are told by `header_of`. The matrices are the same to the bit."""
    found = {}
    for name, tensor in state.items():
        if ours := _ours(name):
            found[ours] = tensor.reshape(_lengths(tuple(tensor.shape))) if name.endswith(DORA) else tensor
    return found


def _ours(name: str) -> str | None:
    """Diffusers' name of a tensor; None for an alpha, which is no tensor there."""
    endings = {THEIR_DOWN: DOWN, THEIR_UP: UP, DORA: LENGTHS}
    for theirs, ours in endings.items():
        if name.endswith(theirs):
            return saved_name(layer_of(name.removesuffix(theirs)) + ours)
    return None


def _lengths(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) in (2, 4) and all(size == 1 for size in shape[1:]):
        return (shape[0],) if len(shape) == 2 else (1, shape[0], 1, 1)
    raise StudioError(
        f"the LoRA file's dora_scale has the shape {shape}: lengths of a weight's columns; those of its rows can be "
        "loaded, (out, 1), which trainers call wd_on_output"
    )


def header_of(shapes: Shapes, alphas: Mapping[str, float]) -> dict[str, str]:
    """Diffusers' header for a file in kohya's layout: alpha by layer; a layer without one has its rank's."""
    by_part: dict[str, dict[str, float]] = {UNET: {}, TEXT: {}}
    for name, shape in shapes.items():
        if name.endswith(THEIR_DOWN):
            key = name.removesuffix(THEIR_DOWN)
            layer = layer_of(key)
            part = UNET if layer.startswith(UNET) else TEXT
            by_part[part][layer.removeprefix(part)] = alphas.get(key, float(shape[0]))
    told: dict[str, Any] = {}
    for part, layers in by_part.items():
        if layers:
            usual = Counter(layers.values()).most_common(1)[0][0]
            told[part + "lora_alpha"] = usual
            told[part + "alpha_pattern"] = {
                re.escape(layer): alpha for layer, alpha in layers.items() if alpha != usual
            }
    return {HEADER: json.dumps(told)}


def interchange(adapter: Adapter, state: Mapping[str, Tensor], recipe: Mapping[str, Any], facts: Facts) -> Files:
    """A LoRA for diffusers and for kohya's readers: file name -> bytes.

    `adapter` need not be attached; `state` is what it takes. A file of notes tells AUTOMATIC1111 the trigger.
    """
    settings = adapter.settings
    for_diffusers = {"format": "pt", **adapter.metadata(), RECIPE_KEY: json.dumps(recipe, sort_keys=True)}
    tensors = to_kohya(state, settings.lora_alpha / settings.rank)
    told = facts.changed(trigger=settings.trigger)
    training = {**metadata.training(recipe, told), **metadata.network(settings.model_dump())}
    return {
        "pytorch_lora_weights.safetensors": metadata.saved(state, for_diffusers),
        f"{facts.name}.safetensors": metadata.for_others("lora", tensors, training, told, recipe),
        f"{facts.name}.json": metadata.notes(told),
    }
