"""Latents of the dataset's images, computed once and cached on disk for every method and run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from PIL.Image import Transpose

from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item
from ghibli_studio.models import aspect_buckets
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.tensor_cache import cache_tensors
from ghibli_studio.models.vae import encode_images
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor


FLIP_LEFT_RIGHT = Transpose.FLIP_LEFT_RIGHT


def cached_latents(
    base: BaseModel, project: Project, dataset: Dataset, *, mirrored: bool = False, keep_aspect_ratio: bool = False
) -> Iterator[Progress | dict[str, Tensor]]:
    """Yield progress, then the latents of every item by id, each (channels, height / 8, width / 8).

    With `mirrored`, images are flipped left to right. With `keep_aspect_ratio`, each image is encoded uncropped in its
    bucket (see `aspect_buckets`); an item whose source is a different image stays square. Unchanged images come from
    the cache.
    """
    datasets.check_resolution(dataset, base.description)
    options = {"mirrored": mirrored, "keep_aspect_ratio": keep_aspect_ratio}
    facts = [base.digest, base.vae.config.scaling_factor, str(base.dtype), datasets.digest(dataset)]
    facts += [name for name, chosen in options.items() if chosen]
    key = hashlib.sha256(repr(tuple(facts)).encode()).hexdigest()[:16]
    buckets = (
        aspect_buckets.bucket_sizes(dataset.resolution, aspect_buckets.size_step(base)) if keep_aspect_ratio else []
    )

    def encode(items: Sequence[Item]) -> Tensor:
        images = []
        for item, square in zip(items, datasets.images(project, items)):
            uncropped = datasets.uncropped_image(project, item) if keep_aspect_ratio else None
            image = square if uncropped is None else aspect_buckets.fit_to_bucket(uncropped, buckets)
            images.append(image.transpose(FLIP_LEFT_RIGHT) if mirrored else image)
        return encode_images(base, images)

    batch_size = 1 if keep_aspect_ratio else 4  # images of different sizes cannot share a batch
    for event in cache_tensors(project, f"latents-{key}", dataset.items, encode, "encoding images", batch_size):
        if isinstance(event, Progress):
            yield event
        else:
            yield {item.id: latents for item, latents in zip(dataset.items, event)}
