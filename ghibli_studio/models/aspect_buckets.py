"""Pictures that keep their shape: each goes into the bucket of sizes that is nearest to its own, as NovelAI does.

https://blog.novelai.net/novelai-improvements-on-stable-diffusion-e10d38db82ac, "Aspect Ratio Bucketing": sizes in
steps that the model can take, of about as many pixels as its square.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from ghibli_studio.models.base_model import BaseModel

if TYPE_CHECKING:
    from collections.abc import Sequence


LONGEST = 2.0  # a longer picture loses its ends


def step_of(base: BaseModel) -> int:
    """Sides have to be multiples of so many px: what the autoencoder and the UNet halve, they must double again."""
    shrink = base.description.resolution // base.description.latent_shape[1]
    return shrink * 2 ** (len(base.host.unet.config.block_out_channels) - 1)


def sizes(resolution: int, step: int) -> list[tuple[int, int]]:
    """(width, height) of every bucket, px: no more pixels than the square, no longer than 2 to 1."""
    found = set()
    for short in range(step, resolution + 1, step):
        long = resolution**2 // short // step * step
        if long <= LONGEST * short:
            found |= {(short, long), (long, short)}
    return sorted(found)


def fitted(image: Image.Image, buckets: Sequence[tuple[int, int]]) -> Image.Image:
    """The picture in the bucket whose proportions are nearest to its own, what is over cut off evenly; Lanczos."""
    wanted = math.log(image.width / image.height)
    size = min(buckets, key=lambda size: (abs(math.log(size[0] / size[1]) - wanted), size))
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
