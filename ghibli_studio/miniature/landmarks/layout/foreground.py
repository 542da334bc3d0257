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
        base += .06
    sides = [rng.uniform(-.02, .1), rng.uniform(.9, 1.02)]
    if scene.landmark.is_bridge:
        for _ in range(int(rng.integers(1, 4))):
            boat(layout, rng.uniform(.1, .9), rng.uniform(min(.96, base + .05), .98))
        return
    if setting in ("meadow", "river", "garden", "autumn", "terraces"):
        trees_and_bushes(layout, rng, base, sides, autumn=setting == "autumn")
    if setting == "river":
        for _ in range(int(rng.integers(0, 3))):
            boat(layout, rng.uniform(.1, .9), rng.uniform(min(.97, layout.water_y + .04), .99))
    elif setting == "forest":
        for x in [*sides, rng.uniform(.1, .22), rng.uniform(.8, .9)]:
            pine(layout, rng, x, base + rng.uniform(.01, .05), rng.uniform(.28, .46), "3f6f4c", .16)
        people(layout, rng, base + .03, int(rng.integers(0, 4)), .03)
    elif setting == "snow":
        for x in sides:
            pine(layout, rng, x, base + rng.uniform(.02, .06), rng.uniform(.24, .4), "4f746c", .16, True)
        people(layout, rng, base + .04, int(rng.integers(0, 4)), .032)
    elif setting in ("desert", "seashore"):
        palms_and_rocks(layout, rng, base, sides)
        people(layout, rng, base + .04, int(rng.integers(0, 4)), .032)
    elif setting == "plaza":
        people(layout, rng, base + .05, int(rng.integers(4, 10)), .04)
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
        if rng.random() < .8:
            y, h = base + rng.uniform(.0, .03), rng.uniform(.2, .36)
            leafy_tree(layout, rng, x, y, h, palette[int(rng.integers(3))], .18)
    for x in rng.uniform(0, 1, 5):
        y, r = base + rng.uniform(.005, .02), rng.uniform(.022, .04)
        bush(layout, rng, x, y, r, palette[int(rng.integers(3))], .17)


def palms_and_rocks(layout: Layout, rng: np.random.Generator, base: float, sides: list[float]) -> None:
    """A palm on each side (mostly), and five rocks."""
    for x in sides:
        if rng.random() < .7:
            palm(layout, rng, x + rng.uniform(-.02, .04), base + rng.uniform(.03, .08), rng.uniform(.22, .36), .16)
    for x in rng.uniform(0, 1, 5):
        r, y = rng.uniform(.012, .035), rng.uniform(min(.97, base + .03), .99)
        layout.add(blob(rng, x, y, r, r * .6, 9, .2), "a08468", "rock", "dome", .8, .14, True)


def street_lamp(layout: Layout, rng: np.random.Generator, x: float, base: float) -> None:
    """Post with a round lamp, lit at night."""
    post = [(x - .004, base + .06), (x + .004, base + .06), (x + .003, base - .1), (x - .003, base - .1)]
    layout.add(post, "3c4044", "metal", "round", .5, .14)
    layout.add(blob(rng, x, base - .11, .013, .015, 10, 0), "f4e4b0", "window", "flat", .5, .14)


def flowers(layout: Layout, rng: np.random.Generator, base: float, n: int, in_rows: bool, near: bool) -> None:
    """n flowers of each colour, larger the nearer; in the rows of a garden, or strewn; `near` ones thrice as large.

    In a close-up there is little ground, so it takes large ones to say where the landmark stands.
    """
    for colour in FLOWERS:
        ys = base + .035 + (1.02 - base) * rng.random(n)
        if in_rows:
            ys = base + .03 + np.round((ys - base) / .05) * .05 + rng.uniform(0, .016, n)
        xs = rng.random(n)
        diamonds = []
        for x, y in zip(xs, ys):
            r = (.003 + .022 * max(0, y - base)) * (3 if near else 1)
            diamonds.append([(x - r, y), (x, y - r * .8), (x + r, y), (x, y + r * .8)])
        layout.add(diamonds, colour, "cloth", "flat", .25, .14)


def rice_steps(layout: Layout, rng: np.random.Generator, base: float) -> None:
    """Three steps of rice fields before the viewer, the middle one flooded; a close-up hides the hills behind."""
    phase, corners = rng.uniform(0, 6), [(1.1, 1.1), (-.1, 1.1)]
    for i, (colour, material) in enumerate((("8fbc58", "field"), ("9cc4c8", "tile"), ("a8cc68", "field"))):
        y = base + .04 + .045 * i
        edge = [(x, y + .012 * math.sin(x * 6 + phase + i)) for x in np.linspace(-.05, 1.05, 22)]
        layout.add(edge + corners, "4f7a40", "field", "under", .7, .16)
        layout.add([(x, edge_y + .012) for x, edge_y in edge] + corners, colour, material, "top", .5, .16)
