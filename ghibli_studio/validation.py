"""The fixed validation: every picture on the same noise and the same ladder of time steps, for every method and run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ghibli_studio.base_model import BaseModel, encode, token_ids
from ghibli_studio.config import StudioError, TrainingSettings
from ghibli_studio.noise import add_noise, generator, noise_levels, prediction_target

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """Pictures to learn from, in the autoencoder's space."""

    latents: Sequence[Tensor]
    """One (channels, height, width) a picture, float32, scaled for the UNet; they may lie in files."""
    captions: Sequence[str]
    """One prompt a picture, dressed for the model: with its trigger, or in the bare model's plain style."""
    wordless: str = ""
    """What is left of a prompt when the picture's own words are dropped: the trigger."""
    promptless: str = ""
    """What a picture is shown with that is shown without a prompt: nothing, or the adapter's negative word."""
    states: Sequence[Tensor] = ()
    """Text states (limit, width) of all `prompts`, where the adapter leaves them alone."""
    mirrored: Sequence[Tensor] = ()
    """The latents of the pictures turned left to right; needed for `random_flip` alone."""

    def prompts(self, settings: TrainingSettings) -> list[str]:
        """All that training encodes: the captions and, where words or prompts are dropped, what is left of them."""
        dropped = settings.caption_dropout or settings.unconditional_dropout
        return [*self.captions, *([self.wordless, self.promptless] if dropped else [])]


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


def text_states(base: BaseModel, ids: Tensor) -> Tensor:
    """Text states of all captions without gradient, (captions, limit, width)."""
    import torch

    with torch.no_grad():
        return torch.cat([encode(base.host, batch) for batch in ids.split(32)])


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
                add_noise(latents, noise, alpha_bar).to(base.dtype), timesteps,
                states[index].expand(len(timesteps), -1, -1), return_dict=False,
            )[0].float()
        error = prediction - prediction_target(latents, noise, alpha_bar, kind)
        rows[index] = tuple(error.pow(2).mean((1, 2, 3)).tolist())
        yield Validating(min(len(rows) * places, len(examples.latents)), len(examples.latents))
    unet.train(training)
    if places > 1:
        from accelerate.utils import gather_object

        rows = dict(gather_object(list(rows.items())))
    yield Validation(settings.validation_timesteps, tuple(rows[index] for index in sorted(rows)))
