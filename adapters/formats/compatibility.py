"""Which base model another program's file was made for, by its names and widths, and the error where it cannot fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from adapters.base import Host
from adapters.formats.diffusers_lora import DOWN, TEXT, TEXT_MODEL, UNET, UP, Shapes
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import nn


MODEL_BY_WIDTH = {
    768: "Stable Diffusion 1.x",
    1024: "Stable Diffusion 2.x",
    2048: "Stable Diffusion XL",
    1280: "Stable Diffusion XL's second text encoder",
    4096: "a model with a T5 text encoder",
}
"""By the width of the text states that the UNet reads, which is also the width of a Textual Inversion vector."""
UNSUPPORTED_KEYS = {
    r"lora_te[12]_|text_encoder_2\.|clip_[gl]$|lora_unet_(input|output|middle)_blocks?_": "Stable Diffusion XL",
    r"lora_unet_(double|single)_blocks|transformer\.(single_)?transformer_blocks|lora_transformer_": "FLUX",
    r"lora_unet_joint_blocks|lora_te3_": "Stable Diffusion 3",
}
UNSUPPORTED_ARCHITECTURES = {
    "stable-diffusion-xl": "Stable Diffusion XL",
    "sdxl": "Stable Diffusion XL",
    "stable-diffusion-3": "Stable Diffusion 3",
    "sd3": "Stable Diffusion 3",
    "flux": "FLUX",
}
UNSUPPORTED_METHODS = {
    "hada_w1": "LoHa",
    "lokr_w": "LoKr",
    "oft_": "OFT",
    "lora_mid.": "LoCon with Tucker decomposition",
    "diff": "a full difference of weights",
    "diff_b": "a full difference of weights",
    "w_norm": "trained norms",
    "on_input": "(IA)³",
    "a1.": "GLoRA",
    "boft_": "BOFT",
}
"""Other kinds of updates that LyCORIS writes, by what follows the layer in a tensor's name."""


def check_supported(file: str, shapes: Shapes, metadata: dict[str, str]) -> None:
    """Raise StudioError for a file made for another family of models, or by a method that is not supported."""
    for pattern, family in UNSUPPORTED_KEYS.items():
        if match := next((name for name in shapes if re.match(pattern, name)), None):
            raise _wrong_model(file, family, f"it has a tensor {match}")
    for key in ("modelspec.architecture", "ss_base_model_version"):
        value = metadata.get(key, "").casefold()
        families = (label for start, label in UNSUPPORTED_ARCHITECTURES.items() if value.startswith(start))
        if other := next(families, None):
            raise _wrong_model(file, other, f"its header says {value}")
    for name in shapes:
        ending = name.partition(".")[2]
        for beginning, method in UNSUPPORTED_METHODS.items():
            exactly = beginning.startswith(("diff", "w_norm"))
            if name.startswith("lora_") and (ending == beginning if exactly else ending.startswith(beginning)):
                raise StudioError(
                    f"{file} holds {method} (LyCORIS, tensor {name}), which is not supported; plain LoRA and DoRA "
                    "are: convert it with LyCORIS' tools, or train a LoRA"
                )


def _wrong_model(file: str, family: str, reason: str) -> StudioError:
    return StudioError(
        f"{file} was made for {family} ({reason}); supported are Stable Diffusion 1.x, 2.x and their miniature, so "
        "find an adapter for the base model that you use"
    )


def text_width(shapes: Shapes) -> int | None:
    """Return the width of the text states that a file in diffusers' layout was made for; None if it does not say."""
    for name, shape in shapes.items():
        if name.endswith(f"attn2.to_k{DOWN}") or name.endswith(f"attn2.to_v{DOWN}"):
            return shape[1]
    vectors = [shape for name, shape in shapes.items() if ".lora_" not in name and len(shape) == 2]
    return vectors[0][1] if len(vectors) == len(shapes) and vectors else None


def check_width(file: str, shapes: Shapes, unet_width: int, vector_width: int) -> None:
    """Raise StudioError unless the text width of a LoRA is the UNet's, or that of vectors is the text encoder's."""
    width = text_width(shapes)
    own = unet_width if any(".lora_" in name for name in shapes) else vector_width
    if width is not None and width != own:
        family = f"{MODEL_BY_WIDTH[width]} " if width in MODEL_BY_WIDTH else "another base model "
        raise StudioError(
            f"{file} was made for {family}(its text is {width} wide, this base model's {own}); choose the base model "
            "that the adapter was trained on"
        )


def check_fit(file: str, shapes: Shapes, host: Host) -> None:
    """Raise StudioError unless the host has every layer of a file (diffusers' layout) with the right widths."""
    unet_config: Any = host.unet.config
    text_config: Any = host.text_encoder.config
    check_width(file, shapes, unet_config.cross_attention_dim, text_config.hidden_size)
    layers = {
        name.removesuffix(DOWN): (shapes.get(name.removesuffix(DOWN) + UP, (0,))[0], *shape[1:])
        for name, shape in shapes.items()
        if name.endswith(DOWN)
    }
    if not layers:
        return
    unet, text = dict(host.unet.named_modules()), dict(host.text_encoder.named_modules())
    inner = TEXT_MODEL if hasattr(host.text_encoder, "text_model") else ""
    wrong = []
    for layer, shape in layers.items():
        bare = layer.removeprefix(UNET).removeprefix(TEXT).removeprefix(TEXT_MODEL)
        if not _fits(unet.get(bare) if layer.startswith(UNET) else text.get(inner + bare), shape):
            wrong.append(layer)
    if wrong:
        raise StudioError(
            f"{file} does not fit this base model: {len(wrong)} of its {len(layers)} layers are missing or have "
            f"another shape (first: {wrong[0]}); choose the base model that the adapter was trained on"
        )


def _fits(module: nn.Module | None, shape: tuple[int, ...]) -> bool:
    """Return whether a layer's weight has that shape (out, in, ...); axes of length 1 do not count."""
    weight = getattr(module, "weight", None)
    return weight is not None and [n for n in weight.shape if n != 1] == [n for n in shape if n != 1]
