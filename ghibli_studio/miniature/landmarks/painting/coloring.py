"""From buffers to a lit, hazy, reflected color picture: what most styles start from.

Each step is a function of the buffers, the scene and a palette; the marks of a style (strokes, hatching, grain of the
paper) come later, in the painters.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ghibli_studio.miniature.landmarks.noise import SIDE, crop, fractal_noise, smoothstep
from ghibli_studio.miniature.landmarks.painting.palettes import Palette, color
from ghibli_studio.miniature.landmarks.painting.pixels import axes, blend, blur, moved
from ghibli_studio.miniature.landmarks.painting.textures import surface_texture
from ghibli_studio.miniature.landmarks.raster import Buffers
from ghibli_studio.miniature.landmarks.scene import Scene


def compose_color(
    buf: Buffers,
    scene: Scene,
    palette: Palette,
    rng: np.random.Generator,
    *,
    texture: float = 1.0,
    two_tone: float = 0.0,
    haze: float = 1.0,
    albedo: np.ndarray | None = None,
    hard_cloud: float = 0.0,
    bands: int = 0,
    ripple: float = 1.0,
    glow: float = 1.0,
) -> np.ndarray:
    """The colored picture, 3 x size x size, not clipped.

    `texture` is the strength of surface textures; `two_tone` and `hard_cloud` (0..1) turn soft light on surfaces and
    clouds into areas; `haze` and `glow` are factors on distance haze and on the light around sun and moon; `bands` is
    the number of flat steps in the sky (0: smooth); `ripple` the height of waves; `albedo` replaces the buffers' own.
    """
    albedo = buf.albedo if albedo is None else albedo
    brightness = np.clip((surface_shade(buf, scene) - 0.45) / 0.62, 0, 1.15)
    if two_tone:
        steps = smoothstep(0.40, 0.58, brightness) * 0.74 + smoothstep(0.82, 0.98, brightness) * 0.3
        brightness = brightness * (1 - two_tone) + two_tone * steps
    light = blend(palette.shadow, palette.sunlight, brightness)
    if texture:
        light = light * surface_texture(buf, rng, texture)
    picture = albedo * light
    if scene.sky == "night":  # floodlight from the landmark's foot
        flood = buf.building * np.exp(-height_above_base(buf) / 0.40)
        picture = picture + albedo * np.clip(brightness, 0.25, 1) * flood * color(0.98, 0.74, 0.44)
    distance = np.clip((buf.depth - 0.3) / 0.7, 0, 1) * palette.haze_strength * haze
    picture = blend(picture, palette.haze, distance)
    picture = lit_windows(buf, scene, picture)
    picture = blend(picture, sky_colors(buf, scene, palette, glow, hard_cloud, bands), buf.sky)
    return reflect(buf, picture, palette, rng, ripple)


def surface_shade(buf: Buffers, scene: Scene) -> np.ndarray:
    """Light from form, cast shadow and the darker foot of the landmark, size x size."""
    softness = 0.35 if scene.sky in ("overcast", "night") else 1.0
    shade = buf.shade - buf.cast * (1 - buf.building) * 0.36 * softness * (buf.depth < 0.45)
    if scene.sky == "overcast":
        shade = 0.8 + (shade - 0.8) * 0.5
    return shade - 0.09 * np.exp(-height_above_base(buf) / 0.035) * buf.building


def height_above_base(buf: Buffers) -> np.ndarray:
    """How far each row lies above the landmark's foot, size x 1 in 0..1."""
    y, _ = axes(buf.size)
    return np.clip(buf.layout.base - y, 0, 1)


def distance_to_sun(buf: Buffers) -> np.ndarray:
    """Distance of each pixel to the center of sun or moon, size x size in frame coordinates."""
    y, x = axes(buf.size)
    return np.hypot(x - buf.layout.sun[0], y - buf.layout.sun[1])


def sky_colors(
    buf: Buffers, scene: Scene, palette: Palette, glow: float = 1.0, hard_cloud: float = 0.0, bands: int = 0
) -> np.ndarray:
    """Sky gradient, sun or moon and stars, and clouds; the arguments are those of `compose_color`."""
    y, _ = axes(buf.size)
    descent = np.clip(y / buf.layout.horizon, 0, 1) ** 1.15
    if bands:
        descent = np.floor(descent * bands) / bands
    sky = np.repeat(blend(palette.zenith, palette.horizon, descent), buf.size, axis=2)
    if scene.sky == "night":
        sky = moon_and_stars(buf, scene, sky, glow)
    elif scene.sky in ("sunset", "golden"):
        distance = distance_to_sun(buf)
        sky += np.exp(-distance / 0.16) * 0.55 * glow * color(1, 0.72, 0.36)
        sky = blend(sky, color(1, 0.95, 0.75), smoothstep(0.05, 0.042, distance))
    light = buf.cloud_light
    if hard_cloud:
        areas = smoothstep(0.36, 0.46, light) * 0.5 + smoothstep(0.60, 0.68, light) * 0.5
        light = light * (1 - hard_cloud) + hard_cloud * areas
    return blend(sky, blend(palette.cloud_shaded, palette.cloud_lit, light), buf.cloud)


def moon_and_stars(buf: Buffers, scene: Scene, sky: np.ndarray, glow: float) -> np.ndarray:
    """The sky with 150 stars and a moon with a soft crater shadow and a halo."""
    rng = np.random.default_rng(scene.seed + 3)
    rows, columns = rng.integers(0, int(buf.size * 0.72), 150), rng.integers(0, buf.size, 150)
    sky[:, rows, columns] += rng.uniform(0.15, 0.9, 150).astype(np.float32)
    y, x = axes(buf.size)
    sun_x, sun_y = buf.layout.sun
    distance = distance_to_sun(buf)
    moon = smoothstep(0.047, 0.042, distance)
    shadow = smoothstep(0.042, 0.05, np.hypot(x - sun_x - 0.018, y - sun_y + 0.01)) * 0.15 + 0.85
    sky += np.exp(-distance / 0.07) * 0.30 * glow * color(0.7, 0.8, 1.0)
    return sky * (1 - moon) + moon * shadow * color(0.98, 0.97, 0.88)


def disc_mask(buf: Buffers, scene: Scene) -> np.ndarray:
    """Where the sun or moon stands (size x size in 0..1), so that brush strokes do not tear it apart."""
    if scene.sky not in ("night", "sunset", "golden"):
        return np.zeros((buf.size, buf.size), np.float32)
    return smoothstep(0.075, 0.055, distance_to_sun(buf)) * buf.sky


def lit_windows(buf: Buffers, scene: Scene, picture: np.ndarray) -> np.ndarray:
    """The picture with windows lit at night, faintly at sunset, in cells of 4 x 4 pixels, with a halo."""
    strength = {"night": 1.0, "sunset": 0.35}.get(scene.sky)
    if strength is None:
        return picture
    rng = np.random.default_rng(scene.seed + 5)
    cells = rng.random((buf.size // 4 + 1, buf.size // 4 + 1)).astype(np.float32) > 0.28
    lit = cells.repeat(4, axis=0).repeat(4, axis=1)[: buf.size, : buf.size]
    lamp = buf.windows * lit * np.float32(strength)
    picture = blend(picture, color(1.0, 0.80, 0.42), lamp)
    return picture + blur(lamp, buf.size / 90) * color(0.9, 0.6, 0.22) * 0.45


def reflect(buf: Buffers, picture: np.ndarray, palette: Palette, rng: np.random.Generator, ripple: float) -> np.ndarray:
    """The picture mirrored in the water, with ripples."""
    if buf.layout.water_y > 1.05 or not buf.water.any():
        return picture
    size = buf.size
    shore = buf.layout.water_y * size
    y, x = np.arange(size, dtype=np.float32)[:, None], np.arange(size, dtype=np.float32)[None, :]
    depth = np.clip((y - shore) / size, 0, 1)
    rng.integers(SIDE, size=2)  # unused, but the pictures of pre-training were drawn after two such draws
    swell = ndimage.uniform_filter1d(crop(fractal_noise(8, 4, 32), size, rng), 15, axis=1)
    wave = (swell - 0.5) * (2 + depth * 60) * ripple
    mirrored = np.clip(2 * shore - y + wave * 0.9, 0, size - 1)
    row = np.where(y >= shore - 1, mirrored, y).astype(np.intp)
    column = np.clip(x + wave * 0.5, 0, size - 1).astype(np.intp)
    tint = (palette.horizon * 0.45 + palette.zenith * 0.55) * color(0.72, 0.86, 0.86)
    water = moved(picture, row * size + column) * 0.62 + tint * (1 - 0.62)
    water = water * (1 - depth * 0.35) + np.clip(wave * 0.02, -0.06, 0.10)
    return blend(picture, water, buf.water)
