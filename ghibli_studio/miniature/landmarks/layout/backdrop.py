"""What stands between the sky and the landmark's ground: mountains, hills, the sea, a city, far trees."""

from __future__ import annotations

import math

import numpy as np

from ghibli_studio.miniature.landmarks.layout.frame import Layout
from ghibli_studio.miniature.landmarks.layout.scenery import bush, leafy_tree, pine, ridge, skyline
from ghibli_studio.miniature.landmarks.scene import Scene
from ghibli_studio.miniature.landmarks.shapes import Point, mix

# far and near mountains
MOUNTAINS = {"desert": ("c89868", "b07c50"), "snow": ("b8c8dc", "8ca0bc"), "autumn": ("8c8ca0", "a87848")}
SUMMER_MOUNTAINS = ("7c9cb8", "5f8a78")
HILL_COLOR = {"autumn": "b8743c", "snow": "e4ecf4", "desert": "d0a068", "forest": "3f6a4c"}
HILL_MATERIAL = {"snow": "snow", "desert": "sand"}


def backdrop(layout: Layout, scene: Scene, rng: np.random.Generator) -> None:
    """Add everything between the sky and the landmark's ground."""
    y, setting = layout.horizon, scene.setting
    if setting == "plaza":
        skyline(layout, rng, y, rng.uniform(0.1, 0.17))
        for x in np.arange(0, 1.05, 0.09):
            bush(layout, rng, x + rng.uniform(-0.02, 0.02), y + 0.012, 0.045, "5c8c48", 0.5)
        return
    if setting == "seashore":
        open_sea(layout, rng, y)
        return
    hills(layout, rng, y, setting)
    if setting in ("forest", "snow"):
        color = "4a7458" if setting == "forest" else "5c7c78"
        for x in np.sort(rng.uniform(-0.02, 1.02, 16)):
            pine(layout, rng, x, y + 0.03, rng.uniform(0.09, 0.17), color, 0.5, setting == "snow")
    elif setting == "terraces":
        rice_terraces(layout, rng, y)
    elif setting != "desert":
        leaves = ("c8702c", "d89c3c", "b0482c") if setting == "autumn" else ("5f9448", "4f8644", "78a850")
        for x in np.sort(rng.uniform(-0.02, 1.02, 9)):
            color = leaves[int(rng.integers(3))]
            leafy_tree(layout, rng, x, y + 0.03, rng.uniform(0.07, 0.13), color, 0.45)


def open_sea(layout: Layout, rng: np.random.Generator, y: float) -> None:
    """The sea from the horizon down, with pieces of a far coast."""
    layout.add([(-0.1, y), (1.1, y), (1.1, 1.1), (-0.1, 1.1)], "3f86a8", "water", "flat", 0.4, 0.7)
    layout.water_y = y
    outline = ridge(rng, y + 0.002, 0.06, 5)
    # One draw a point, so the coast is ragged; the pictures of pre-training were drawn so
    coast = [point for point in outline if (point[0] < 0.45) == bool(rng.integers(2))] or outline
    foot = [(coast[-1][0], y + 0.003), (coast[0][0], y + 0.003)]
    layout.add(coast + foot, "7c98b0", "mountain", "front", 0.4, 0.8)


def hills(layout: Layout, rng: np.random.Generator, y: float, setting: str) -> None:
    """Two ranges of mountains and a row of hills."""
    far, near = MOUNTAINS.get(setting, SUMMER_MOUNTAINS)

    def land(outline: list[Point], depth_below: float) -> list[Point]:
        return [*outline, (1.1, y + depth_below), (-0.1, y + depth_below)]

    far_height = 0.1 if setting == "desert" else rng.uniform(0.12, 0.24)
    layout.add(land(ridge(rng, y + 0.01, far_height, 7), 0.05), far, "mountain", "dome", 0.4, 0.85)
    layout.add(land(ridge(rng, y + 0.02, 0.11, 6, 0.6), 0.06), mix(far, near, 0.6), "mountain", "dome", 0.5, 0.68)
    layout.add(
        land(ridge(rng, y + 0.025, 0.06, 5, 0.4), 0.08),
        HILL_COLOR.get(setting, "6a9a54"),
        HILL_MATERIAL.get(setting, "foliage"),
        "dome",
        0.5,
        0.5,
    )


def rice_terraces(layout: Layout, rng: np.random.Generator, y: float) -> None:
    """Nine steps of fields, every third flooded."""
    phase = rng.uniform(0, 6)
    corners = [(1.1, y + 0.08), (-0.1, y + 0.08)]
    for i in range(9):
        step_y = y - 0.13 + 0.018 * i
        edge = [
            (x, step_y + 0.030 * (1 - i / 10) * math.sin(x * 8 + phase) + 0.006 * math.sin(x * 19 + i * 1.7))
            for x in np.linspace(-0.05, 1.05, 26)
        ]
        layout.add(edge + corners, "4f7a40", "field", "under", 0.7, 0.45)
        color, material = (("8fbc58", "field"), ("a8cc68", "field"), ("9cc4c8", "tile"))[i % 3]
        layout.add([(x, edge_y + 0.005) for x, edge_y in edge] + corners, color, material, "top", 0.5, 0.45)
