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
    "stone": (0.06, 0.16, 0.10),
    "brick": (0.08, 0.10, 0.22),
    "block": (0.10, 0.14, 0.20),
    "rock": (0.20, 0.34, 0),
    "plaster": (0.04, 0.08, 0),
    "metal": (0.03, 0.06, 0),
    "glass": (0.02, 0.16, 0),
    "wood": (0.12, 0.12, 0),
    "tile": (0.05, 0.06, 0.06),
    "copper": (0.08, 0.18, 0),
    "gold": (0.08, 0.14, 0),
    "mud": (0.12, 0.16, 0),
    "roof": (0.12, 0.12, 0.10),
    "grass": (0.24, 0.30, 0),
    "foliage": (0.42, 0.35, 0),
    "trunk": (0.3, 0.1, 0),
    "sand": (0.10, 0.14, 0),
    "snow": (0.03, 0.08, 0),
    "pave": (0.10, 0.10, 0.08),
    "mountain": (0.12, 0.34, 0),
    "field": (0.3, 0.12, 0),
    "city": (0.08, 0.1, 0),
    "cloth": (0.05, 0.05, 0),
}
ROUGHNESS_TABLE = np.array([ROUGHNESS.get(material, (0, 0, 0)) for material in MATERIALS], np.float32).T


@lru_cache(maxsize=1)  # 1 MB
def bricks() -> np.ndarray:
    """Tileable running-bond masonry, SIDE x SIDE: -0.9 in the joints, else the tone of the brick, -0.7..0.9."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    course = y // 4
    along = x + (course % 2) * 4
    tone = rng.uniform(-0.7, 0.9, (SIDE // 4 + 1, SIDE // 8 + 2)).astype(np.float32)[course, along // 8]
    return np.where((y % 4 == 0) | (along % 8 == 0), np.float32(-0.9), tone)


@lru_cache(maxsize=1)  # 1 MB
def grain() -> np.ndarray:
    """Tileable fine noise around zero, SIDE x SIDE, standard deviation about 0.7."""
    noise = np.random.default_rng(9).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    return (noise + ndimage.gaussian_filter(noise, 1, mode="wrap") * 2.4) * 0.5


@lru_cache(maxsize=1)  # 1 MB
def leaves() -> np.ndarray:
    """Tileable dabbed leaf clumps, SIDE x SIDE in -1..1."""
    noise = np.random.default_rng(21).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    dabs = ndimage.gaussian_filter(noise, 1.3, mode="wrap") * 3.2
    clumps = ndimage.gaussian_filter(noise[::-1], 3.2, mode="wrap") * 6
    return np.clip((dabs + clumps) * 0.55, -1, 1)


def surface_texture(buf: Buffers, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Factor on the light by material, size x size in 0.35..1.6, around 1."""
    fine, coarse, courses = ROUGHNESS_TABLE.take(buf.material, axis=1) * np.float32(amount)
    texture = 1 + fine * crop(grain(), buf.size, rng) * 0.5
    texture = texture + coarse * (crop(fractal_noise(4), buf.size, rng) - 0.5) * 1.3
    return np.clip(texture + courses * crop(bricks(), buf.size, rng) * 0.8, 0.35, 1.6)
