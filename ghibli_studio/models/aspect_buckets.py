"""Aspect ratio bucketing: sizes of about as many pixels as the model's square, in steps that the model can take.

After NovelAI, https://blog.novelai.net/novelai-improvements-on-stable-diffusion-e10d38db82ac, "Aspect Ratio Bucketing".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from ghibli_studio.models.base_model import BaseModel

if TYPE_CHECKING:
    from collections.abc import Sequence


MAX_ASPECT_RATIO = 2.0
"""Long to short side; a longer image is cropped at both ends."""


def size_step(base: BaseModel) -> int:
    """Return the px that both sides must be a multiple of: the total downsampling of autoencoder and UNet."""
    shrink = base.description.resolution // base.description.latent_shape[1]
    unet: Any = base.host.unet.config
    return shrink * 2 ** (len(unet.block_out_channels) - 1)


def bucket_sizes(resolution: int, step: int) -> list[tuple[int, int]]:
    """Return (width, height) of every bucket, px: at most the pixels of the square, at most 2 to 1."""
    found = set()
    for short in range(step, resolution + 1, step):
        long = resolution**2 // short // step * step
        if long <= MAX_ASPECT_RATIO * short:
            found |= {(short, long), (long, short)}
    return sorted(found)


def fit_to_bucket(image: Image.Image, buckets: Sequence[tuple[int, int]]) -> Image.Image:
    """Return the image resized with Lanczos to the bucket of the nearest aspect ratio, the excess cropped evenly."""
    ratio = math.log(image.width / image.height)
    size = min(buckets, key=lambda size: (abs(math.log(size[0] / size[1]) - ratio), size))
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
