"""Pictures in the autoencoder's space, computed once and kept on disk for every method and run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from PIL.Image import Transpose

from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item
from ghibli_studio.models import aspect_buckets
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.tensor_cache import cached
from ghibli_studio.models.vae import encode_images
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor


FLIP_LEFT_RIGHT = Transpose.FLIP_LEFT_RIGHT


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
    shapes = aspect_buckets.sizes(dataset.resolution, aspect_buckets.step_of(base)) if uncut else []

    def encode(items: Sequence[Item]) -> Tensor:
        images = []
        for item, image in zip(items, datasets.images(project, items)):
            whole = datasets.uncut(project, item) if uncut else None
            shown = image if whole is None else aspect_buckets.fitted(whole, shapes)
            images.append(shown.transpose(FLIP_LEFT_RIGHT) if mirrored else shown)
        return encode_images(base, images)

    size = 1 if uncut else 4  # pictures of several sizes cannot go through at once
    for event in cached(project, f"latents-{key}", dataset.items, encode, "encoding pictures", size):
        yield event if isinstance(event, Progress) else {item.id: one for item, one in zip(dataset.items, event)}
