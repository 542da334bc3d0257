"""Describes and loads a base model, and encodes prompts with it; where its files lie, `model_files` knows.

Everything is frozen. Size, latent shape and token limit are read from the model, never assumed. No training and no
sampling here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters import Host
from adapters.base import with_trigger
from ghibli_studio import zero_gpu
from ghibli_studio.captions import token_count
from ghibli_studio.config import StudioError
from ghibli_studio.model_files import COMPONENTS, MINIATURE, Location, locate, read_config, weights_digest

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

# xformers warns at every import on a machine whose torch it was not built for; it is off unless chosen
logging.getLogger("xformers").setLevel(logging.ERROR)
# threads that wait by spinning make a step two to ten times slower as soon as anything else wants a core; those that
# sleep at once make it a fifth slower on a quiet machine: spin for some microseconds
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

BYTE_SYMBOLS = 256
CHECKPOINT_PREFIXES = {
    "unet": "model.diffusion_model.", "vae": ("first_stage_model.", "vae."), "text_encoder": "cond_stage_model.",
}


@dataclass(frozen=True)
class Description:
    """What can be known of a base model without reading its weights."""

    spec: str
    resolution: int
    """Side of the pictures it was trained on, px."""
    latent_shape: tuple[int, int, int]
    """(channels, height, width) of one picture in the autoencoder's space."""
    token_limit: int
    """Tokens of a prompt that the text encoder reads, start and end included."""
    plain_style: str
    """Words at the end of a prompt that ask the bare model for its plain style; empty if it needs none."""

    def plain_caption(self, text: str) -> str:
        """The prompt as the bare model wants it."""
        return with_trigger(text, self.plain_style)


@dataclass(frozen=True)
class BaseModel:
    """A loaded, frozen Stable Diffusion."""

    description: Description
    host: Host
    vae: nn.Module
    scheduler_config: dict[str, Any]
    digest: str
    """SHA-256 over the weight files."""
    device: torch.device
    dtype: torch.dtype

    @property
    def shape(self) -> list[int]:
        """The widths that an adapter must fit: of the UNet's blocks, its text input, and the text encoder."""
        unet = self.host.unet.config
        return [*unet.block_out_channels, unet.cross_attention_dim, self.host.text_encoder.config.hidden_size]


def describe(spec: str) -> Description:
    """Size, latent shape and token limit, without importing torch."""
    location = locate(spec)
    index = read_config(location, ".", "model_index.json")
    for part, wanted in COMPONENTS.items():
        found = (index.get(part) or [None, None])[1]
        if found != wanted:
            raise StudioError(
                f"base_model {spec!r} has {found} as its {part}; supported is the Stable Diffusion 1.x and 2.x family "
                f"({wanted})"
            )
    if "text_encoder_2" in index:
        raise StudioError(
            f"base_model {spec!r} has a second text encoder ({index.get('_class_name')}); supported is the Stable "
            "Diffusion 1.x and 2.x family"
        )
    unet, vae, text = (read_config(location, part) for part in ("unet", "vae", "text_encoder"))
    try:
        side, channels, latent_channels = unet["sample_size"], unet["in_channels"], vae["latent_channels"]
        shrink = 2 ** (len(vae["block_out_channels"]) - 1)
    except KeyError as error:
        raise StudioError(
            f"base_model {spec!r} does not say its {error.args[0]}; copy or download the model again"
        ) from error
    if channels != latent_channels:
        raise StudioError(
            f"base_model {spec!r} wants {channels} channels where its pictures have {latent_channels}: it is made for "
            "inpainting or another task; use a text-to-image model"
        )
    positions = text.get("max_position_embeddings", 77)
    extra = read_config(location, ".", "studio.json") if (location.folder / "studio.json").is_file() else {}
    return Description(
        spec=spec,
        resolution=side * shrink,
        latent_shape=(channels, side, side),
        token_limit=min(positions, load_tokenizer(spec).model_max_length),
        plain_style=extra.get("plain_style", ""),
    )


@lru_cache(maxsize=4)
def load_tokenizer(spec: str) -> Any:
    """The model's own CLIP tokenizer; imports no torch."""
    from transformers import CLIPTokenizer

    folder = locate(spec).folder / "tokenizer"
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        if len(tokenizer) < BYTE_SYMBOLS:  # transformers makes an empty one where the vocabulary is missing
            raise ValueError(f"{len(tokenizer)} words")
    except (OSError, ValueError) as error:
        raise StudioError(f"base_model {spec!r} has no readable tokenizer; copy or download the model again") from error
    return tokenizer


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to compute on; raises StudioError for one that is not there."""
    import torch

    cuda = torch.cuda.is_available() and not zero_gpu.without_gpu()
    there = {"cuda": cuda, "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name in there if there[name])
    if not there[wanted]:
        raise StudioError(f"device is {wanted!r}, which this machine does not have; use 'auto' or 'cpu'")
    return torch.device(wanted)


def choose_dtype(device: torch.device, mixed_precision: str = "auto") -> torch.dtype:
    """Storage of the frozen UNet and VAE: half precision where the device computes in it, else float32."""
    import torch

    if mixed_precision == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.bfloat16 if device.type == "cpu" and processor_knows_bfloat16() else torch.float32
    if mixed_precision == "fp16" and device.type == "cpu":
        raise StudioError("mixed_precision is 'fp16', which a CPU cannot train in; use 'auto' or 'no'")
    return {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[mixed_precision]


def processor_knows_bfloat16() -> bool:
    """Whether it has instructions for it; without them bfloat16 is many times slower than float32."""
    import torch

    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def load(
    spec: str = MINIATURE, *, device: str = "auto", mixed_precision: str = "auto", attention: str = "sdpa"
) -> BaseModel:
    """Load and freeze a base model; raises StudioError where it is missing, damaged or of another family."""
    import torch
    from safetensors import SafetensorError

    description = describe(spec)
    chosen = choose_device(device)
    dtype = choose_dtype(chosen, mixed_precision)
    if attention == "xformers" and chosen.type != "cuda":
        raise StudioError(f"attention is 'xformers', which needs a CUDA GPU (here: {chosen.type}); use 'sdpa'")
    location = locate(spec)
    try:
        parts = _load_checkpoint(location, dtype) if location.checkpoint else _load_folder(location.folder, dtype)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).replace(f"{location.folder}/", "").split())[:200]
        raise StudioError(
            f"base_model {spec!r} cannot be loaded ({reason}); copy or download it again, or use {MINIATURE!r}"
        ) from error
    for module in parts.values():
        module.requires_grad_(False).eval().to(chosen)
    if chosen.type == "cuda":  # the layout that tensor cores convolve fastest in
        for part in ("unet", "vae"):
            parts[part].to(memory_format=torch.channels_last)
    if attention == "xformers":
        parts["unet"].enable_xformers_memory_efficient_attention()
    return BaseModel(
        description=description,
        host=Host(parts["unet"], parts["text_encoder"], load_tokenizer(spec)),
        vae=parts["vae"],
        scheduler_config=read_config(location, "scheduler", "scheduler_config.json"),
        digest=weights_digest(location),
        device=chosen,
        dtype=dtype,
    )


def _load_folder(folder: Path, dtype: torch.dtype) -> dict[str, nn.Module]:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.utils import logging as diffusers_logging
    from transformers import CLIPTextModel
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    parts = {}
    for part, kind in {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}.items():
        # Learned words move by less than half precision can tell apart, so the text encoder stays in float32.
        precision = {"dtype": torch.float32} if part == "text_encoder" else {"torch_dtype": dtype}
        # safetensors or nothing: a .bin would be a pickle
        parts[part], told = kind.from_pretrained(
            folder / part, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=True,
            output_loading_info=True, **precision,
        )
        _refuse_gaps(part, told["missing_keys"])
    return parts


def _refuse_gaps(part: str, missing: Iterable[str]) -> None:
    """Raise ValueError for weights that the file lacks: transformers fills them with random values, with a warning."""
    if missing := sorted(missing):
        raise ValueError(f"{part} lacks {len(missing)} of its weights, first {missing[0]}")


def _load_checkpoint(location: Location, dtype: torch.dtype) -> dict[str, nn.Module]:
    import torch
    from diffusers import StableDiffusionPipeline
    from safetensors import safe_open

    with safe_open(location.checkpoint, "pt") as file:
        names = list(file.keys())
    for part, prefix in CHECKPOINT_PREFIXES.items():
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(f"it holds no {part}, so it is no checkpoint of a whole Stable Diffusion")
    try:
        pipeline = StableDiffusionPipeline.from_single_file(
            location.checkpoint, config=str(location.folder), local_files_only=True, torch_dtype=torch.float32,
            safety_checker=None, feature_extractor=None,
        )
    except NotImplementedError as error:  # what torch says of a weight that was never filled
        raise ValueError("some of its weights are missing") from error
    parts = {part: getattr(pipeline, part) for part in COMPONENTS}
    for part, module in parts.items():
        _refuse_gaps(part, (name for name, weight in module.named_parameters() if weight.is_meta))
        if part != "text_encoder":
            module.to(dtype)
    return parts


def token_ids(host: Host, captions: Sequence[str], limit: int) -> Tensor:
    """Token ids (captions, limit), padded; raises StudioError for a caption over the limit."""
    for caption in captions:
        if (count := token_count(host.tokenizer, caption)) > limit:
            raise StudioError(f"the prompt {caption[:60]!r}... has {count} tokens, the model reads {limit}; shorten it")
    return host.tokenizer(list(captions), padding="max_length", max_length=limit, return_tensors="pt").input_ids


def encode(host: Host, ids: Tensor) -> Tensor:
    """Text states (captions, limit, width) of token ids (captions, limit), in the UNet's precision."""
    return host.text_encoder(ids.to(host.text_encoder.device))[0].to(host.unet.dtype)
