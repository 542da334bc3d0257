"""Three styles of paint and chalk."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.noise import crop, fractal_noise, smoothstep
from ghibli_studio.miniature.landmarks.painting.coloring import compose_color, disc_mask
from ghibli_studio.miniature.landmarks.painting.palettes import PHOTO, color
from ghibli_studio.miniature.landmarks.painting.pixels import blend, blur, ink_over, luminance, moved, saturate
from ghibli_studio.miniature.landmarks.painting.strokes import strokes
from ghibli_studio.miniature.landmarks.painting.textures import grain
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene


def oil_painting(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Thick visible strokes, strong color."""
    size = buf.size
    picture = saturate(compose_color(buf, scene, PHOTO[scene.sky], rng, texture=0.8), 1.4)
    picture = np.clip((picture - 0.5) * 1.08 + 0.48, 0, 1)
    broad = strokes(size, size / 18, size / 60, 1)
    slim = strokes(size, size / 34, size / 100, 2)
    detailed = np.maximum(smoothstep(0.06, 0.16, blur(buf.edge, size / 100)), disc_mask(buf, scene))
    broadly = moved(picture, broad.source) * 0.62 + picture * 0.38
    finely = moved(picture, slim.source) * 0.6 + picture * 0.4
    painted = broadly * (1 - detailed) + finely * detailed
    painted = ink_over(painted, buf.edge, (0.14, 0.09, 0.07), 0.22)
    relief = broad.relief * (1 - detailed) + slim.relief * detailed
    thread = np.sin(np.arange(size) * 2.1)
    canvas = thread[None, :] * thread[:, None]
    return painted * (1 + 0.13 * relief + 0.025 * canvas).astype(np.float32) * color(1.03, 1.0, 0.93)


def watercolor(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Pale bleeding washes on paper with pigment edges."""
    size = buf.size
    picture = saturate(compose_color(buf, scene, PHOTO[scene.sky], rng, texture=0.35, two_tone=0.5), 1.65)
    bleed_y = crop(fractal_noise(3, 5, 8), size, rng) - 0.5
    bleed_x = crop(fractal_noise(4, 5, 8), size, rng) - 0.5
    y, x = np.arange(size)[:, None], np.arange(size)[None, :]
    rows = np.clip(y + bleed_y * size / 40, 0, size - 1).astype(np.intp)
    columns = np.clip(x + bleed_x * size / 40, 0, size - 1).astype(np.intp)
    wash = moved(blur(picture * 1.12 + 0.03, size / 260), rows * size + columns)
    tone = luminance(wash)
    rim = np.clip(np.abs(tone - blur(tone, size / 70)) * 1.6, 0, 0.25)
    pale = 1 - (1 - np.clip(wash, 0, 1)) * (0.86 if scene.sky == "night" else 0.80)
    pale = pale * (1 - rim)
    pool = crop(fractal_noise(2, 5, 6), size, rng)
    paper = crop(grain(), size, rng)
    painted = 1 - (1 - pale) * np.clip(0.62 + pool * 0.55, 0, 1.1)
    from_border = np.minimum(np.minimum(x, size - 1 - x), np.minimum(y, size - 1 - y)) / size
    margin = smoothstep(0.0, 0.035, from_border + bleed_y * 0.05)
    painted = 1 - (1 - painted) * margin
    painted = ink_over(painted, buf.edge, (0.36, 0.32, 0.34), 0.30)
    return painted * color(1.0, 0.985, 0.955) * (1 - 0.03 * np.abs(paper))


def pastel(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Chalk rubbed over tinted rough paper."""
    size, night = buf.size, scene.sky == "night"
    picture = compose_color(buf, scene, PHOTO[scene.sky], rng, texture=0.4, two_tone=0.3)
    picture = saturate(blur(picture, size / 220), 1.15)
    lift = 0.16 if night else 0.30
    picture = np.clip(picture * (1 - lift) + lift * color(1.02, 0.95, 0.98), 0, 1)
    picture = picture * 0.6 + moved(picture, strokes(size, size / 20, size / 80, 4).source) * 0.4
    # rubbed in: the paper shows as a soft tooth along the stroke, not as specks
    tooth = blur(crop(grain(), size, rng), size / 230)
    along = ndimage.uniform_filter1d(tooth, 7, axis=1)
    cover = np.clip(0.88 + 0.16 * along + 0.07 * tooth, 0.6, 1)
    paper = color(0.24, 0.22, 0.32) if night else color(0.66, 0.58, 0.58)
    chalk = blur(buf.edge, size / 300) * (0.75 + 0.25 * np.clip(tooth, -1, 1))
    return ink_over(blend(paper, picture, cover), chalk, (0.34, 0.24, 0.30), 0.38)
