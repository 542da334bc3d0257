"""Real photos: read with their captions from a folder, and cropped to random squares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ghibli_studio.pretraining.settings import InvalidInput

CAPTIONS = "captions.txt"
SMALLEST_SIDE = 64


@dataclass(frozen=True)
class Photo:
    """One photo in memory."""

    image: Image.Image
    caption: str
    """'<name>, <location>, <description>, <composition>', without a style word."""


def read_photos(folder: Path) -> list[Photo]:
    """Return the photos named in the folder's captions.txt, one `file|caption` per line, sorted by file.

    Raises InvalidInput if the list or a file is missing or unreadable, or if a line does not have that form.
    """
    solution = "fix it, choose another --photos, or use --no-photos"
    try:
        lines = (folder / CAPTIONS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "not UTF-8")
        raise InvalidInput(f"{folder / CAPTIONS} cannot be read ({reason}): {solution}") from error
    photos = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        file, separator, caption = (part.strip() for part in line.partition("|"))
        if not (file and separator and caption):
            raise InvalidInput(f"line {number} of {folder / CAPTIONS} is {line[:60]!r}, not `file|caption`: {solution}")
        try:
            with Image.open(folder / file) as opened:
                image = opened.convert("RGB")
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise InvalidInput(f"{folder / file} is not a readable image ({error}): {solution}") from error
        if min(image.size) < SMALLEST_SIDE:
            size = "x".join(map(str, image.size))
            raise InvalidInput(
                f"{folder / file} has {size} pixels, but the minimum is {SMALLEST_SIDE} per side: {solution}"
            )
        photos[file] = Photo(image, caption)
    if not photos:
        raise InvalidInput(f"{folder / CAPTIONS} names no photo, but must name at least one: {solution}")
    return [photos[file] for file in sorted(photos)]


def crop_of(photos: list[Photo], number: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random square crop of the photo for this number, (size, size, 3) bytes; the photos take turns."""
    image = photos[number % len(photos)].image
    width, height = image.size
    shorter = min(width, height)
    side = int(rng.integers(int(shorter * 0.68), shorter + 1))
    left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
    box = (left, top, left + side, top + side)
    crop = image.resize((size, size), Image.Resampling.LANCZOS, box=box)
    return np.asarray(ImageOps.mirror(crop) if rng.random() < 0.5 else crop)


def captions_of(photos: list[Photo], number: int) -> list[str]:
    """Return the three captions of the crop for this number."""
    caption = photos[number % len(photos)].caption
    return [caption, f"{caption}, photo", "a real photograph, photo"]
