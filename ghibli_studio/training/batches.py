"""The inputs of a training step: images, noise and timesteps, and how several processes share them.

All random numbers of a step are drawn at once, from seeds of their own, and then shared out. A step is therefore the
same whether one process takes it at once, in several small batches, or several processes take it side by side. The
formulas are in `diffusion`, the loop is in `loop`.
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
from ghibli_studio.training.diffusion import generator, sample_timesteps

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images that go through the UNet together."""

    latents: Tensor
    """(images, channels, height, width), float32."""
    noise: Tensor
    """Same shape as `latents`."""
    timesteps: Tensor
    """(images,)."""
    caption_indices: Tensor
    """(images,): the row of the token ids for each image; on the CPU."""
    share: float
    """Share of the step's images that are in this batch, 0..1."""


class Batches:
    """The steps of every epoch, for one process of several."""

    def __init__(self, base: BaseModel, examples: Examples, settings: TrainingSettings, rank: int, world_size: int):
        self.base, self.examples, self.settings = base, examples, settings
        self.rank, self.world_size = rank, world_size
        self.images_per_step = settings.train_batch_size * settings.gradient_accumulation_steps * world_size
        self.count = len(examples.latents)
        self.shapes = [tuple(latents.shape) for latents in examples.latents]
        self.steps_per_epoch = sum(-(-count // self.images_per_step) for count in Counter(self.shapes).values())
        self.ids = token_ids(base.host, examples.prompts(settings), base.description.token_limit)
        self.num_train_timesteps = base.scheduler_config.get("num_train_timesteps", 1000)
        # each process has its own dropout, since each has its own images
        self.dropout_purpose = f"dropout/{rank}" if rank else "dropout"

    def encode(self, caption_indices: Tensor) -> Tensor:
        """Return the text states (captions, limit, width) of these rows of the token ids, with gradient."""
        return text_encoder.encode(self.base.host, self.ids[caption_indices])

    def epoch(self, number: int) -> Iterator[tuple[list[Batch], int]]:
        """Yield the steps of an epoch, counted from 1: this process's batches, and the image count of all processes."""
        order = epoch_order(self.count, self.images_per_step, self.settings.seed, number, self.shapes)
        for index, chosen in enumerate(order):
            yield self._step((number - 1) * self.steps_per_epoch + index, chosen), len(chosen)

    def _step(self, step: int, chosen: Sequence[int]) -> list[Batch]:
        import torch

        settings, source = self.settings, generator(self.settings.seed, "step", step)
        clean = torch.stack([self._latents(index, flip) for index, flip in zip(chosen, self._flips(step, len(chosen)))])
        noise = torch.randn(clean.shape, generator=source)
        timesteps = sample_timesteps(settings.timestep_sampling, len(chosen), self.num_train_timesteps, source)
        if settings.noise_offset:
            # a part of the noise is constant over an image, so that the model learns dark and bright images
            offset = torch.randn((*clean.shape[:2], 1, 1), generator=generator(settings.seed, "offset", step))
            noise = noise + settings.noise_offset * offset
        captions = torch.tensor(chosen)
        if settings.caption_dropout:
            random = torch.rand(len(chosen), generator=generator(settings.seed, "captions", step))
            captions = captions.where(random >= settings.caption_dropout, torch.tensor(self.count))
        if settings.unconditional_dropout:
            random = torch.rand(len(chosen), generator=generator(settings.seed, "prompts", step))
            captions = captions.where(random >= settings.unconditional_dropout, torch.tensor(self.count + 1))
        device = self.base.device
        return [
            Batch(
                latents=clean[start:end].to(device, non_blocking=True),
                noise=noise[start:end].to(device, non_blocking=True),
                timesteps=timesteps[start:end].to(device, non_blocking=True),
                caption_indices=captions[start:end],
                share=(end - start) / len(chosen),
            )
            for start, end in self._ranges(len(chosen))
        ]

    def _latents(self, index: int, flip: bool) -> Tensor:
        return (self.examples.mirrored if flip else self.examples.latents)[index]

    def _flips(self, step: int, count: int) -> list[bool]:
        import torch

        if not self.settings.random_flip:
            return [False] * count
        return (torch.rand(count, generator=generator(self.settings.seed, "flip", step)) < 0.5).tolist()

    def _ranges(self, count: int) -> list[tuple[int, int]]:
        """Return (start, end) of this process's batches in the step's images; empty if there are too few images."""
        edges = [count * part // self.world_size for part in range(self.world_size + 1)]
        first, last = edges[self.rank], edges[self.rank + 1]
        size = self.settings.train_batch_size
        return [(start, min(start + size, last)) for start in range(first, last, size)]


def epoch_order(count: int, batch_size: int, seed: int, epoch: int, shapes: Sequence[Any] = ()) -> list[list[int]]:
    """Return the image indices of each step of an epoch; every image comes once, and the last batch may be smaller.

    With `shapes` (one per image), all images of a batch have one shape; each shape may have a smaller last batch.
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
    """Training or validation images in the latent space, with their captions."""

    latents: Sequence[Tensor]
    """One (channels, height, width) per image, float32, scaled for the UNet; they may be mapped from files."""
    captions: Sequence[str]
    """One prompt per image, formatted for the model: with the trigger, or in the base model's plain style."""
    trigger_only: str = ""
    """The prompt when the caption is dropped: only the trigger."""
    unconditional: str = ""
    """The prompt when the whole prompt is dropped: empty, or the adapter's negative word."""
    states: Sequence[Tensor] = ()
    """Text states (limit, width) of all `prompts`, if the adapter does not change them."""
    mirrored: Sequence[Tensor] = ()
    """Latents of the images flipped left to right; only needed for `random_flip`."""

    def prompts(self, settings: TrainingSettings) -> list[str]:
        """Return all prompts that training encodes: the captions and, with dropout, the prompts that replace them."""
        dropout = settings.caption_dropout or settings.unconditional_dropout
        return [*self.captions, *([self.trigger_only, self.unconditional] if dropout else [])]
