"""The target style: a hand-painted animation background."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.noise import crop, fractal_noise, smoothstep
from ghibli_studio.miniature.landmarks.painting.coloring import compose_color, disc_mask
from ghibli_studio.miniature.landmarks.painting.palettes import GHIBLI, color
from ghibli_studio.miniature.landmarks.painting.pixels import blend, blur, ink_over, moved, saturate
from ghibli_studio.miniature.landmarks.painting.strokes import strokes
from ghibli_studio.miniature.landmarks.painting.textures import leaves
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene
from ghibli_studio.miniature.landmarks.shapes import MATERIAL_ID, MATERIALS

IS_GREEN = np.array([material in ("grass", "foliage", "field") for material in MATERIALS], np.float32)
DARK_GREEN, GREEN, LIGHT_GREEN = color(0.14, 0.40, 0.30), color(0.34, 0.61, 0.26), color(0.62, 0.78, 0.33)


def ghiblivis(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Cerulean sky, cumulus, lush greens, warm light, brown outlines, glow."""
    size = buf.size
    albedo = lush_albedo(buf, rng)
    picture = compose_color(
        buf,
        scene,
        GHIBLI[scene.sky],
        rng,
        texture=0.16,
        two_tone=0.72,
        haze=0.9,
        albedo=albedo,
        hard_cloud=0.6,
        ripple=0.7,
        glow=1.25,
    )
    brush = strokes(size, size / 30, size / 84, 3)
    detail = smoothstep(0.05, 0.18, blur(buf.edge, size / 130))
    keep = np.maximum(np.clip(0.42 + 0.5 * detail + 0.25 * buf.sky, 0, 0.95), disc_mask(buf, scene))
    picture = picture * keep + moved(picture, brush.source) * (1 - keep)
    picture = picture * (1 + 0.045 * brush.relief * (1 - 0.7 * buf.sky))
    picture = ink_over(
        picture, buf.edge, (0.08, 0.08, 0.18) if scene.sky == "night" else (0.27, 0.16, 0.12), outline_strength(buf)
    )
    picture = np.clip(picture, 0, 1)
    soft = blur(picture, size / 48)
    picture = 1 - (1 - picture) * (1 - soft * soft * 0.22)
    warmth = np.linspace(0, 1, size, dtype=np.float32)[:, None] * 0.03  # towards the viewer
    picture = saturate(picture, 1.16) + warmth * color(1, 0.6, -0.6)
    return np.clip((picture - 0.5) * 1.04 + 0.5, 0, 1)


def lush_albedo(buf: Buffers, rng: np.random.Generator) -> np.ndarray:
    """Cleaner, richer local colors (3 x size x size): three-tone greens, warm walls, blue-green distance."""
    base = np.clip(saturate(buf.albedo, 1.28) * 0.94 + 0.05, 0, 1)
    leaf = crop(leaves(), buf.size, rng)
    bands = ndimage.uniform_filter1d(crop(fractal_noise(14, 5, 10), buf.size, rng), 41, axis=1)
    foliage = (buf.material == MATERIAL_ID["foliage"]).astype(np.float32)
    tone = np.clip(0.5 + (buf.shade - 0.86) * 1.9 + leaf * (0.30 * foliage + 0.16 * (1 - foliage)), 0, 1)
    grass_tone = np.clip(0.60 + (buf.shade - 1.02) * 2 + (bands - 0.5) * 1.5 + leaf * 0.17, 0, 1)
    tone = np.where(buf.material == MATERIAL_ID["grass"], grass_tone, tone)
    step = smoothstep(0.22, 0.36, tone) * 0.5 + smoothstep(0.58, 0.72, tone) * 0.5
    greens = np.where(step < 0.5, blend(DARK_GREEN, GREEN, step * 2), blend(GREEN, LIGHT_GREEN, step * 2 - 1))
    plants = IS_GREEN.take(buf.material)
    lush = (buf.albedo[1] > buf.albedo[0]) * plants
    base = blend(base, greens * 0.78 + base * 0.22, lush * 0.88)
    withered = plants * (1 - lush)
    return base * (1 + withered * (step - 0.5) * 0.55)


def outline_strength(buf: Buffers) -> np.ndarray:
    """How dark outlines are, size x size: fainter with distance and on foliage."""
    near = np.where(buf.depth > 0.4, 0.34, 0.72) * (1 - 0.6 * np.clip(buf.depth - 0.5, 0, 0.5))
    return near * np.where(buf.material == MATERIAL_ID["foliage"], 0.55, 1)
