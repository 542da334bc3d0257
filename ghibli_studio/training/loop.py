"""The training loop, the same for every method.

The loop writes no files and starts no processes: `train` yields events, and the caller decides what to save and when
to stop. Every random draw has a seed of its own, derived from the run's seed and the step, so there is no hidden
state: a run that is resumed after an epoch continues exactly like an uninterrupted one. The inputs of a step are in
`batches`, the optimizer state in `optimizer`, the validation and early stopping in `validation`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from adapters.base import Adapter
from adapters.settings import StudioError
from ghibli_studio.config.training import RunConfig, TrainingSettings
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.text_encoder import text_states
from ghibli_studio.runtime.device import peak_memory
from ghibli_studio.training.batches import Batch, Batches, Examples
from ghibli_studio.training.diffusion import add_noise, alphas_cumprod, derived_seed, min_snr_weight, prediction_target
from ghibli_studio.training.optimizer import Optimizer, accelerator_for, learning_rate_at
from ghibli_studio.training.validation import EarlyStopping, Validation, ValidationProgress, validate

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    epoch: int
    """Counted from 1."""
    step: int
    """Counted from 1 over the run."""
    epochs: float
    """Epochs done, including the fraction of the current one."""
    loss: float
    """Mean squared error of the predicted noise, with the chosen loss weights."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    seconds: float
    """Duration of the step."""
    images_per_second: float
    peak_memory_bytes: int
    images: int
    """Images trained on in this step, in all processes."""


@dataclass(frozen=True)
class Epoch:
    """An epoch was trained and validated; epoch 0 is before training."""

    epoch: int
    step: int
    validation: Validation
    optimizer_state: dict[str, Tensor]
    """What a resumed run needs besides the adapter (see `Optimizer.state` and `EarlyStopping.state`)."""


@dataclass(frozen=True)
class StoppedEarly:
    """Training ended before its last epoch, because it had not improved for `patience` epochs."""

    epoch: int
    patience: int


Event = Step | ValidationProgress | Epoch | StoppedEarly


class Diverged(StudioError):
    """The loss is no longer finite."""


def train(
    base: BaseModel,
    adapter: Adapter,
    train_set: Examples,
    validation_set: Examples,
    config: RunConfig,
    *,
    finished_epochs: int = 0,
    optimizer_state: dict[str, Tensor] | None = None,
    lr_schedule: Callable[[int], float] | None = None,
) -> Generator[Event, None, None]:
    """Train an adapter that is attached to `base.host`; to stop training, stop iterating.

    The loop validates before the first step (unless it resumes after `finished_epochs`) and after each epoch. To
    resume, attach the adapter, load its state of that epoch, and pass the optimizer state of the same event. Several
    processes each call this with the same arguments: they share the images of a step and add up their gradients.
    `lr_schedule` returns the learning rate of a step (counted from 0) and replaces the configured schedule. Raises
    Diverged if the loss is no longer finite.
    """
    import torch

    settings, epochs = config.training, config.adapter.num_train_epochs
    accelerator = accelerator_for(base)
    optimizer = Optimizer(accelerator, base, adapter.parameters(), config)
    early_stopping = EarlyStopping(settings.early_stopping_patience)
    if optimizer_state:
        optimizer.load(optimizer_state)
        early_stopping.load(optimizer_state)
    batches = Batches(base, train_set, settings, accelerator.process_index, accelerator.num_processes)
    # text states that training does not change are encoded once
    states = None if adapter.changes_text else train_set.states or text_states(base, batches.ids)
    alpha_bars, prediction_type = alphas_cumprod(base), base.scheduler_config.get("prediction_type", "epsilon")

    def loss_of(batch: Batch) -> Tensor:
        """Return the weighted loss, scaled so that the sum over all batches is the mean over the step's images."""
        alpha_bar = alpha_bars[batch.timesteps].view(-1, 1, 1, 1)
        captions = batch.caption_indices
        text = batches.encode(captions) if states is None else _select(states, captions).to(base.device)
        with accelerator.autocast():
            noisy = add_noise(batch.latents, batch.noise, alpha_bar).to(base.dtype)
            prediction = base.host.unet(noisy, batch.timesteps, text, return_dict=False)[0].float()
        target = prediction_target(batch.latents, batch.noise, alpha_bar, prediction_type)
        error = (prediction - target).pow(2).mean((1, 2, 3))
        weight = min_snr_weight(alpha_bar.flatten(), settings.snr_gamma, prediction_type)
        return (error * weight).mean() * batch.share

    def run_validation(epoch: int) -> Iterator[ValidationProgress | Epoch]:
        with optimizer.ema_weights():
            for event in validate(base, validation_set, settings, accelerator):
                if isinstance(event, Validation):
                    early_stopping.update(event)
                    state = optimizer.state() | early_stopping.state()
                    yield Epoch(epoch, epoch * batches.steps_per_epoch, event, state)
                else:
                    yield event

    with _training_mode(base, settings):
        if not finished_epochs:
            yield from run_validation(0)
        for epoch in range(finished_epochs + 1, epochs + 1):
            if early_stopping.patience is not None and early_stopping.should_stop:
                yield StoppedEarly(epoch - 1, early_stopping.patience)
                return
            base.host.unet.train()
            steps = batches.epoch(epoch)
            upcoming = next(steps)
            for index in range(batches.steps_per_epoch):
                started = time.perf_counter()
                step = (epoch - 1) * batches.steps_per_epoch + index
                planned = learning_rate_at(step, epochs * batches.steps_per_epoch, config.adapter)
                learning_rate = lr_schedule(step) if lr_schedule else planned
                torch.manual_seed(derived_seed(settings.seed, batches.dropout_purpose, step))
                losses = []
                own_batches, images = upcoming
                for batch in own_batches:
                    loss = loss_of(batch)
                    accelerator.backward(loss)
                    losses.append(loss.detach())
                grad_norm = optimizer.step(learning_rate)
                upcoming = next(steps, ([], 0))  # prepared while a GPU still computes
                step_loss = _reduce_loss(accelerator, losses)
                if not torch.isfinite(step_loss):
                    raise Diverged(
                        f"the loss became {step_loss.item()} at step {step + 1}; "
                        f"learning_rate {config.adapter.learning_rate} is too high, try a tenth of it"
                    )
                loss_value, norm = step_loss.item(), float(grad_norm)
                seconds = time.perf_counter() - started
                yield Step(
                    epoch=epoch,
                    step=step + 1,
                    epochs=(step + 1) / batches.steps_per_epoch,
                    loss=loss_value,
                    learning_rate=learning_rate,
                    grad_norm=norm,
                    seconds=seconds,
                    images_per_second=images / seconds,
                    peak_memory_bytes=peak_memory(base.device),
                    images=images,
                )
            yield from run_validation(epoch)


def _select(states: Sequence[Tensor] | Tensor, indices: Tensor) -> Tensor:
    """Return these text states, (captions, limit, width); `states` may be mapped from files."""
    import torch

    return torch.stack([states[index] for index in indices.tolist()])


def _reduce_loss(accelerator: Accelerator, losses: list[Tensor]) -> Tensor:
    """Return the step's loss, summed over the batches of all processes."""
    import torch

    if len(losses) == 1:
        value = losses[0]
    else:
        value = torch.stack(losses).sum() if losses else torch.zeros((), device=accelerator.device)
    return value if accelerator.num_processes == 1 else accelerator.reduce(value, reduction="sum")


@contextmanager
def _training_mode(base: BaseModel, settings: TrainingSettings) -> Iterator[None]:
    """Switch gradient checkpointing and compilation on, for every method alike, and off again at the end."""
    unet, text_encoder = cast(Any, base.host.unet), cast(Any, base.host.text_encoder)
    if settings.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
        _first_attribute(text_encoder, "activation_checkpointing_enable", "gradient_checkpointing_enable")()
    if settings.compile:
        unet.compile()
    try:
        yield
    finally:
        unet.eval()  # a run that is stopped within an epoch would leave it in training mode
        if settings.gradient_checkpointing:
            unet.disable_gradient_checkpointing()
            _first_attribute(text_encoder, "activation_checkpointing_disable", "gradient_checkpointing_disable")()
        if settings.compile:
            unet._compiled_call_impl = None  # what `compile` sets; PyTorch has no public way to undo it


def _first_attribute(module: Any, *names: str) -> Any:
    """Return the first of these attributes that the module has: transformers 5 renamed some of its methods."""
    return next(getattr(module, name) for name in names if hasattr(module, name))
