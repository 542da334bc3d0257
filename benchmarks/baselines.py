"""What others do, as endless generators of seconds: one value a step (or a batch of pictures).

- reference: what the public example scripts do every step: the picture through the autoencoder, the caption through the
  text encoder, eager, plain AdamW; on a GPU fp16 autocast with float32 masters, on a CPU float32 as accelerate has it
  when nothing is chosen; Textual Inversion trains the whole embedding table and puts every other row back;
- cached: latents (and for LoRA the text states) computed once, half precision where the device computes in it, fused
  AdamW;
- tuned: cached, channels-last, torch.compile.

After diffusers' examples/text_to_image/train_text_to_image_lora.py and examples/textual_inversion/textual_inversion.py.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from adapters.methods.lora import LoraSettings
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.training.diffusion import add_noise, noise_levels

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


ARMS = ("reference", "cached", "tuned")
PLACEHOLDER = 7
"""The row of the embedding table that stands for the learned word."""


def precision(base: BaseModel, arm: str) -> torch.dtype:
    """What the arm computes in."""
    import torch

    if arm != "reference":
        return base.dtype
    return torch.float16 if base.device.type == "cuda" else torch.float32


def seconds(step: Callable[[], object], device: torch.device) -> Iterator[float]:
    """How long each call takes, the device's work included."""
    import torch

    while True:
        started = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield time.perf_counter() - started


def lora(base: BaseModel, arm: str, batch: int) -> Iterator[float]:
    """Seconds of each step of a LoRA training, batch after batch."""
    import torch
    from peft import LoraConfig

    unet, net = _unet(base, arm)
    settings = LoraSettings()
    unet.add_adapter(
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.lora_alpha,
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
    pictures, ids = _pictures(base, arm, batch), _ids(base, batch)
    with torch.no_grad():
        states = text_encoder(ids)[0].to(dtype)
    learn = _Learner(base, arm, parameters, lr=1e-4)

    def step() -> None:
        with torch.no_grad():
            text = text_encoder(ids)[0] if arm == "reference" else states
        learn(net, pictures(), lambda: text)

    yield from seconds(step, base.device)


def ti(base: BaseModel, arm: str, batch: int) -> Iterator[float]:
    """Seconds of each step of a Textual Inversion, batch after batch."""
    import torch

    unet, net = _unet(base, arm)
    unet.train()
    text_encoder = copy.deepcopy(base.host.text_encoder).float()
    table = text_encoder.get_input_embeddings()
    pictures, ids = _pictures(base, arm, batch), _ids(base, batch)
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
    learn = _Learner(base, arm, parameters, lr=5e-4, clipped=False)

    def step() -> None:
        learn(net, pictures(), lambda: text_encoder(ids)[0].to(unet.dtype))
        if arm == "reference":
            with torch.no_grad():
                table.weight[others] = original[others]

    yield from seconds(step, base.device)


def sampling(base: BaseModel, arm: str, batch: int, steps: int, guidance_scale: float) -> Iterator[float]:
    """Seconds of each batch of pictures: DPM-Solver++ with guidance, and the autoencoder."""
    import torch
    from diffusers import DPMSolverMultistepScheduler

    _, net = _unet(base, arm)
    dtype = precision(base, arm)
    layout = _layout(arm)
    vae = copy.deepcopy(base.vae).to(dtype, memory_format=layout)
    text_encoder = copy.deepcopy(base.host.text_encoder).to(dtype)
    scheduler = DPMSolverMultistepScheduler.from_config(base.scheduler_config)

    @torch.no_grad()
    def drawn() -> None:
        states = text_encoder(_ids(base, 2 * batch))[0]
        scheduler.set_timesteps(steps, device=base.device)
        latents = torch.randn((batch, *base.description.latent_shape), device=base.device, dtype=dtype)
        for timestep in scheduler.timesteps:
            doubled = torch.cat([latents, latents]).contiguous(memory_format=layout)
            without, following = net(doubled, timestep, states, return_dict=False)[0].chunk(2)
            guided = without + guidance_scale * (following - without)
            latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
        vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0].float().cpu()

    yield from seconds(drawn, base.device)


class _Learner:
    """Noise, prediction, loss and one step of AdamW, as the example scripts have it."""

    def __init__(self, base: BaseModel, arm: str, parameters: list[nn.Parameter], *, lr: float, clipped: bool = True):
        import torch

        self.device, self.levels, self.parameters = base.device, noise_levels(base), parameters
        self.dtype, self.clipped = precision(base, arm), clipped
        self.eager = arm == "reference"
        self.optimizer = torch.optim.AdamW(parameters, lr=lr, fused=not self.eager)
        half = self.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    def __call__(self, net: nn.Module, latents: Tensor, text: Callable[[], Tensor]) -> None:
        import torch

        noise = torch.randn_like(latents)
        timesteps = torch.randint(len(self.levels), (len(latents),), device=self.device)
        alpha_bar = self.levels[timesteps].view(-1, 1, 1, 1)
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
        loss.item()  # every script tells the loss of every step


def _layout(arm: str) -> torch.memory_format:
    import torch

    return torch.channels_last if arm == "tuned" else torch.contiguous_format


def _unet(base: BaseModel, arm: str) -> tuple[nn.Module, nn.Module]:
    """A copy of the UNet in the arm's precision and layout, and what is called for a prediction."""
    import torch

    unet = copy.deepcopy(base.host.unet).to(precision(base, arm), memory_format=_layout(arm))
    return unet, torch.compile(unet) if arm == "tuned" else unet


def _pictures(base: BaseModel, arm: str, batch: int) -> Callable[[], Tensor]:
    """What gives the latents of a batch: the autoencoder every time, or what was kept."""
    import torch

    dtype, side = precision(base, arm), base.description.resolution
    if arm != "reference":
        latents = torch.randn((batch, *base.description.latent_shape), device=base.device)
        return lambda: latents
    vae = copy.deepcopy(base.vae).to(dtype)
    pixels = torch.randn((batch, 3, side, side), device=base.device, dtype=dtype)

    @torch.no_grad()
    def encoded() -> Tensor:
        return vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor

    return encoded


def _ids(base: BaseModel, batch: int) -> Tensor:
    """Token ids (batch, limit) with the placeholder in each."""
    import torch

    limit = base.description.token_limit
    ids = torch.randint(len(base.host.tokenizer), (batch, limit), device=base.device)
    ids[:, 3] = PLACEHOLDER
    return ids
