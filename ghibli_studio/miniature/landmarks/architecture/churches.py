"""Christian churches: gothic cathedrals and onion-domed churches."""

from __future__ import annotations

import math

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import arch_points, dim


def gothic_cathedral(b: Builder, landmark: Landmark) -> None:
    """West front with towers or spires and a nave behind, or a cluster of tapering spires."""
    if landmark.variant == 4:
        spire_cluster(b)
        return
    pinnacled = landmark.variant == 2
    nave(b, .46, .7 if pinnacled else .66)
    if pinnacled:
        pinnacled_front(b)
    else:
        towered_front(b, landmark.variant)


def pinnacle(b: Builder, cx: float, y: float, w: float, h: float) -> None:
    """Thin gothic spirelet; w is half its width."""
    b.rect(cx - w, y, cx + w, y + h * .45, b.trim, mass=True)
    b.add([(cx - w * 1.2, y + h * .45), (cx + w * 1.2, y + h * .45), (cx, y + h)], b.trim, mass=True)


def rose(b: Builder, cx: float, cy: float, r: float) -> None:
    """Rose window with tracery."""
    b.disc(cx, cy, r * 1.15, b.trim, form="top")
    b.disc(cx, cy, r, "3c4864", "window")
    tracery = [((cx, cy), (cx + r * math.cos(a), cy + r * math.sin(a))) for a in [i * math.pi / 4 for i in range(8)]]
    b.lines(tracery, r * .12, b.trim, "stone")
    b.disc(cx, cy, r * .28, b.trim)


def spire_cluster(b: Builder) -> None:
    """Basilica with seven tapering, pierced spires, the far ones first."""
    b.box(-.62, 0, .62, .34, .3)
    b.gable(-.3, .3, .34, .16, .3)
    for x, y, h, r in ((-.2, .2, 1.1, .09), (.22, .2, 1.16, .09), (0, .25, 1.45, .11), (-.46, .2, .95, .085),
                       (.46, .2, 1.0, .085), (-.14, .2, .98, .08), (.14, .2, .96, .08)):
        b.lathe(x, [(r, 0), (r * 1.02, y + h * .3), (r * .86, y + h * .55), (r * .55, y + h * .8),
                    (r * .2, y + h * .94), (r * .12, y + h)])
        b.windows(x - r * .6, x + r * .6, y + h * .22, y + h * .8, 2, 7, .35, .6, color="5a4634")
        b.ball(x, y + h + .025, .035, "e8c860", "gold")
    for x in (-.36, 0, .36):
        b.arch(x, 0, .18, .28 if x else .36, True, frame=.03)


def nave(b: Builder, w: float, gable_y: float) -> None:
    """The long house behind the front with roof, windows and buttresses; w is half its width."""
    b.gable(-w * .5, w * .5, gable_y, .34, .8)
    b.add([(w, 0), b.back(w, 0, .9), b.back(w, .62, .9), (w, .62)], form="side", mass=True)
    roof = [(w, .62), b.back(w, .62, .9), b.back(.1, .9, .9), (.1, .9)]
    b.add(roof, b.roof, "roof", "side", mass=True)
    b.side_windows(w, .1, .56, .9, 5, 1, .45, .8)
    for i in range(5):
        x, _ = b.back(w, 0, .1 + .19 * i)
        b.add([(x, 0), (x + .05, 0), (x + .02, .56), (x, .6)], b.trim)


def pinnacled_front(b: Builder) -> None:
    """Broad gabled front with seven pinnacles."""
    b.add([(-.72, 0), (.72, 0), (.72, .42), (0, .92), (-.72, .42)], mass=True)
    for i in range(7):
        x = -.72 + .24 * i
        top = .92 - abs(x) / .72 * .5
        b.rect(x - .025, 0, x + .025, top, b.trim)
        pinnacle(b, x, top, .022, .3)
        if i < 6:
            lower_eave = .92 - max(abs(x), abs(x + .24)) / .72 * .5
            b.windows(x + .03, x + .21, .3, .3 + (lower_eave - .3) * .8 + .05, 1, 1, .4, .8, True, pointed=True)
            b.arch(x + .12, 0, .12, .24, False, frame=.015)
    b.pole(0, 1.1, .34, .02, b.trim, "stone")


def towered_front(b: Builder, variant: int) -> None:
    """Front with a rose window: two square towers (0), two tall spires (1), or one spire beside it (3)."""
    w, one_spire = .46, variant == 3
    b.rect(-w, 0, w, .66, mass=True)
    rose(b, 0, .5, .12)
    b.band(-w, w, .33, .025, 0)
    b.windows(-w, w, .34, .39, 22, 1, .5, .9, color=dim(b.wall, .55), material="dark")
    for x in (-.31, 0, .31):
        b.arch(x, 0, .17, .27, True, frame=.03)
    if one_spire:
        b.box(.55, 0, .83, .95, .2)
        b.windows(.56, .82, .1, .9, 2, 3, .4, .7, True, pointed=True)
        b.lathe(.7, [(.14, .95), (.1, 1.2), (.05, 1.5), (.006, 1.9)], b.trim)
        for x in (.56, .82):
            pinnacle(b, x, .95, .025, .28)
    r, foot, top = (.1, 0, .75) if one_spire else (.17, .66, .9)
    for x in (-.36, .36) if one_spire else (-.31, .31):
        b.box(x - r, foot, x + r, top, .2)
        if one_spire:
            b.windows(x - r, x + r, .1, .7, 1, 3, .4, .6, True, pointed=True)
        b.windows(x - r * .8, x + r * .8, .68, top - .02, 2, 1, .5, .9, True, pointed=True)
        b.side_windows(x + r, .68, top - .02, .2, 2, 1, .5, .8)
        b.band(x - r, x + r, top, .025, .2, out=.015)
        b.crenels(x - r, x + r, top + .025, 5, .03, .2)
        if variant == 1:
            b.lathe(x + .04, [(r * .95, top + .03), (r * .7, top + .16), (r * .3, top + .48), (.006, top + .78)])
            b.windows(x - .02, x + .1, top + .05, top + .4, 1, 4, .4, .5, True, pointed=True)
        if one_spire:
            b.cone(x, top + .03, r, .25)
        if variant != 0:
            for corner in (x - r, x + r):
                pinnacle(b, corner, top + .02, .018, .2)
    for x in (-.47, -.14, .14, .47):
        b.rect(x - .022, 0, x + .022, .66, b.trim)
    if not one_spire:  # the little spire over the crossing
        x, y = b.back(.1, .95, .6)
        b.lathe(x, [(.03, y - .05), (.02, y + .15), (.003, y + .42)], b.roof, "roof")


# Colors of the five onion domes in turn, by variant
ONION_COLORS = (("3f8f6c", "d8b040", "3c6cb0", "c85040", "4f9c84"), ("3c78b0", "4f9c64", "d8b040", "3c8ca8", "e0e0d8"),
                 ("a8a498",) * 5, ("3c3c42",) * 5)


def onion_church(b: Builder, landmark: Landmark) -> None:
    """Drums with onion domes around a tall central tower."""
    variant = landmark.variant
    b.steps(-.72, .72, 0, .06, 2, .04, .25, b.trim)
    b.box(-.68, .06, .68, .36, .3)
    b.band(-.68, .68, .36, .03, .3)
    b.windows(-.64, .64, .1, .34, 7, 1, .42, .75, True, d=.3)
    b.add([arch_points(-.51 + .34 * i, .36, .3, .17) for i in range(4)], b.trim, mass=True)
    b.add([arch_points(-.51 + .34 * i, .36, .2, .12) for i in range(4)], form="under")
    b.arch(0, .06, .18, .26, frame=.03)
    if variant == 2:
        drums = [(-.2, .5, .09, .35), (.22, .5, .09, .35), (-.4, .42, .08, .22), (.42, .42, .08, .22),
                 (-.6, .36, .08, .1), (.6, .36, .08, .1), (0, .5, .13, .55)]
    else:
        drums = [(-.28, .45, .13, .3), (.34, .45, .13, .3), (-.54, .36, .12, .2), (.56, .36, .12, .2),
                 (0, .45, .17, .5)]
    for i, (x, y, r, h) in enumerate(drums):
        top = y + h
        b.drum(x, y - .06, r * .8, h + .06)
        b.windows(x - r * .7, x + r * .7, y + h * .2, y + h * .85, 3, 1, .4, .8, True)
        b.lathe(x, [(r * .85, top - .02), (r * .95, top + .02)], b.trim)
        if x == 0 and variant == 0:  # the tent roof in the middle
            b.lathe(x, [(r, top), (r * .55, top + .2), (r * .3, top + .42)])
            b.add([[(-r * .7, top + .1 * k), (r * .7 - r * .15 * k, top + .1 * k), (0, top + .1 * k + .05)]
                   for k in range(3)], b.trim)
            b.onion(x, top + .42, r * .45, .2, "e0b040", "gold")
            continue
        color = ONION_COLORS[variant][i % 5]
        b.onion(x, top + .02, r, r * 2.3, color, "gold" if color == "d8b040" else "roof")
        if variant in (0, 1):
            swirls = [((x - r * .86, top + r * (.35 + .38 * k)), (x + r * (.9 - .18 * k), top + r * (.75 + .38 * k)))
                      for k in range(3)]
            b.lines(swirls, r * .13, b.trim, "roof", "dome", .2)
