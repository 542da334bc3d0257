"""Which base model a foreign file was made for, told by its names and widths, and one sentence where it cannot fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adapters.base import Host
from adapters.formats.diffusers_lora import DOWN, TEXT, TEXT_MODEL, UNET, UP, Shapes
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import nn


BY_WIDTH = {
    768: "Stable Diffusion 1.x",
    1024: "Stable Diffusion 2.x",
    2048: "Stable Diffusion XL",
    1280: "Stable Diffusion XL's second text encoder",
    4096: "a model with a T5 text encoder",
}
"""By the width of the text states that the UNet reads, which is also that of a word's vector."""
OTHER_NAMES = {
    r"lora_te[12]_|text_encoder_2\.|clip_[gl]$|lora_unet_(input|output|middle)_blocks?_": "Stable Diffusion XL",
    r"lora_unet_(double|single)_blocks|transformer\.(single_)?transformer_blocks|lora_transformer_": "FLUX",
    r"lora_unet_joint_blocks|lora_te3_": "Stable Diffusion 3",
}
OTHER_WORDS = {
    "stable-diffusion-xl": "Stable Diffusion XL",
    "sdxl": "Stable Diffusion XL",
    "stable-diffusion-3": "Stable Diffusion 3",
    "sd3": "Stable Diffusion 3",
    "flux": "FLUX",
}
OTHER_METHODS = {
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
"""LyCORIS' other ways of writing an update, by what follows the layer in a tensor's name."""


def refuse_others(file: str, shapes: Shapes, metadata: dict[str, str]) -> None:
    """Raise StudioError for a file made for another family of models, or by a method that is not known here."""
    for pattern, family in OTHER_NAMES.items():
        if found := next((name for name in shapes if re.match(pattern, name)), None):
            raise _another(file, family, f"it has a tensor {found}")
    for key in ("modelspec.architecture", "ss_base_model_version"):
        value = metadata.get(key, "").casefold()
        if family := next((label for word, label in OTHER_WORDS.items() if value.startswith(word)), None):
            raise _another(file, family, f"its header says {value}")
    for name in shapes:
        ending = name.partition(".")[2]
        for beginning, method in OTHER_METHODS.items():
            exactly = beginning.startswith(("diff", "w_norm"))
            if name.startswith("lora_") and (ending == beginning if exactly else ending.startswith(beginning)):
                raise StudioError(
                    f"{file} holds {method} (LyCORIS, tensor {name}), which is not known here; known are plain LoRA "
                    "and DoRA: convert it with LyCORIS' tools, or train a LoRA"
                )


def _another(file: str, family: str, why: str) -> StudioError:
    return StudioError(
        f"{file} was made for {family} ({why}), and here are the Stable Diffusion 1.x and 2.x family and its "
        "miniature; find one made for the base model that you use"
    )


def text_width(shapes: Shapes) -> int | None:
    """The width of the text states that a file of diffusers' layout was made for; None where it does not tell."""
    for name, shape in shapes.items():
        if name.endswith(f"attn2.to_k{DOWN}") or name.endswith(f"attn2.to_v{DOWN}"):
            return shape[1]
    words = [shape for name, shape in shapes.items() if ".lora_" not in name and len(shape) == 2]
    return words[0][1] if len(words) == len(shapes) and words else None


def family_of(shapes: Shapes) -> str | None:
    """What a file was made for, as people call it; None for a width that none of the known models has."""
    return BY_WIDTH.get(text_width(shapes) or 0)


def refuse_width(file: str, shapes: Shapes, unet_width: int, word_width: int) -> None:
    """Raise StudioError unless a file's text is as wide as what the UNet reads, or its words as the text encoder's."""
    wanted = text_width(shapes)
    own = unet_width if any(".lora_" in name for name in shapes) else word_width
    if wanted is not None and wanted != own:
        family = f"{BY_WIDTH[wanted]} " if wanted in BY_WIDTH else "another base model "
        raise StudioError(
            f"{file} was made for {family}(its text is {wanted} wide, this base model's {own}); choose the base model "
            "that the adapter was trained on"
        )


def refuse_misfit(file: str, shapes: Shapes, host: Host) -> None:
    """Raise StudioError unless the host has every layer of a file (diffusers' layout), of the right widths."""
    refuse_width(file, shapes, host.unet.config.cross_attention_dim, host.text_encoder.config.hidden_size)
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
            f"{file} does not fit this base model: {len(wrong)} of its {len(layers)} layers are not there or have "
            f"another shape (first: {wrong[0]}); choose the base model that the adapter was trained on"
        )


def _fits(module: nn.Module | None, shape: tuple[int, ...]) -> bool:
    """Whether a layer's weight is (out, in, ...) of that shape; axes of length 1 do not count."""
    weight = getattr(module, "weight", None)
    return weight is not None and [n for n in weight.shape if n != 1] == [n for n in shape if n != 1]
