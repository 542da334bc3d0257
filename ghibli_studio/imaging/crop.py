"""Square crops of a photo: the box, the crop itself, and previews of it.

Images in, images out; no file and no model. `square` is the centered crop that everything else uses.
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
class CropPreview:
    """The steps from a photo to a training image."""

    photo: Image.Image
    """Upright RGB, uncropped."""
    square: Image.Image
    """The crop in the photo's own pixels, to the nearest pixel."""
    image: Image.Image
    """The crop, resampled with Lanczos to the base model's resolution."""


def box(size: tuple[int, int], center: tuple[float, float] = CENTER) -> Box:
    """Return the left, upper, right and lower edge of the largest square around the center, px, possibly fractional.

    The center is given as fractions of width and height. Near an edge, the square moves inward so that it stays inside
    the image; so only the fraction of the longer side matters.
    """
    if not all(math.isfinite(fraction) and 0 <= fraction <= 1 for fraction in center):
        raise StudioError(f"the center is {center}; both must be 0 to 1, fractions of width and height")
    side = min(size)
    left, upper = (min(max(fraction * length - side / 2, 0), length - side) for fraction, length in zip(center, size))
    return left, upper, left + side, upper + side


def crop(image: Image.Image, center: tuple[float, float], size: int) -> Image.Image:
    """Return the largest square around the center, resampled with Lanczos to size x size px."""
    if size < 1:
        raise StudioError(f"size is {size} px; it must be at least 1")
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.LANCZOS, box=box(image.size, center))


def crop_preview(image: Image.Image, center: tuple[float, float], size: int) -> CropPreview:
    """Return every step of a crop: photo, square, and image of size x size px."""
    left, upper, right, lower = (
        round(edge + 0.25) for edge in box(image.size, center)
    )  # rounds halves up, so that the square stays a square
    return CropPreview(image, image.crop((left, upper, right, lower)), crop(image, center, size))


def overlay_size(size: tuple[int, int], side: int = PREVIEW_SIDE) -> tuple[int, int]:
    """Return width and height of `crop_overlay` for an image of this size, px."""
    scale = min(side / max(size), 1)
    width, height = (max(round(length * scale), 1) for length in size)
    return width, height


def crop_overlay(image: Image.Image, center: tuple[float, float], side: int = PREVIEW_SIDE) -> Image.Image:
    """Return the photo at most `side` px wide and high, with the crop framed and everything outside dimmed."""
    shown = image.resize(overlay_size(image.size, side), Image.Resampling.LANCZOS)
    left, upper, right, lower = (round(edge) for edge in box(shown.size, center))
    dimmed = ImageEnhance.Brightness(shown).enhance(DIMMED)
    dimmed.paste(shown.crop((left, upper, right, lower)), (left, upper))
    pencil = ImageDraw.Draw(dimmed)
    for inset, color in ((0, "black"), (1, "white"), (2, "white"), (3, "black")):  # visible on any background
        pencil.rectangle((left + inset, upper + inset, right - 1 - inset, lower - 1 - inset), outline=color)
    return dimmed


def square(image: Image.Image, size: int) -> Image.Image:
    """Return the largest centered square, resampled with Lanczos to size x size px."""
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
