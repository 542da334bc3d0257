"""The autoencoder: pictures to latents an eighth as wide, and back. Its training, and the latents of all pictures."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.miniature.pretrain.learning import (
    Progress,
    average_towards,
    learning_rate,
    mixed_precision,
    picture_batches,
    set_learning_rate,
    shown_to,
)
from ghibli_studio.miniature.pretrain.settings import LATENT_FACTOR, Settings

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL
    from torch import nn

PEAK_RATE = 8e-4
KL_WEIGHT = 2e-5
ADVERSARY_FROM = 0.45
"""Part of the steps after which the adversary joins; earlier it would only see blur."""
ADVERSARY_WEIGHT = 0.03
WHOLE_FROM = 0.75
"""Part of the steps after which whole pictures take the place of crops half as wide, so that attention meets both."""
MEASURED = 64
ENCODED_AT_ONCE = 256


def build(picture_size: int) -> AutoencoderKL:
    """An untrained autoencoder of 6.8 million parameters, Stable Diffusion's class at a quarter of its width."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(32, 64, 128, 192), layers_per_block=1, latent_channels=4, norm_num_groups=16,
        sample_size=picture_size, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )


def build_adversary(width: int = 48) -> nn.Sequential:
    """A patch discriminator: (batch, 3, height, width) pictures -> a score for each patch, high for real ones."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, width * 2, 4, 2, 1), nn.GroupNorm(8, width * 2), nn.LeakyReLU(0.2),
        nn.Conv2d(width * 2, width * 4, 4, 2, 1), nn.GroupNorm(8, width * 4), nn.LeakyReLU(0.2),
        nn.Conv2d(width * 4, 1, 4, 1, 1),
    )


def pyramid_loss(made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean absolute error, plus half that of the slopes, summed over three sizes; () from (batch, 3, height, width)."""
    from torch.nn import functional

    loss = made.new_zeros(())
    for _ in range(3):
        error = made - true
        across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
        loss = loss + error.abs().mean() + 0.5 * (across.abs().mean() + down.abs().mean())
        made, true = functional.avg_pool2d(made, 2), functional.avg_pool2d(true, 2)
    return loss


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Mean divergence of independent normal latents from the standard normal (Kingma and Welling 2013, appendix B)."""
    return (mean.pow(2) + log_variance.exp() - 1 - log_variance).mul(0.5).mean()


def train(images: np.ndarray, settings: Settings, device: str) -> tuple[AutoencoderKL, dict[str, float]]:
    """Train on all pictures; return the running average with its scaling factor set, and its measured quality."""
    import torch
    from torch.nn import functional

    torch.manual_seed(settings.seed)
    model = build(settings.picture_size).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    adversary = build_adversary().to(device, memory_format=torch.channels_last)
    fused = device == "cuda"
    optimiser = torch.optim.AdamW(model.parameters(), PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-4, fused=fused)
    adversary_optimiser = torch.optim.AdamW(adversary.parameters(), lr=4e-4, betas=(0.5, 0.9), fused=fused)
    steps, batch, rows = settings.autoencoder_steps, settings.autoencoder_batch, np.arange(len(images))
    corner = np.random.default_rng(settings.seed)
    progress = Progress("autoencoder", steps)
    batches = picture_batches(images, rows, batch=batch, count=steps, seed=settings.seed, device=device)
    for step, (_, true) in enumerate(batches):
        done = step / steps
        set_learning_rate(optimiser, learning_rate(done, PEAK_RATE))
        true = true[: max(1, batch // 3)] if done >= WHOLE_FROM else half_crop(true, corner)
        true = true.contiguous(memory_format=torch.channels_last)
        with mixed_precision(device):
            latents = model.encode(true).latent_dist
            made = model.decode(latents.sample()).sample
        made = made.float()
        loss = pyramid_loss(made, true) + KL_WEIGHT * kl_divergence(latents.mean.float(), latents.logvar.float())
        adversarial = done > ADVERSARY_FROM
        if adversarial:
            with mixed_precision(device):
                fooled = adversary(made).float().mean()
            loss = loss - ADVERSARY_WEIGHT * min(1, (done - ADVERSARY_FROM) / 0.1) * fooled
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if adversarial:
            with mixed_precision(device):
                real, fake = adversary(true).float(), adversary(made.detach()).float()
            adversary_optimiser.zero_grad(set_to_none=True)
            (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()).backward()
            adversary_optimiser.step()
        average_towards(average, model, step, most=0.999)
        if progress.due(step):
            progress.say(step, loss=loss.item())
    return average, measure(average, images, settings, device)


def half_crop(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(batch, 3, size, size) -> (batch, 3, size / 2, size / 2), at a random corner that is a whole latent."""
    half = pictures.shape[-1] // 2
    top, left = (int(place) * LATENT_FACTOR for place in rng.integers(0, half // LATENT_FACTOR + 1, 2))
    return pictures[:, :, top : top + half, left : left + half]


def measure(model: AutoencoderKL, images: np.ndarray, settings: Settings, device: str) -> dict[str, float]:
    """Signal-to-noise ratio on 64 pictures, and the factor, set in the model too, that gives latents unit variance."""
    import torch

    count = min(MEASURED, len(images))
    rows = np.random.default_rng(settings.seed + 1).choice(len(images), count, replace=False)
    true = shown_to(device, images[np.sort(rows)])
    with torch.no_grad():
        latents = model.encode(true).latent_dist.mean
        made = model.decode(latents).sample.clamp(-1, 1)
    decibels = -10 * torch.log10(((made - true) / 2).pow(2).mean()).item()
    factor = round(1 / latents.std().item(), 5)
    model.register_to_config(scaling_factor=factor)
    return {"peak_signal_to_noise_decibels": decibels, "scaling_factor": factor}


def encode(model: AutoencoderKL, images: np.ndarray, device: str) -> np.ndarray:
    """(count, size, size, 3) bytes -> (count, 4, size / 8, size / 8) scaled mean latents in half precision."""
    import torch

    progress, parts = Progress("latents", -(-len(images) // ENCODED_AT_ONCE), lines=4), []
    for number, start in enumerate(range(0, len(images), ENCODED_AT_ONCE)):
        pictures = shown_to(device, images[start : start + ENCODED_AT_ONCE])
        with torch.no_grad(), mixed_precision(device):
            latents = model.encode(pictures).latent_dist.mean * model.config.scaling_factor
        parts.append(latents.half().cpu().numpy())
        if progress.due(number):
            progress.say(number)
    return np.concatenate(parts)
