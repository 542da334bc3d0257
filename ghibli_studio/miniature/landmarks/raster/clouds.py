"""Cloud cover and the light on it, the same for every style; `painting` gives them color."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.layout.frame import Layout
from ghibli_studio.miniature.landmarks.noise import crop, fractal_noise, resize, smoothstep
from ghibli_studio.miniature.landmarks.scene import Scene

SIDE = 128  # clouds are soft: they are made at this size and enlarged


def cloud_maps(scene: Scene, layout: Layout, size: int) -> tuple[np.ndarray, np.ndarray]:
    """How much of the sky each pixel hides, and how brightly the cloud is lit: two size x size maps in 0..1."""
    if scene.sky == "clear":
        return np.zeros((size, size), np.float32), np.ones((size, size), np.float32)
    rng = np.random.default_rng(scene.seed + 17)
    noise = crop(fractal_noise(1), SIDE * 2, rng)[::2, ::2] - 0.5
    fine = crop(fractal_noise(2, 5, 16), SIDE, rng) - 0.5
    if scene.sky == "overcast":
        cover = np.clip(0.75 + noise * 0.9 + fine * 0.2, 0, 1)
        light = np.clip(0.5 + noise * 1.6 + fine * 0.3, 0, 1)
    elif scene.sky == "cloudy":
        cover, light = cumulus(rng, layout, noise, fine, heaps=6, width=1.0)
    elif scene.sky == "golden":
        streaks = drawn_out(rng)
        cover, light = cumulus(rng, layout, noise, fine, heaps=3, width=0.55)
        cover = np.maximum(cover * 0.9, smoothstep(0.5, 0.82, streaks + noise * 0.22) * 0.5)
    else:  # sunset and night: streaks only
        streaks = drawn_out(rng)
        y = np.arange(SIDE, dtype=np.float32)[:, None] / SIDE
        cover = smoothstep(0.5, 0.82, streaks + noise * 0.22 + fine * 0.12) * smoothstep(0, 0.25, y + 0.1)
        cover = cover * (0.4 if scene.sky == "night" else 0.75)
        light = np.clip(0.35 + y * 0.8 + noise * 0.8 + fine * 0.3, 0, 1)
    return resize(cover, size), resize(light, size)


def drawn_out(rng: np.random.Generator) -> np.ndarray:
    """Noise stretched to horizontal streaks, SIDE x SIDE in 0..1."""
    window = crop(fractal_noise(3), SIDE * 2, rng)[::2][:, :SIDE]
    streaks = np.repeat(window[::4], 4, 0)
    return ndimage.gaussian_filter(np.roll(streaks, 3, 0), (1.6, 2))


def cumulus(rng: np.random.Generator, layout: Layout, noise: np.ndarray, fine: np.ndarray, heaps: int, width: float):
    """Cover and light (SIDE x SIDE in 0..1) of flat-based heaps of spheres with frayed rims."""
    y, x = np.arange(SIDE, dtype=np.float32)[:, None] / SIDE, np.arange(SIDE, dtype=np.float32)[None, :] / SIDE
    frayed_x = x + noise * 0.05 + fine * 0.025
    frayed_y = y + np.roll(noise, 31, 1) * 0.04 + fine * 0.022
    height = np.full((SIDE, SIDE), -1, np.float32)  # towards the viewer
    normal_x, normal_y = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    for _ in range(heaps):
        cx, base = rng.uniform(0, 1), rng.uniform(0.12, max(0.2, layout.horizon - 0.08))
        w = rng.uniform(0.15, 0.34) * (1.25 - 0.8 * base) * width
        for _ in range(15):
            offset = rng.uniform(-1, 1)
            r = w * rng.uniform(0.2, 0.42) * (1 - 0.6 * offset * offset)
            px, py = cx + offset * w, base - r * 0.5 - w * rng.uniform(0, 0.75) * (1 - offset * offset)
            left, right, top, bottom = [
                int(np.clip(edge * SIDE, 0, SIDE))
                for edge in (px - r - 0.05, px + r + 0.05, py - r - 0.05, py + r + 0.05)
            ]
            if right <= left or bottom <= top:
                continue
            window = np.s_[top:bottom, left:right]
            dx, dy = (frayed_x[window] - px) / r, (frayed_y[window] - py) / r
            sphere = np.where(frayed_y[window] > base + 0.01, -1, (1 - dx * dx - dy * dy) * r)
            in_front = sphere > height[window]
            underside = dy - (base - frayed_y[window]) * 2.2 + 0.25
            for field, values in ((height, sphere), (normal_y, underside), (normal_x, dx)):
                field[window] = np.where(in_front, values, field[window])
    cover = ndimage.gaussian_filter(smoothstep(-0.002, 0.022, height), 0.7)
    light = np.clip(0.55 - normal_y * 0.5 + normal_x * layout.sun_side * 0.28 + fine * 0.35, 0, 1)
    return cover, ndimage.gaussian_filter(light, 1.0)
