"""The formulas of training, each a short pure function: seeds, order, noise, time steps, weights, learning rate."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.models.base_model import BaseModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def derived_seed(seed: int, purpose: str, index: int) -> int:
    """A seed for one draw: independent of every other draw, and of how the run came here."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()[:7])


def generator(seed: int, purpose: str, index: int) -> torch.Generator:
    """A CPU generator for one draw, so that every device sees the same numbers."""
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, purpose, index))


def noise_levels(base: BaseModel) -> Tensor:
    """alpha_bar (time steps,), the share of the picture left at each (Ho et al. 2020, eq. 4), float32."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(base.scheduler_config).alphas_cumprod.to(base.device)


def draw_timesteps(kind: str, count: int, steps: int, source: torch.Generator) -> Tensor:
    """Time steps to train on, (count,), in [0, steps).

    `logit_normal`: Esser et al. 2024 (arXiv:2403.03206, eq. 19, m=0, s=1). `cubic`: 1 - u^3 towards the noisy end,
    as T2I-Adapter trains (Mou et al. 2023, arXiv:2302.08453).
    """
    import torch

    if kind == "uniform":
        return torch.randint(steps, (count,), generator=source)
    if kind == "logit_normal":
        share = torch.sigmoid(torch.randn(count, generator=source))
    else:
        share = 1 - torch.rand(count, generator=source) ** 3
    return (share * steps).long().clamp(0, steps - 1)


def min_snr_weight(alpha_bar: Tensor, gamma: float | None, prediction_type: str) -> Tensor:
    """Min-SNR-gamma weights, the shape of `alpha_bar` (Hang et al. 2023, arXiv:2303.09556); 1 without gamma."""
    import torch

    if gamma is None:
        return torch.ones_like(alpha_bar)
    snr = alpha_bar / (1 - alpha_bar)
    return snr.clamp(max=gamma) / (snr + 1 if prediction_type == "v_prediction" else snr)


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noisy latents sqrt(a) x + sqrt(1 - a) e; `alpha_bar` is (pictures, 1, 1, 1)."""
    return alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise


def prediction_target(latents: Tensor, noise: Tensor, alpha_bar: Tensor, prediction_type: str) -> Tensor:
    """What the UNet should say: the noise, or the velocity (Salimans & Ho 2022, arXiv:2202.00512)."""
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "v_prediction":
        return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * latents
    raise StudioError(f"the base model predicts {prediction_type!r}; supported are epsilon and v_prediction")
