"""The UNet: learns to tell the noise in a latent, given the caption. It never sees the target style."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import Progress, average_towards, learning_rate, mixed_precision, set_learning_rate
from ghibli_studio.pretraining.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel


PEAK_RATE = 5e-4
GAMMA = 5.0
"""Largest signal-to-noise ratio that counts in the loss."""
WITHOUT_CAPTION = 0.1
"""Part of each batch that is shown the empty caption, which guidance needs."""
TIME_STEPS = 1000


def build(settings: Settings) -> UNet2DConditionModel:
    """An untrained UNet of 21.1 million parameters, Stable Diffusion's class with three levels.

    Latents of a factor of 4 are twice as wide; a narrow fourth level brings them down to where attention is cheap.
    """
    from diffusers import UNet2DConditionModel

    plain = 1 if settings.latent_factor == 8 else 2
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
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",) * plain,
    )


def scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.x's noise schedule."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=TIME_STEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def min_snr_weight(signal: torch.Tensor, gamma: float = GAMMA) -> torch.Tensor:
    """min(snr, gamma) / snr for noise prediction (Hang et al. 2023); `signal` is the cumulative product of alphas."""
    ratio = signal / (1 - signal)
    return ratio.clamp(max=gamma) / ratio


def drawn_time_steps(batch: int, noisy_share: float, device: torch.device) -> torch.Tensor:
    """(batch,) time steps: evenly from 0 to 999 or, with the chance `noisy_share`, cubically towards the noisy end.

    Cubic: 1000 (1 - u^3) for u even between 0 and 1, so that half of them are above 875.
    """
    import torch

    u = torch.rand(batch, device=device)
    part = torch.where(torch.rand(batch, device=device) < noisy_share, 1 - u**3, u)
    return (part * TIME_STEPS).long().clamp(max=TIME_STEPS - 1)


@dataclass(frozen=True)
class NoisyLatents:
    """A random batch to learn denoising from, on one device."""

    noisy: torch.Tensor
    """(batch, channels, size, size) latents with noise."""
    noise: torch.Tensor
    """(batch, channels, size, size) the noise in them, which is to be told."""
    time_steps: torch.Tensor
    """(batch,) from 0, almost clean, to 999, almost noise."""
    signal: torch.Tensor
    """(batch,) part of the variance that is not noise."""
    context: torch.Tensor
    """(batch, 77, 256) the captions as the text encoder gives them."""


@dataclass(frozen=True)
class NoisyLatentsSource:
    """Everything a batch of noisy latents is drawn from, on one device."""

    latents: torch.Tensor
    """(pictures, channels, size, size) in half precision."""
    ids: torch.Tensor
    """(pictures, captions, 77) token numbers."""
    empty: torch.Tensor
    """(1, 77) token numbers of the empty caption."""
    rows: torch.Tensor
    """(allowed,) the pictures that may be drawn."""
    signal: torch.Tensor
    """(1000,) for each time step the part of the variance that is not noise."""
    encoder: CLIPTextModel

    def draw(self, batch: int, noisy_share: float = 0.0) -> NoisyLatents:
        """A batch with random pictures, wordings, time steps and noise; one caption in ten is empty."""
        import torch

        device = self.latents.device
        chosen = self.rows[torch.randint(len(self.rows), (batch,), device=device)]
        captions = self.ids[chosen, torch.randint(self.ids.shape[1], (batch,), device=device)]
        captions = torch.where(torch.rand(batch, 1, device=device) < WITHOUT_CAPTION, self.empty, captions)
        with torch.no_grad(), mixed_precision(device.type):
            context = self.encoder(captions)[0]
        clean = self.latents[chosen].float()
        noise = torch.randn_like(clean)
        time_steps = drawn_time_steps(batch, noisy_share, device)
        signal = self.signal[time_steps]
        part = signal.view(-1, 1, 1, 1)
        noisy = part.sqrt() * clean + (1 - part).sqrt() * noise
        return NoisyLatents(noisy, noise, time_steps, signal, context)


def source(
    latents: np.ndarray, ids: torch.Tensor, empty: torch.Tensor, rows: np.ndarray, encoder: CLIPTextModel, device: str
) -> NoisyLatentsSource:
    """Put latents (pictures, channels, size, size), captions and the allowed rows on the device."""
    import torch

    return NoisyLatentsSource(
        torch.from_numpy(latents).to(device),
        ids.to(device),
        empty.to(device),
        torch.from_numpy(rows).to(device),
        scheduler().alphas_cumprod.to(device),
        encoder.to(device),
    )


def train(
    drawn: NoisyLatentsSource, settings: Settings, device: str, compiled: bool, training_of: Callable[..., Training]
) -> tuple[UNet2DConditionModel, dict[str, float]]:
    """Train on the source's pictures; return the running average, and the loss of the last step."""
    import torch

    torch.manual_seed(settings.seed + 2)
    model = build(settings).to(device)
    if device == "cuda":
        model = model.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    predict = torch.compile(model) if compiled else model
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=device == "cuda"
    )
    mine, averaged = list(model.parameters()), list(average.parameters())
    training = training_of({"model": mine, "average": averaged}, {"optimiser": optimiser})
    progress, step, loss = Progress("denoiser", training.budget.steps, first=training.first), training.first, None
    for step, done in training.steps():
        set_learning_rate(optimiser, learning_rate(done, PEAK_RATE))
        batch = drawn.draw(settings.denoiser_batch, settings.noisy_share)
        noisy, context = batch.noisy, batch.context
        if device == "cuda":
            noisy, context = noisy.contiguous(memory_format=torch.channels_last), context.bfloat16()
        with mixed_precision(device):
            told = predict(noisy, batch.time_steps, context, return_dict=False)[0]
        error = (told.float() - batch.noise).pow(2).mean((1, 2, 3))
        loss = (error * min_snr_weight(batch.signal)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(mine, 1.0)
        optimiser.step()
        average_towards(averaged, mine, step, most=0.9995)
        if progress.due(step):
            progress.say(step, weighted=loss.item(), plain=error.mean().item())
    figures = {"pictures": len(drawn.rows), "steps": step + (loss is not None)}
    return average, figures | ({} if loss is None else {"last_weighted_loss": loss.item()})
