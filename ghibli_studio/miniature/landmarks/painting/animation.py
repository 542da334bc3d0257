"""The target style: a hand-painted animation background."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.noise import crop, fractal_noise, smoothstep
from ghibli_studio.miniature.landmarks.painting.colouring import compose_colour, disc_mask
from ghibli_studio.miniature.landmarks.painting.palettes import GHIBLI, colour
from ghibli_studio.miniature.landmarks.painting.pixels import blend, blur, ink_over, moved, saturate
from ghibli_studio.miniature.landmarks.painting.strokes import strokes
from ghibli_studio.miniature.landmarks.painting.textures import leaves
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene
from ghibli_studio.miniature.landmarks.shapes import MATERIAL_ID, MATERIALS

IS_GREEN = np.array([material in ("grass", "foliage", "field") for material in MATERIALS], np.float32)
DARK_GREEN, GREEN, LIGHT_GREEN = colour(.14, .40, .30), colour(.34, .61, .26), colour(.62, .78, .33)


def ghiblivis(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Cerulean sky, cumulus, lush greens, warm light, brown outlines, glow."""
    size = buf.size
    albedo = lush_albedo(buf, rng)
    picture = compose_colour(buf, scene, GHIBLI[scene.sky], rng, texture=.16, two_tone=.72, haze=.9, albedo=albedo,
                             hard_cloud=.6, ripple=.7, glow=1.25)
    brush = strokes(size, size / 30, size / 84, 3)
    detail = smoothstep(.05, .18, blur(buf.edge, size / 130))
    keep = np.maximum(np.clip(.42 + .5 * detail + .25 * buf.sky, 0, .95), disc_mask(buf, scene))
    picture = picture * keep + moved(picture, brush.source) * (1 - keep)
    picture = picture * (1 + .045 * brush.relief * (1 - .7 * buf.sky))
    picture = ink_over(picture, buf.edge, (.08, .08, .18) if scene.sky == "night" else (.27, .16, .12),
                       outline_strength(buf))
    picture = np.clip(picture, 0, 1)
    soft = blur(picture, size / 48)
    picture = 1 - (1 - picture) * (1 - soft * soft * .22)
    warmth = np.linspace(0, 1, size, dtype=np.float32)[:, None] * .03  # towards the viewer
    picture = saturate(picture, 1.16) + warmth * colour(1, .6, -.6)
    return np.clip((picture - .5) * 1.04 + .5, 0, 1)


def lush_albedo(buf: Buffers, rng: np.random.Generator) -> np.ndarray:
    """Cleaner, richer local colours (3 x size x size): three-tone greens, warm walls, blue-green distance."""
    base = np.clip(saturate(buf.albedo, 1.28) * .94 + .05, 0, 1)
    leaf = crop(leaves(), buf.size, rng)
    bands = ndimage.uniform_filter1d(crop(fractal_noise(14, 5, 10), buf.size, rng), 41, axis=1)
    foliage = (buf.material == MATERIAL_ID["foliage"]).astype(np.float32)
    tone = np.clip(.5 + (buf.shade - .86) * 1.9 + leaf * (.30 * foliage + .16 * (1 - foliage)), 0, 1)
    grass_tone = np.clip(.60 + (buf.shade - 1.02) * 2 + (bands - .5) * 1.5 + leaf * .17, 0, 1)
    tone = np.where(buf.material == MATERIAL_ID["grass"], grass_tone, tone)
    step = smoothstep(.22, .36, tone) * .5 + smoothstep(.58, .72, tone) * .5
    greens = np.where(step < .5, blend(DARK_GREEN, GREEN, step * 2), blend(GREEN, LIGHT_GREEN, step * 2 - 1))
    plants = IS_GREEN.take(buf.material)
    lush = (buf.albedo[1] > buf.albedo[0]) * plants
    base = blend(base, greens * .78 + base * .22, lush * .88)
    withered = plants * (1 - lush)
    return base * (1 + withered * (step - .5) * .55)


def outline_strength(buf: Buffers) -> np.ndarray:
    """How dark outlines are, size x size: fainter with distance and on foliage."""
    near = np.where(buf.depth > .4, .34, .72) * (1 - .6 * np.clip(buf.depth - .5, 0, .5))
    return near * np.where(buf.material == MATERIAL_ID["foliage"], .55, 1)
