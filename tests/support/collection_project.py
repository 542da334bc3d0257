"""Photos that differ from each other, and collections of them."""

import hashlib
import io

import numpy as np
from PIL import Image

from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Attempt, Photo
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import png_bytes
from ghibli_studio.workspace.files import write_atomic


def scene(seed, size=(96, 72)):
    """Return soft spots of light whose coarse structure differs for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(id, name="", **fields):
    """Return a photo without a file; its hash is far from those of other ids."""
    number = int(id)
    perceptual_hash = np.random.default_rng(number).integers(0, 256, 8, dtype=np.uint8).tobytes().hex()
    defaults = {
        "file": f"{id}.png",
        "original": f"{id}.png",
        "sha256": f"{number:064x}",
        "width": 512,
        "height": 384,
        "perceptual_hash": perceptual_hash,
        "brightness": 0.5,
    }
    return Photo(id, **{**defaults, "name": name, **fields})


def put(project, photos, base_model="miniature"):
    """Save a collection of these photos, without their files."""
    collections.load_or_create(project, base_model)
    return collections.change(project, lambda old: collections.replace(old, photos=tuple(photos)))


def stylize(project, id, *, accept=True):
    """Add a stylized image to a photo: its own center square, mirrored."""
    photo = collections.load(project).photo(id)
    image = square(collections.load_photo(project, photo), 64).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data, file = png_bytes(image), f"{id}-{len(photo.attempts) + 1}.png"
    write_atomic(project.collection.stylized(file), data)
    digest = hashlib.sha256(data).hexdigest()
    attempt = Attempt(file, "a prompt", "prompt", 3, 0.5, 5.0, 20, center=photo.center, sha256=digest)
    collections.add_attempt(project, id, attempt)
    return collections.edit(project, id, accepted_index=len(photo.attempts)) if accept else collections.load(project)
