"""Arithmetic on pictures: blending, blurring, saturation, moving pixels about. It knows no scene.

A picture here is 3 x size x size float32, about 0..1: with the channels first, masks (size x size) and colors
(3 x 1 x 1) combine with it as they are, and eight times as fast as with the channels last.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.painting.palettes import color

LUMINANCE = np.array((0.3, 0.59, 0.11), np.float32)


def luminance(picture: np.ndarray) -> np.ndarray:
    """Brightness of each pixel, size x size."""
    return np.moveaxis(picture, 0, -1) @ LUMINANCE


def saturate(picture: np.ndarray, factor: float) -> np.ndarray:
    """The colors made more (factor > 1) or less vivid."""
    gray = luminance(picture)
    return gray + (picture - gray) * np.float32(factor)


def blend(below: np.ndarray, above: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`above` where the mask is 1, `below` where it is 0."""
    return below + (above - below) * mask


def ink_over(picture: np.ndarray, edge: np.ndarray, rgb: tuple[float, float, float], strength) -> np.ndarray:
    """The picture with its outlines drawn in a color; `strength` is a number or a map."""
    return blend(picture, color(*rgb), np.clip(edge * strength, 0, 1))


def blur(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a picture or a map; sigma in pixels."""
    return ndimage.gaussian_filter(pixels, (0, sigma, sigma) if pixels.ndim == 3 else sigma, truncate=2.5)


def moved(picture: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Each pixel replaced by the one at its flat index (row * size + column) in `source`, size x size."""
    return picture.reshape(3, -1).take(source, axis=1)


def axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each pixel in 0..1 (size x 1 and 1 x size float32), as frame coordinates y and x."""
    steps = np.arange(size, dtype=np.float32) / size
    return steps[:, None], steps[None, :]


def squared_radius(size: int) -> np.ndarray:
    """Squared distance from the middle, size x size: 1 at the middle of an edge, 2 in the corners."""
    steps = np.linspace(-1, 1, size).astype(np.float32)
    return steps[None, :] ** 2 + steps[:, None] ** 2
