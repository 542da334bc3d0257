"""The `Builder`: walls, roofs, windows and other parts with which every landmark is drawn.

Units are local: x to the right, y up, y = 0 the ground, a building about 1 to 2 units large. Walls face the viewer or
recede to the right. `architecture` says which parts make which landmark.
"""

from __future__ import annotations

import math

from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import (
    MATERIAL_ID,
    Point,
    Shape,
    arch_points,
    dim,
    ellipse,
    polygon_list,
    rgb,
)

WINDOW = "39414c"
ONION_PROFILE = (
    (0.95, 0.1),
    (1.0, 0.22),
    (0.97, 0.34),
    (0.84, 0.48),
    (0.62, 0.61),
    (0.38, 0.73),
    (0.18, 0.85),
    (0.03, 1),
)


class Builder:
    """Collects the shapes of one landmark; a color or material left out is that of the landmark.

    `wall`, `roof`, `trim` are its colors (RGB in 0..1); `eye` is the height of the viewer's eye. In the methods, d is
    how far a part reaches back, `line` the strength of its outline (0..1), `form` how it catches light.
    """

    def __init__(self, landmark: Landmark):
        self.shapes: list[Shape] = []
        self.eye = 0.12
        self.wall, self.roof, self.trim = rgb(landmark.wall), rgb(landmark.roof), rgb(landmark.trim)
        self.material = landmark.material

    def add(self, polys, color=None, material=None, form="front", line=1.0, mass=False) -> None:
        """Add one surface made of one or more polygons: what all other parts are made of."""
        if polys:
            self.shapes.append(
                Shape(
                    polygon_list(polys),
                    self.wall if color is None else rgb(color),
                    MATERIAL_ID[material or self.material],
                    form,
                    line,
                    mass=mass,
                )
            )

    def back(self, x: float, y: float, d: float) -> Point:
        """Where the point (x, y) moves to when pushed d behind the front plane."""
        return x + 0.55 * d, y + (self.eye - y) * 0.16 * d

    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 over all shapes."""
        points = [point for shape in self.shapes for poly in shape.polys for point in poly]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return min(xs), min(ys), max(xs), max(ys)

    # -- walls and roofs -----------------------------------------------------
    def rect(self, x0, y0, x1, y1, color=None, material=None, form="front", line=1.0, mass=False) -> None:
        """Upright rectangle."""
        self.add([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color, material, form, line, mass)

    def box(self, x0, y0, x1, y1, d=0.2, color=None, material=None, line=1.0) -> None:
        """Front wall and receding right-hand wall."""
        self.rect(x0, y0, x1, y1, color, material, "front", line, True)
        if d > 0:
            side = [(x1, y0), self.back(x1, y0, d), self.back(x1, y1, d), (x1, y1)]
            self.add(side, color, material, "side", line, True)

    def band(self, x0, x1, y, h, d=0.2, color=None, out=0.02, material=None) -> None:
        """Cornice: a thin box that juts `out` a little."""
        self.box(x0 - out, y, x1 + out, y + h, d + out, self.trim if color is None else color, material)

    def steps(self, x0, x1, y, h, n=4, spread=0.05, d=0.2, color=None) -> None:
        """Platform of n steps from y up to y + h, at the foot `spread` wider on each side."""
        color = self.trim if color is None else color
        for i in range(n):
            k = spread * (1 - i / n)
            self.box(x0 - k, y + h * i / n, x1 + k, y + h * (i + 1) / n, d + k, color, line=0.6)

    def prism(self, x0, x1, y, h, d=0.2, color=None, material="roof") -> None:
        """Pyramid-shaped roof on a square tower."""
        tip = self.back((x0 + x1) / 2, y + h, d / 2)
        color = self.roof if color is None else color
        self.add([(x0, y), (x1, y), tip], color, material, "front", mass=True)
        if d > 0:
            self.add([(x1, y), self.back(x1, y, d), tip], color, material, "side", mass=True)

    def gable(self, x0, x1, y, h, d=0.4, color=None, wall=None, out=0.02) -> None:
        """Triangular front with a roof that runs back."""
        xm = (x0 + x1) / 2
        roof = self.roof if color is None else color
        slope = [(x1 + out, y), self.back(x1 + out, y, d), self.back(xm, y + h + out, d), (xm, y + h + out)]
        self.add(slope, roof, "roof", "side", mass=True)
        self.add([(x0 - out, y), (x1 + out, y), (xm, y + h + out)], roof, "roof", mass=True)
        self.add([(x0 + out, y), (x1 - out, y), (xm, y + h - out)], self.wall if wall is None else wall)

    def hip(self, x0, x1, y, h, inset=0.1, d=0.2, color=None) -> None:
        """Long roof seen from its long side."""
        color = self.roof if color is None else color
        right, left = self.back(x1 - inset, y + h, d / 2), self.back(x0 + inset, y + h, d / 2)
        self.add([(x0, y), (x1, y), right, left], color, "roof", "slope", mass=True)
        if d > 0:
            self.add([(x1, y), self.back(x1, y, d), right], color, "roof", "side", mass=True)

    # -- round things --------------------------------------------------------
    def lathe(self, cx, profile, color=None, material=None, form="round", line=1.0) -> None:
        """Turned solid from (radius, y) pairs, bottom to top."""
        left = [(cx - r, y) for r, y in profile]
        right = [(cx + r, y) for r, y in reversed(profile)]
        self.add(left + right, color, material, form, line, True)

    def drum(self, cx, y0, r, h, color=None, material=None, taper=1.0) -> None:
        """Cylinder whose top radius is `taper` times the foot's."""
        self.lathe(cx, [(r, y0), (r * taper, y0 + h)], color, material)

    def cone(self, cx, y, r, h, color=None, material="roof") -> None:
        """Pointed round roof."""
        self.lathe(cx, [(r, y), (r * 0.02, y + h)], self.roof if color is None else color, material)

    def dome(self, cx, y, r, h=None, color=None, material="roof", finial=0.25) -> None:
        """Half-round dome, h high or as high as its radius, with an optional pole on top."""
        h = r if h is None else h
        angles = [i * math.pi / 2 / 9 for i in range(9)]
        profile = [(r * math.cos(a), y + h * math.sin(a)) for a in angles] + [(0.0, y + h)]
        self.lathe(cx, profile, self.roof if color is None else color, material, "dome")
        if finial:
            self.pole(cx, y + h, r * finial * 1.6, r * 0.035)

    def onion(self, cx, y, r, h, color=None, material="roof", neck=0.8, finial=0.3) -> None:
        """Bulbous dome that ends in a point; `neck` is the radius of its foot as a share of r."""
        profile = [(r * share, y + h * level) for share, level in ((neck, 0), *ONION_PROFILE)]
        self.lathe(cx, profile, self.roof if color is None else color, material, "dome")
        if finial:
            self.pole(cx, y + h * 0.97, r * finial * 1.6, r * 0.05)

    def pole(self, cx, y, h, w=0.006, color="d8b858", material="gold") -> None:
        """Finial, mast or flagpole."""
        w = max(w, 0.004)
        self.add([(cx - w, y), (cx + w, y), (cx, y + h)], color, material, "round", 0.4)

    def ball(self, cx, cy, r, color=None, material=None, form="dome", ry=None) -> None:
        """Sphere, or ellipsoid with the vertical radius ry."""
        self.add(ellipse(cx, cy, r, r if ry is None else ry, 18), color, material, form, 1.0, True)

    # -- details -------------------------------------------------------------
    def windows(
        self,
        x0,
        x1,
        y0,
        y1,
        nx,
        ny=1,
        w=0.5,
        h=0.6,
        arched=False,
        color=WINDOW,
        material="window",
        pointed=False,
        line=0.5,
        d=0.0,
    ) -> None:
        """Grid of nx by ny windows on a front wall; with d also on the receding right wall that starts at x1.

        w and h are a window's share of its cell.
        """
        cw, ch = (x1 - x0) / nx, (y1 - y0) / ny
        polys = []
        for j in range(ny):
            bottom = y0 + ch * (j + 0.5 - h / 2)
            for i in range(nx):
                cx = x0 + cw * (i + 0.5)
                if arched:
                    polys.append(arch_points(cx, bottom, cw * w, ch * h, pointed, 5))
                else:
                    left, right, top = cx - cw * w / 2, cx + cw * w / 2, bottom + ch * h
                    polys.append([(left, bottom), (right, bottom), (right, top), (left, top)])
        self.add(polys, color, material, "flat", line)
        if d > 0:
            self.side_windows(x1, y0, y1, d, max(1, int(nx * 0.6)), ny, w, h, color, material, line)

    def side_windows(self, x, y0, y1, d, nx, ny, w=0.5, h=0.6, color=WINDOW, material="window", line=0.5) -> None:
        """Grid of windows on the receding right wall at x."""
        ch, cd = (y1 - y0) / ny, d / nx
        polys = []
        for j in range(ny):
            bottom, top = y0 + ch * (j + 0.5 - h / 2), y0 + ch * (j + 0.5 + h / 2)
            for i in range(nx):
                near, far = cd * (i + 0.5 - w / 2), cd * (i + 0.5 + w / 2)
                polys.append(
                    [
                        self.back(x, bottom, near),
                        self.back(x, bottom, far),
                        self.back(x, top, far),
                        self.back(x, top, near),
                    ]
                )
        self.add(polys, dim(color, 0.8), material, "flat", line)

    def arch(self, cx, y, w, h, pointed=False, color="3a322c", frame=0.0, material="dark", reveal=True) -> None:
        """Arched opening with a lit inner side (reveal) and an optional frame."""
        if frame:
            self.add(arch_points(cx, y, w + 2 * frame, h + frame, pointed), self.trim)
        self.add(arch_points(cx, y, w, h, pointed), dim(self.wall, 0.62), self.material, "under")
        if reveal:
            k = w * 0.14
            opening = arch_points(cx + k, y, w - 2 * k * 0.98, h - k * 0.6, pointed)
        else:
            opening = arch_points(cx, y, w * 0.92, h * 0.96, pointed)
        self.add(opening, color, material, "flat", 0.6)

    def crenels(self, x0, x1, y, n, h=0.04, d=0.0, color=None) -> None:
        """Row of n battlements; with d also along the receding right wall."""
        w = (x1 - x0) / (2 * n - 1)
        self.add(
            [
                [(x0 + 2 * i * w, y), (x0 + (2 * i + 1) * w, y), (x0 + (2 * i + 1) * w, y + h), (x0 + 2 * i * w, y + h)]
                for i in range(n)
            ],
            color,
            None,
            "front",
            1.0,
            True,
        )
        if d > 0:
            m = max(2, int(d / w / 2))
            e = d / (2 * m - 1)
            self.add(
                [
                    [
                        self.back(x1, y, 2 * i * e),
                        self.back(x1, y, (2 * i + 1) * e),
                        self.back(x1, y + h, (2 * i + 1) * e),
                        self.back(x1, y + h, 2 * i * e),
                    ]
                    for i in range(m)
                ],
                color,
                None,
                "side",
                1.0,
                True,
            )

    def columns(self, x0, x1, y, h, n, w=0.4, color=None, cap=True) -> None:
        """Row of n columns, each w of its share wide, with bases and capitals."""
        step = (x1 - x0) / n
        r = step * w / 2
        color = self.trim if color is None else color
        centers = [x0 + step * (i + 0.5) for i in range(n)]
        for cx in centers:
            self.lathe(cx, [(r, y), (r * 0.86, y + h)], color, None, "round", 0.8)
        if cap:
            self.add(
                [
                    [
                        (cx - r * 1.3, y + h * k),
                        (cx + r * 1.3, y + h * k),
                        (cx + r * 1.3, y + h * (k + 0.05)),
                        (cx - r * 1.3, y + h * (k + 0.05)),
                    ]
                    for cx in centers
                    for k in (0, 0.95)
                ],
                color,
                None,
                "top",
                0.6,
            )

    def lines(self, segments, w=0.008, color=None, material="metal", form="front", line=0.3) -> None:
        """Thin bars of width w between pairs of points (cables, lattice, spokes)."""
        polys = []
        for (xa, ya), (xb, yb) in segments:
            n = math.hypot(xb - xa, yb - ya) or 1.0
            px, py = -(yb - ya) / n * w / 2, (xb - xa) / n * w / 2
            polys.append([(xa + px, ya + py), (xb + px, yb + py), (xb - px, yb - py), (xa - px, ya - py)])
        self.add(polys, self.trim if color is None else color, material, form, line)

    def disc(self, cx, cy, r, color=None, material=None, form="flat", line=1.0) -> None:
        """Flat round plate."""
        self.add(ellipse(cx, cy, r, r, 20), color, material, form, line)
