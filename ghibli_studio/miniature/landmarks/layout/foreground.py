"""What is near the viewer: trees, bushes, flowers, rocks, boats, lamps and people."""

from __future__ import annotations

import math

import numpy as np

from ghibli_studio.miniature.landmarks.layout.frame import Layout
from ghibli_studio.miniature.landmarks.layout.scenery import blob, boat, bush, leafy_tree, palm, people, pine
from ghibli_studio.miniature.landmarks.scene import Scene

FLOWERS = ("e8506c", "f4c83c", "f4f0f0", "c86cc8", "f08c3c")


def foreground(layout: Layout, scene: Scene, rng: np.random.Generator) -> None:
    """Add what stands near the viewer; bridges get boats only."""
    setting, base = scene.setting, layout.base
    if scene.composition == "distant":
        base += 0.06
    sides = [rng.uniform(-0.02, 0.1), rng.uniform(0.9, 1.02)]
    if scene.landmark.is_bridge:
        for _ in range(int(rng.integers(1, 4))):
            boat(layout, rng.uniform(0.1, 0.9), rng.uniform(min(0.96, base + 0.05), 0.98))
        return
    if setting in ("meadow", "river", "garden", "autumn", "terraces"):
        trees_and_bushes(layout, rng, base, sides, autumn=setting == "autumn")
    if setting == "river":
        for _ in range(int(rng.integers(0, 3))):
            boat(layout, rng.uniform(0.1, 0.9), rng.uniform(min(0.97, layout.water_y + 0.04), 0.99))
    elif setting == "forest":
        for x in [*sides, rng.uniform(0.1, 0.22), rng.uniform(0.8, 0.9)]:
            pine(layout, rng, x, base + rng.uniform(0.01, 0.05), rng.uniform(0.28, 0.46), "3f6f4c", 0.16)
        people(layout, rng, base + 0.03, int(rng.integers(0, 4)), 0.03)
    elif setting == "snow":
        for x in sides:
            pine(layout, rng, x, base + rng.uniform(0.02, 0.06), rng.uniform(0.24, 0.4), "4f746c", 0.16, True)
        people(layout, rng, base + 0.04, int(rng.integers(0, 4)), 0.032)
    elif setting in ("desert", "seashore"):
        palms_and_rocks(layout, rng, base, sides)
        people(layout, rng, base + 0.04, int(rng.integers(0, 4)), 0.032)
    elif setting == "plaza":
        people(layout, rng, base + 0.05, int(rng.integers(4, 10)), 0.04)
        for x in sides:
            street_lamp(layout, rng, x, base)
    elif setting in ("garden", "meadow"):
        garden = setting == "garden"
        flowers(layout, rng, base, 26 if garden else 6, in_rows=garden, near=scene.composition == "close")
    elif setting == "terraces" and scene.composition == "close":
        rice_steps(layout, rng, base)


def trees_and_bushes(layout: Layout, rng: np.random.Generator, base: float, sides: list[float], autumn: bool) -> None:
    """A tree on each side (mostly), and a row of bushes."""
    palette = ("c8642c", "dc983c", "b44030") if autumn else ("5f9a44", "4c8840", "74ac4c")
    for x in sides:
        if rng.random() < 0.8:
            y, h = base + rng.uniform(0.0, 0.03), rng.uniform(0.2, 0.36)
            leafy_tree(layout, rng, x, y, h, palette[int(rng.integers(3))], 0.18)
    for x in rng.uniform(0, 1, 5):
        y, r = base + rng.uniform(0.005, 0.02), rng.uniform(0.022, 0.04)
        bush(layout, rng, x, y, r, palette[int(rng.integers(3))], 0.17)


def palms_and_rocks(layout: Layout, rng: np.random.Generator, base: float, sides: list[float]) -> None:
    """A palm on each side (mostly), and five rocks."""
    for x in sides:
        if rng.random() < 0.7:
            palm(
                layout, rng, x + rng.uniform(-0.02, 0.04), base + rng.uniform(0.03, 0.08), rng.uniform(0.22, 0.36), 0.16
            )
    for x in rng.uniform(0, 1, 5):
        r, y = rng.uniform(0.012, 0.035), rng.uniform(min(0.97, base + 0.03), 0.99)
        layout.add(blob(rng, x, y, r, r * 0.6, 9, 0.2), "a08468", "rock", "dome", 0.8, 0.14, True)


def street_lamp(layout: Layout, rng: np.random.Generator, x: float, base: float) -> None:
    """Post with a round lamp, lit at night."""
    post = [(x - 0.004, base + 0.06), (x + 0.004, base + 0.06), (x + 0.003, base - 0.1), (x - 0.003, base - 0.1)]
    layout.add(post, "3c4044", "metal", "round", 0.5, 0.14)
    layout.add(blob(rng, x, base - 0.11, 0.013, 0.015, 10, 0), "f4e4b0", "window", "flat", 0.5, 0.14)


def flowers(layout: Layout, rng: np.random.Generator, base: float, n: int, in_rows: bool, near: bool) -> None:
    """n flowers of each color, larger the nearer; in the rows of a garden, or strewn; `near` ones thrice as large.

    In a close-up there is little ground, so it takes large ones to say where the landmark stands.
    """
    for color in FLOWERS:
        ys = base + 0.035 + (1.02 - base) * rng.random(n)
        if in_rows:
            ys = base + 0.03 + np.round((ys - base) / 0.05) * 0.05 + rng.uniform(0, 0.016, n)
        xs = rng.random(n)
        diamonds = []
        for x, y in zip(xs, ys):
            r = (0.003 + 0.022 * max(0, y - base)) * (3 if near else 1)
            diamonds.append([(x - r, y), (x, y - r * 0.8), (x + r, y), (x, y + r * 0.8)])
        layout.add(diamonds, color, "cloth", "flat", 0.25, 0.14)


def rice_steps(layout: Layout, rng: np.random.Generator, base: float) -> None:
    """Three steps of rice fields before the viewer, the middle one flooded; a close-up hides the hills behind."""
    phase, corners = rng.uniform(0, 6), [(1.1, 1.1), (-0.1, 1.1)]
    for i, (color, material) in enumerate((("8fbc58", "field"), ("9cc4c8", "tile"), ("a8cc68", "field"))):
        y = base + 0.04 + 0.045 * i
        edge = [(x, y + 0.012 * math.sin(x * 6 + phase + i)) for x in np.linspace(-0.05, 1.05, 22)]
        layout.add(edge + corners, "4f7a40", "field", "under", 0.7, 0.16)
        layout.add([(x, edge_y + 0.012) for x, edge_y in edge] + corners, color, material, "top", 0.5, 0.16)
