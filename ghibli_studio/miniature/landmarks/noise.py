"""Tileable noise, windows into it, and the smooth ramp: what clouds and painters share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 512  # pixels along the edge of a texture


@lru_cache(maxsize=16)  # at most 1 MB each; clouds and painters ask for 15
def fractal_noise(seed: int, octaves: int = 5, base: int = 4, side: int = SIDE) -> np.ndarray:
    """Tileable cloud-like noise, side x side in 0..1; `base` is the number of cells along the coarsest octave."""
    rng = np.random.default_rng(seed)
    noise = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = base * 2**octave
        grid = rng.random((cells, cells)).astype(np.float32)
        zoomed = ndimage.zoom(grid, side / cells, order=1, mode="grid-wrap", grid_mode=True)
        noise += zoomed[:side, :side] * 0.55**octave
    noise -= noise.min()
    return noise / noise.max()


def crop(texture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Window of size x size pixels at a random place of a tileable texture."""
    columns = np.arange(size) + rng.integers(len(texture))
    rows = np.arange(size) + rng.integers(len(texture))
    return texture.take(rows, axis=0, mode="wrap").take(columns, axis=1, mode="wrap")


def resize(field: np.ndarray, size: int) -> np.ndarray:
    """The 2-D map smoothly resized to size x size and clipped to 0..1."""
    picture = Image.fromarray(field.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(picture), 0, 1)


def smoothstep(start: float | np.ndarray, end: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    """Smooth ramp from 0 at `start` to 1 at `end` (which may be the smaller)."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)
