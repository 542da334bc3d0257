"""Pictures in the autoencoder's space, computed once and kept on disk for every method and run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from PIL.Image import Transpose

from ghibli_studio import buckets
from ghibli_studio import dataset as datasets
from ghibli_studio.base_model import BaseModel
from ghibli_studio.cached import cached
from ghibli_studio.dataset import Dataset, Item, Progress
from ghibli_studio.workspace import Project

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

FLIP_LEFT_RIGHT = Transpose.FLIP_LEFT_RIGHT


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    """(pictures, 3, height, width) in -1..1, float32."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_images(base: BaseModel, images: Sequence[Image.Image]) -> Tensor:
    """Latents (pictures, channels, height / 8, width / 8), the mean of the autoencoder's posterior, scaled; float32."""
    import torch

    with torch.no_grad():
        pixels = to_tensor(images).to(base.device, base.dtype)
        return base.vae.encode(pixels).latent_dist.mean.float().cpu() * base.vae.config.scaling_factor


def cached_latents(
    base: BaseModel, project: Project, dataset: Dataset, *, mirrored: bool = False, uncut: bool = False
) -> Iterator[Progress | dict[str, Tensor]]:
    """Latents of every item by id; the last event is the result. Reads the cache where nothing has changed.

    Of the items turned left to right if `mirrored`, and if `uncut` of the whole pictures that they were cut from, each
    in its bucket (see `buckets`); an item whose source is another picture stays as it is.
    """
    datasets.refuse_other_size(dataset, base.description)
    facts = [base.digest, base.vae.config.scaling_factor, str(base.dtype), datasets.digest(dataset)]
    facts += [name for name, wanted in (("mirrored", mirrored), ("uncut", uncut)) if wanted]
    key = hashlib.sha256(repr(tuple(facts)).encode()).hexdigest()[:16]
    shapes = buckets.sizes(dataset.resolution, buckets.step_of(base)) if uncut else []

    def encode(items: Sequence[Item]) -> Tensor:
        images = []
        for item, image in zip(items, datasets.images(project, items)):
            whole = datasets.uncut(project, item) if uncut else None
            shown = image if whole is None else buckets.fitted(whole, shapes)
            images.append(shown.transpose(FLIP_LEFT_RIGHT) if mirrored else shown)
        return encode_images(base, images)

    size = 1 if uncut else 4  # pictures of several sizes cannot go through at once
    for event in cached(project, f"latents-{key}", dataset.items, encode, "encoding pictures", size):
        yield event if isinstance(event, Progress) else {item.id: one for item, one in zip(dataset.items, event)}
