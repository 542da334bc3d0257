"""The autoencoder: pictures to latents an eighth (or a quarter) as wide, and back; its training, and all latents."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import (
    Progress,
    average_towards,
    learning_rate,
    mixed_precision,
    picture_batches,
    set_learning_rate,
    shown_to,
)
from ghibli_studio.pretraining.settings import Settings
from ghibli_studio.pretraining.stages import clip

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from diffusers import AutoencoderKL
    from torch import Tensor, nn
    from transformers import CLIPModel


PEAK_RATE = 8e-4
KL_WEIGHT = 2e-5
STRONGEST_EDGE = 4.0
"""Bound on how much more than its share a pixel counts for the edge that it lies on."""
ADVERSARY_FROM = 0.45
"""Part of the steps after which the adversary joins; earlier it would only see blur."""
ADVERSARY_WEIGHT = 0.03
WHOLE_FROM = 0.75
"""Part of the steps after which whole pictures take the place of crops half as wide, so that attention meets both."""
MEASURED = 64
ENCODED_AT_ONCE = 256


def build(settings: Settings) -> AutoencoderKL:
    """An untrained autoencoder of 5.2 million parameters, Stable Diffusion's class at a quarter of its width.

    The innermost level is narrower than that: what it costs in bytes serves sharpness least. With a factor of 4 there
    is one level less.
    """
    from diffusers import AutoencoderKL

    widths = (32, 64, 128, 160) if settings.latent_factor == 8 else (32, 64, 128)
    return AutoencoderKL(
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=settings.latent_channels,
        norm_num_groups=16,
        sample_size=settings.picture_size,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
    )


def build_adversary(width: int = 48) -> nn.Sequential:
    """A patch discriminator: (batch, 3, height, width) pictures -> a score for each patch, high for real ones."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width * 2, 4, 2, 1),
        nn.GroupNorm(8, width * 2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width * 2, width * 4, 4, 2, 1),
        nn.GroupNorm(8, width * 4),
        nn.LeakyReLU(0.2),
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


def edge_loss(made: Tensor, true: Tensor) -> Tensor:
    """Mean absolute error where the true picture has edges; () from (batch, 3, height, width).

    A pixel counts by the slope of brightness there against the picture's mean slope, so that thin outlines, which are
    a few pixels in a hundred, are not given up for the areas between them.
    """
    from torch.nn import functional

    grey = true.mean(1, keepdim=True)
    across = functional.pad((grey[..., 1:] - grey[..., :-1]).abs(), (0, 1))
    down = functional.pad((grey[..., 1:, :] - grey[..., :-1, :]).abs(), (0, 0, 0, 1))
    slope = functional.max_pool2d(across + down, 3, 1, 1)
    weight = (slope / slope.mean((1, 2, 3), keepdim=True).clamp(min=1e-4)).clamp(max=STRONGEST_EDGE)
    return (weight * (made - true).abs()).mean()


def train(
    images: np.ndarray,
    count: int,
    eyes: CLIPModel,
    settings: Settings,
    device: str,
    training_of: Callable[..., Training],
) -> AutoencoderKL:
    """Train on the first `count` pictures; return the running average, its scaling factor set.

    `eyes` is the CLIP of this recipe, in whose features the copies shall be like the pictures; `training_of` gives the
    loop its state: `Training` with its first arguments given.
    """
    import torch
    from torch.nn import functional

    torch.manual_seed(settings.seed)
    model = build(settings).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    adversary = build_adversary().to(device, memory_format=torch.channels_last)
    eyes = eyes.requires_grad_(False)
    fused = device == "cuda"
    optimiser = torch.optim.AdamW(model.parameters(), PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-4, fused=fused)
    adversary_optimiser = torch.optim.AdamW(adversary.parameters(), lr=4e-4, betas=(0.5, 0.9), fused=fused)
    mine, averaged = list(model.parameters()), list(average.parameters())
    training = training_of(
        {"model": mine, "average": averaged, "adversary": list(adversary.parameters())},
        {"optimiser": optimiser, "adversary_optimiser": adversary_optimiser},
    )
    batch, rows = settings.autoencoder_batch, np.arange(count)
    progress = Progress("autoencoder", training.budget.steps, first=training.first)
    batches = picture_batches(
        images, lambda _: rows, batch=batch, first=training.first, seed=settings.seed, device=device
    )
    for (step, done), (_, true) in zip(training.steps(), batches):
        set_learning_rate(optimiser, learning_rate(done, PEAK_RATE))
        corner = np.random.default_rng([settings.seed, 1, step])
        whole = done >= WHOLE_FROM
        true = true[: max(1, batch // 3)] if whole else half_crop(true, corner, settings.latent_factor)
        true = true.contiguous(memory_format=torch.channels_last)
        with mixed_precision(device):
            latents = model.encode(true).latent_dist
            made = model.decode(latents.sample()).sample
        made = made.float()
        loss = pyramid_loss(made, true) + KL_WEIGHT * kl_divergence(latents.mean.float(), latents.logvar.float())
        if settings.edge_weight:
            loss = loss + settings.edge_weight * edge_loss(made, true)
        if settings.perceptual_weight:
            with mixed_precision(device):
                unlike = clip.distance(eyes, made, true).mean()
            loss = loss + settings.perceptual_weight * unlike
        adversarial = done > ADVERSARY_FROM
        if adversarial:
            with mixed_precision(device):
                fooled = adversary(made).float().mean()
            loss = loss - ADVERSARY_WEIGHT * min(1, (done - ADVERSARY_FROM) / 0.1) * fooled
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(mine, 1.0)
        optimiser.step()
        if adversarial:
            with mixed_precision(device):
                real, fake = adversary(true).float(), adversary(made.detach()).float()
            adversary_optimiser.zero_grad(set_to_none=True)
            (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()).backward()
            adversary_optimiser.step()
        average_towards(averaged, mine, step, most=0.999)
        if progress.due(step):
            progress.say(step, loss=loss.item())
    set_scaling_factor(average, images[:count], settings, device)
    return average


def half_crop(pictures: torch.Tensor, rng: np.random.Generator, factor: int) -> torch.Tensor:
    """(batch, 3, size, size) -> (batch, 3, size / 2, size / 2), at a random corner that is a whole latent."""
    half = pictures.shape[-1] // 2
    top, left = (int(place) * factor for place in rng.integers(0, half // factor + 1, 2))
    return pictures[:, :, top : top + half, left : left + half]


def set_scaling_factor(model: AutoencoderKL, images: np.ndarray, settings: Settings, device: str) -> None:
    """Write into the model's config the factor that gives its latents unit variance, from 64 training pictures."""
    import torch

    count = min(MEASURED, len(images))
    rows = np.random.default_rng(settings.seed + 1).choice(len(images), count, replace=False)
    with torch.no_grad():
        latents = model.encode(shown_to(device, images[np.sort(rows)])).latent_dist.mean
    model.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))


def encode(model: AutoencoderKL, images: np.ndarray, device: str) -> np.ndarray:
    """(count, size, size, 3) bytes -> (count, channels, latent size, latent size) scaled means in half precision."""
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
