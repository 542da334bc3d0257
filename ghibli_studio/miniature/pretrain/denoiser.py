"""The UNet: learns to tell the noise in a latent, given the caption. It never sees the target style."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.miniature.pretrain.learning import (
    Progress,
    average_towards,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from ghibli_studio.miniature.pretrain.settings import Settings

if TYPE_CHECKING:
    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

PEAK_RATE = 5e-4
GAMMA = 5.0
"""Largest signal-to-noise ratio that counts in the loss."""
WITHOUT_CAPTION = 0.1
"""Part of each batch that is shown the empty caption, which guidance needs."""
TIME_STEPS = 1000


def build(latent_size: int) -> UNet2DConditionModel:
    """An untrained UNet of 21.1 million parameters, Stable Diffusion's class with three levels."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=latent_size, in_channels=4, out_channels=4, cross_attention_dim=256,
        block_out_channels=(96, 192, 256), layers_per_block=1, attention_head_dim=4, norm_num_groups=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )


def scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.x's noise schedule."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=TIME_STEPS, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )


def min_snr_weight(signal: torch.Tensor, gamma: float = GAMMA) -> torch.Tensor:
    """min(snr, gamma) / snr for noise prediction (Hang et al. 2023); `signal` is the cumulative product of alphas."""
    ratio = signal / (1 - signal)
    return ratio.clamp(max=gamma) / ratio


@dataclass(frozen=True)
class NoisyLatents:
    """A random batch to learn denoising from, on one device."""

    noisy: torch.Tensor
    """(batch, 4, size, size) latents with noise."""
    noise: torch.Tensor
    """(batch, 4, size, size) the noise in them, which is to be told."""
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
    """(pictures, 4, size, size) in half precision."""
    ids: torch.Tensor
    """(pictures, captions, 77) token numbers."""
    empty: torch.Tensor
    """(1, 77) token numbers of the empty caption."""
    rows: torch.Tensor
    """(allowed,) the pictures that may be drawn."""
    signal: torch.Tensor
    """(1000,) for each time step the part of the variance that is not noise."""
    encoder: CLIPTextModel

    def draw(self, batch: int) -> NoisyLatents:
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
        time_steps = torch.randint(TIME_STEPS, (batch,), device=device)
        signal = self.signal[time_steps]
        part = signal.view(-1, 1, 1, 1)
        noisy = part.sqrt() * clean + (1 - part).sqrt() * noise
        return NoisyLatents(noisy, noise, time_steps, signal, context)


def source(
    latents: np.ndarray, ids: torch.Tensor, empty: torch.Tensor, rows: np.ndarray, encoder: CLIPTextModel, device: str
) -> NoisyLatentsSource:
    """Put latents (pictures, 4, size, size), captions and the allowed rows on the device."""
    import torch

    return NoisyLatentsSource(torch.from_numpy(latents).to(device), ids.to(device), empty.to(device),
                              torch.from_numpy(rows).to(device), scheduler().alphas_cumprod.to(device),
                              encoder.to(device))


def train(
    drawn: NoisyLatentsSource, settings: Settings, device: str, compiled: bool
) -> tuple[UNet2DConditionModel, dict[str, float]]:
    """Train on the source's pictures; return the running average, and the loss of the last step."""
    import torch

    torch.manual_seed(settings.seed + 2)
    model = build(settings.latent_size).to(device)
    if device == "cuda":
        model = model.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    predict = torch.compile(model) if compiled else model
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.01,
                                  fused=device == "cuda")
    steps, loss = settings.denoiser_steps, None
    progress = Progress("denoiser", steps)
    for step in range(steps):
        set_learning_rate(optimiser, learning_rate(step / steps, PEAK_RATE))
        batch = drawn.draw(settings.denoiser_batch)
        noisy, context = batch.noisy, batch.context
        if device == "cuda":
            noisy, context = noisy.contiguous(memory_format=torch.channels_last), context.bfloat16()
        with mixed_precision(device):
            told = predict(noisy, batch.time_steps, context, return_dict=False)[0]
        error = (told.float() - batch.noise).pow(2).mean((1, 2, 3))
        loss = (error * min_snr_weight(batch.signal)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average_towards(average, model, step, most=0.9995)
        if progress.due(step):
            progress.say(step, weighted=loss.item(), plain=error.mean().item())
    return average, {"pictures": len(drawn.rows), "last_weighted_loss": loss.item()}
