"""Places a landmark in its setting: an ordered list of shapes in frame coordinates (0..1, y down). No pixels yet."""

from __future__ import annotations

import numpy as np

from ghibli_studio.miniature.landmarks.architecture import build
from ghibli_studio.miniature.landmarks.layout.backdrop import backdrop
from ghibli_studio.miniature.landmarks.layout.foreground import foreground
from ghibli_studio.miniature.landmarks.layout.frame import FRAMES, Layout
from ghibli_studio.miniature.landmarks.layout.ground import ground
from ghibli_studio.miniature.landmarks.scene import Scene
from ghibli_studio.miniature.landmarks.shapes import Point, Shape


def compose(scene: Scene) -> Layout:
    """The whole picture as shapes, back to front; the same scene always gives the same layout."""
    rng = np.random.default_rng(scene.seed)
    frame = FRAMES[scene.composition]
    layout = Layout(frame.horizon, frame.base)
    layout.sun_side = 1 if rng.random() < .5 else -1
    if scene.sky == "night" and scene.composition in ("left", "right"):
        layout.sun_side = 1 if scene.composition == "left" else -1  # keep the moon clear of the landmark
    building = place_building(layout, scene, rng)
    sun_x = .5 + layout.sun_side * rng.uniform(.24, .38)
    low_sun = scene.sky in ("sunset", "golden")
    sun_y = layout.horizon - rng.uniform(.1, .2) if low_sun else rng.uniform(.1, .2)
    layout.sun = (sun_x, sun_y)
    if scene.setting == "seashore":
        layout.horizon -= .055  # a broad strip of open sea
    backdrop(layout, scene, rng)
    ground(layout, scene, rng)
    layout.first_building = len(layout.shapes)
    layout.shapes += building
    layout.last_building = len(layout.shapes)
    foreground(layout, scene, rng)
    return layout


def place_building(layout: Layout, scene: Scene, rng: np.random.Generator) -> list[Shape]:
    """The landmark's shapes scaled and moved into the frame; sets the layout's base and centre to where it stands."""
    building = build(scene.landmark)
    frame = FRAMES[scene.composition]
    x0, y0, x1, top = building.bounds()
    bridge = scene.landmark.is_bridge
    # a bridge spans the frame, is centred by its outline and stays upright
    width = max(frame.width, .62) * 1.22 if bridge else frame.width
    convergence = 0.0 if bridge else frame.convergence
    middle = (x0 + x1) / 2 if bridge else (x0 + x1) * .25
    scale = min(frame.height / (top - min(0, y0)), width / (x1 - x0)) * rng.uniform(.94, 1.04)
    cx = frame.centre + rng.uniform(-.03, .03)
    base = frame.base + rng.uniform(-.01, .01)
    layout.base, layout.centre = base, cx
    depth = .55 if scene.composition == "distant" else .22

    def to_frame(x: float, y: float) -> Point:
        return cx + (x - middle) * scale * (1 - convergence * max(0, y) / top), base - y * scale

    return [Shape([[to_frame(x, y) for x, y in poly] for poly in shape.polys], shape.colour, shape.material,
                  shape.form, shape.line, depth, shape.mass) for shape in building.shapes]
