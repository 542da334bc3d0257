"""Old towers: clock towers, minarets, lighthouses, obelisks, windmills and the Leaning Tower of Pisa."""

from __future__ import annotations

import math
from itertools import pairwise

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import arch_points, dim, ellipse, mix


def clock_tower(b: Builder, landmark: Landmark) -> None:
    """Square tower with a clock stage and a spire or dome."""
    w, h, d = 0.18, 0.18 * landmark.ratio, 0.22
    b.box(-w - .03, 0, w + .03, .08 * h, d + .03, b.trim)
    b.box(-w, .08 * h, w, h, d)
    storeys = landmark.count + 2
    for k in range(storeys):
        y = h * (.12 + .78 * k / storeys)
        b.windows(-w * .85, w * .85, y, y + h * .62 / storeys, 3, 1, .38, .85, True)
        b.side_windows(w, y, y + h * .62 / storeys, d, 2, 1, .4, .8)
        b.band(-w, w, y + h * .68 / storeys, .015, d, out=.01)
    clock_stage = w * 2.35
    b.band(-w, w, h, .03, d, out=.035)
    b.box(-w - .02, h + .03, w + .02, h + .03 + clock_stage, d + .02)
    cy = h + .03 + clock_stage / 2
    b.disc(0, cy, w * .92, b.trim, "gold", "top")
    b.disc(0, cy, w * .8, "f6f1df", "plaster")
    b.lines([((0, cy), (0, cy + w * .62)), ((0, cy), (w * .4, cy - w * .18))], .022, "2a2622", "dark", "flat")
    side_face = b.back(w + .02, cy, d / 2)
    b.add(ellipse(*side_face, w * .3, w * .72, 16), "e4ddc6", "plaster", "flat")
    top = h + .03 + clock_stage
    b.band(-w, w, top, .035, d, out=.05)
    top += .035
    if landmark.variant == 2:
        b.drum(.06, top, w * .85, .1)
        b.windows(.06 - w * .7, .06 + w * .7, top, top + .1, 4, 1, .4, .8, True)
        b.dome(.06, top + .1, w * .92, w * 1.0, finial=.6)
        return
    b.prism(-w, w, top, w * 1.5, d, dim(b.roof, .95))
    b.box(-w * .4 + .055, top + w * .95, w * .4 + .055, top + w * 1.75, d * .3, b.trim)
    b.windows(-w * .4 + .055, w * .4 + .055, top + w * .95, top + w * 1.75, 3, 1, .5, .7, True)
    b.prism(-w * .5 + .055, w * .5 + .055, top + w * 1.75, w * 1.9, d * .35)
    b.pole(.075, top + w * 3.6, .12, .012)
    for x in (-w, w):
        b.pole(x, top, .12, .02, b.trim, "stone")


def minaret(b: Builder, landmark: Landmark) -> None:
    """Fluted victory tower, or slender tower from a petalled base."""
    if landmark.variant == 0:
        fluted_minaret(b)
    else:
        flower_minaret(b)


def fluted_minaret(b: Builder) -> None:
    """Five shrinking fluted storeys, each under a ring balcony."""
    y, r, height = 0., .17, 1.55
    for k, share in enumerate((.34, .22, .17, .14, .13)):
        h, top_r = height * share, r * .82
        color = b.wall if k < 3 else mix(b.wall, "f0e4d0", .55)
        b.lathe(0, [(r, y), (top_r, y + h)], color)
        for i in range(7):
            u = math.sin((i - 3) * .42)
            flute = [(r * u - .008, y), (r * u + .008, y), (top_r * u + .006, y + h), (top_r * u - .006, y + h)]
            b.add(flute, dim(color, .76 if i % 2 else 1.12), form="round", line=.2)
        for t in (.35, .7):
            ring = r + (top_r - r) * t
            b.lathe(0, [(ring * 1.01, y + h * t), (ring * 1.01, y + h * t + .02)], b.trim, line=.4)
        y += h
        b.lathe(0, [(top_r, y - .03), (top_r * 1.4, y), (top_r * 1.4, y + .025)], b.trim)
        r = top_r * .94
    b.dome(0, y + .02, r * .8, r * .5, b.trim, "stone", 0)
    b.arch(0, 0, .07, .16, True, frame=.012, reveal=False)


def flower_minaret(b: Builder) -> None:
    """Slender shaft that rises from five petals."""
    b.steps(-.42, .42, 0, .1, 4, .2, .25, b.trim)
    b.lathe(0, [(.2, .1), (.085, .5), (.065, 1.1), (.075, 1.18)])
    w = .1
    for x in (-.2, .2, -.1, .1, 0):
        b.add([(x - w, .1), (x * 1.35 - w * .5, .3), (x * 1.3, .44), (x * .9 + w * .7, .3), (x + w, .1)],
              form="round", mass=True)
    flutes = [((-.06 + .03 * i, .45), (-.045 + .0225 * i, 1.1)) for i in range(5)]
    b.lines(flutes, .008, dim(b.wall, .75), "stone", "round", .1)
    for y in (.6, .85):
        b.lathe(0, [(.08, y), (.11, y + .02), (.11, y + .04)], b.trim)
    b.lathe(0, [(.08, 1.12), (.15, 1.18), (.15, 1.21)], b.trim)
    b.drum(0, 1.21, .08, .1)
    b.windows(-.08, .08, 1.22, 1.3, 4, 1, .5, .9, True)
    b.dome(0, 1.31, .085, .09, "d8dce0", "metal", .8)


def leaning_tower(b: Builder, landmark: Landmark) -> None:
    """Round tower with rings of arcades, leaning to the right."""
    r, storey = .24, .19
    b.lathe(0, [(r * 1.2, -.02), (r * 1.2, .03)], b.roof)
    b.drum(0, .03, r, .24)
    b.windows(-r * .95, r * .95, .04, .25, 7, 1, .5, .85, True, dim(b.wall, .7), "stone")
    y = .27
    for _ in range(6):
        b.lathe(0, [(r * 1.06, y), (r * 1.06, y + .025)], b.trim)
        b.lathe(0, [(r * .86, y + .02), (r * .86, y + storey)], dim(b.wall, .68))
        columns = [r * .98 * math.sin((i - 5) * math.pi / 11.5) for i in range(11)]
        b.add([[(x - .01, y + .02), (x + .01, y + .02), (x + .01, y + storey * .8), (x - .01, y + storey * .8)]
               for x in columns], b.trim, line=.6)
        b.lathe(0, [(r, y + storey * .78), (r, y + storey)])
        arches = [r * .98 * math.sin((i - 4.5) * math.pi / 11.5) for i in range(10)]
        b.add([arch_points(x, y + storey * .72, .03, .035, n=4) for x in arches], dim(b.wall, .62), form="under",
              line=.2)
        y += storey
    b.lathe(0, [(r * 1.06, y), (r * 1.06, y + .03)], b.trim)
    b.drum(0, y + .03, r * .74, .17)
    b.windows(-r * .66, r * .66, y + .05, y + .18, 4, 1, .5, .85, True)
    b.lathe(0, [(r * .78, y + .19), (r * .78, y + .22)], b.trim)
    b.pole(0, y + .22, .1)
    for shape in b.shapes:
        shape.polys = [[(x + .09 * y, y - .06 * x) for x, y in poly] for poly in shape.polys]


def lighthouse(b: Builder, landmark: Landmark) -> None:
    """Tapering or square tower with gallery and lantern."""
    h, variant = .3 * landmark.ratio, landmark.variant
    square = variant == 1
    b.add([(-.42, 0), (-.34, .06), (-.12, .1), (.2, .09), (.38, .05), (.46, 0)], "7c756c", "rock", "round", mass=True)
    if square:
        b.box(-.15, .05, .15, h, .18)
        b.windows(-.12, .12, .14, h * .92, 2, 5, .3, .4)
        b.side_windows(.15, .14, h * .92, .18, 1, 5, .3, .4)
        b.lines([((-.15, .14 + .09 * i), (.15, .22 + .09 * i)) for i in range(int((h - .25) / .09))], .012)
        b.box(-.1, h, .1, h + .12, .12, b.trim)
        h += .12
        lantern_cx, lantern_r = .03, .07
        gallery, cap = b.trim, b.roof
    else:
        lantern_cx, lantern_r = 0, .11
        gallery = cap = b.roof
        if variant == 2:
            b.box(-.22, .05, .22, .2, .14, "a85a44", "brick")
        b.lathe(0, [(.17, .06), (lantern_r, h)])
        if variant == 2:
            spiral_stripes(b, h, .17, lantern_r)
        b.windows(-.025, .025, .2, h * .9, 1, 3 if h < 1 else 5, .9, .22, True)
        b.arch(0, .08, .07, .12, reveal=False)
    cx, r = lantern_cx, lantern_r
    b.lathe(cx, [(r, h - .02), (r * 1.45, h + .01), (r * 1.45, h + .03)], gallery, "metal")
    b.drum(cx, h + .03, r * .7, .13, "f6e8b0", "window")
    b.lines([((cx - r * .7 + r * .35 * i, h + .03), (cx - r * .7 + r * .35 * i, h + .16)) for i in range(5)], .012,
            gallery)
    b.lines([((cx - r * 1.4, h + .075), (cx + r * 1.4, h + .075))], .008, gallery)
    b.dome(cx, h + .16, r * .85, r * .8, cap, finial=.5)
    if variant == 0:
        b.box(.2, .05, .5, .2, .14)
        b.gable(.2, .5, .2, .12, .14, "c83c30")
        b.windows(.24, .46, .07, .19, 2, 1, .4, .6)


def spiral_stripes(b: Builder, h: float, foot_r: float, top_r: float) -> None:
    """Six slanting stripes around a tapering tower of height h."""
    stripe = (h - .22) / 6
    for i in range(6):
        y = .2 + (h - .22) * i / 6
        low, high = [foot_r + (top_r - foot_r) * (level - .06) / (h - .06) for level in (y, y + stripe * .5)]
        b.add([(-low, y), (low, y + stripe * .5), (high, y + stripe), (-high, y + stripe * .5)], b.roof,
              form="round", line=.5)


def obelisk(b: Builder, landmark: Landmark) -> None:
    """Square tapering shaft with a pyramid tip."""
    h, w = 1.3, .65 / landmark.ratio
    top_w = w * .68
    b.steps(-.2, .2, 0, .05, 3, .1, .25)
    d = w * 1.6
    b.add([(-w, .05), (w, .05), (top_w, h), (-top_w, h)], mass=True)
    back_foot, back_top = b.back(w, .05, d), b.back(top_w, h, d * .68)
    b.add([(w, .05), back_foot, back_top, (top_w, h)], form="side", mass=True)
    tip = b.back(0, h + .13, d * .68 / 2)
    b.add([(-top_w, h), (top_w, h), tip], b.trim, mass=True)
    b.add([(top_w, h), back_top, tip], b.trim, form="side", mass=True)
    b.lines([((-w * .88, .46), (w * .88, .46))], .008, b.roof, b.material)
    if landmark.variant:
        b.windows(-w * .3, w * .3, h - .1, h - .03, 1, 1, .6, .8)
        b.windows(-w * .4, w * .4, .06, .18, 1, 1, .6, .9)
    else:
        b.windows(-w * .4, w * .4, h - .01, h + .03, 2, 1, .4, .6)


def windmill(b: Builder, landmark: Landmark) -> None:
    """Tapered body, cap and sails: four large ones, or many small triangles on spokes."""
    h = .9
    r = h / landmark.ratio / 2
    dutch = landmark.variant == 0
    if dutch:
        b.lathe(0, [(r * 1.05, 0), (r * .98, .22)], "a0583c", "brick")
        b.lathe(0, [(r * 1.3, .22), (r * 1.3, .25)], b.trim, "wood")
        b.lathe(0, [(r * .95, .25), (r * .62, h)])
        cap = [(-r * .66, h), (r * .72, h), (r * .5, h + .16), (0, h + .2), (-r * .5, h + .12)]
        b.add(cap, b.roof, "roof", "dome", mass=True)
    else:
        b.lathe(0, [(r * 1.02, 0), (r * .94, h * .86)])
        b.cone(0, h * .86, r * 1.12, r * .95)
    b.windows(-r * .5, r * .5, .36, h * .8, 2, 2, .25, .36, True)
    b.arch(0, 0, r * .45, .2, frame=.015, color="4a3424", material="wood", reveal=False)
    hub_y = h * .9
    if landmark.count > 4:
        triangular_sails(b, hub_y, landmark.count)
    else:
        for i in range(landmark.count):
            lattice_sail(b, hub_y, 2 * math.pi * i / landmark.count + .45, dutch)
    b.disc(0, hub_y, .035, "4a3828", "wood")


def triangular_sails(b: Builder, hub_y: float, n: int) -> None:
    """n spokes with a rope around their tips, every other one with a triangle of cloth."""
    hub, length = (0, hub_y), .62
    tips = [(length * math.cos(a), hub_y + length * math.sin(a)) for a in [2 * math.pi * i / n + .15 for i in range(n)]]
    rope = list(pairwise([*tips, tips[0]]))
    b.lines([(hub, tip) for tip in tips], .012, b.trim, "wood")
    b.lines(rope, .006, b.trim, "wood")
    for (x, y), (next_x, next_y) in rope[::2]:
        b.add([(x * .45, hub_y + (y - hub_y) * .45), (x, y), (x + (next_x - x) * .6, y + (next_y - y) * .6)],
              "fbf6ea", "cloth", line=.8)


def lattice_sail(b: Builder, hub_y: float, angle: float, dutch: bool) -> None:
    """One long sail: cloth and slats beside a pole."""
    hub, length = (0, hub_y), .62
    ux, uy = math.cos(angle), math.sin(angle)

    def at(along: float, beside: float) -> tuple[float, float]:
        return ux * along * length - uy * beside, hub_y + uy * along * length + ux * beside

    b.add([at(.16, 0), at(1, 0), at(1, .11), at(.16, .11)], "e8dcc4" if dutch else "efe6d2", "cloth", line=.8)
    slats = [(at(.16 + .84 * k / 7, 0), at(.16 + .84 * k / 7, .11)) for k in range(8)]
    b.lines([*slats, (at(.16, .055), at(1, .055))], .007, "5c4430" if dutch else b.trim, "wood")
    b.lines([(hub, at(1.02, 0))], .02, "5c4430", "wood")
