"""Ten painters: each turns the shared buffers into one style. `render` is the entry point.

Rooms: `palettes` (colors of light), `pixels` (arithmetic on pictures), `textures` and `strokes` (marks), `coloring`
(the colored picture that most painters start from), and the painters by kind.
"""

from __future__ import annotations

import zlib

import numpy as np
from PIL import Image

from ghibli_studio.miniature.landmarks.painting.animation import ghiblivis
from ghibli_studio.miniature.landmarks.painting.drawings import ink_drawing, pencil_sketch
from ghibli_studio.miniature.landmarks.painting.graphics import flat_poster, pixel_art
from ghibli_studio.miniature.landmarks.painting.paintings import oil_painting, pastel, watercolor
from ghibli_studio.miniature.landmarks.painting.photographs import photo, sepia_photo
from ghibli_studio.miniature.landmarks.raster import rasterise
from ghibli_studio.miniature.landmarks.scene import Scene

# A painter takes buffers, scene and a random generator and returns a picture, 3 x size x size, about 0..1
PAINTERS = {
    "photo": photo,
    "oil painting": oil_painting,
    "watercolor": watercolor,
    "pencil sketch": pencil_sketch,
    "ink drawing": ink_drawing,
    "pastel": pastel,
    "sepia photo": sepia_photo,
    "pixel art": pixel_art,
    "flat poster": flat_poster,
    "ghiblivis": ghiblivis,
}
STYLES = tuple(PAINTERS)
MIN_SIZE, MAX_SIZE = 16, 1024


def render(scene: Scene, style: str, size: int = 256) -> Image.Image:
    """The scene in the style as an RGB picture of size x size pixels; the same arguments always give the same pixels.

    Raises ValueError for a style that is not in STYLES and a size out of 16..1024.
    """
    if style not in PAINTERS:
        raise ValueError(f"unknown style {style!r}: choose one of {', '.join(STYLES)}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size {size} is out of {MIN_SIZE}..{MAX_SIZE} pixels: choose one in that range, 256 is usual")
    rng = np.random.default_rng([scene.seed, zlib.crc32(style.encode())])
    picture = PAINTERS[style](rasterise(scene, size), scene, rng)
    levels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(levels, 0, -1)))
