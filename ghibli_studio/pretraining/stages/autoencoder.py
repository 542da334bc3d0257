"""The autoencoder: images to latents an eighth (or a quarter) as wide, and back; its training, and all latents."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import (
    Progress,
    image_batches,
    learning_rate,
    mixed_precision,
    move,
    set_learning_rate,
    to_model_input,
    update_average,
)
from ghibli_studio.pretraining.settings import Settings
from ghibli_studio.pretraining.stages import clip

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from torch import Tensor, nn
    from transformers import CLIPModel


PEAK_RATE = 8e-4
KL_WEIGHT = 2e-5
STRONGEST_EDGE = 4.0
"""Maximum weight of a pixel on an edge."""
ADVERSARY_FROM = 0.45
"""Share of the steps after which the adversarial loss starts; earlier, all reconstructions are blurred."""
ADVERSARY_WEIGHT = 0.03
FULL_SIZE_FROM = 0.75
"""Share of the steps after which full images replace crops half as wide, so that attention sees both sizes."""
SCALING_IMAGES = 64
"""Images that the scaling factor is computed from."""
ENCODING_BATCH = 256


def build(settings: Settings) -> AutoencoderKL:
    """Return an untrained autoencoder of 5.2 million parameters: Stable Diffusion's class at a quarter of its width.

    The innermost level is even narrower, because its parameters add least to sharpness. A factor of 4 has one level
    less.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    widths = (32, 64, 128, 160) if settings.latent_factor == 8 else (32, 64, 128)
    return AutoencoderKL(
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=settings.latent_channels,
        norm_num_groups=16,
        sample_size=settings.image_size,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
    )


def build_adversary(width: int = 48) -> nn.Sequential:
    """Return a patch discriminator: (batch, 3, height, width) images -> a score per patch, high for real images."""
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


def pyramid_loss(output: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute error plus half that of the gradients, summed over three scales, ().

    Both images are (batch, 3, height, width).
    """
    from torch.nn import functional

    loss = output.new_zeros(())
    for _ in range(3):
        error = output - true
        across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
        loss = loss + error.abs().mean() + 0.5 * (across.abs().mean() + down.abs().mean())
        output, true = functional.avg_pool2d(output, 2), functional.avg_pool2d(true, 2)
    return loss


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Return the mean KL divergence of normal latents from the standard normal (Kingma and Welling 2013, app. B)."""
    return (mean.pow(2) + log_variance.exp() - 1 - log_variance).mul(0.5).mean()


def edge_loss(output: Tensor, true: Tensor) -> Tensor:
    """Return the mean absolute error weighted by the edges of the true image, (); images (batch, 3, height, width).

    A pixel's weight is its brightness gradient relative to the image's mean gradient, so that thin outlines, which are
    a few percent of the pixels, are not sacrificed for the areas between them.
    """
    from torch.nn import functional

    gray = true.mean(1, keepdim=True)
    across = functional.pad((gray[..., 1:] - gray[..., :-1]).abs(), (0, 1))
    down = functional.pad((gray[..., 1:, :] - gray[..., :-1, :]).abs(), (0, 0, 0, 1))
    slope = functional.max_pool2d(across + down, 3, 1, 1)
    weight = (slope / slope.mean((1, 2, 3), keepdim=True).clamp(min=1e-4)).clamp(max=STRONGEST_EDGE)
    return (weight * (output - true).abs()).mean()


def train(
    images: np.ndarray,
    count: int,
    clip_model: CLIPModel,
    settings: Settings,
    device: str,
    training_of: Callable[..., Training],
) -> AutoencoderKL:
    """Train on the first `count` images; return the running average, with its scaling factor set.

    `clip_model` is this run's CLIP, whose features the perceptual loss compares; `training_of` builds the state of the
    loop from its tensors and optimizers.
    """
    import torch
    from torch.nn import functional

    torch.manual_seed(settings.seed)
    model = move(build(settings), device, torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    adversary = move(build_adversary(), device, torch.channels_last)
    clip_model.requires_grad_(False)
    fused = device == "cuda"
    optimizer = torch.optim.AdamW(model.parameters(), PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-4, fused=fused)
    adversary_optimizer = torch.optim.AdamW(adversary.parameters(), lr=4e-4, betas=(0.5, 0.9), fused=fused)
    trained, averaged = list(model.parameters()), list(average.parameters())
    training = training_of(
        {"model": trained, "average": averaged, "adversary": list(adversary.parameters())},
        {"optimizer": optimizer, "adversary_optimizer": adversary_optimizer},
    )
    batch, rows = settings.autoencoder_batch, np.arange(count)
    progress = Progress("autoencoder", training.budget.steps, first=training.first)
    batches = image_batches(
        images, lambda _: rows, batch=batch, first=training.first, seed=settings.seed, device=device
    )
    for (step, done), (_, true) in zip(training.steps(), batches):
        set_learning_rate(optimizer, learning_rate(done, PEAK_RATE))
        corner = np.random.default_rng([settings.seed, 1, step])
        full_size = done >= FULL_SIZE_FROM
        true = true[: max(1, batch // 3)] if full_size else half_crop(true, corner, settings.latent_factor)
        true = true.contiguous(memory_format=torch.channels_last)
        with mixed_precision(device):
            latents = model.encode(true).latent_dist
            output = model.decode(latents.sample()).sample
        output = output.float()
        loss = pyramid_loss(output, true) + KL_WEIGHT * kl_divergence(latents.mean.float(), latents.logvar.float())
        if settings.edge_weight:
            loss = loss + settings.edge_weight * edge_loss(output, true)
        if settings.perceptual_weight:
            with mixed_precision(device):
                perceptual = clip.distance(clip_model, output, true).mean()
            loss = loss + settings.perceptual_weight * perceptual
        adversarial = done > ADVERSARY_FROM
        if adversarial:
            with mixed_precision(device):
                score = adversary(output).float().mean()
            loss = loss - ADVERSARY_WEIGHT * min(1, (done - ADVERSARY_FROM) / 0.1) * score
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if adversarial:
            with mixed_precision(device):
                real, fake = adversary(true).float(), adversary(output.detach()).float()
            adversary_optimizer.zero_grad(set_to_none=True)
            (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()).backward()
            adversary_optimizer.step()
        update_average(averaged, trained, step, most=0.999)
        if progress.due(step):
            progress.say(step, loss=loss.item())
    set_scaling_factor(average, images[:count], settings, device)
    return average


def half_crop(images: torch.Tensor, rng: np.random.Generator, factor: int) -> torch.Tensor:
    """Return random crops of half the side, (batch, 3, size / 2, size / 2), aligned to the latents."""
    half = images.shape[-1] // 2
    top, left = (int(position) * factor for position in rng.integers(0, half // factor + 1, 2))
    return images[:, :, top : top + half, left : left + half]


def set_scaling_factor(model: AutoencoderKL, images: np.ndarray, settings: Settings, device: str) -> None:
    """Set the factor that gives the latents unit variance in the model's config, from 64 training images."""
    import torch

    count = min(SCALING_IMAGES, len(images))
    rows = np.random.default_rng(settings.seed + 1).choice(len(images), count, replace=False)
    with torch.no_grad():
        latents = model.encode(to_model_input(device, images[np.sort(rows)])).latent_dist.mean
    model.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))


def encode(model: AutoencoderKL, images: np.ndarray, device: str) -> np.ndarray:
    """Return scaled latent means of (count, size, size, 3) bytes in half precision, (count, channels, side, side)."""
    import torch

    progress, parts = Progress("latents", -(-len(images) // ENCODING_BATCH), lines=4), []
    for number, start in enumerate(range(0, len(images), ENCODING_BATCH)):
        inputs = to_model_input(device, images[start : start + ENCODING_BATCH])
        with torch.no_grad(), mixed_precision(device):
            latents = model.encode(inputs).latent_dist.mean * model.config["scaling_factor"]
        parts.append(latents.half().cpu().numpy())
        if progress.due(number):
            progress.say(number)
    return np.concatenate(parts)
