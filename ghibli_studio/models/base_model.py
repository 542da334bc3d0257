"""Loads a base model. Its files are found by `location`; `description` reads its configuration without torch.

All modules are frozen. Resolution, latent shape and token limit are read from the model, never assumed. Training and
sampling are elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import Host
from adapters.settings import StudioError
from ghibli_studio.models.description import Description, describe
from ghibli_studio.models.location import COMPONENTS, MINIATURE, Location, locate, read_config, weights_digest
from ghibli_studio.models.tokenizer import load_tokenizer
from ghibli_studio.runtime.device import choose_device, choose_dtype

if TYPE_CHECKING:
    import torch


CHECKPOINT_PREFIXES = {
    "unet": "model.diffusion_model.",
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": "cond_stage_model.",
}


@dataclass(frozen=True)
class BaseModel:
    """A loaded, frozen Stable Diffusion."""

    description: Description
    host: Host
    vae: Any
    """An AutoencoderKL."""
    scheduler_config: dict[str, Any]
    digest: str
    """SHA-256 over the weight files."""
    device: torch.device
    dtype: torch.dtype

    @property
    def shape(self) -> list[int]:
        """Widths that an adapter must fit: of the UNet's blocks, its text input, and the text encoder."""
        unet: Any = self.host.unet.config
        text_encoder: Any = self.host.text_encoder.config
        return [*unet.block_out_channels, unet.cross_attention_dim, text_encoder.hidden_size]


def load(
    model_id: str = MINIATURE, *, device: str = "auto", mixed_precision: str = "auto", attention: str = "sdpa"
) -> BaseModel:
    """Load and freeze a base model; raises StudioError if it is missing, damaged or of an unsupported family."""
    import torch
    from safetensors import SafetensorError

    description = describe(model_id)
    chosen = choose_device(device)
    dtype = choose_dtype(chosen, mixed_precision)
    if attention == "xformers" and chosen.type != "cuda":
        raise StudioError(f"attention is 'xformers', which needs a CUDA GPU (device: {chosen.type}); use 'sdpa'")
    location = locate(model_id)
    try:
        parts = _load_checkpoint(location, dtype) if location.checkpoint else _load_folder(location.folder, dtype)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).replace(f"{location.folder}/", "").split())[:200]
        raise StudioError(
            f"base_model {model_id!r} cannot be loaded ({reason}); copy or download it again, or use {MINIATURE!r}"
        ) from error
    for module in parts.values():
        module.requires_grad_(False).eval().to(chosen)
    if chosen.type == "cuda":  # the fastest memory layout for convolutions on tensor cores
        for part in ("unet", "vae"):
            parts[part].to(memory_format=torch.channels_last)
    if attention == "xformers":
        parts["unet"].enable_xformers_memory_efficient_attention()
    return BaseModel(
        description=description,
        host=Host(parts["unet"], parts["text_encoder"], load_tokenizer(model_id)),
        vae=parts["vae"],
        scheduler_config=read_config(location, "scheduler", "scheduler_config.json"),
        digest=weights_digest(location),
        device=chosen,
        dtype=dtype,
    )


def _load_folder(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.utils import logging as diffusers_logging
    from transformers import CLIPTextModel
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    parts: dict[str, Any] = {}
    for part, kind in {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}.items():
        # Embeddings move by less than half precision resolves, so the text encoder stays in float32.
        precision = {"dtype": torch.float32} if part == "text_encoder" else {"torch_dtype": dtype}
        # safetensors only: a .bin would be a pickle
        parts[part], loading = kind.from_pretrained(
            folder / part,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=True,
            output_loading_info=True,
            **precision,
        )
        _refuse_gaps(part, loading["missing_keys"])
    return parts


def _refuse_gaps(part: str, missing: Iterable[str]) -> None:
    """Raise ValueError for weights that the file lacks: transformers would fill them with random values."""
    if missing := sorted(missing):
        raise ValueError(f"{part} lacks {len(missing)} of its weights, first {missing[0]}")


def _load_checkpoint(location: Location, dtype: torch.dtype) -> dict[str, Any]:
    import torch
    from diffusers import StableDiffusionPipeline
    from safetensors import safe_open

    with safe_open(location.checkpoint, "pt") as file:
        names = list(file.keys())
    for part, prefix in CHECKPOINT_PREFIXES.items():
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(f"it has no {part}, so it is not a complete Stable Diffusion checkpoint")
    try:
        pipeline = StableDiffusionPipeline.from_single_file(
            location.checkpoint,
            config=str(location.folder),
            local_files_only=True,
            torch_dtype=torch.float32,
            safety_checker=None,
            feature_extractor=None,
        )
    except NotImplementedError as error:  # raised by torch for a weight that was never loaded
        raise ValueError("some of its weights are missing") from error
    parts = {part: getattr(pipeline, part) for part in COMPONENTS}
    for part, module in parts.items():
        _refuse_gaps(part, (name for name, weight in module.named_parameters() if weight.is_meta))
        if part != "text_encoder":
            module.to(dtype)
    return parts
