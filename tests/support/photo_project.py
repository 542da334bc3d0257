"""A collection of three photos of noise, and quick settings to stylize them."""

import dataclasses
import hashlib

import numpy as np
from PIL import Image

from ghibli_studio.config.stylization import StylizationSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Photo
from ghibli_studio.imaging.image_io import png_bytes
from ghibli_studio.imaging.perceptual_hash import hash_and_brightness
from ghibli_studio.workspace.files import write_atomic

FEW = StylizationSettings(source="prompt", style_words="pastel", num_inference_steps=4, strength=0.5, seed=7)
NAMES = ("Big Ben", "Petra", "Colosseum")


def noise_image(seed, size=(96, 64)):
    """Return an image of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8), "RGB")


def photo_with_data(number, name):
    """Return the PNG of a photo, and its entry in a collection."""
    data = png_bytes(noise_image(number))
    return data, Photo(
        f"{number:04d}",
        f"{number:04d}.png",
        f"{name}.png",
        hashlib.sha256(data).hexdigest(),
        96,
        64,
        *hash_and_brightness(noise_image(number)),
        name=name,
        location="somewhere",
        center=(1.0, 0.5),
    )


def add_photos(project, base_model):
    """Create a collection with the three photos."""
    collections.load_or_create(project, base_model)
    photos = []
    for number, name in enumerate(NAMES, 1):
        data, photo = photo_with_data(number, name)
        write_atomic(project.collection.source(photo.file), data)
        photos.append(photo)
    collections.change(project, lambda collection: dataclasses.replace(collection, photos=tuple(photos)))
    return project
