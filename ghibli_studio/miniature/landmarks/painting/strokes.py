"""Marks of the hand: brush strokes and hatching lines."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ghibli_studio.miniature.landmarks.noise import SIDE, fractal_noise, resize

# Six corners of a stroke as shares of half its length and half its width: it narrows to both ends
OUTLINE = ((-1, 0.6), (0, 1), (1, 0.5), (1, -0.5), (0, -1), (-1, -0.6))


class Strokes(NamedTuple):
    """Brush strokes that cover a picture."""

    source: np.ndarray
    """For each pixel the flat index of the pixel that its stroke takes its color from (for `pixels.moved`)."""
    relief: np.ndarray
    """Height of the paint, size x size in -1..1."""


@lru_cache(maxsize=8)  # 12 bytes a pixel: 0.8 MB each at 256 px, 13 MB at 1024 px; the painters use 4 a size
def strokes(size: int, length: float, width: float, seed: int) -> Strokes:
    """Strokes of the given length and width in pixels that follow a common flow."""
    rng = np.random.default_rng(seed)
    n = int(size * size / (length * width) * 2.6)
    cx, cy = rng.uniform(0, size, n + 1), rng.uniform(0, size, n + 1)
    flow = fractal_noise(7)[(cy.astype(int) * 2) % SIDE, (cx.astype(int) * 2) % SIDE]
    angle = flow * 5 + rng.normal(0, 0.35, n + 1)
    along = np.stack([np.cos(angle), np.sin(angle)], -1) * length / 2
    beside = np.stack([-np.sin(angle), np.cos(angle)], -1) * width / 2
    middle = np.stack([cx, cy], -1)
    corners = [middle + share_along * along + share_beside * beside for share_along, share_beside in OUTLINE]
    image = Image.new("I", (size, size))
    draw = ImageDraw.Draw(image)
    for i, outline in enumerate(np.concatenate(corners, -1).tolist()):
        if i:  # number 0 is bare ground
            draw.polygon(outline, fill=i)
    number = np.asarray(image).astype(np.intp)
    y, x = np.mgrid[0:size, 0:size]
    rows = np.where(number > 0, np.clip(cy[number], 0, size - 1), y).astype(np.intp)
    columns = np.where(number > 0, np.clip(cx[number], 0, size - 1), x).astype(np.intp)
    across = ((x - cx[number]) * -np.sin(angle[number]) + (y - cy[number]) * np.cos(angle[number])) / width
    relief = (across * 0.9 + rng.normal(0, 0.3, n + 1)[number] + np.sin(across * 14) * 0.15).astype(np.float32)
    return Strokes(rows * size + columns, np.clip(relief, -1, 1))


@lru_cache(maxsize=8)  # 4 bytes a pixel: 0.3 MB each at 256 px, 4 MB at 1024 px; the painters use 5 a size
def hatching(size: int, angle: float, gap: float, seed: int) -> np.ndarray:
    """Wavering parallel lines `gap` pixels apart as a height map, size x size in 0..1 (threshold it by tone)."""
    y, x = np.arange(size, dtype=np.float32)[:, None], np.arange(size, dtype=np.float32)[None, :]
    wobble = resize(fractal_noise(11 + seed, side=256), size) * 7 + resize(fractal_noise(12, 5, 8, 256), size) * 2.5
    phase = (x * np.cos(angle) + y * np.sin(angle) + wobble) / gap
    return (0.5 + 0.5 * np.cos(phase * 2 * np.pi)).astype(np.float32)
