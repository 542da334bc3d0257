"""The frame that scenery and landmark are placed in: coordinates, the horizon and other lines, the compositions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ghibli_studio.miniature.landmarks.shapes import MATERIAL_ID, Point, Shape, polygon_list, rgb


@dataclass
class Layout:
    """Shapes back to front plus the lines that every painter needs to know.

    Frame coordinates run from 0 to 1, x to the right and y down; shapes may reach beyond the frame.
    """

    horizon: float
    """y of the horizon."""
    base: float
    """y of the landmark's foot."""
    sun_side: int = 1
    """Where light comes from: 1 the right, -1 the left."""
    sun: Point = (0.8, 0.2)
    """Center of sun or moon."""
    center: float = 0.5
    """x of the landmark's middle."""
    water_y: float = 2.0
    """y of the shore that water mirrors at; beyond the frame when there is no water."""
    shapes: list[Shape] = field(default_factory=list)
    first_building: int = 0
    """Index of the landmark's first shape."""
    last_building: int = 0
    """Index after the landmark's last shape."""

    def add(self, polys, color, material, form="front", line=1.0, depth=0.3, mass=False) -> None:
        """Add one surface made of one or more polygons; the arguments are those of `Shape`."""
        self.shapes.append(Shape(polygon_list(polys), rgb(color), MATERIAL_ID[material], form, line, depth, mass))


class Frame(NamedTuple):
    """How a composition places the landmark."""

    height: float
    """Height of the landmark, at most."""
    width: float
    """Width of the landmark, at most."""
    convergence: float
    """How much narrower it gets towards its top: 0 not, 1 to a point."""
    horizon: float
    base: float
    center: float


FRAMES = {
    "wide": Frame(0.60, 0.80, 0.0, 0.70, 0.775, 0.5),
    "close": Frame(0.90, 1.10, 0.0, 0.77, 0.835, 0.5),
    "low": Frame(0.78, 0.98, 0.22, 0.82, 0.88, 0.5),
    "distant": Frame(0.30, 0.46, 0.0, 0.60, 0.66, 0.5),
    "left": Frame(0.56, 0.62, 0.0, 0.70, 0.775, 0.36),
    "right": Frame(0.56, 0.62, 0.0, 0.70, 0.775, 0.64),
}
