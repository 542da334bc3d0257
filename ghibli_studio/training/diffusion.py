"""The formulas of training as short pure functions: seeds, timesteps, noise, loss weights and targets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.models.base_model import BaseModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def derived_seed(seed: int, purpose: str, index: int) -> int:
    """Return a seed for one random draw; it does not depend on other draws or on whether the run was resumed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()[:7])


def generator(seed: int, purpose: str, index: int) -> torch.Generator:
    """Return a CPU generator for one random draw, so that the numbers are the same on every device."""
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, purpose, index))


def alphas_cumprod(base: BaseModel) -> Tensor:
    """Return alpha_bar (timesteps,), the signal level at each timestep (Ho et al. 2020, eq. 4), float32."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(base.scheduler_config).alphas_cumprod.to(base.device)


def sample_timesteps(kind: str, count: int, steps: int, source: torch.Generator) -> Tensor:
    """Return random timesteps to train on, (count,), in [0, steps).

    `logit_normal`: Esser et al. 2024 (arXiv:2403.03206, eq. 19, m=0, s=1). `cubic`: 1 - u^3, toward the noisy end,
    as T2I-Adapter trains (Mou et al. 2023, arXiv:2302.08453).
    """
    import torch

    if kind == "uniform":
        return torch.randint(steps, (count,), generator=source)
    if kind == "logit_normal":
        fraction = torch.sigmoid(torch.randn(count, generator=source))
    else:
        fraction = 1 - torch.rand(count, generator=source) ** 3
    return (fraction * steps).long().clamp(0, steps - 1)


def min_snr_weight(alpha_bar: Tensor, gamma: float | None, prediction_type: str) -> Tensor:
    """Return Min-SNR-gamma weights, same shape as `alpha_bar` (Hang et al. 2023, arXiv:2303.09556); 1 without gamma."""
    import torch

    if gamma is None:
        return torch.ones_like(alpha_bar)
    snr = alpha_bar / (1 - alpha_bar)
    return snr.clamp(max=gamma) / (snr + 1 if prediction_type == "v_prediction" else snr)


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the noisy latents sqrt(a) x + sqrt(1 - a) e; `alpha_bar` is (images, 1, 1, 1)."""
    return alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise


def prediction_target(latents: Tensor, noise: Tensor, alpha_bar: Tensor, prediction_type: str) -> Tensor:
    """Return what the UNet should predict: the noise, or the velocity (Salimans & Ho 2022, arXiv:2202.00512).

    Raises StudioError for another prediction type.
    """
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "v_prediction":
        return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * latents
    raise StudioError(
        f"the base model's prediction_type is {prediction_type!r}; supported are epsilon and v_prediction, so choose "
        "another base model"
    )
