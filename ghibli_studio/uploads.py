"""Photographs that pictures are drawn from: read with care, made bearable, kept so that a recipe finds them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ghibli_studio.files import write_atomic
from ghibli_studio.generation import Photograph
from ghibli_studio.images import open_image, png_bytes
from ghibli_studio.shelves import read_plain
from ghibli_studio.workspace import Project

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
