"""Real photographs: read with their captions from a folder, cut into random square crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ghibli_studio.pretraining.settings import WrongInput

CAPTIONS = "captions.txt"
SMALLEST_SIDE = 64


@dataclass(frozen=True)
class Photograph:
    """One photograph in memory."""

    picture: Image.Image
    caption: str
    """'<name>, <location>, <description>, <composition>', without a style word."""


def read_photographs(folder: Path) -> list[Photograph]:
    """The photographs that the folder's captions.txt names, one `file|caption` a line, sorted by file.

    Raises WrongInput if the list or a file of it is missing or unreadable, or a line is not of that form.
    """
    way_out = "mend it, choose another --photos, or leave photographs out with --no-photos"
    try:
        lines = (folder / CAPTIONS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "not UTF-8")
        raise WrongInput(f"{folder / CAPTIONS} cannot be read ({reason}): {way_out}") from error
    photographs = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        file, separator, caption = (part.strip() for part in line.partition("|"))
        if not (file and separator and caption):
            raise WrongInput(f"line {number} of {folder / CAPTIONS} is {line[:60]!r}, not `file|caption`: {way_out}")
        try:
            with Image.open(folder / file) as opened:
                picture = opened.convert("RGB")
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise WrongInput(f"{folder / file} is not a picture that can be read ({error}): {way_out}") from error
        if min(picture.size) < SMALLEST_SIDE:
            size = "x".join(map(str, picture.size))
            raise WrongInput(f"{folder / file} has {size} pixels, but {SMALLEST_SIDE} a side is the least: {way_out}")
        photographs[file] = Photograph(picture, caption)
    if not photographs:
        raise WrongInput(f"{folder / CAPTIONS} names no photograph, but one is the least: {way_out}")
    return [photographs[file] for file in sorted(photographs)]


def crop_of(photographs: list[Photograph], number: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square crop, (size, size, 3) bytes, of the photograph whose turn it is at the number."""
    picture = photographs[number % len(photographs)].picture
    width, height = picture.size
    shorter = min(width, height)
    side = int(rng.integers(int(shorter * 0.68), shorter + 1))
    left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
    box = (left, top, left + side, top + side)
    crop = picture.resize((size, size), Image.Resampling.LANCZOS, box=box)
    return np.asarray(ImageOps.mirror(crop) if rng.random() < 0.5 else crop)


def captions_of(photographs: list[Photograph], number: int) -> list[str]:
    """The three captions of the crop at the number."""
    caption = photographs[number % len(photographs)].caption
    return [caption, f"{caption}, photo", "a real photograph, photo"]
