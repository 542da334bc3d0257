"""What a step learns from: which pictures, which noise, which time steps, and who of several processes takes which.

Everything is drawn for the whole step from seeds of its own and then shared out, so that the same step comes out
whether one process takes it at once, one after the other in small batches, or several side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ghibli_studio.config.training import TrainingSettings
from ghibli_studio.models import text_encoder
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.text_encoder import token_ids
from ghibli_studio.training.diffusion import draw_timesteps, generator

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Pictures that go through the UNet at once."""

    latents: Tensor
    """(pictures, channels, height, width), float32."""
    noise: Tensor
    """The same shape."""
    timesteps: Tensor
    """(pictures,)."""
    rows: Tensor
    """(pictures,): which of the token ids are theirs; on the CPU."""
    share: float
    """Of the pictures of the step, 0..1."""


class Batches:
    """The steps of every epoch, for one process of several."""

    def __init__(self, base: BaseModel, examples: Examples, settings: TrainingSettings, place: int, places: int):
        self.base, self.examples, self.settings = base, examples, settings
        self.place, self.places = place, places
        self.size = settings.train_batch_size * settings.gradient_accumulation_steps * places
        self.count = len(examples.latents)
        self.shapes = [tuple(latents.shape) for latents in examples.latents]
        self.steps = sum(-(-count // self.size) for count in Counter(self.shapes).values())
        self.ids = token_ids(base.host, examples.prompts(settings), base.description.token_limit)
        self.time_steps = base.scheduler_config.get("num_train_timesteps", 1000)
        # each process drops other inputs of its share
        self.dropout = f"dropout/{place}" if place else "dropout"

    def encode(self, rows: Tensor) -> Tensor:
        """Text states of these rows, with gradient."""
        return text_encoder.encode(self.base.host, self.ids[rows])

    def epoch(self, number: int) -> Iterator[tuple[list[Batch], int]]:
        """The steps of an epoch, counted from 1: the batches of this process, and the pictures of all together."""
        for index, chosen in enumerate(epoch_order(self.count, self.size, self.settings.seed, number, self.shapes)):
            yield self._step((number - 1) * self.steps + index, chosen), len(chosen)

    def _step(self, step: int, chosen: Sequence[int]) -> list[Batch]:
        import torch

        settings, source = self.settings, generator(self.settings.seed, "step", step)
        clean = torch.stack([self._latents(index, flip) for index, flip in zip(chosen, self._flips(step, len(chosen)))])
        noise = torch.randn(clean.shape, generator=source)
        timesteps = draw_timesteps(settings.timestep_sampling, len(chosen), self.time_steps, source)
        if settings.noise_offset:
            # a little of every picture's noise is the same all over, so that it learns dark and bright ones
            offset = torch.randn((*clean.shape[:2], 1, 1), generator=generator(settings.seed, "offset", step))
            noise = noise + settings.noise_offset * offset
        rows = torch.tensor(chosen)
        if settings.caption_dropout:
            lot = torch.rand(len(chosen), generator=generator(settings.seed, "captions", step))
            rows = rows.where(lot >= settings.caption_dropout, torch.tensor(self.count))
        if settings.unconditional_dropout:
            lot = torch.rand(len(chosen), generator=generator(settings.seed, "prompts", step))
            rows = rows.where(lot >= settings.unconditional_dropout, torch.tensor(self.count + 1))
        device = self.base.device
        return [
            Batch(
                *(part[start:end].to(device, non_blocking=True) for part in (clean, noise, timesteps)),
                rows[start:end],
                (end - start) / len(chosen),
            )
            for start, end in self._shares(len(chosen))
        ]

    def _latents(self, index: int, flip: bool) -> Tensor:
        return (self.examples.mirrored if flip else self.examples.latents)[index]

    def _flips(self, step: int, count: int) -> list[bool]:
        import torch

        if not self.settings.random_flip:
            return [False] * count
        return (torch.rand(count, generator=generator(self.settings.seed, "flip", step)) < 0.5).tolist()

    def _shares(self, count: int) -> list[tuple[int, int]]:
        """From where to where in the step's pictures this process's batches go; none where the pictures are too few."""
        edges = [count * part // self.places for part in range(self.places + 1)]
        first, last = edges[self.place], edges[self.place + 1]
        size = self.settings.train_batch_size
        return [(start, min(start + size, last)) for start in range(first, last, size)]


def epoch_order(count: int, batch_size: int, seed: int, epoch: int, shapes: Sequence[Any] = ()) -> list[list[int]]:
    """The pictures of each step of an epoch; every picture once, the last batch may be smaller.

    With `shapes`, one a picture, those of a batch are of one shape; every shape may have a smaller last batch.
    """
    import torch

    source = generator(seed, "order", epoch)
    order = torch.randperm(count, generator=source).tolist()
    groups: dict[Any, list[int]] = {}
    for index in order:
        groups.setdefault(shapes[index] if shapes else None, []).append(index)
    batches = [group[i : i + batch_size] for group in groups.values() for i in range(0, len(group), batch_size)]
    if len(groups) == 1:
        return batches
    return [batches[index] for index in torch.randperm(len(batches), generator=source).tolist()]


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
