"""The one training loop and the fixed validation. The loop does not know which method it trains.

Nothing here touches a file or a process: `train` yields events, and whoever iterates decides what to keep and when to
stop. Every random draw has a seed of its own, made from the run's seed and the step, so there is no hidden state: a
run resumed after an epoch goes on exactly as the unbroken one.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters import Adapter
from ghibli_studio.base_model import BaseModel, encode, token_ids
from ghibli_studio.config import RunConfig, StudioError, TrainingSettings
from ghibli_studio.noise import (
    add_noise,
    derived_seed,
    draw_timesteps,
    epoch_order,
    generator,
    learning_rate_at,
    min_snr_weight,
    noise_levels,
    prediction_target,
)

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """Pictures to learn from, in the autoencoder's space."""

    latents: Tensor
    """(pictures, channels, height, width), float32, scaled for the UNet."""
    captions: Sequence[str]
    """One prompt a picture, dressed for the model: with its trigger, or in the bare model's plain style."""


@dataclass(frozen=True)
class Step:
    """One optimisation step."""

    epoch: int
    """Counted from 1."""
    step: int
    """Counted from 1 over the whole run."""
    epochs: float
    """Epochs done, with the fraction of the one at work."""
    loss: float
    """Mean squared error of the predicted noise, weighted as chosen."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    seconds: float
    """Time that the step took."""
    images_per_second: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Validating:
    """One validation picture is measured; only a sign of life."""

    done: int
    total: int


@dataclass(frozen=True)
class Validation:
    """The fixed validation: every picture on the same noise and the same ladder of time steps."""

    timesteps: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...]
    """(pictures, timesteps): mean squared error of the predicted noise."""

    @property
    def loss(self) -> float:
        """Mean over pictures and time steps."""
        return sum(map(sum, self.losses)) / (len(self.losses) * len(self.timesteps))

    @property
    def per_timestep(self) -> tuple[float, ...]:
        """Mean over pictures."""
        return tuple(sum(column) / len(self.losses) for column in zip(*self.losses))

    @property
    def per_picture(self) -> tuple[float, ...]:
        """Mean over time steps."""
        return tuple(sum(row) / len(self.timesteps) for row in self.losses)


@dataclass(frozen=True)
class Epoch:
    """An epoch is trained and validated; epoch 0 is before training."""

    epoch: int
    step: int
    validation: Validation
    optimizer_state: dict[str, Tensor]
    """AdamW's moments and step counts, to go on from."""


Event = Step | Validating | Epoch


class Diverged(StudioError):
    """The loss is no number any more."""


def peak_memory(device: torch.device) -> int:
    """The most memory held so far, bytes: of the GPU, or of this process on a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def text_states(base: BaseModel, ids: Tensor) -> Tensor:
    """Text states of all captions without gradient, (captions, limit, width)."""
    import torch

    with torch.no_grad():
        return torch.cat([encode(base.host, batch) for batch in ids.split(32)])


def validate(
    base: BaseModel, examples: Examples, settings: TrainingSettings
) -> Iterator[Validating | Validation]:
    """Measure every picture on fixed noise and the fixed ladder; the last event is the result.

    The noise of a picture depends on its place alone, so it is the same for every method, epoch and run.
    """
    import torch

    timesteps = torch.tensor(settings.validation_timesteps, device=base.device)
    levels = noise_levels(base)
    if settings.validation_timesteps[-1] >= len(levels):
        raise StudioError(
            f"validation_timesteps ends at {settings.validation_timesteps[-1]}; the base model has time steps up to "
            f"{len(levels) - 1}"
        )
    alpha_bar = levels[timesteps].view(-1, 1, 1, 1)
    kind = base.scheduler_config.get("prediction_type", "epsilon")
    unet = base.host.unet
    training = unet.training
    unet.eval()
    states = text_states(base, token_ids(base.host, examples.captions, base.description.token_limit))
    rows = []
    for index, latents in enumerate(examples.latents):
        noise = torch.randn((len(timesteps), *latents.shape), generator=generator(0, "validation", index))
        noise, latents = noise.to(base.device), latents.to(base.device)
        with torch.no_grad():
            prediction = unet(
                add_noise(latents, noise, alpha_bar).to(base.dtype), timesteps,
                states[index].expand(len(timesteps), -1, -1), return_dict=False,
            )[0].float()
        error = prediction - prediction_target(latents, noise, alpha_bar, kind)
        rows.append(tuple(error.pow(2).mean((1, 2, 3)).tolist()))
        yield Validating(index + 1, len(examples.latents))
    unet.train(training)
    yield Validation(settings.validation_timesteps, tuple(rows))


def train(
    base: BaseModel,
    adapter: Adapter,
    train_set: Examples,
    validation_set: Examples,
    config: RunConfig,
    *,
    finished_epochs: int = 0,
    optimizer_state: dict[str, Tensor] | None = None,
    rate: Callable[[int], float] | None = None,
) -> Iterator[Event]:
    """Train an adapter that is attached to `base.host`; stop iterating to stop training.

    Validates before the first step (unless it goes on after `finished_epochs`) and after each epoch. To go on, attach,
    load the adapter's state of that epoch, and give the optimizer's. `rate` gives the learning rate of a step, counted
    from 0, in place of the schedule. Raises Diverged where the loss is no number any more.
    """
    import torch

    settings, steps = config.training, _steps_per_epoch(train_set, config.training)
    epochs = config.adapter.num_train_epochs
    parameters = adapter.parameters()
    accelerator = _accelerator(base)
    optimizer = accelerator.prepare(
        torch.optim.AdamW(
            parameters, lr=config.adapter.learning_rate, weight_decay=settings.adam_weight_decay,
            fused=base.device.type in ("cpu", "cuda"),
        )
    )
    if optimizer_state:
        _load_optimizer(optimizer.optimizer, optimizer_state)
    levels = noise_levels(base)
    kind = base.scheduler_config.get("prediction_type", "epsilon")
    ids = token_ids(base.host, train_set.captions, base.description.token_limit)
    states = None if adapter.changes_text else text_states(base, ids)
    latents = train_set.latents.to(base.device)

    if not finished_epochs:
        yield from _validated(base, validation_set, settings, 0, 0, optimizer)
    for epoch in range(finished_epochs + 1, epochs + 1):
        base.host.unet.train()
        for index, chosen in enumerate(epoch_order(len(latents), settings.train_batch_size, settings.seed, epoch)):
            started = time.perf_counter()
            step = (epoch - 1) * steps + index
            learning_rate = rate(step) if rate else learning_rate_at(step, epochs * steps, config.adapter)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            source = generator(settings.seed, "step", step)
            torch.manual_seed(derived_seed(settings.seed, "dropout", step))
            clean = latents[chosen]
            noise = torch.randn(clean.shape, generator=source).to(base.device)
            timesteps = draw_timesteps(settings.timestep_sampling, len(chosen), len(levels), source).to(base.device)
            alpha_bar = levels[timesteps].view(-1, 1, 1, 1)
            text = encode(base.host, ids[chosen]) if states is None else states[chosen]
            with accelerator.autocast():
                noisy = add_noise(clean, noise, alpha_bar).to(base.dtype)
                prediction = base.host.unet(noisy, timesteps, text, return_dict=False)[0].float()
            error = (prediction - prediction_target(clean, noise, alpha_bar, kind)).pow(2).mean((1, 2, 3))
            loss = (error * min_snr_weight(alpha_bar.flatten(), settings.snr_gamma, kind)).mean()
            if not torch.isfinite(loss):
                raise Diverged(
                    f"the loss became {loss.item()} at step {step + 1}; "
                    f"learning_rate {config.adapter.learning_rate} is too high, try a tenth of it"
                )
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            value, norm = loss.item(), float(norm)
            took = time.perf_counter() - started
            yield Step(
                epoch, step + 1, (step + 1) / steps, value, learning_rate, norm, took,
                len(chosen) / took, peak_memory(base.device),
            )
        yield from _validated(base, validation_set, settings, epoch, epoch * steps, optimizer)


def _accelerator(base: BaseModel) -> Accelerator:
    """Accelerate for the device and precision that the base model was loaded for."""
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # It keeps one precision for the whole process; another base model may be loaded in another one.
    AcceleratorState._reset_state(reset_partial_state=True)
    half = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(base.dtype, "no")
    return Accelerator(mixed_precision=half, cpu=base.device.type == "cpu")


def _steps_per_epoch(examples: Examples, settings: TrainingSettings) -> int:
    return -(-len(examples.latents) // settings.train_batch_size)


def _validated(base, validation_set, settings, epoch, step, optimizer) -> Iterator[Validating | Epoch]:
    for event in validate(base, validation_set, settings):
        if isinstance(event, Validation):
            yield Epoch(epoch, step, event, _save_optimizer(optimizer.optimizer))
        else:
            yield event


def _save_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as flat names, so that it fits a safetensors file."""
    return {
        f"{index}.{name}": value.detach().clone()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
