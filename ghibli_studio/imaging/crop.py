"""The square that is cut out of a photograph: where it lies, how it looks, and the paper's three steps to it.

Pictures in, pictures out; no file and no model. The default crop is `images.square`, which every other room takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageEnhance

from adapters.settings import StudioError

CENTER = (0.5, 0.5)
PREVIEW_SIDE = 640
DIMMED = 0.4
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Steps:
    """The paper's way from a photograph to a picture to learn from."""

    photograph: Image.Image
    """Upright RGB, as it came."""
    square: Image.Image
    """What the crop leaves, in the photograph's own pixels (to the nearest whole one)."""
    picture: Image.Image
    """The crop, resampled with Lanczos to the base model's size."""


def box(size: tuple[int, int], center: tuple[float, float] = CENTER) -> Box:
    """Left, upper, right and lower edge of the largest square around the center, px, halves of a pixel included.

    The center is given as shares of width and height. A center too near an edge is moved inwards, since the square
    stays inside the picture; so only one of the shares counts, that of the longer side.
    """
    if not all(math.isfinite(share) and 0 <= share <= 1 for share in center):
        raise StudioError(f"the center is {center}; both must be 0 to 1, shares of width and height")
    side = min(size)
    left, upper = (min(max(share * length - side / 2, 0), length - side) for share, length in zip(center, size))
    return left, upper, left + side, upper + side


def crop(image: Image.Image, center: tuple[float, float], size: int) -> Image.Image:
    """The largest square around the center, resampled with Lanczos to size x size px."""
    if size < 1:
        raise StudioError(f"size is {size} px; it must be at least 1")
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.LANCZOS, box=box(image.size, center))


def steps(image: Image.Image, center: tuple[float, float], size: int) -> Steps:
    """Each of the paper's steps as a picture: photograph, square, picture of size x size px."""
    edges = tuple(round(edge + 0.25) for edge in box(image.size, center))  # halves up, so that the square stays one
    return Steps(image, image.crop(edges), crop(image, center, size))


def shown_size(size: tuple[int, int], side: int = PREVIEW_SIDE) -> tuple[int, int]:
    """Width and height of `preview` of a picture of this size, px."""
    scale = min(side / max(size), 1)
    width, height = (max(round(length * scale), 1) for length in size)
    return width, height


def preview(image: Image.Image, center: tuple[float, float], side: int = PREVIEW_SIDE) -> Image.Image:
    """The photograph at most `side` px wide and high: bright and framed what the crop keeps, dim what it cuts off."""
    shown = image.resize(shown_size(image.size, side), Image.Resampling.LANCZOS)
    left, upper, right, lower = (round(edge) for edge in box(shown.size, center))
    dimmed = ImageEnhance.Brightness(shown).enhance(DIMMED)
    dimmed.paste(shown.crop((left, upper, right, lower)), (left, upper))
    pencil = ImageDraw.Draw(dimmed)
    for inset, color in ((0, "black"), (1, "white"), (2, "white"), (3, "black")):  # seen on any ground
        pencil.rectangle((left + inset, upper + inset, right - 1 - inset, lower - 1 - inset), outline=color)
    return dimmed


def square(image: Image.Image, size: int) -> Image.Image:
    """The largest centerd square, resampled with Lanczos to size x size px."""
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
