"""Validation on fixed noise and timesteps, the same for every method and run, and early stopping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.config.training import TrainingSettings
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.text_encoder import text_states, token_ids
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.diffusion import add_noise, alphas_cumprod, generator, prediction_target

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor


SIGNIFICANCE_LEVEL = 0.05
BEST, EPOCHS_WITHOUT_GAIN = "early_stopping.best", "early_stopping.epochs_without_gain"


class EarlyStopping:
    """Counts the epochs in a row that did not improve, by a paired test over the validation images.

    Every epoch is measured on the same images with the same noise, so the paired differences can separate a small
    gain from chance where the means cannot (one-sided paired t-test; Student 1908).
    """

    def __init__(self, patience: int | None):
        self.patience, self.epochs_without_gain = patience, 0
        self.best: tuple[float, ...] | None = None

    @property
    def should_stop(self) -> bool:
        """Whether `patience` epochs in a row did not improve."""
        return self.patience is not None and self.epochs_without_gain >= self.patience

    def update(self, validation: Validation) -> None:
        """Count an epoch."""
        if self.patience is None:
            return
        if self.best is None or is_improvement(validation.per_image, self.best):
            self.best, self.epochs_without_gain = validation.per_image, 0
        else:
            self.epochs_without_gain += 1

    def state(self) -> dict[str, Tensor]:
        """Return what a resumed run needs; empty without patience."""
        import torch

        if self.patience is None or self.best is None:
            return {}
        return {
            BEST: torch.tensor(self.best, dtype=torch.float64),
            EPOCHS_WITHOUT_GAIN: torch.tensor(self.epochs_without_gain),
        }

    def load(self, flat: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""
        if BEST in flat:
            self.best, self.epochs_without_gain = tuple(flat[BEST].tolist()), int(flat[EPOCHS_WITHOUT_GAIN])


def is_improvement(losses: tuple[float, ...], before: tuple[float, ...]) -> bool:
    """Return whether the losses of the same images are significantly lower; a single image needs no test."""
    from scipy.stats import ttest_1samp

    differences = [new - old for new, old in zip(losses, before)]
    if len(set(differences)) == 1:  # no spread, no test
        return differences[0] < 0
    return bool(ttest_1samp(differences, 0, alternative="less").pvalue < SIGNIFICANCE_LEVEL)


@dataclass(frozen=True)
class ValidationProgress:
    """One more validation image was measured."""

    done: int
    total: int


@dataclass(frozen=True)
class Validation:
    """The losses of a validation: every image with the same noise at the same validation timesteps."""

    timesteps: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...]
    """(images, timesteps): mean squared error of the predicted noise."""

    @property
    def loss(self) -> float:
        """Mean over images and timesteps."""
        return sum(map(sum, self.losses)) / (len(self.losses) * len(self.timesteps))

    @property
    def per_timestep(self) -> tuple[float, ...]:
        """Mean over images."""
        return tuple(sum(column) / len(self.losses) for column in zip(*self.losses))

    @property
    def per_image(self) -> tuple[float, ...]:
        """Mean over timesteps."""
        return tuple(sum(row) / len(self.timesteps) for row in self.losses)


def validate(
    base: BaseModel, examples: Examples, settings: TrainingSettings, accelerator: Accelerator | None = None
) -> Iterator[ValidationProgress | Validation]:
    """Measure every image with fixed noise at the validation timesteps; the last event is the result.

    The noise of an image depends only on its index, so it is the same for every method, epoch and run. Several
    processes (those of `accelerator`) share the images, and each gets the complete result. Raises StudioError if a
    validation timestep is beyond the base model's last one.
    """
    import torch

    timesteps = torch.tensor(settings.validation_timesteps, device=base.device)
    alpha_bars = alphas_cumprod(base)
    if settings.validation_timesteps[-1] >= len(alpha_bars):
        raise StudioError(
            f"validation_timesteps ends at {settings.validation_timesteps[-1]}; the base model's last timestep is "
            f"{len(alpha_bars) - 1}, so choose timesteps up to that"
        )
    alpha_bar = alpha_bars[timesteps].view(-1, 1, 1, 1)
    prediction_type = base.scheduler_config.get("prediction_type", "epsilon")
    unet = base.host.unet
    training = unet.training
    unet.eval()
    states = text_states(base, token_ids(base.host, examples.captions, base.description.token_limit))
    rank, world_size = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    rows: dict[int, tuple[float, ...]] = {}
    for index in range(rank, len(examples.latents), world_size):
        latents = examples.latents[index]
        noise = torch.randn((len(timesteps), *latents.shape), generator=generator(0, "validation", index))
        noise, latents = noise.to(base.device), latents.to(base.device)
        with torch.no_grad():
            prediction = unet(
                add_noise(latents, noise, alpha_bar).to(base.dtype),
                timesteps,
                states[index].expand(len(timesteps), -1, -1),
                return_dict=False,
            )[0].float()
        error = prediction - prediction_target(latents, noise, alpha_bar, prediction_type)
        rows[index] = tuple(error.pow(2).mean((1, 2, 3)).tolist())
        yield ValidationProgress(min(len(rows) * world_size, len(examples.latents)), len(examples.latents))
    unet.train(training)
    if world_size > 1:
        from accelerate.utils import gather_object

        rows = dict(gather_object(list(rows.items())))
    yield Validation(settings.validation_timesteps, tuple(rows[index] for index in sorted(rows)))
