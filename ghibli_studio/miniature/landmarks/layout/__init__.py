"""Places a landmark in its setting: an ordered list of shapes in frame coordinates (0..1, y down). No pixels yet."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ghibli_studio.miniature.landmarks.architecture import build
from ghibli_studio.miniature.landmarks.layout.backdrop import backdrop
from ghibli_studio.miniature.landmarks.layout.foreground import foreground
from ghibli_studio.miniature.landmarks.layout.frame import FRAMES, Layout
from ghibli_studio.miniature.landmarks.layout.ground import ground
from ghibli_studio.miniature.landmarks.scene import Scene
from ghibli_studio.miniature.landmarks.shapes import Point, Shape

MOON_GRID = 96
"""Cells along one side of the frame in which a clear place for the moon is looked for."""
MOON_MARGIN = 6
"""Cells that its center keeps from the border, so that all of it is seen."""
MOON_DISC = np.hypot(*np.mgrid[-5:6, -5:6]) <= 5.2
"""What it covers, with a little air: its radius is 0.047 of the frame."""


def compose(scene: Scene) -> Layout:
    """The whole picture as shapes, back to front; the same scene always gives the same layout."""
    rng = np.random.default_rng(scene.seed)
    frame = FRAMES[scene.composition]
    layout = Layout(frame.horizon, frame.base)
    layout.sun_side = 1 if rng.random() < 0.5 else -1
    if scene.sky == "night" and scene.composition in ("left", "right"):
        layout.sun_side = 1 if scene.composition == "left" else -1  # keep the moon clear of the landmark
    building = place_building(layout, scene, rng)
    sun_x = 0.5 + layout.sun_side * rng.uniform(0.24, 0.38)
    low_sun = scene.sky in ("sunset", "golden")
    sun_y = layout.horizon - rng.uniform(0.1, 0.2) if low_sun else rng.uniform(0.1, 0.2)
    layout.sun = (sun_x, sun_y)
    if scene.setting == "seashore":
        layout.horizon -= 0.055  # a broad strip of open sea
    backdrop(layout, scene, rng)
    ground(layout, scene, rng)
    layout.first_building = len(layout.shapes)
    layout.shapes += building
    layout.last_building = len(layout.shapes)
    foreground(layout, scene, rng)
    if scene.sky == "night":
        layout.sun = clear_of_shapes(layout)
    return layout


def clear_of_shapes(layout: Layout) -> Point:
    """Where the moon is not hidden: its place if that is clear, else the nearest that is, on the same side first.

    Where nothing is clear, which only a close-up may leave, it stays.
    """
    x, y = layout.sun
    image = Image.new("1", (MOON_GRID, MOON_GRID))
    draw = ImageDraw.Draw(image)
    for shape in layout.shapes:
        for poly in shape.polys:
            draw.polygon([(px * MOON_GRID, py * MOON_GRID) for px, py in poly], fill=1)
    taken = ndimage.binary_dilation(np.asarray(image), iterations=1, structure=MOON_DISC)
    rows, columns = np.nonzero(~taken[MOON_MARGIN:-MOON_MARGIN, MOON_MARGIN:-MOON_MARGIN])
    here = round(y * MOON_GRID), round(x * MOON_GRID)
    if not taken[here] or not len(rows):
        return x, y
    free_y, free_x = (rows + MOON_MARGIN) / MOON_GRID, (columns + MOON_MARGIN) / MOON_GRID
    other_side = (free_x - 0.5) * (x - 0.5) < 0
    nearest = np.argmin(np.hypot(free_x - x, free_y - y) + other_side * 0.5 + (free_y > layout.horizon) * 2)
    return float(free_x[nearest]), float(free_y[nearest])


def place_building(layout: Layout, scene: Scene, rng: np.random.Generator) -> list[Shape]:
    """The landmark's shapes scaled and moved into the frame; sets the layout's base and center to where it stands."""
    building = build(scene.landmark)
    frame = FRAMES[scene.composition]
    x0, y0, x1, top = building.bounds()
    bridge = scene.landmark.is_bridge
    # a bridge spans the frame, is centered by its outline and stays upright
    width = max(frame.width, 0.62) * 1.22 if bridge else frame.width
    convergence = 0.0 if bridge else frame.convergence
    middle = (x0 + x1) / 2 if bridge else (x0 + x1) * 0.25
    scale = min(frame.height / (top - min(0, y0)), width / (x1 - x0)) * rng.uniform(0.94, 1.04)
    cx = frame.center + rng.uniform(-0.03, 0.03)
    base = frame.base + rng.uniform(-0.01, 0.01)
    layout.base, layout.center = base, cx
    depth = 0.55 if scene.composition == "distant" else 0.22

    def to_frame(x: float, y: float) -> Point:
        return cx + (x - middle) * scale * (1 - convergence * max(0, y) / top), base - y * scale

    return [
        Shape(
            [[to_frame(x, y) for x, y in poly] for poly in shape.polys],
            shape.color,
            shape.material,
            shape.form,
            shape.line,
            depth,
            shape.mass,
        )
        for shape in building.shapes
    ]
