"""Photos that img2img starts from: opened safely, scaled down, and stored so that an image can be reproduced."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.data.file_source import read_file
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


MAX_SHORTER_SIDE = 1024
"""Pixels: no base model generates a larger square, and a stored PNG of 24 megapixels would take 40 MB."""


def open_photo(path: Path) -> Image.Image:
    """Return the photo of a file, upright RGB, its shorter side at most 1024 px; raises StudioError if it is bad."""
    from PIL import Image

    image = open_image(read_file(path, path.name), path.name)
    share = MAX_SHORTER_SIDE / min(image.size)
    if share >= 1:
        return image
    width, height = (max(round(side * share), MAX_SHORTER_SIDE) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def store(project: Project, image: Image.Image) -> Path:
    """Store a photo in the project under the hash of its pixels, once."""
    file = project.outputs.upload(_hash(image))
    if not file.exists():
        write_atomic(file, png_bytes(image))
    return file


def find(project: Project, sha256: str) -> Image.Image | None:
    """Return the stored photo with this hash of its pixels; None if it is missing or its pixels were changed."""
    file = project.outputs.upload(sha256)
    if not file.is_file():
        return None
    image = open_image(file.read_bytes(), file.name)
    return image if _hash(image) == sha256 else None


def _hash(image: Image.Image) -> str:
    return InitImage(image, 1.0).sha256


@dataclass(frozen=True)
class InitImage:
    """An image to start from instead of pure noise: img2img (Meng et al. 2021, SDEdit, arXiv:2108.01073)."""

    image: Image.Image
    """Upright RGB of any size; its centered square is used."""
    strength: float
    """Share of the steps that is done, above 0 to 1; at 1 nothing of the image is kept."""

    def __post_init__(self) -> None:
        """Raise StudioError for a strength out of bounds."""
        if not 0 < self.strength <= 1:
            raise StudioError(f"strength is {self.strength}; it must be above 0 and at most 1")

    @property
    def sha256(self) -> str:
        """Hash of the size and the pixels."""
        return hashlib.sha256(repr(self.image.size).encode() + self.image.tobytes()).hexdigest()
