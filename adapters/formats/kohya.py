"""The LoRA layout of kohya's sd-scripts, which AUTOMATIC1111 and ComfyUI read: names and alphas.

`lora_unet_<path with _>.lora_down.weight`, `.lora_up.weight`, `.alpha`, and DoRA's `.dora_scale`; the text encoder's
layers begin with `lora_te_` (`lora_te1_` would be Stable Diffusion XL). Alpha is always written, since readers take the
scale to be 1 where it is missing. The layer names are those of diffusers' UNet and of transformers' CLIP, which
sd-scripts uses for Stable Diffusion 1.x and 2.x; older LyCORIS files have the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapters.base import Adapter
from adapters.formats import metadata as file_metadata
from adapters.formats.diffusers_lora import (
    DOWN,
    HEADER,
    MAGNITUDE,
    TEXT,
    TEXT_MODEL,
    UNET,
    UP,
    WEIGHT,
    Shapes,
    saved_name,
)
from adapters.formats.metadata import ExportInfo, Files
from adapters.formats.safetensors_file import METADATA_KEY
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


PREFIXES = {"lora_unet_": UNET, "lora_te_": TEXT + TEXT_MODEL}
KOHYA_DOWN, KOHYA_UP, ALPHA, DORA = ".lora_down.weight", ".lora_up.weight", ".alpha", ".dora_scale"
ENDINGS = (KOHYA_DOWN, KOHYA_UP, ALPHA, DORA)
NAMES_WITH_UNDERSCORE = (
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
"""Parts of module paths that contain an underscore; any other underscore stands for a dot."""
PATH_PART = re.compile("|".join([*sorted(NAMES_WITH_UNDERSCORE, key=len, reverse=True), "[^_]+"]))


def recognizes(shapes: Shapes) -> bool:
    """Return whether every tensor is, by its name, part of a LoRA or DoRA in this layout."""
    return bool(shapes) and all(name.startswith(tuple(PREFIXES)) and name.endswith(ENDINGS) for name in shapes)


def kohya_key(layer: str) -> str:
    """Return `lora_unet_down_blocks_0_attentions_0...` for `unet.down_blocks.0.attentions.0...`.

    Raises StudioError for a layer whose name could not be read back.
    """
    for theirs, ours in PREFIXES.items():
        if layer.startswith(ours):
            key = theirs + layer.removeprefix(ours.partition(".")[0] + ".").replace(".", "_")
            if layer_path(key) == layer:
                return key
    raise StudioError(f"layer {layer} has no name in kohya's layout; export the adapter for diffusers only")


def layer_path(key: str) -> str:
    """Return `text_encoder.text_model.encoder.layers.0...` for `lora_te_text_model_encoder_layers_0_mlp_fc1`.

    Raises StudioError for a name with an unknown prefix.
    """
    for theirs, ours in PREFIXES.items():
        if key.startswith(theirs):
            path = ".".join(PATH_PART.findall(key.removeprefix(theirs)))
            return ours + path.removeprefix(ours.partition(".")[2])
    raise StudioError(
        f"tensor {key} of the LoRA file belongs to no part of Stable Diffusion 1.x or 2.x; choose a file made for them"
    )


def to_kohya(state: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Rename diffusers' tensors to kohya's; `scale` is alpha / rank of all layers. Matrices stay bit-identical."""
    import torch

    result = {}
    for name, tensor in state.items():
        layer, ending = _split(name)
        key = kohya_key(layer)
        if ending == DOWN:
            result[key + KOHYA_DOWN] = tensor
            result[key + ALPHA] = torch.tensor(scale * tensor.shape[0], dtype=torch.float32)
        elif ending == UP:
            result[key + KOHYA_UP] = tensor
        else:  # (out,) or (1, out, 1, 1) -> (out, 1) or (out, 1, 1, 1)
            axes = [1] * (state[layer + DOWN].dim() - 1)
            result[key + DORA] = tensor.reshape(-1, *axes)
    return dict(sorted(result.items()))


def _split(name: str) -> tuple[str, str]:
    for ending in (DOWN, UP, MAGNITUDE + WEIGHT, MAGNITUDE):
        if name.endswith(ending):
            return name.removesuffix(ending), ending
    raise StudioError(f"tensor {name} is not part of a LoRA; only LoRA can be written in kohya's layout")


def shapes_from_kohya(shapes: Shapes) -> Shapes:
    """Return the shapes of what `from_kohya` returns."""
    return {
        ours: _magnitude_shape(shape) if DORA in theirs else shape
        for theirs, ours, shape in ((name, _diffusers_name(name), shape) for name, shape in shapes.items())
        if ours
    }


def from_kohya(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename kohya's tensors to diffusers'; `diffusers_header` has the alphas. Matrices stay bit-identical."""
    result = {}
    for name, tensor in state.items():
        if ours := _diffusers_name(name):
            result[ours] = tensor.reshape(_magnitude_shape(tuple(tensor.shape))) if name.endswith(DORA) else tensor
    return result


def _diffusers_name(name: str) -> str | None:
    """Return diffusers' name of a tensor; None for an alpha, which is not a tensor there."""
    endings = {KOHYA_DOWN: DOWN, KOHYA_UP: UP, DORA: MAGNITUDE}
    for theirs, ours in endings.items():
        if name.endswith(theirs):
            return saved_name(layer_path(name.removesuffix(theirs)) + ours)
    return None


def _magnitude_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) in (2, 4) and all(size == 1 for size in shape[1:]):
        return (shape[0],) if len(shape) == 2 else (1, shape[0], 1, 1)
    raise StudioError(
        f"the LoRA file's dora_scale has the shape {shape}: magnitudes of a weight's columns; only those of its rows, "
        "(out, 1), can be loaded, which trainers call wd_on_output"
    )


def diffusers_header(shapes: Shapes, alphas: Mapping[str, float]) -> dict[str, str]:
    """Return diffusers' header for a file in kohya's layout: alpha by layer; where it is missing, it is the rank."""
    by_part: dict[str, dict[str, float]] = {UNET: {}, TEXT: {}}
    for name, shape in shapes.items():
        if name.endswith(KOHYA_DOWN):
            key = name.removesuffix(KOHYA_DOWN)
            layer = layer_path(key)
            part = UNET if layer.startswith(UNET) else TEXT
            by_part[part][layer.removeprefix(part)] = alphas.get(key, float(shape[0]))
    values: dict[str, Any] = {}
    for part, layers in by_part.items():
        if layers:
            usual = Counter(layers.values()).most_common(1)[0][0]
            values[part + "lora_alpha"] = usual
            values[part + "alpha_pattern"] = {
                re.escape(layer): alpha for layer, alpha in layers.items() if alpha != usual
            }
    return {HEADER: json.dumps(values)}


def export_files(adapter: Adapter, state: Mapping[str, Tensor], metadata: Mapping[str, Any], info: ExportInfo) -> Files:
    """Return the files of a LoRA for diffusers and for the programs that read kohya's layout, by file name.

    `adapter` need not be attached; `state` is what it loads. A JSON file beside them tells AUTOMATIC1111 the trigger.
    """
    settings = adapter.settings.model_dump()
    for_diffusers = {"format": "pt", **adapter.metadata(), METADATA_KEY: json.dumps(metadata, sort_keys=True)}
    tensors = to_kohya(state, settings["lora_alpha"] / settings["rank"])
    info = info.changed(trigger=settings["trigger"])
    training = {**file_metadata.training_metadata(metadata, info), **file_metadata.network_metadata(settings)}
    return {
        "pytorch_lora_weights.safetensors": file_metadata.safetensors_bytes(state, for_diffusers),
        f"{info.name}.safetensors": file_metadata.bytes_with_metadata("lora", tensors, training, info, metadata),
        f"{info.name}.json": file_metadata.webui_notes(info),
    }
