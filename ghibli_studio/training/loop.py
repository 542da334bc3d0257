"""The one training loop. It does not know which method it trains.

Nothing here touches a file or a process: `train` yields events, and whoever iterates decides what to keep and when to
stop. Every random draw has a seed of its own, made from the run's seed and the step, so there is no hidden state: a
run resumed after an epoch goes on exactly as the unbroken one. What is drawn for a step is `batches`, what is kept
beside the adapter `optimizing`, what is measured after an epoch `validation`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.base import Adapter
from adapters.settings import StudioError
from ghibli_studio.config.training import RunConfig, TrainingSettings
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.text_encoder import text_states
from ghibli_studio.runtime.device import peak_memory
from ghibli_studio.training.batches import Batch, Batches, Examples
from ghibli_studio.training.diffusion import add_noise, derived_seed, min_snr_weight, noise_levels, prediction_target
from ghibli_studio.training.optimizer import Optimizer, accelerator_for, learning_rate_at
from ghibli_studio.training.validation import Patience, Validating, Validation, validate

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor


__all__ = [
    "Epoch",
    "Event",
    "Examples",
    "Step",
    "Stopped",
    "Validating",
    "Validation",
    "peak_memory",
    "text_states",
    "train",
    "validate",
]


@dataclass(frozen=True)
class Step:
    """One optimization step."""

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
    pictures: int
    """Learned from in this step."""


@dataclass(frozen=True)
class Epoch:
    """An epoch is trained and validated; epoch 0 is before training."""

    epoch: int
    step: int
    validation: Validation
    optimizer_state: dict[str, Tensor]
    """What the loop keeps beside the adapter, to go on from (see `optimizing` and `stopping`)."""


@dataclass(frozen=True)
class Stopped:
    """Training ended before its last epoch, since it had not become better for so many."""

    epoch: int
    patience: int


Event = Step | Validating | Epoch | Stopped


class Diverged(StudioError):
    """The loss is no number any more."""


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
    load the adapter's state of that epoch, and give the state that came with it. Several processes each call this
    with the same arguments: a step's pictures are shared among them, its gradients added up. `rate` gives the learning
    rate of a step, counted from 0, in place of the schedule. Raises Diverged where the loss is no number any more.
    """
    import torch

    settings, epochs = config.training, config.adapter.num_train_epochs
    accelerator = accelerator_for(base)
    optimizer = Optimizer(accelerator, base, adapter.parameters(), config)
    patience = Patience(settings.early_stopping_patience)
    if optimizer_state:
        optimizer.load(optimizer_state)
        patience.load(optimizer_state)
    batches = Batches(base, train_set, settings, accelerator.process_index, accelerator.num_processes)
    # the words of what learns only pictures are encoded once
    states = None if adapter.changes_text else train_set.states or text_states(base, batches.ids)
    levels, kind = noise_levels(base), base.scheduler_config.get("prediction_type", "epsilon")

    def loss_of(batch: Batch) -> Tensor:
        """The weighted loss of this process's share, so that the shares add up to the mean over the step's pictures."""
        alpha_bar = levels[batch.timesteps].view(-1, 1, 1, 1)
        text = batches.encode(batch.rows) if states is None else _picked(states, batch.rows).to(base.device)
        with accelerator.autocast():
            noisy = add_noise(batch.latents, batch.noise, alpha_bar).to(base.dtype)
            prediction = base.host.unet(noisy, batch.timesteps, text, return_dict=False)[0].float()
        target = prediction_target(batch.latents, batch.noise, alpha_bar, kind)
        error = (prediction - target).pow(2).mean((1, 2, 3))
        return (error * min_snr_weight(alpha_bar.flatten(), settings.snr_gamma, kind)).mean() * batch.share

    def validated(epoch: int) -> Iterator[Validating | Epoch]:
        with optimizer.averaged():
            for event in validate(base, validation_set, settings, accelerator):
                if isinstance(event, Validation):
                    patience.saw(event)
                    yield Epoch(epoch, epoch * batches.steps, event, optimizer.state() | patience.state())
                else:
                    yield event

    with _prepared(base, settings):
        if not finished_epochs:
            yield from validated(0)
        for epoch in range(finished_epochs + 1, epochs + 1):
            if patience.over:
                yield Stopped(epoch - 1, settings.early_stopping_patience)
                return
            base.host.unet.train()
            steps = batches.epoch(epoch)
            upcoming = next(steps)
            for index in range(batches.steps):
                started = time.perf_counter()
                step = (epoch - 1) * batches.steps + index
                planned = learning_rate_at(step, epochs * batches.steps, config.adapter)
                learning_rate = rate(step) if rate else planned
                torch.manual_seed(derived_seed(settings.seed, batches.dropout, step))
                losses = []
                shares, pictures = upcoming
                for batch in shares:
                    loss = loss_of(batch)
                    accelerator.backward(loss)
                    losses.append(loss.detach())
                norm = optimizer.step(learning_rate)
                upcoming = next(steps, ([], 0))  # drawn while a GPU still computes
                value = _together(accelerator, losses)
                if not torch.isfinite(value):
                    raise Diverged(
                        f"the loss became {value.item()} at step {step + 1}; "
                        f"learning_rate {config.adapter.learning_rate} is too high, try a tenth of it"
                    )
                value, norm = value.item(), float(norm)
                took = time.perf_counter() - started
                yield Step(
                    epoch,
                    step + 1,
                    (step + 1) / batches.steps,
                    value,
                    learning_rate,
                    norm,
                    took,
                    pictures / took,
                    peak_memory(base.device),
                    pictures,
                )
            yield from validated(epoch)


def _picked(states: Sequence[Tensor], rows: Tensor) -> Tensor:
    """These rows of what may lie in files."""
    import torch

    return torch.stack([states[row] for row in rows.tolist()])


def _together(accelerator: Accelerator, losses: list[Tensor]) -> Tensor:
    """The step's loss over all shares of all processes."""
    import torch

    if len(losses) == 1:
        value = losses[0]
    else:
        value = torch.stack(losses).sum() if losses else torch.zeros((), device=accelerator.device)
    return value if accelerator.num_processes == 1 else accelerator.reduce(value, reduction="sum")


@contextmanager
def _prepared(base: BaseModel, settings: TrainingSettings) -> Iterator[None]:
    """What is switched on for training, for every method alike, and off again afterwards."""
    unet, text_encoder = base.host.unet, base.host.text_encoder
    if settings.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
        text_encoder.gradient_checkpointing_enable()
    if settings.compile:
        unet.compile()
    try:
        yield
    finally:
        if settings.gradient_checkpointing:
            unet.disable_gradient_checkpointing()
            text_encoder.gradient_checkpointing_disable()
        if settings.compile:
            unet._compiled_call_impl = None  # what `compile` sets; there is no public way back
