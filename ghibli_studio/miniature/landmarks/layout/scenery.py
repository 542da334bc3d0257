"""Single things to put around a landmark: trees, people, boats, a skyline, and outlines of hills and clumps.

Each adds its shapes to the layout at (x, y), the foot of the thing in frame coordinates; h is its height, r its
radius. Which of them a setting has is told in `backdrop`, `ground` and `foreground`.
"""

from __future__ import annotations

import math

import numpy as np

from ghibli_studio.miniature.landmarks.layout.frame import Layout
from ghibli_studio.miniature.landmarks.shapes import Point, dim, mix


def ridge(rng: np.random.Generator, y: float, height: float, n: int = 9, rough: float = 1.0) -> list[Point]:
    """Mountain or hill outline from x = -0.05 to 1.05 with n peaks and dips, by midpoint displacement."""
    ys = rng.uniform(.2, 1.0, n)
    xs = np.linspace(-.05, 1.05, n)
    step = rough * .35
    for _ in range(3):
        middles = (ys[:-1] + ys[1:]) / 2 + rng.normal(0, step / 3, len(ys) - 1)
        ys = np.insert(ys, np.arange(1, len(ys)), middles)
        xs = np.insert(xs, np.arange(1, len(xs)), (xs[:-1] + xs[1:]) / 2)
        step *= .55
    return list(zip(xs.tolist(), (y - height * np.clip(ys, 0, 1.3)).tolist()))


def blob(rng: np.random.Generator, cx, cy, rx, ry, n: int = 15, rough: float = .16) -> list[Point]:
    """Uneven rounded outline of n points."""
    angles = np.arange(n) * 2 * math.pi / n
    r = 1 + rng.uniform(-rough, rough, n)
    return list(zip((cx + rx * r * np.cos(angles)).tolist(), (cy + ry * r * np.sin(angles)).tolist()))


def leafy_tree(layout: Layout, rng: np.random.Generator, x, y, h, colour, depth) -> None:
    """Round tree from overlapping clumps, dark below and light above."""
    w = h * .045
    trunk = [(x - w, y), (x + w, y), (x + w * .5, y - h * .55), (x - w * .5, y - h * .55)]
    layout.add(trunk, "5c4432", "trunk", "round", 1, depth, True)
    clumps = ((0, .5, .3), (-.22, .56, .22), (.22, .55, .23), (-.12, .74, .24), (.13, .76, .22), (0, .88, .17))
    for i, (dx, dy, r) in enumerate(clumps):
        clump = blob(rng, x + dx * h, y - dy * h, r * h * .95, r * h * .8)
        layout.add(clump, dim(colour, .74 + .1 * i * .8), "foliage", "dome", .55, depth, True)


def pine(layout: Layout, rng: np.random.Generator, x, y, h, colour, depth, snow: bool = False) -> None:
    """Conifer of five stacked ragged skirts, with snow on them if asked."""
    layout.add([(x - h * .03, y), (x + h * .03, y), (x, y - h * .3)], "4c3a2c", "trunk", "round", 1, depth, True)
    for i in range(5):
        w, hem = h * .25 * (1 - i / 5 * .82), y - h * (.1 + .17 * i)
        tip = (x, hem - h * .26)
        teeth = [(x + w * (1 - k / 3) + (w * .05 if k % 2 else 0), hem + (h * .025 if k % 2 else 0)) for k in range(7)]
        layout.add([tip, *teeth], dim(colour, .8 + .09 * i), "foliage", "round", .6, depth, True)
        if snow:
            patch = [tip, (x + w * .45, hem - h * .1), (x, hem - h * .13), (x - w * .5, hem - h * .09)]
            layout.add(patch, "eef4fa", "snow", "round", .2, depth)


def palm(layout: Layout, rng: np.random.Generator, x, y, h, depth) -> None:
    """Palm with nine drooping fronds."""
    top_x, top_y = x + h * rng.uniform(-.12, .12), y - h * .8
    trunk = [(x - h * .03, y), (x + h * .03, y), (top_x + h * .015, top_y), (top_x - h * .015, top_y)]
    layout.add(trunk, "7c6044", "trunk", "round", 1, depth, True)
    for i in range(9):
        angle = math.pi * (.02 + .96 * i / 8)
        end_x = top_x + math.cos(angle) * h * .42
        end_y = top_y - math.sin(angle) * h * .2 + abs(math.cos(angle)) * h * .14
        middle_x, middle_y = (top_x + end_x) / 2, (top_y + end_y) / 2 - h * .1
        frond = [(top_x, top_y), (middle_x, middle_y - h * .02), (end_x, end_y), (middle_x, middle_y + h * .05)]
        layout.add(frond, dim("4f8a3c", .8 + .05 * i), "foliage", "dome", .5, depth, True)


def bush(layout: Layout, rng: np.random.Generator, x, y, r, colour, depth) -> None:
    """Low clump of foliage."""
    for dx, share, brightness in ((-.5, .7, .8), (.5, .7, .9), (0, 1.0, 1.05)):
        clump = blob(rng, x + dx * r, y - r * .35 * share, r * share * .8, r * share * .55, 12)
        layout.add(clump, dim(colour, brightness), "foliage", "dome", .5, depth, True)


def people(layout: Layout, rng: np.random.Generator, y: float, n: int, h: float) -> None:
    """n small standing figures, spread over the frame's width, for scale."""
    coats = ("c84c3c", "3c5c9c", "e8c860", "f0ece0", "4c4c54", "6c8c5c", "c88ca0")
    for _ in range(n):
        x, foot = rng.uniform(.08, .92), y + rng.uniform(-.006, .02)
        s = h * rng.uniform(.85, 1.15)
        legs = [(x - s * .13, foot), (x + s * .13, foot), (x + s * .1, foot - s * .45), (x - s * .1, foot - s * .45)]
        layout.add(legs, "3c3c48", "cloth", "round", .5, .15)
        coat = [(x - s * .17, foot - s * .42), (x + s * .17, foot - s * .42), (x + s * .12, foot - s * .8),
                (x - s * .12, foot - s * .8)]
        layout.add(coat, coats[int(rng.integers(len(coats)))], "cloth", "round", .5, .15)
        layout.add(blob(rng, x, foot - s * .9, s * .1, s * .1, 8, 0), "d8a888", "cloth", "round", .4, .15)


def boat(layout: Layout, x: float, y: float) -> None:
    """Small sailing boat, larger the lower in the frame."""
    s = .03 + .12 * max(0, y - .75)
    hull = [(x - s, y - s * .25), (x + s, y - s * .25), (x + s * .7, y + s * .1), (x - s * .7, y + s * .1)]
    layout.add(hull, "7c4c34", "wood", "front", .8, .15)
    mainsail = [(x - s * .1, y - s * .3), (x + s * .8, y - s * .3), (x - s * .05, y - s * 1.7)]
    layout.add(mainsail, "f8f2e4", "cloth", "front", .8, .15)
    foresail = [(x - s * .2, y - s * .3), (x - s * .7, y - s * .3), (x - s * .12, y - s * 1.4)]
    layout.add(foresail, "e0d4c0", "cloth", "side", .8, .15)


def skyline(layout: Layout, rng: np.random.Generator, y: float, h: float) -> None:
    """Row of distant city blocks with windows, at most h high."""
    x = -.03
    while x < 1.03:
        w, block_h = rng.uniform(.035, .09), h * rng.uniform(.4, 1.0)
        top = y - block_h
        stone = ("b8a898", "a8a4a8", "c4b09c", "9c8c84")[int(rng.integers(4))]
        block = [(x, y + .02), (x + w, y + .02), (x + w, top), (x, top)]
        layout.add(block, mix(stone, "d8d4d0", rng.uniform(0, .5)), "city", "front", .5, .62)
        columns, rows = max(2, int(w / .014)), max(2, int(block_h / .018))
        windows = []
        for i in range(columns):
            left, right = x + w * (i + .3) / columns, x + w * (i + .7) / columns
            for j in range(rows):
                if rng.random() < .8:
                    low, high = top + block_h * (j + .3) / rows, top + block_h * (j + .75) / rows
                    windows.append([(left, low), (right, low), (right, high), (left, high)])
        layout.add(windows, "5c6470", "window", "flat", .15, .62)
        x += w * rng.uniform(.9, 1.2)
