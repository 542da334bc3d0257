"""Temples of columns, stupas, and the temple of bud-shaped towers."""

from __future__ import annotations

import math
from itertools import pairwise

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import dim, hanging_cable


def temple(b: Builder, landmark: Landmark) -> None:
    """Columned front with steps under a ruined pediment (0), before a dome (1), under an attic (2), or small (3)."""
    variant = landmark.variant
    small = variant == 3
    w, floor, steps, column_h = .8, .14, 4, .5
    if small:
        w, floor, steps = .5, .22, 7
    if variant == 1:
        b.drum(.1, .1, .78, .72, dim(b.wall, .92))
        b.lathe(.1, [(.8, .66), (.8, .7)], b.trim)
        b.dome(.1, .78, .74, .34, finial=0)
        w = .66
    top = floor + column_h
    b.steps(-w, w, 0, floor, steps, .14, .5)
    b.rect(-w * .92, floor, w * .92, top, dim(b.wall, .6), form="under", mass=True)
    side = [(w, floor), b.back(w, floor, .6), b.back(w, top, .6), (w, top)]
    b.add(side, dim(b.wall, .7), form="side", mass=True)
    for i in range(5):
        x0, y0 = b.back(w, floor, .1 + .11 * i)
        x1, y1 = b.back(w, top, .1 + .11 * i)
        b.add([(x0, y0), (x0 + .028, y0), (x1 + .026, y1), (x1, y1)], b.trim, form="side", line=.7)
    b.rect(-w * .16, floor, w * .16, floor + column_h * .8, "3a322c", "dark", "flat")
    b.columns(-w, w, floor, column_h, landmark.count, .48)
    b.band(-w, w, top, .09, .5, b.trim, .015)
    frieze = [-w + 2 * w * i / 24 for i in range(25)]
    b.lines([((x, top + .03), (x, top + .075)) for x in frieze], .016, dim(b.wall, .75), b.material)
    if variant == 2:
        b.box(-w * .82, top + .09, w * .82, top + .24, .4)
        b.lines([((-w * .8, top + .17), (w * .8, top + .17))], .02, b.trim, b.material)
        return
    y = top + .09
    if variant == 0:
        b.add([(-w - .02, y), (w + .02, y), (w * .55, y + .11), (w * .32, y + .17), (w * .22, y + .14),
               (-w * .1, y + .21), (-w * .35, y + .12), (-w * .5, y + .12)], b.trim, mass=True)
        b.add([(-w * .8, y + .015), (w * .7, y + .015), (w * .2, y + .1), (-w * .1, y + .16), (-w * .4, y + .08)],
              b.roof, form="under")
        return
    b.gable(-w, w, y, .3, .5)
    b.add([(-w * .8, y + .03), (w * .8, y + .03), (0, y + .24)], dim(b.wall, .9), form="under")


def stupa(b: Builder, landmark: Landmark) -> None:
    """Hemispherical mound, white stupa with eyes, or golden bell."""
    (mound, stupa_with_eyes, golden_bell)[landmark.variant](b)


def mound(b: Builder) -> None:
    """Low round mound with a railing and a carved gateway."""
    b.drum(0, 0, .95, .12, b.trim)
    b.windows(-.93, .93, .015, .1, 26, 1, .5, .6, color=dim(b.wall, .6), material="dark", line=.4)
    b.drum(0, .12, .84, .1)
    b.dome(0, .2, .8, .56, b.wall, "stone", 0)
    b.box(-.14, .74, .14, .84, .12, b.trim)
    for k in range(3):
        b.lathe(.03, [(.16 - .04 * k, .88 + .07 * k), (.05, .92 + .07 * k)], b.trim)
    b.lines([((.03, .84), (.03, 1.08))], .014, b.trim)
    for x in (-.17, .17):
        b.drum(x, 0, .032, .6, b.trim)
    for k in range(3):
        y = .38 + .11 * k
        beam = [(-.34, y), (-.28, y + .035), (.28, y + .035), (.34, y), (.28, y - .01), (-.28, y - .01)]
        b.add(beam, b.trim, mass=True)


def stupa_with_eyes(b: Builder) -> None:
    """White stupa whose golden tower has painted eyes and prayer flags."""
    b.steps(-1.0, 1.0, 0, .3, 3, .12, .3, b.wall)
    edges = [((-1.1 + .04 * k, .1 * k + .095), (1.1 - .04 * k, .1 * k + .095)) for k in range(3)]
    b.lines(edges, .018, "d8a048", "plaster")
    b.dome(0, .3, .66, .48, b.wall, "plaster", 0)
    b.box(-.16, .74, .16, .96, .14, b.roof, "gold")
    for side in (-1, 1):
        eye = [(side * .12, .86), (side * .07, .885), (side * .02, .86), (side * .07, .845)]
        b.add(eye, "f8f4ea", "plaster", "flat")
        b.disc(side * .07, .865, .018, "3c4c8c", "plaster")
        b.lines([((side * .13, .91), (side * .02, .9))], .012, "7c2c2c", "plaster")
    b.lines([((0, .84), (0, .8))], .016, "7c2c2c", "plaster")
    for k in range(8):
        r = .15 * (1 - k / 9)
        b.lathe(.035, [(r, .96 + .045 * k), (r * .94, .96 + .045 * (k + 1))], b.roof, "gold")
    b.lathe(.035, [(.06, 1.32), (.07, 1.35), (.01, 1.44)], b.roof, "gold")
    flags = ("3c6cc0", "f4f4f0", "d84038", "3c9c54", "e8c840", "3c6cc0", "f4f4f0", "d84038")
    for foot_x, foot_y in ((-.95, .3), (-.5, .5), (.55, .5), (1.05, .3)):
        rope = hanging_cable(.035, foot_x, 1.34, foot_y, .12, 9)
        b.lines(pairwise(rope), .005, "b0a890", "cloth")
        for (x, y), color in zip(rope[1:], flags):
            b.add([(x - .025, y), (x + .025, y), (x + .02, y - .05), (x - .02, y - .05)], color, "cloth", "flat", .3)


def golden_bell(b: Builder) -> None:
    """Golden bell with a tall ringed spire behind a row of small ones."""
    b.box(-1.0, 0, 1.0, .1, .3, "efe6d2", "plaster")
    for i in range(11):
        b.lathe(-.9 + .18 * i, [(.07, .1), (.06, .16), (.02, .26), (.003, .36)], dim(b.wall, .92), "gold")
    b.lathe(0, [(.74, .1), (.7, .22), (.56, .24), (.52, .36), (.44, .38), (.42, .46)])
    b.lathe(0, [(.4, .46), (.34, .6), (.26, .72), (.2, .82), (.14, .95), (.1, 1.1), (.05, 1.3), (.02, 1.5),
                (.004, 1.66)])
    for r, y in ((.41, .47), (.28, .7), (.2, .83), (.15, .95), (.105, 1.09)):
        b.lathe(0, [(r, y), (r * 1.08, y + .015), (r, y + .03)], b.trim, "gold")
    b.lathe(0, [(.045, 1.38), (.06, 1.41), (.015, 1.48)], b.trim, "gold")


def khmer(b: Builder, landmark: Landmark) -> None:
    """Terraced temple with bud-shaped towers and galleries, the far parts first."""
    shadow = dim(b.wall, .45)
    b.box(-1.4, 0, 1.4, .14, .25)
    b.windows(-1.36, 1.36, .03, .12, 40, 1, .45, .8, color=shadow, material="dark", line=.3)
    b.hip(-1.42, 1.42, .14, .06, .05, .2)
    bud_tower(b, -.42, .3, .12, .42)
    bud_tower(b, .5, .3, .12, .42)
    b.box(-.95, .14, .95, .3, .2, dim(b.wall, .95))
    b.windows(-.92, .92, .16, .27, 26, 1, .45, .8, color=shadow, material="dark", line=.3)
    bud_tower(b, -.8, .22, .13, .44)
    bud_tower(b, .86, .22, .13, .44)
    b.box(-.5, .3, .5, .42, .15)
    b.windows(-.48, .48, .31, .4, 14, 1, .45, .8, color=shadow, material="dark", line=.3)
    bud_tower(b, .03, .4, .17, .66)
    for x in (-1.2, 1.2):
        b.box(x - .12, .0, x + .12, .2, .1)
        b.gable(x - .12, x + .12, .2, .1, .1)
    b.box(-.2, 0, .2, .22, .1)
    b.gable(-.2, .2, .22, .13, .1)
    b.arch(0, 0, .12, .18, reveal=False)
    b.add([(-.12, -.02), (.12, -.02), (.08, .04), (-.08, .04)], b.trim, "stone", "top")


def bud_tower(b: Builder, x: float, y: float, r: float, h: float) -> None:
    """Tower like a bud, in eight ringed storeys."""
    radii = [r * (1.0 - .15 * t) * math.sqrt(1 - t ** 2.2) for t in [k / 8 for k in range(8)]]
    profile = []
    for k, radius in enumerate(radii):
        profile += [(radius * 1.06, y + h * (k / 8)), (radius * .92, y + h * (k / 8 + .085))]
    b.lathe(x, [*profile, (.01, y + h * 1.06)])
    for k, radius in enumerate(radii[1:7], 1):
        b.lines([((x - radius, y + h * k / 8), (x + radius, y + h * k / 8))], .01, dim(b.wall, .62), "stone", "round",
                .1)
    b.arch(x, y, r * .5, h * .24, True, reveal=False)
