"""Two styles of line and hatching."""

from __future__ import annotations

import numpy as np

from ghibli_studio.miniature.landmarks.noise import crop, smoothstep
from ghibli_studio.miniature.landmarks.painting.coloring import compose_color
from ghibli_studio.miniature.landmarks.painting.palettes import PHOTO, color
from ghibli_studio.miniature.landmarks.painting.pixels import blend, luminance
from ghibli_studio.miniature.landmarks.painting.strokes import hatching
from ghibli_studio.miniature.landmarks.painting.textures import grain
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene


def tone_of(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Gray tone of the scene, size x size in 0..1, with a lifted night."""
    tone = luminance(compose_color(buf, scene, PHOTO[scene.sky], rng, texture=0.5))
    if scene.sky == "night":
        tone = tone * 1.7 + 0.02
    return np.clip(tone, 0, 1)


def pencil_sketch(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Graphite lines and soft hatching on off-white paper."""
    size = buf.size
    dark = np.clip(0.92 - tone_of(buf, scene, rng), 0, 1)
    paper = crop(grain(), size, rng)
    hatch, cross_hatch = hatching(size, 0.8, 4.3, 1), hatching(size, 2.2, 4.9, 2)
    tone = 0.55 * dark * (0.35 + 0.8 * hatch) + 0.4 * np.clip(dark - 0.35, 0, 1) * cross_hatch * 1.5
    tone = tone * (1 - 0.45 * buf.sky) * (1 + 0.35 * paper)
    second_line = np.roll(buf.edge, (1, 1), (0, 1)) * (cross_hatch > 0.55)
    line = np.clip(buf.edge * (0.75 + 0.25 * paper), 0, 1) + 0.4 * second_line
    drawn = 0.955 - np.clip(tone, 0, 0.75) - 0.62 * line * (1 - np.clip(buf.depth - 0.3, 0, 0.6))
    return np.clip(drawn + 0.015 * paper, 0.1, 1) * color(1, 0.995, 0.98)


def ink_drawing(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Black pen on cream: outlines, cross-hatching and solid darks."""
    size = buf.size
    tone = tone_of(buf, scene, rng) + 0.12 * buf.sky
    paper = np.ones((size, size), np.float32)  # 1 bare, 0 inked
    for level, angle, gap in ((0.66, 0.75, 4.6), (0.48, 2.35, 4.6), (0.32, 1.57, 3.4)):
        width = np.clip((level - tone) * 3.2, 0, 0.62)
        lines = smoothstep(1 - width - 0.12, 1 - width + 0.12, hatching(size, angle, gap, 3))
        paper *= 1 - lines * (width > 0.015)
    paper *= 1 - smoothstep(0.2, 0.12, tone)
    paper *= 1 - np.clip(buf.edge * 1.5, 0, 1) * np.where(buf.depth > 0.6, 0.6, 1)
    return blend(color(0.07, 0.07, 0.10), color(0.975, 0.955, 0.895), paper)
