"""The UNet: predicts the noise in a latent, given the caption. It is never trained on the target style."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import (
    Progress,
    learning_rate,
    mixed_precision,
    move,
    set_learning_rate,
    update_average,
)
from ghibli_studio.pretraining.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from transformers import CLIPTextModel


PEAK_RATE = 5e-4
GAMMA = 5.0
"""Gamma of min-SNR weighting: the maximum signal-to-noise ratio in the loss."""
CAPTION_DROPOUT = 0.1
"""Share of each batch with an empty caption, which guidance needs."""
TIMESTEPS = 1000


def build(settings: Settings) -> UNet2DConditionModel:
    """Return an untrained UNet of 21.1 million parameters: Stable Diffusion's class with three levels.

    Latents of a factor of 4 are twice as wide; a narrow fourth level reduces them to where attention is cheap.
    """
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    without_attention = 1 if settings.latent_factor == 8 else 2
    widths = (96, 192, 256) if settings.latent_factor == 8 else (64, 96, 192, 256)
    return UNet2DConditionModel(
        sample_size=settings.latent_size,
        in_channels=settings.latent_channels,
        out_channels=settings.latent_channels,
        cross_attention_dim=256,
        block_out_channels=widths,
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=32,
        down_block_types=("DownBlock2D",) * without_attention + ("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",) * without_attention,
    )


def scheduler() -> DDIMScheduler:
    """Return Stable Diffusion 1.x's noise schedule."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def min_snr_weight(alphas_cumprod: torch.Tensor, gamma: float = GAMMA) -> torch.Tensor:
    """Return min(snr, gamma) / snr, the loss weight for noise prediction (Hang et al. 2023)."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=gamma) / snr


def sample_timesteps(batch: int, noisy_share: float, device: torch.device) -> torch.Tensor:
    """Return random timesteps, (batch,): uniform from 0 to 999 or, with probability `noisy_share`, cubic.

    Cubic: 1000 (1 - u^3) with u uniform between 0 and 1, so that half of them are above 875.
    """
    import torch

    u = torch.rand(batch, device=device)
    fraction = torch.where(torch.rand(batch, device=device) < noisy_share, 1 - u**3, u)
    return (fraction * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)


@dataclass(frozen=True)
class NoisyLatents:
    """A random training batch for denoising, on one device."""

    noisy: torch.Tensor
    """(batch, channels, size, size) noisy latents."""
    noise: torch.Tensor
    """(batch, channels, size, size) the noise in them, which is to be predicted."""
    timesteps: torch.Tensor
    """(batch,) from 0, almost clean, to 999, almost pure noise."""
    alphas_cumprod: torch.Tensor
    """(batch,) share of the variance that is not noise."""
    context: torch.Tensor
    """(batch, 77, 256) the text encoder's states of the captions."""


@dataclass(frozen=True)
class NoisyLatentsSource:
    """The data that batches of noisy latents are sampled from, on one device."""

    latents: torch.Tensor
    """(images, channels, size, size) in half precision."""
    ids: torch.Tensor
    """(images, captions, 77) token ids."""
    empty: torch.Tensor
    """(1, 77) token ids of the empty caption."""
    rows: torch.Tensor
    """(allowed,) the images that may be sampled."""
    alphas_cumprod: torch.Tensor
    """(1000,) share of the variance that is not noise, by timestep."""
    encoder: CLIPTextModel

    def sample(self, batch: int, noisy_share: float = 0.0) -> NoisyLatents:
        """Return a batch with random images, captions, timesteps and noise; one caption in ten is empty."""
        import torch

        device = self.latents.device
        chosen = self.rows[torch.randint(len(self.rows), (batch,), device=device)]
        captions = self.ids[chosen, torch.randint(self.ids.shape[1], (batch,), device=device)]
        captions = torch.where(torch.rand(batch, 1, device=device) < CAPTION_DROPOUT, self.empty, captions)
        with torch.no_grad(), mixed_precision(device.type):
            context = self.encoder(captions)[0]
        clean = self.latents[chosen].float()
        noise = torch.randn_like(clean)
        timesteps = sample_timesteps(batch, noisy_share, device)
        alphas_cumprod = self.alphas_cumprod[timesteps]
        signal = alphas_cumprod.view(-1, 1, 1, 1)
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        return NoisyLatents(noisy, noise, timesteps, alphas_cumprod, context)


def build_source(
    latents: np.ndarray, ids: torch.Tensor, empty: torch.Tensor, rows: np.ndarray, encoder: CLIPTextModel, device: str
) -> NoisyLatentsSource:
    """Return latents (images, channels, size, size), captions and allowed rows as a source on the device."""
    import torch

    return NoisyLatentsSource(
        torch.from_numpy(latents).to(device),
        ids.to(device),
        empty.to(device),
        torch.from_numpy(rows).to(device),
        scheduler().alphas_cumprod.to(device),
        move(encoder, device),
    )


def train(
    source: NoisyLatentsSource, settings: Settings, device: str, compiled: bool, training_of: Callable[..., Training]
) -> tuple[UNet2DConditionModel, dict[str, float]]:
    """Train on the source's images; return the running average, and metrics with the loss of the last step."""
    import torch

    torch.manual_seed(settings.seed + 2)
    model = move(build(settings), device)
    if device == "cuda":
        move(model, device, torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    predict: Any = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=device == "cuda"
    )
    trained, averaged = list(model.parameters()), list(average.parameters())
    training = training_of({"model": trained, "average": averaged}, {"optimizer": optimizer})
    progress, step, loss = Progress("denoiser", training.budget.steps, first=training.first), training.first, None
    for step, done in training.steps():
        set_learning_rate(optimizer, learning_rate(done, PEAK_RATE))
        batch = source.sample(settings.denoiser_batch, settings.noisy_share)
        noisy, context = batch.noisy, batch.context
        if device == "cuda":
            noisy, context = noisy.contiguous(memory_format=torch.channels_last), context.bfloat16()
        with mixed_precision(device):
            prediction = predict(noisy, batch.timesteps, context, return_dict=False)[0]
        error = (prediction.float() - batch.noise).pow(2).mean((1, 2, 3))
        loss = (error * min_snr_weight(batch.alphas_cumprod)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        update_average(averaged, trained, step, most=0.9995)
        if progress.due(step):
            progress.say(step, weighted=loss.item(), plain=error.mean().item())
    metrics: dict[str, float] = {"images": len(source.rows), "steps": step + (loss is not None)}
    return average, metrics | ({} if loss is None else {"last_weighted_loss": loss.item()})
