"""Towers of steel and glass: lattice towers, skyscrapers, observation towers and the observation wheel."""

from __future__ import annotations

import math
from itertools import pairwise

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import arch_points, dim, mix


def lattice_tower(b: Builder, landmark: Landmark) -> None:
    """Curved iron legs, platforms and cross bracing."""
    half = 1.7 / landmark.ratio / 2 * 1.1  # half the width at the foot
    red_white = landmark.variant == 1

    def radius(y: float) -> float:
        return half * (math.exp(-3.1 * y / 1.7) * .98 + .02) + .006

    levels = [0, .22, .42, .6, .78, .94, 1.1, 1.25, 1.38, 1.5, 1.6]
    for i, (y0, y1) in enumerate(pairwise(levels)):
        color = b.roof if red_white and i % 2 else b.wall
        lattice_storey(b, i, y0, y1, radius, color)
    for y, overhang in ((.42, 1.16), (.22, 1.0), (.78, 1.2)):
        if y == .22:
            angles = [i * math.pi / 12 for i in range(13)]
            arc = [(half * .58 * math.cos(t), .02 + .22 * math.sin(t)) for t in angles]
            b.lines(pairwise(arc), .022)
        w = radius(y) * overhang
        b.box(-w, y - .02, w, y + .03, .03, b.trim, "metal")
        rails = [((-w + w * 2 * i / 12, y - .015), (-w + w * 2 * i / 12, y + .025)) for i in range(13)]
        b.lines(rails, .006, dim(b.wall, .6))
    if red_white:
        b.box(-.17, .72, .17, .86, .06, "f2eee8", "plaster")
        b.windows(-.16, .16, .73, .85, 8, 2, .7, .5)
    b.box(-.035, 1.58, .035, 1.65, .02, b.trim, "metal")
    b.pole(0, 1.65, .3, .014, b.trim, "metal")
    for side in (-1, 1):
        b.box(side * half * .85 - half * .24, -.02, side * half * .85 + half * .24, .04, .06, "b8b0a0", "stone")


def lattice_storey(b: Builder, storey: int, y0: float, y1: float, radius, color) -> None:
    """One storey from y0 to y1: two legs below (storeys 0 and 1), one braced shaft above."""
    shaft = storey >= 2
    r0, r1 = radius(y0), radius(y1)
    leg = max(.2 * r0, .016) if storey < 3 else max(r0 * .42, .01)
    sides = ((-1, "left"), (1, "side"))
    for side, form in sides:
        b.add([(side * r0, y0), (side * (r0 - leg * 1.6), y0), (side * (r1 - leg * 1.1), y1), (side * r1, y1)],
              color, "metal", form, .7, True)
    if shaft:
        b.add([(-r0, y0), (r0, y0), (r1, y1), (-r1, y1)], dim(color, .72), "metal", "under", .2)
        for side, form in sides:
            b.add([(side * r0, y0), (side * (r0 - leg), y0), (side * (r1 - leg * .9), y1), (side * r1, y1)],
                  color, "metal", form, .5)
    braces = []
    panels = 1 if shaft else 3
    for j in range(panels):
        low, high = y0 + (y1 - y0) * j / panels, y0 + (y1 - y0) * (j + 1) / panels
        for side in (-1, 1):
            outer_low, outer_high = side * radius(low), side * radius(high)
            if shaft:
                inner_low, inner_high = -outer_low, -outer_high
            else:
                inner_low, inner_high = side * (radius(low) - leg * 1.5), side * (radius(high) - leg * 1.3)
            braces += [((outer_low, low), (inner_high, high)), ((inner_low, low), (outer_high, high))]
    b.lines(braces, .011 if storey < 3 else .008, dim(color, 1.15 if shaft else .85), "metal", "front", .2)


def skyscraper(b: Builder, landmark: Landmark) -> None:
    """Six towers: stepped, crowned, needle, twin, stacked and splinter."""
    b.eye = .1
    h, w = 1.6, .9 / landmark.ratio
    if landmark.variant in (0, 1):
        art_deco_tower(b, h, w, crowned=landmark.variant == 1)
    elif landmark.variant == 2:
        needle_of_tubes(b, h, w)
    elif landmark.variant == 3:
        twin_towers(b)
    elif landmark.variant == 4:
        stacked_boxes(b, h, w)
    else:
        splinter(b, h)


def slab(b: Builder, x0, y0, x1, y1, d, nx, ny) -> None:
    """Office block with a window grid on both faces."""
    b.box(x0, y0, x1, y1, d)
    b.windows(x0, x1, y0, y1, nx, ny, .5, .62, line=.25, color="46525e")
    b.side_windows(x1, y0, y1, d, max(2, int(nx * .6)), ny, .5, .62, line=.25, color="46525e")


def art_deco_tower(b: Builder, h: float, w: float, crowned: bool) -> None:
    """Stepped gray blocks, with an antenna or a steel crown of arches."""
    slab(b, -w * 1.6, 0, w * 1.6, h * .14, .3, 11, 4)
    slab(b, -w * 1.2, h * .14, w * 1.2, h * .3, .25, 9, 5)
    slab(b, -w * .85, h * .3, w * .85, h * (.72 if crowned else .84), .22, 7, 20)
    if not crowned:
        slab(b, -w * .6, h * .84, w * .7, h * .92, .16, 5, 3)
        b.box(-w * .35, h * .92, w * .5, h * .97, .1, b.roof)
        b.drum(w * .12, h * .97, w * .24, .06, b.trim, "metal")
        b.pole(w * .12, h + .01, .3, .018, b.roof, "metal")
        return
    slab(b, -w * .62, h * .72, w * .68, h * .8, .16, 5, 3)
    cx = w * .07
    for k in range(5):
        half = w * (.64 - .12 * k)
        arch = arch_points(cx, h * (.78 + .045 * k), 2 * half, h * .13)
        b.add(arch, dim(b.roof, 1 if k % 2 else .85), "metal", "round", mass=True)
        y = h * (.84 + .045 * k)
        b.add([[(cx + half * q - .012, y), (cx + half * q + .012, y), (cx + half * q, y + .03)]
               for q in (-.55, 0, .55)], "4c5864", "window", "flat", .3)
    b.pole(cx, h * 1.04, .38, .022, b.roof, "metal")


def needle_of_tubes(b: Builder, h: float, w: float) -> None:
    """Bundle of glass tubes that end at different heights around a needle."""
    tubes = ((-.6, .5, .34), (.6, .58, .34), (-.34, .72, .3), (.36, .82, .3), (-.15, .94, .27), (.14, 1.04, .25),
             (0, 1.22, .22))
    for k, (x, share, radius) in enumerate(tubes):
        cx, r = x * w * 1.2, radius * w * 1.3
        b.drum(cx, 0, r, h * share * .8, mix(b.wall, b.trim, .12 * (k % 2)))
        b.windows(cx - r * .9, cx + r * .9, .03, h * share * .79, 4, int(26 * share), .8, .35,
                  color=dim(b.roof, .75), line=.15)
    b.lathe(0, [(w * .16, h * .97), (w * .1, h * 1.12), (w * .03, h * 1.14), (.003, h * 1.4)], b.trim, "metal")


def twin_towers(b: Builder) -> None:
    """Two round towers with spires, joined by a sky bridge."""
    b.box(-.5, 0, .5, .13, .2, b.trim, "stone")
    b.windows(-.5, .5, .01, .12, 16, 2, .6, .5)
    for x in (-.27, .27):
        for y0, y1, r in ((.13, .95, .17), (.95, 1.12, .145), (1.12, 1.24, .115), (1.24, 1.33, .08)):
            b.drum(x, y0, r, y1 - y0)
            b.windows(x - r * .95, x + r * .95, y0, y1, 7, max(2, int((y1 - y0) * 26)), .66, .42, color="54646f",
                      line=.15)
            b.lathe(x, [(r * 1.04, y1 - .02), (r * 1.04, y1)], b.trim, "metal")
        b.lathe(x, [(.07, 1.33), (.045, 1.42), (.015, 1.46), (.002, 1.72)], b.trim, "metal")
    b.box(-.13, .66, .13, .71, .03, b.trim, "metal")
    b.windows(-.12, .12, .665, .705, 6, 1, .6, .6)
    b.lines([((-.12, .5), (0, .66)), ((.12, .5), (0, .66))], .018)


def stacked_boxes(b: Builder, h: float, w: float) -> None:
    """Eight boxes that flare upwards, on a tapering foot."""
    b.add([(-w * 1.5, 0), (w * 1.5, 0), (w * .95, h * .26), (-w * .95, h * .26)], mass=True)
    b.add([(w * 1.5, 0), (w * 2.1, .02), (w * 1.5, h * .26), (w * .95, h * .26)], form="side", mass=True)
    b.windows(-w * 1.05, w * 1.05, .02, h * .25, 7, 8, .6, .5, line=.2, color="4c7068")
    foot, rim = w * .78, w * .98
    for k in range(8):
        y0, y1 = h * (.26 + .076 * k), h * (.26 + .076 * (k + 1))
        b.add([(-foot, y0), (foot, y0), (rim, y1), (-rim, y1)], mass=True)
        b.add([(foot, y0), b.back(foot, y0, .18), b.back(rim, y1, .2), (rim, y1)], form="side", mass=True)
        b.windows(-foot, foot, y0 + .005, y1 - .012, 6, 3, .62, .5, line=.2, color="4c7068")
        b.lines([((-rim, y1), (rim, y1))], .014)
    b.box(-w * .45, h * .868, w * .5, h * .93, .1)
    b.box(-w * .25, h * .93, w * .3, h * .97, .06, b.trim)
    b.pole(.02, h * .97, .22, .018, b.trim, "metal")


def splinter(b: Builder, h: float) -> None:
    """Pointed glass pyramid with an open tip."""
    left = [(-.42, 0), (.06, -.01), (.05, h * 1.12), (.0, h * 1.06)]
    right = [(.06, -.01), (.42, .02), (.1, h * 1.02), (.05, h * 1.12)]
    b.add(left, form="left", material="glass", mass=True)
    b.add(right, dim(b.wall, .92), "glass", "side", mass=True)
    for k in range(34):
        t = k / 34
        ridge = (.06 - .01 * t, h * 1.1 * t)
        b.lines([((-.42 + .42 * t, h * 1.06 * t), ridge), (ridge, (.42 - .32 * t, h * 1.02 * t))], .006,
                dim(b.roof, .9), "glass", "under", 0)
    b.lines([((-.3 + .12 * i, 0), (.02 + .012 * i, h)) for i in range(6)], .006, b.trim, "glass", "front", .1)
    b.add([[(-.16, h * .5), (-.1, h * .5), (-.09, h * .52), (-.15, h * .52)],
           [(.1, h * .3), (.2, h * .31), (.19, h * .33), (.1, h * .32)],
           [(-.2, h * .24), (-.06, h * .24), (-.06, h * .26), (-.2, h * .26)]], "4c6474", "window", "flat", .1)


def needle_tower(b: Builder, landmark: Landmark) -> None:
    """Observation towers with pod, saucer or spheres."""
    (pod_tower, saucer_tower, sphere_tower)[landmark.variant](b)


def pod_tower(b: Builder) -> None:
    """Concrete needle with a round pod."""
    b.lathe(0, [(.14, 0), (.075, .25), (.05, .6), (.04, 1.1), (.03, 1.3)])
    b.add([(-.2, 0), (-.05, .5), (-.02, .9), (-.05, .5)], form="left")
    pod = [(.05, 1.05), (.13, 1.08), (.15, 1.11), (.15, 1.14), (.1, 1.18), (.07, 1.22)]
    b.lathe(0, pod, b.roof, "metal", "dome")
    b.windows(-.14, .14, 1.11, 1.14, 12, 1, .7, .7)
    b.lathe(0, [(.025, 1.22), (.05, 1.36), (.05, 1.39), (.02, 1.4)], b.trim)
    b.pole(0, 1.4, .36, .02, b.trim, "metal")


def saucer_tower(b: Builder) -> None:
    """Two bent legs under a saucer."""
    for side, form in ((-1, "left"), (1, "side")):
        b.add([(side * .24, 0), (side * .17, 0), (side * .03, .7), (side * .12, 1.2), (side * .2, 1.2),
               (side * .07, .72)], form=form, mass=True)
    b.lathe(0, [(.045, 0), (.04, .7), (.05, 1.2)], dim(b.wall, .9))
    b.lines([((-.14 + .04 * i / 2, .12 * i + .1), (.14 - .04 * i / 2, .12 * i + .1)) for i in range(6)], .018)
    b.lathe(0, [(.1, .3), (.16, .32), (.16, .35), (.1, .36)], b.trim)
    b.lathe(0, [(.1, 1.16), (.26, 1.24), (.27, 1.27)], b.trim, "metal")
    b.lathe(0, [(.22, 1.27), (.2, 1.32)], "46525e", "window")
    b.lathe(0, [(.34, 1.29), (.3, 1.33), (.16, 1.38), (.06, 1.42)], b.roof, "metal", "dome")
    b.pole(0, 1.42, .3, .02, b.trim, "metal")


def sphere_tower(b: Builder) -> None:
    """Large and small spheres on three columns and a tripod."""
    for side, form in ((-1, "left"), (1, "side")):
        b.add([(side * .4, 0), (side * .33, 0), (side * .02, .55), (side * .06, .58)], form=form, mass=True)
    for x in (-.1, 0, .1):
        b.drum(x, 0, .03, 1.15)
    b.ball(0, .3, .2, b.roof, "metal")
    b.windows(-.19, .19, .27, .33, 12, 1, .7, .7)
    for k in range(4):
        b.ball(0, .58 + .14 * k, .055, b.roof, "metal")
    b.ball(0, 1.16, .15, b.roof, "metal")
    b.windows(-.14, .14, 1.13, 1.19, 9, 1, .7, .7)
    b.lathe(0, [(.05, 1.3), (.04, 1.42)], b.trim)
    b.ball(0, 1.46, .06, b.roof, "metal")
    b.pole(0, 1.5, .38, .022, b.trim, "metal")


def wheel(b: Builder, landmark: Landmark) -> None:
    """Observation wheel with spokes, capsules and A-frame legs."""
    r, cy, n = .75, .9, landmark.count

    def at(radius: float, angle: float) -> tuple[float, float]:
        return radius * math.cos(angle), cy + radius * math.sin(angle)

    spokes = [((0, cy), at(r, 2 * math.pi * i / (n * 2))) for i in range(n * 2)]
    b.lines(spokes, .004, dim(b.wall, .92), line=.05)
    for ring, width in ((r, .022), (r * .94, .012)):
        b.lines(pairwise([at(ring, 2 * math.pi * i / 48) for i in range(49)]), width, b.wall, line=.5)
    angles = [2 * math.pi * i / 48 for i in range(48)]
    b.lines([(at(r * .94, a), at(r, a + .06)) for a in angles], .007, b.roof, line=.1)
    for i in range(n):
        b.ball(*at(r + .045, 2 * math.pi * i / n), .038, b.trim, "glass", ry=.028)
    b.lines([((-.42, 0), (0, cy)), ((.3, 0), (0, cy))], .045, b.wall, line=.8)
    b.lines([((-.62, 0), (0, cy))], .012, b.roof)
    b.disc(0, cy, .06, b.roof, "metal")
    b.disc(0, cy, .03, b.wall, "metal")
    b.box(-.6, 0, .5, .06, .2, "b0b4b8", "plaster")
    b.windows(-.6, .5, .0, .06, 14, 1, .6, .6)
