"""Stable Diffusion 1.5 with its real configuration and random weights: it costs the same, and nothing is downloaded.

The tokenizer is the miniature's, because CLIP's vocabulary cannot be bundled; its ids are within CLIP's table.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ghibli_studio.miniature import WEIGHTS

if TYPE_CHECKING:
    import torch


UNET: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,  # a historic misnomer: this is the number of heads
}
VAE: dict[str, Any] = {
    "sample_size": 512,
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "act_fn": "silu",
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
}
TEXT_ENCODER: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "projection_dim": 768,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 1,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
    "trained_betas": None,
}
PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
"""Parameters of the published model, which would reveal a wrong configuration."""


def build(part: str, dtype: torch.dtype | None = None) -> Any:
    """Return one part (`unet`, `vae` or `text_encoder`) with random weights, on torch's default device; float32."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or torch.float32)
    try:
        if part == "text_encoder":
            return CLIPTextModel(CLIPTextConfig(**TEXT_ENCODER))
        return UNet2DConditionModel(**UNET) if part == "unet" else AutoencoderKL(**VAE)
    finally:
        torch.set_default_dtype(before)


def write(folder: Path, device: str = "cpu") -> Path:
    """Write a diffusers folder (2.1 GB, bfloat16) that `base_model.load` reads like the published one; return it."""
    import torch

    for part in PARAMETERS:
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(0)
            module = build(part, torch.bfloat16)
        module.save_pretrained(folder / part)
        del module  # the next part needs the memory
    shutil.copytree(WEIGHTS / "base/tokenizer", folder / "tokenizer")
    shutil.copy(WEIGHTS / "base/model_index.json", folder)
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER, indent=2))
    return folder


def count(module: torch.nn.Module) -> int:
    """Return the number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
