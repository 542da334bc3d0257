"""The fixed validation, the same noise and time steps for every method and run, and early stopping by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.config.training import TrainingSettings
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.text_encoder import text_states, token_ids
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.diffusion import add_noise, generator, noise_levels, prediction_target

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor


ALPHA = 0.05
BEST, WAITED = "patience.best", "patience.waited"


class Patience:
    """Counts the epochs in a row that were not better, by a paired test over the validation pictures.

    The same pictures on the same noise are measured after every epoch, so their differences tell a small gain from
    luck where the means could not (one-sided paired t-test; Student 1908).
    """

    def __init__(self, patience: int | None):
        self.patience, self.waited = patience, 0
        self.best: tuple[float, ...] | None = None

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self.patience is not None and self.waited >= self.patience

    def saw(self, validation: Validation) -> None:
        """Count an epoch."""
        if self.patience is None:
            return
        if self.best is None or better(validation.per_picture, self.best):
            self.best, self.waited = validation.per_picture, 0
        else:
            self.waited += 1

    def state(self) -> dict[str, Tensor]:
        """What a resumed run has to know; nothing without patience."""
        import torch

        if self.patience is None or self.best is None:
            return {}
        return {BEST: torch.tensor(self.best, dtype=torch.float64), WAITED: torch.tensor(self.waited)}

    def load(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        if BEST in flat:
            self.best, self.waited = tuple(flat[BEST].tolist()), int(flat[WAITED])


def better(losses: tuple[float, ...], before: tuple[float, ...]) -> bool:
    """Whether the losses of the same pictures are lower, beyond chance; a single picture is taken at its word."""
    from scipy.stats import ttest_1samp

    differences = [new - old for new, old in zip(losses, before)]
    if len(set(differences)) == 1:  # no spread, no test
        return differences[0] < 0
    return bool(ttest_1samp(differences, 0, alternative="less").pvalue < ALPHA)


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


def validate(
    base: BaseModel, examples: Examples, settings: TrainingSettings, accelerator: Accelerator | None = None
) -> Iterator[Validating | Validation]:
    """Measure every picture on fixed noise and the fixed ladder; the last event is the result.

    The noise of a picture depends on its place alone, so it is the same for every method, epoch and run. Several
    processes (those of `accelerator`) share the pictures among them, and each has the whole result.
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
    place, places = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    rows: dict[int, tuple[float, ...]] = {}
    for index in range(place, len(examples.latents), places):
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
        error = prediction - prediction_target(latents, noise, alpha_bar, kind)
        rows[index] = tuple(error.pow(2).mean((1, 2, 3)).tolist())
        yield Validating(min(len(rows) * places, len(examples.latents)), len(examples.latents))
    unet.train(training)
    if places > 1:
        from accelerate.utils import gather_object

        rows = dict(gather_object(list(rows.items())))
    yield Validation(settings.validation_timesteps, tuple(rows[index] for index in sorted(rows)))
