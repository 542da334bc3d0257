"""Surface textures (grain, masonry, leaves) and how rough each material is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.noise import SIDE, crop, fractal_noise
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.shapes import MATERIALS

# fine grain, coarse mottling, courses of masonry
ROUGHNESS = {
    "stone": (.06, .16, .10), "brick": (.08, .10, .22), "block": (.10, .14, .20), "rock": (.20, .34, 0),
    "plaster": (.04, .08, 0), "metal": (.03, .06, 0), "glass": (.02, .16, 0), "wood": (.12, .12, 0),
    "tile": (.05, .06, .06), "copper": (.08, .18, 0), "gold": (.08, .14, 0), "mud": (.12, .16, 0),
    "roof": (.12, .12, .10), "grass": (.24, .30, 0), "foliage": (.42, .35, 0), "trunk": (.3, .1, 0),
    "sand": (.10, .14, 0), "snow": (.03, .08, 0), "pave": (.10, .10, .08), "mountain": (.12, .34, 0),
    "field": (.3, .12, 0), "city": (.08, .1, 0), "cloth": (.05, .05, 0)}
ROUGHNESS_TABLE = np.array([ROUGHNESS.get(material, (0, 0, 0)) for material in MATERIALS], np.float32).T


@lru_cache(maxsize=1)  # 1 MB
def bricks() -> np.ndarray:
    """Tileable running-bond masonry, SIDE x SIDE: -0.9 in the joints, else the tone of the brick, -0.7..0.9."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    course = y // 4
    along = x + (course % 2) * 4
    tone = rng.uniform(-.7, .9, (SIDE // 4 + 1, SIDE // 8 + 2)).astype(np.float32)[course, along // 8]
    return np.where((y % 4 == 0) | (along % 8 == 0), np.float32(-.9), tone)


@lru_cache(maxsize=1)  # 1 MB
def grain() -> np.ndarray:
    """Tileable fine noise around zero, SIDE x SIDE, standard deviation about 0.7."""
    noise = np.random.default_rng(9).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    return (noise + ndimage.gaussian_filter(noise, 1, mode="wrap") * 2.4) * .5


@lru_cache(maxsize=1)  # 1 MB
def leaves() -> np.ndarray:
    """Tileable dabbed leaf clumps, SIDE x SIDE in -1..1."""
    noise = np.random.default_rng(21).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    dabs = ndimage.gaussian_filter(noise, 1.3, mode="wrap") * 3.2
    clumps = ndimage.gaussian_filter(noise[::-1], 3.2, mode="wrap") * 6
    return np.clip((dabs + clumps) * .55, -1, 1)


def surface_texture(buf: Buffers, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Factor on the light by material, size x size in 0.35..1.6, around 1."""
    fine, coarse, courses = ROUGHNESS_TABLE.take(buf.material, axis=1) * np.float32(amount)
    texture = 1 + fine * crop(grain(), buf.size, rng) * .5
    texture = texture + coarse * (crop(fractal_noise(4), buf.size, rng) - .5) * 1.3
    return np.clip(texture + courses * crop(bricks(), buf.size, rng) * .8, .35, 1.6)
