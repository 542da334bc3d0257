"""The land that the landmark stands on, and the water in front of it."""

from __future__ import annotations

import math

import numpy as np

from ghibli_studio.miniature.landmarks.layout.frame import Layout
from ghibli_studio.miniature.landmarks.scene import Scene
from ghibli_studio.miniature.landmarks.shapes import dim

GROUND = {
    "meadow": ("86b457", "grass"),
    "river": ("7fae58", "grass"),
    "plaza": ("cbbfae", "pave"),
    "desert": ("e2bd82", "sand"),
    "seashore": ("e6cf9c", "sand"),
    "forest": ("6d9a50", "grass"),
    "snow": ("eef3f8", "snow"),
    "terraces": ("8ebb5a", "grass"),
    "garden": ("84b656", "grass"),
    "autumn": ("b5a050", "grass"),
}
BOTTOM = [(1.1, 1.1), (-0.1, 1.1)]  # corners below the frame that close an outline


def ground(layout: Layout, scene: Scene, rng: np.random.Generator) -> None:
    """Add the land, and set `layout.water_y` where there is water."""
    setting = scene.setting
    color, material = GROUND[setting]
    if scene.landmark.is_bridge:
        y = layout.horizon + 0.005
        layout.add([(-0.1, y), (1.1, y), *BOTTOM], "4a8aa4", "water", "flat", 0.6, 0.3)
        layout.water_y = min(layout.base, y + 0.03)
        return
    if setting == "seashore":
        beach(layout, rng, color, material, near=scene.composition == "close")
        return
    top = layout.horizon + 0.02
    edge = [(x, top + 0.006 * math.sin(x * 7 + rng.uniform(0, 1))) for x in np.linspace(-0.05, 1.05, 12)]
    layout.add(edge + BOTTOM, color, material, "top", 0.5, 0.35)
    if setting == "river":
        river(layout)
    elif setting == "plaza":
        paving(layout, top, color)
    elif setting in ("meadow", "garden", "autumn", "terraces", "forest"):
        footpath(layout)


def beach(layout: Layout, rng: np.random.Generator, color: str, material: str, near: bool) -> None:
    """Sand with a foam line towards the sea, and a bay in the left or right corner, across the whole front if `near`.

    Near by, the landmark hides the sea behind it.
    """
    phase = rng.uniform(0.1, 0.3) * 20
    shore = [(x, layout.base - 0.035 + 0.02 * math.sin(x * 5 + phase)) for x in np.linspace(-0.05, 1.05, 14)]
    layout.add([(x, y - 0.007) for x, y in shore] + BOTTOM, "f4f6f2", "snow", "flat", 0.3, 0.4)
    layout.add(shore + BOTTOM, color, material, "top", 0.4, 0.3)
    side, y = int(rng.integers(2)), layout.base + (0.045 if near else 0.085)
    fall, end = (0.09, 1.05) if near else (0.30, 1.0)
    for margin, bay_color, bay_material in ((0.012, "f4f6f2", "snow"), (0, "3f86a8", "water")):
        bay = [
            (abs(side - x), y - margin + fall * max(x, 0.0) ** 1.5 + 0.012 * math.sin(x * 14))
            for x in np.linspace(-0.05, end, 14)
        ]
        corners = [(abs(side - end), 1.15), (abs(side + 0.05), 1.15)]
        layout.add(bay + corners, bay_color, bay_material, "flat", 0.3, 0.3)


def river(layout: Layout) -> None:
    """Water from below the landmark to the viewer, with an earthen bank."""
    layout.water_y = layout.base + 0.035
    bank = [
        (x, layout.water_y + 0.008 * math.sin(x * 11 + 2) + 0.004 * math.sin(x * 31))
        for x in np.linspace(-0.05, 1.05, 20)
    ]
    layout.add([(x, y - 0.012) for x, y in bank] + BOTTOM, "7a6a4c", "rock", "under", 0.4, 0.3)
    layout.add(bank + BOTTOM, "3f7f98", "water", "flat", 0.6, 0.3)


def paving(layout: Layout, top: float, color: str) -> None:
    """Joints of the slabs, across and towards the vanishing point."""
    for t in (0.1, 0.25, 0.5, 0.9):
        y = top + (1 - top) * t
        layout.add(
            [(-0.1, y), (1.1, y), (1.1, y + 0.003), (-0.1, y + 0.003)], dim(color, 0.86), "pave", "top", 0.15, 0.3
        )
    joints = []
    for x in np.linspace(-0.6, 1.6, 14):
        far, near = 0.5 + (x - 0.5) * 0.35, 0.5 + (x - 0.5) * 3
        joints.append([(far, top), (far + 0.002, top), (near + 0.008, 1.1), (near, 1.1)])
    layout.add(joints, dim(color, 0.88), "pave", "top", 0.15, 0.3)


def footpath(layout: Layout) -> None:
    """Sandy path from the viewer to the landmark."""
    x, y = layout.center, layout.base
    path = [(x - 0.02, y), (x + 0.03, y), (x + 0.11, 0.92), (x + 0.2, 1.1), (x - 0.12, 1.1), (x + 0.0, 0.92)]
    layout.add(path, "d9c08e", "sand", "top", 0.4, 0.28)
