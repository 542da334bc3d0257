"""What a picture is made of before it has pixels: materials, colors, polygons, and a few outlines.

`Builder` draws buildings with these, `layout` the scenery; the look of a material is in `painting`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MATERIALS = (
    "sky",
    "stone",
    "brick",
    "block",
    "rock",
    "plaster",
    "metal",
    "glass",
    "wood",
    "tile",
    "copper",
    "gold",
    "mud",
    "roof",
    "window",
    "dark",
    "grass",
    "foliage",
    "trunk",
    "water",
    "sand",
    "snow",
    "pave",
    "mountain",
    "field",
    "cloth",
    "city",
)
MATERIAL_ID = {name: number for number, name in enumerate(MATERIALS)}

Point = tuple[float, float]
Color = tuple[float, float, float]  # red, green, blue in 0..1


@dataclass
class Shape:
    """One surface: polygons that share color, material, light and distance."""

    polys: list[list[Point]]
    """Polygons as lists of points."""
    color: Color
    """Local color, before light."""
    material: int
    """Index into MATERIALS."""
    form: str = "front"
    """How the surface catches light: a key of `raster.FORMS`."""
    line: float = 1.0
    """Strength of the outline, 0..1."""
    depth: float = 0.1
    """Distance from the viewer: 0 near, 1 the sky."""
    mass: bool = False
    """Whether the surface throws a shadow on the ground."""


def polygon_list(polys) -> list[list[Point]]:
    """The polygons as a list, whether one polygon was given or many."""
    if polys and isinstance(polys[0][0], (int, float)):
        return [polys]
    return polys


def rgb(color: str | Color) -> Color:
    """'c8a468' (or a color already) as three floats in 0..1."""
    if isinstance(color, str):
        return int(color[:2], 16) / 255, int(color[2:4], 16) / 255, int(color[4:6], 16) / 255
    red, green, blue = color
    return red, green, blue


def mix(start: str | Color, end: str | Color, share: float) -> Color:
    """Blend of two colors: `start` at share 0, `end` at share 1."""
    red, green, blue = (x + (y - x) * share for x, y in zip(rgb(start), rgb(end)))
    return red, green, blue


def dim(color: str | Color, factor: float) -> Color:
    """The color made darker (factor < 1) or lighter (factor > 1), each channel at most 1."""
    red, green, blue = (min(1.0, channel * factor) for channel in rgb(color))
    return red, green, blue


def ellipse(cx: float, cy: float, rx: float, ry: float, n: int) -> list[Point]:
    """Outline of an ellipse as n points, from the right-hand end on."""
    angles = [2 * math.pi * i / n for i in range(n)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def arch_points(cx: float, y: float, w: float, h: float, pointed: bool = False, n: int = 8) -> list[Point]:
    """Outline of an arched opening w wide and h high that stands on y: round or pointed top of n segments."""
    r = w / 2
    rise = min(h * 0.75, r * (1.5 if pointed else 1.0))
    spring = y + h - rise
    pts = [(cx - r, y), (cx - r, spring)]
    for i in range(1, n):
        t = i / n
        if pointed:
            u = 2 * t if t < 0.5 else 2 - 2 * t
            x = -r * (1 - u**1.6) if t < 0.5 else r * (1 - u**1.6)
            pts.append((cx + x, spring + rise * u**0.8))
        else:
            a = math.pi * (1 - t)
            pts.append((cx + r * math.cos(a), spring + rise * math.sin(a)))
    return [*pts, (cx + r, spring), (cx + r, y)]


def hanging_cable(x0: float, x1: float, y0: float, y1: float, sag: float, n: int = 14) -> list[Point]:
    """n + 1 points of a cable from (x0, y0) to (x1, y1) that hangs `sag` below the straight line in the middle."""
    return [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t - sag * 4 * t * (1 - t)) for t in [i / n for i in range(n + 1)]]
