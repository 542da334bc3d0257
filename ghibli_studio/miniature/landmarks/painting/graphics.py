"""Two styles of flat areas: pixel art and the travel poster."""

from __future__ import annotations

import numpy as np

from ghibli_studio.miniature.landmarks.noise import smoothstep
from ghibli_studio.miniature.landmarks.painting.coloring import compose_color
from ghibli_studio.miniature.landmarks.painting.palettes import PHOTO, POSTER, color
from ghibli_studio.miniature.landmarks.painting.pixels import blend, luminance, saturate
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene

BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16 - 0.5


def pixel_art(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """64 x 64 blocks (fewer below 128 pixels), few tones, a little ordered dither, dark outlines.

    Brightness is what is stepped and dithered, once for all three channels, and hue follows it in finer steps:
    channels stepped each for themselves would sprinkle gray areas with pink and green.
    """
    block = max(2, buf.size // 64)
    blocks = buf.size // block
    picture = compose_color(buf, scene, PHOTO[scene.sky], rng, texture=0.25, two_tone=0.75, hard_cloud=0.9)
    small = block_means(saturate(picture, 1.45), block)
    edge = block_means(buf.edge[None], block)[0]
    small = small * (1 - 0.5 * smoothstep(0.22, 0.5, edge))
    dither = np.tile(BAYER, (blocks // 4 + 1, blocks // 4 + 1))[:blocks, :blocks]
    levels = 8
    small = np.clip(small, 0, 1)
    tone = luminance(small)
    stepped = np.round(np.clip(tone + dither * 0.12 / levels, 0, 1) * levels) / levels
    hue = np.round((small - tone) * 16) / 16
    small = np.clip(stepped + hue, 0, 1)
    large = small.repeat(block, axis=1).repeat(block, axis=2)
    rest = buf.size - blocks * block
    return np.pad(large, ((0, 0), (0, rest), (0, rest)), mode="edge")


def block_means(picture: np.ndarray, block: int) -> np.ndarray:
    """Mean of each block x block pixels of a picture (channels x size x size), whole blocks only."""
    blocks = picture.shape[-1] // block
    # channels last and contiguous: the order of summing decides the last bit, and the pixels of pre-training
    pixels = np.ascontiguousarray(np.moveaxis(picture, 0, -1)[: blocks * block, : blocks * block])
    return np.moveaxis(pixels.reshape(blocks, block, blocks, block, -1).mean((1, 3)), -1, 0)


def flat_poster(buf: Buffers, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Travel poster: bold flat areas, banded sky, no texture."""
    picture = compose_color(
        buf,
        scene,
        POSTER[scene.sky],
        rng,
        texture=0,
        two_tone=1.0,
        haze=1.3,
        hard_cloud=1.0,
        bands=5,
        ripple=0.4,
        glow=0.2,
    )
    picture = saturate(picture, 1.12)
    steps = 7
    picture = np.round(np.clip(picture, 0, 1) * steps) / steps * 0.8 + picture * 0.2
    border = np.zeros((buf.size, buf.size), np.float32)
    width = max(2, buf.size // 42)
    border[:width], border[-width:], border[:, :width], border[:, -width:] = 1, 1, 1, 1
    return blend(picture, color(0.97, 0.94, 0.86), border)
