"""Three styles of paint and chalk."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.noise import crop, fractal_noise, smoothstep
from ghibli_studio.miniature.landmarks.painting.colouring import compose_colour, disc_mask
from ghibli_studio.miniature.landmarks.painting.palettes import PHOTO, colour
from ghibli_studio.miniature.landmarks.painting.pixels import blend, blur, ink_over, luminance, moved, saturate
from ghibli_studio.miniature.landmarks.painting.strokes import strokes
from ghibli_studio.miniature.landmarks.painting.textures import grain
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene


def oil_painting(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Thick visible strokes, strong colour."""
    size = buf.size
    picture = saturate(compose_colour(buf, scene, PHOTO[scene.sky], rng, texture=.8), 1.4)
    picture = np.clip((picture - .5) * 1.08 + .48, 0, 1)
    broad = strokes(size, size / 18, size / 60, 1)
    slim = strokes(size, size / 34, size / 100, 2)
    detailed = np.maximum(smoothstep(.06, .16, blur(buf.edge, size / 100)), disc_mask(buf, scene))
    broadly = moved(picture, broad.source) * .62 + picture * .38
    finely = moved(picture, slim.source) * .6 + picture * .4
    painted = broadly * (1 - detailed) + finely * detailed
    painted = ink_over(painted, buf.edge, (.14, .09, .07), .22)
    relief = broad.relief * (1 - detailed) + slim.relief * detailed
    thread = np.sin(np.arange(size) * 2.1)
    canvas = thread[None, :] * thread[:, None]
    return painted * (1 + .13 * relief + .025 * canvas).astype(np.float32) * colour(1.03, 1.0, .93)


def watercolor(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Pale bleeding washes on paper with pigment edges."""
    size = buf.size
    picture = saturate(compose_colour(buf, scene, PHOTO[scene.sky], rng, texture=.35, two_tone=.5), 1.65)
    bleed_y = crop(fractal_noise(3, 5, 8), size, rng) - .5
    bleed_x = crop(fractal_noise(4, 5, 8), size, rng) - .5
    y, x = np.arange(size)[:, None], np.arange(size)[None, :]
    rows = np.clip(y + bleed_y * size / 40, 0, size - 1).astype(np.intp)
    columns = np.clip(x + bleed_x * size / 40, 0, size - 1).astype(np.intp)
    wash = moved(blur(picture * 1.12 + .03, size / 260), rows * size + columns)
    tone = luminance(wash)
    rim = np.clip(np.abs(tone - blur(tone, size / 70)) * 1.6, 0, .25)
    pale = 1 - (1 - np.clip(wash, 0, 1)) * (.86 if scene.sky == "night" else .80)
    pale = pale * (1 - rim)
    pool = crop(fractal_noise(2, 5, 6), size, rng)
    paper = crop(grain(), size, rng)
    painted = 1 - (1 - pale) * np.clip(.62 + pool * .55, 0, 1.1)
    from_border = np.minimum(np.minimum(x, size - 1 - x), np.minimum(y, size - 1 - y)) / size
    margin = smoothstep(.0, .035, from_border + bleed_y * .05)
    painted = 1 - (1 - painted) * margin
    painted = ink_over(painted, buf.edge, (.36, .32, .34), .30)
    return painted * colour(1.0, .985, .955) * (1 - .03 * np.abs(paper))


def pastel(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Chalk rubbed over tinted rough paper."""
    size, night = buf.size, scene.sky == "night"
    picture = compose_colour(buf, scene, PHOTO[scene.sky], rng, texture=.4, two_tone=.3)
    picture = saturate(blur(picture, size / 220), 1.15)
    lift = .16 if night else .30
    picture = np.clip(picture * (1 - lift) + lift * colour(1.02, .95, .98), 0, 1)
    picture = picture * .6 + moved(picture, strokes(size, size / 20, size / 80, 4).source) * .4
    # rubbed in: the paper shows as a soft tooth along the stroke, not as specks
    tooth = blur(crop(grain(), size, rng), size / 230)
    along = ndimage.uniform_filter1d(tooth, 7, axis=1)
    cover = np.clip(.88 + .16 * along + .07 * tooth, .6, 1)
    paper = colour(.24, .22, .32) if night else colour(.66, .58, .58)
    chalk = blur(buf.edge, size / 300) * (.75 + .25 * np.clip(tooth, -1, 1))
    return ink_over(blend(paper, picture, cover), chalk, (.34, .24, .30), .38)
