"""Photographs that pictures are drawn from: read with care, made bearable, kept so that a recipe finds them again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.data.file_source import read_plain
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


SHORTER_SIDE = 1024
"""Px at most: no base model draws a larger square, and 24 megapixels would be kept as a PNG of 40 MB."""


def read(path: Path) -> Image.Image:
    """The photograph in a file, upright RGB, its shorter side at most 1024 px; StudioError says what is wrong."""
    from PIL import Image

    image = open_image(read_plain(path, path.name), path.name)
    share = SHORTER_SIDE / min(image.size)
    if share >= 1:
        return image
    return image.resize([max(round(side * share), SHORTER_SIDE) for side in image.size], Image.Resampling.LANCZOS)


def keep(project: Project, image: Image.Image) -> Path:
    """Keep a photograph in the project under the hash of its pixels; it is written once."""
    file = project.made.upload(_hash(image))
    if not file.exists():
        write_atomic(file, png_bytes(image))
    return file


def find(project: Project, sha256: str) -> Image.Image | None:
    """The kept photograph with that hash of its pixels; None where there is none, or another under its name."""
    file = project.made.upload(sha256)
    if not file.is_file():
        return None
    image = open_image(file.read_bytes(), file.name)
    return image if _hash(image) == sha256 else None


def _hash(image: Image.Image) -> str:
    return Photograph(image, 1.0).sha256


@dataclass(frozen=True)
class Photograph:
    """A picture to start from instead of pure noise: image-to-image (Meng et al. 2021, SDEdit, arXiv:2108.01073)."""

    image: Image.Image
    """Upright RGB of any size; its centerd square is taken."""
    strength: float
    """Above 0 to 1: the share of the steps that is done; at 1 nothing is left of the picture."""

    def __post_init__(self) -> None:
        """Raise StudioError for a strength out of bounds."""
        if not 0 < self.strength <= 1:
            raise StudioError(f"denoising_strength is {self.strength}; it must be above 0 and at most 1")

    @property
    def sha256(self) -> str:
        """Of its pixels."""
        return hashlib.sha256(repr(self.image.size).encode() + self.image.tobytes()).hexdigest()
