"""Single things to put around a landmark: trees, people, boats, a skyline, and outlines of hills and clumps.

Each adds its shapes to the layout at (x, y), the foot of the thing in frame coordinates; h is its height, r its
radius. `backdrop`, `ground` and `foreground` say which of them a setting has.
"""

from __future__ import annotations

import math

import numpy as np

from ghibli_studio.miniature.landmarks.layout.frame import Layout
from ghibli_studio.miniature.landmarks.shapes import Point, dim, mix


def ridge(rng: np.random.Generator, y: float, height: float, n: int = 9, rough: float = 1.0) -> list[Point]:
    """Mountain or hill outline from x = -0.05 to 1.05 with n peaks and dips, by midpoint displacement."""
    ys = rng.uniform(0.2, 1.0, n)
    xs = np.linspace(-0.05, 1.05, n)
    step = rough * 0.35
    for _ in range(3):
        middles = (ys[:-1] + ys[1:]) / 2 + rng.normal(0, step / 3, len(ys) - 1)
        ys = np.insert(ys, np.arange(1, len(ys)), middles)
        xs = np.insert(xs, np.arange(1, len(xs)), (xs[:-1] + xs[1:]) / 2)
        step *= 0.55
    return list(zip(xs.tolist(), (y - height * np.clip(ys, 0, 1.3)).tolist()))


def blob(rng: np.random.Generator, cx, cy, rx, ry, n: int = 15, rough: float = 0.16) -> list[Point]:
    """Uneven rounded outline of n points."""
    angles = np.arange(n) * 2 * math.pi / n
    r = 1 + rng.uniform(-rough, rough, n)
    return list(zip((cx + rx * r * np.cos(angles)).tolist(), (cy + ry * r * np.sin(angles)).tolist()))


def leafy_tree(layout: Layout, rng: np.random.Generator, x, y, h, color, depth) -> None:
    """Round tree from overlapping clumps, dark below and light above."""
    w = h * 0.045
    trunk = [(x - w, y), (x + w, y), (x + w * 0.5, y - h * 0.55), (x - w * 0.5, y - h * 0.55)]
    layout.add(trunk, "5c4432", "trunk", "round", 1, depth, True)
    clumps = (
        (0, 0.5, 0.3),
        (-0.22, 0.56, 0.22),
        (0.22, 0.55, 0.23),
        (-0.12, 0.74, 0.24),
        (0.13, 0.76, 0.22),
        (0, 0.88, 0.17),
    )
    for i, (dx, dy, r) in enumerate(clumps):
        clump = blob(rng, x + dx * h, y - dy * h, r * h * 0.95, r * h * 0.8)
        layout.add(clump, dim(color, 0.74 + 0.1 * i * 0.8), "foliage", "dome", 0.55, depth, True)


def pine(layout: Layout, rng: np.random.Generator, x, y, h, color, depth, snow: bool = False) -> None:
    """Conifer of five stacked ragged skirts, with snow on them if asked."""
    layout.add([(x - h * 0.03, y), (x + h * 0.03, y), (x, y - h * 0.3)], "4c3a2c", "trunk", "round", 1, depth, True)
    for i in range(5):
        w, hem = h * 0.25 * (1 - i / 5 * 0.82), y - h * (0.1 + 0.17 * i)
        tip = (x, hem - h * 0.26)
        teeth = [
            (x + w * (1 - k / 3) + (w * 0.05 if k % 2 else 0), hem + (h * 0.025 if k % 2 else 0)) for k in range(7)
        ]
        layout.add([tip, *teeth], dim(color, 0.8 + 0.09 * i), "foliage", "round", 0.6, depth, True)
        if snow:
            patch = [tip, (x + w * 0.45, hem - h * 0.1), (x, hem - h * 0.13), (x - w * 0.5, hem - h * 0.09)]
            layout.add(patch, "eef4fa", "snow", "round", 0.2, depth)


def palm(layout: Layout, rng: np.random.Generator, x, y, h, depth) -> None:
    """Palm with nine drooping fronds."""
    top_x, top_y = x + h * rng.uniform(-0.12, 0.12), y - h * 0.8
    trunk = [(x - h * 0.03, y), (x + h * 0.03, y), (top_x + h * 0.015, top_y), (top_x - h * 0.015, top_y)]
    layout.add(trunk, "7c6044", "trunk", "round", 1, depth, True)
    for i in range(9):
        angle = math.pi * (0.02 + 0.96 * i / 8)
        end_x = top_x + math.cos(angle) * h * 0.42
        end_y = top_y - math.sin(angle) * h * 0.2 + abs(math.cos(angle)) * h * 0.14
        middle_x, middle_y = (top_x + end_x) / 2, (top_y + end_y) / 2 - h * 0.1
        frond = [(top_x, top_y), (middle_x, middle_y - h * 0.02), (end_x, end_y), (middle_x, middle_y + h * 0.05)]
        layout.add(frond, dim("4f8a3c", 0.8 + 0.05 * i), "foliage", "dome", 0.5, depth, True)


def bush(layout: Layout, rng: np.random.Generator, x, y, r, color, depth) -> None:
    """Low clump of foliage."""
    for dx, share, brightness in ((-0.5, 0.7, 0.8), (0.5, 0.7, 0.9), (0, 1.0, 1.05)):
        clump = blob(rng, x + dx * r, y - r * 0.35 * share, r * share * 0.8, r * share * 0.55, 12)
        layout.add(clump, dim(color, brightness), "foliage", "dome", 0.5, depth, True)


def people(layout: Layout, rng: np.random.Generator, y: float, n: int, h: float) -> None:
    """n small standing figures, spread over the frame's width, for scale."""
    coats = ("c84c3c", "3c5c9c", "e8c860", "f0ece0", "4c4c54", "6c8c5c", "c88ca0")
    for _ in range(n):
        x, foot = rng.uniform(0.08, 0.92), y + rng.uniform(-0.006, 0.02)
        s = h * rng.uniform(0.85, 1.15)
        legs = [
            (x - s * 0.13, foot),
            (x + s * 0.13, foot),
            (x + s * 0.1, foot - s * 0.45),
            (x - s * 0.1, foot - s * 0.45),
        ]
        layout.add(legs, "3c3c48", "cloth", "round", 0.5, 0.15)
        coat = [
            (x - s * 0.17, foot - s * 0.42),
            (x + s * 0.17, foot - s * 0.42),
            (x + s * 0.12, foot - s * 0.8),
            (x - s * 0.12, foot - s * 0.8),
        ]
        layout.add(coat, coats[int(rng.integers(len(coats)))], "cloth", "round", 0.5, 0.15)
        layout.add(blob(rng, x, foot - s * 0.9, s * 0.1, s * 0.1, 8, 0), "d8a888", "cloth", "round", 0.4, 0.15)


def boat(layout: Layout, x: float, y: float) -> None:
    """Small sailing boat, larger the lower in the frame."""
    s = 0.03 + 0.12 * max(0, y - 0.75)
    hull = [(x - s, y - s * 0.25), (x + s, y - s * 0.25), (x + s * 0.7, y + s * 0.1), (x - s * 0.7, y + s * 0.1)]
    layout.add(hull, "7c4c34", "wood", "front", 0.8, 0.15)
    mainsail = [(x - s * 0.1, y - s * 0.3), (x + s * 0.8, y - s * 0.3), (x - s * 0.05, y - s * 1.7)]
    layout.add(mainsail, "f8f2e4", "cloth", "front", 0.8, 0.15)
    foresail = [(x - s * 0.2, y - s * 0.3), (x - s * 0.7, y - s * 0.3), (x - s * 0.12, y - s * 1.4)]
    layout.add(foresail, "e0d4c0", "cloth", "side", 0.8, 0.15)


def skyline(layout: Layout, rng: np.random.Generator, y: float, h: float) -> None:
    """Row of distant city blocks with windows, at most h high."""
    x = -0.03
    while x < 1.03:
        w, block_h = rng.uniform(0.035, 0.09), h * rng.uniform(0.4, 1.0)
        top = y - block_h
        stone = ("b8a898", "a8a4a8", "c4b09c", "9c8c84")[int(rng.integers(4))]
        block = [(x, y + 0.02), (x + w, y + 0.02), (x + w, top), (x, top)]
        layout.add(block, mix(stone, "d8d4d0", rng.uniform(0, 0.5)), "city", "front", 0.5, 0.62)
        columns, rows = max(2, int(w / 0.014)), max(2, int(block_h / 0.018))
        windows = []
        for i in range(columns):
            left, right = x + w * (i + 0.3) / columns, x + w * (i + 0.7) / columns
            for j in range(rows):
                if rng.random() < 0.8:
                    low, high = top + block_h * (j + 0.3) / rows, top + block_h * (j + 0.75) / rows
                    windows.append([(left, low), (right, low), (right, high), (left, high)])
        layout.add(windows, "5c6470", "window", "flat", 0.15, 0.62)
        x += w * rng.uniform(0.9, 1.2)
