"""Pictures in the autoencoder's space, computed once and kept on disk for every method and run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ghibli_studio import dataset as datasets
from ghibli_studio.base_model import BaseModel
from ghibli_studio.dataset import Dataset, Item, Progress
from ghibli_studio.files import write_atomic
from ghibli_studio.workspace import Project

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


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


def cached_latents(base: BaseModel, project: Project, dataset: Dataset) -> Iterator[Progress | dict[str, Tensor]]:
    """Latents of every item by id; the last event is the result. Reads the cache where nothing has changed."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    datasets.refuse_other_size(dataset, base.description)
    facts = (base.digest, base.vae.config.scaling_factor, str(base.dtype), datasets.digest(dataset))
    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    path = project.cache_file(f"latents-{key}.safetensors")
    if path.exists():
        try:
            yield load_file(path)
            return
        except SafetensorError:
            path.unlink()  # cut short by something other than this program: make it again
    found: dict[str, Tensor] = {}
    for batch in _batches(dataset.items, 4):
        latents = encode_images(base, list(datasets.images(project, batch)))
        found.update({item.id: latent.contiguous() for item, latent in zip(batch, latents)})
        yield Progress(len(found), len(dataset.items), "encoding pictures")
    write_atomic(path, save(found))
    yield found


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
