"""The arithmetic floor: the least time in which a device could do the counted work, at its measured rate."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ghibli_studio.models.base_model import BaseModel

if TYPE_CHECKING:
    import torch


BACKWARD = 1
"""Further forward passes that a backward pass costs: the weights are frozen, so only the gradient of the inputs."""


def forward_flop(base: BaseModel) -> int:
    """Floating-point operations of one picture through the UNet, counted."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    latents = torch.zeros((1, *base.description.latent_shape), device=base.device, dtype=base.dtype)
    width = base.host.unet.config.cross_attention_dim
    text = torch.zeros((1, base.description.token_limit, width), device=base.device, dtype=base.dtype)
    timestep = torch.tensor([5], device=base.device)
    # attention as plain products, which the counter knows on every device
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        base.host.unet(latents, timestep, text, return_dict=False)
    return counter.get_total_flops()


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square product: the best of several, after a warm-up."""
    import torch

    side, repeats = (8192, 20) if device.type == "cuda" else (2048, 8)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def training_floor(flop: int, rate: float, batch: int) -> float:
    """Seconds of a step: forward and backward through the frozen UNet, for either method."""
    return (1 + BACKWARD) * flop * batch / rate


def sampling_floor(flop: int, rate: float, batch: int, steps: int) -> float:
    """Seconds of a batch of pictures: with guidance every step is two passes."""
    return 2 * steps * flop * batch / rate
