"""Baselines: what other programs do, as endless generators of seconds, one value per step (or per batch of images).

- reference: what the public example scripts do in every step: the image through the autoencoder, the caption through
  the text encoder, eager, plain AdamW; on a GPU fp16 autocast with float32 weights, on a CPU float32, which is
  accelerate's default; Textual Inversion trains the entire embedding table and restores every other row;
- cached: latents (and for LoRA the text states) computed once, half precision if the device supports it, fused
  AdamW;
- tuned: cached, channels-last, torch.compile.

After diffusers' examples/text_to_image/train_text_to_image_lora.py and examples/textual_inversion/textual_inversion.py.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from adapters.methods.lora import LoraSettings
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.training.diffusion import add_noise, alphas_cumprod

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


ARMS = ("reference", "cached", "tuned")
PLACEHOLDER = 7
"""The row of the embedding table for the learned word."""


def precision(base: BaseModel, arm: str) -> torch.dtype:
    """Return the dtype that the arm computes in."""
    import torch

    if arm != "reference":
        return base.dtype
    return torch.float16 if base.device.type == "cuda" else torch.float32


def time_calls(step: Callable[[], object], device: torch.device) -> Generator[float, None, None]:
    """Yield the duration of each call, including the work of the GPU."""
    import torch

    while True:
        started = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield time.perf_counter() - started


def lora(base: BaseModel, arm: str, batch: int) -> Generator[float, None, None]:
    """Yield the seconds of each step of a LoRA training."""
    import torch
    from peft import LoraConfig

    unet, net = _unet(base, arm)
    settings = LoraSettings()
    unet.add_adapter(
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # peft computes with a float just as well
            lora_dropout=settings.lora_dropout,
            init_lora_weights="gaussian",
            target_modules=list(settings.target_modules),
        )
    )
    unet.train()
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    dtype = precision(base, arm)
    text_encoder = copy.deepcopy(base.host.text_encoder).to(dtype)
    next_latents, ids = _latents_source(base, arm, batch), _ids(base, batch)
    with torch.no_grad():
        states = text_encoder(ids)[0].to(dtype)
    training_step = _TrainingStep(base, arm, parameters, lr=1e-4)

    def step() -> None:
        with torch.no_grad():
            text = text_encoder(ids)[0] if arm == "reference" else states
        training_step(net, next_latents(), lambda: text)

    yield from time_calls(step, base.device)


def ti(base: BaseModel, arm: str, batch: int) -> Generator[float, None, None]:
    """Yield the seconds of each step of a Textual Inversion training."""
    import torch

    unet, net = _unet(base, arm)
    unet.train()
    text_encoder: Any = copy.deepcopy(base.host.text_encoder).float()
    table = text_encoder.get_input_embeddings()
    next_latents, ids = _latents_source(base, arm, batch), _ids(base, batch)
    others = torch.ones(len(table.weight), dtype=torch.bool, device=base.device)
    others[PLACEHOLDER] = False
    original = table.weight.detach().clone()
    if arm == "reference":
        parameters = [table.weight.requires_grad_(True)]
    else:
        vector = torch.nn.Parameter(original[PLACEHOLDER : PLACEHOLDER + 1].clone())
        parameters = [vector]
        table.register_forward_hook(
            lambda module, arguments, rows: torch.where((arguments[0] == PLACEHOLDER).unsqueeze(-1), vector, rows)
        )
    training_step = _TrainingStep(base, arm, parameters, lr=5e-4, clipped=False)

    def step() -> None:
        training_step(net, next_latents(), lambda: text_encoder(ids)[0].to(unet.dtype))
        if arm == "reference":
            with torch.no_grad():
                table.weight[others] = original[others]

    yield from time_calls(step, base.device)


def sampling(base: BaseModel, arm: str, batch: int, steps: int, guidance_scale: float) -> Generator[float, None, None]:
    """Yield the seconds of each batch of images: DPM-Solver++ with guidance, and the autoencoder."""
    import torch
    from diffusers import DPMSolverMultistepScheduler

    _, net = _unet(base, arm)
    dtype = precision(base, arm)
    layout = _layout(arm)
    vae = copy.deepcopy(base.vae).to(dtype, memory_format=layout)
    text_encoder = copy.deepcopy(base.host.text_encoder).to(dtype)
    scheduler = DPMSolverMultistepScheduler.from_config(base.scheduler_config)

    @torch.no_grad()
    def generate() -> None:
        states = text_encoder(_ids(base, 2 * batch))[0]
        scheduler.set_timesteps(steps, device=base.device)
        latents = torch.randn((batch, *base.description.latent_shape), device=base.device, dtype=dtype)
        for timestep in scheduler.timesteps:
            doubled = torch.cat([latents, latents]).contiguous(memory_format=layout)
            unconditional, conditional = net(doubled, timestep, states, return_dict=False)[0].chunk(2)
            guided = unconditional + guidance_scale * (conditional - unconditional)
            latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
        vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0].float().cpu()

    yield from time_calls(generate, base.device)


class _TrainingStep:
    """One training step like in the example scripts: noise, prediction, loss and AdamW."""

    def __init__(self, base: BaseModel, arm: str, parameters: list[nn.Parameter], *, lr: float, clipped: bool = True):
        import torch

        self.device, self.alpha_bars, self.parameters = base.device, alphas_cumprod(base), parameters
        self.dtype, self.clipped = precision(base, arm), clipped
        self.eager = arm == "reference"
        self.optimizer = torch.optim.AdamW(parameters, lr=lr, fused=not self.eager)
        half = self.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    def __call__(self, net: nn.Module, latents: Tensor, text: Callable[[], Tensor]) -> None:
        import torch

        noise = torch.randn_like(latents)
        timesteps = torch.randint(len(self.alpha_bars), (len(latents),), device=self.device)
        alpha_bar = self.alpha_bars[timesteps].view(-1, 1, 1, 1)
        half = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype if half else torch.bfloat16, enabled=half):
            noisy = add_noise(latents, noise, alpha_bar).to(self.dtype)
            prediction = net(noisy, timesteps, text(), return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(prediction.float(), noise.float())
        self.scaler.scale(loss).backward()
        if self.clipped:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=not self.eager)
        loss.item()  # every script logs the loss of every step


def _layout(arm: str) -> torch.memory_format:
    import torch

    return torch.channels_last if arm == "tuned" else torch.contiguous_format


def _unet(base: BaseModel, arm: str) -> tuple[Any, Any]:
    """Return a copy of the UNet in the arm's precision and layout, and the module to call for a prediction."""
    import torch

    unet: Any = copy.deepcopy(base.host.unet)
    unet = unet.to(precision(base, arm), memory_format=_layout(arm))
    return unet, torch.compile(unet) if arm == "tuned" else unet


def _latents_source(base: BaseModel, arm: str, batch: int) -> Callable[[], Tensor]:
    """Return a function that returns the latents of a batch: encoded every time, or computed once."""
    import torch

    dtype, side = precision(base, arm), base.description.resolution
    if arm != "reference":
        latents = torch.randn((batch, *base.description.latent_shape), device=base.device)
        return lambda: latents
    vae: Any = copy.deepcopy(base.vae).to(dtype)
    pixels = torch.randn((batch, 3, side, side), device=base.device, dtype=dtype)

    @torch.no_grad()
    def encode() -> Tensor:
        return vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor

    return encode


def _ids(base: BaseModel, batch: int) -> Tensor:
    """Return token ids (batch, limit) with the placeholder in each row."""
    import torch

    limit = base.description.token_limit
    ids = torch.randint(len(base.host.tokenizer), (batch, limit), device=base.device)
    ids[:, 3] = PLACEHOLDER
    return ids
