"""Two styles that look like photographs."""

from __future__ import annotations

import numpy as np

from ghibli_studio.miniature.landmarks.noise import crop, fractal_noise
from ghibli_studio.miniature.landmarks.painting.coloring import compose_color
from ghibli_studio.miniature.landmarks.painting.palettes import PHOTO, color
from ghibli_studio.miniature.landmarks.painting.pixels import blur, ink_over, luminance, saturate, squared_radius
from ghibli_studio.miniature.landmarks.painting.textures import grain
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene


def photo(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Sunlit, textured, hazy, slightly soft, grainy."""
    picture = compose_color(buf, scene, PHOTO[scene.sky], rng)
    picture = ink_over(picture, buf.edge * (buf.depth < 0.6), (0.12, 0.11, 0.10), 0.13)
    picture = blur(picture, 0.45 * buf.size / 256)
    bloom = blur(np.clip(picture - 0.75, 0, 1), buf.size / 50)
    picture = picture + np.clip(bloom, 0, 1) * 0.5
    picture = picture * (1 - 0.13 * squared_radius(buf.size))
    picture = np.clip(saturate(picture * 1.14, 0.96), 0, 1.2)
    picture = picture * (1.06 - 0.06 * picture) ** 1.5
    return picture + crop(grain(), buf.size, rng) * 0.012


def sepia_photo(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Old brown print: soft, faded, vignetted, scratched."""
    size = buf.size
    tone = luminance(compose_color(buf, scene, PHOTO[scene.sky], rng, texture=0.9))
    tone = blur(tone, size / 320) + crop(grain(), size, rng) * 0.035
    tone = np.clip(0.10 + 0.80 * tone, 0, 1)
    vignette = 1 - 0.30 * np.clip(squared_radius(size) - 0.25, 0, 2)
    tone = tone * vignette + (crop(fractal_noise(5), size, rng) - 0.5) * 0.09
    scratches = np.zeros((size, size), np.float32)
    for x in rng.integers(0, size, 3):
        start, end = int(rng.integers(0, size // 2)), int(rng.integers(size // 2, size))
        scratches[start:end, x] = 0.13
    tone = np.clip(tone + scratches, 0, 1)
    dark, light = color(0.16, 0.09, 0.04), color(1.0, 0.90, 0.70)
    return dark + tone * (light - dark) * (1 - 0.12 * tone * (1 - tone))
