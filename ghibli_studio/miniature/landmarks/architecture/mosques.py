"""Mosques, mausoleums and shrines: domed, tent-shaped and of mud brick."""

from __future__ import annotations

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import dim, mix


def mosque(b: Builder, landmark: Landmark) -> None:
    """Domes, portal and minarets in five arrangements."""
    if landmark.variant == 0:
        mausoleum(b)
    elif landmark.variant == 1:
        cascading_domes(b)
    elif landmark.variant == 2:
        prayer_hall(b, red=landmark.name.startswith("Badshahi"))
    elif landmark.variant == 3:
        tiled_mosque(b)
    else:
        octagonal_shrine(b)


def slender_minaret(b: Builder, x: float, h: float, r: float = .035, cap=None) -> None:
    """Minaret with three balconies."""
    b.lathe(x, [(r * 1.15, 0), (r, h * .3), (r * .85, h * .8)])
    for k in (.3, .56, .8):
        b.lathe(x, [(r * 1.0, h * k - .01), (r * 1.6, h * k + .012), (r * 1.6, h * k + .03)], b.trim)
    b.drum(x, h * .8 + .03, r * .65, h * .08)
    b.onion(x, h * .88 + .03, r * .85, r * 2.4, cap, finial=1.2)


def portal(b: Builder, w: float, h: float, arch_w: float, arch_h: float) -> None:
    """Tall framed gateway (iwan) with a pointed niche; w is half its width."""
    b.box(-w, 0, w, h, .06)
    b.rect(-w * .86, .0, w * .86, h * .94, b.trim)
    b.rect(-w * .78, .0, w * .78, h * .9, b.wall)
    b.arch(0, 0, arch_w, arch_h, True, "4a4640")


def mausoleum(b: Builder) -> None:
    """White cube with one great and two small domes between four minarets, on a terrace."""
    b.steps(-1.1, 1.1, 0, .1, 1, .04, .2)
    b.windows(-1.08, 1.08, .01, .09, 24, 1, .5, .8, True, dim(b.wall, .8), "stone")
    for x in (-.82, .92):
        slender_minaret(b, x, .86, .038)
    for x in (-.3, .36):
        b.drum(x, .62, .09, .1)
        b.windows(x - .08, x + .08, .63, .72, 3, 1, .5, .8, True)
        b.dome(x, .72, .115, .12)
    b.drum(.03, .62, .22, .14)
    b.onion(.03, .75, .28, .5, neck=.82)
    b.box(-.48, .1, .48, .62, .14)
    b.side_windows(.48, .14, .58, .14, 1, 2, .5, .7)
    for x in (-.35, .35):
        for y in (.12, .37):
            b.arch(x, y, .16, .2, True, frame=.015)
    b.rect(-.22, .1, .22, .7, mass=True)
    b.rect(-.19, .1, .19, .67, b.trim)
    b.rect(-.175, .1, .175, .655)
    b.arch(0, .1, .26, .46, True, "6c6660")
    for x in (-1.08, 1.12):
        slender_minaret(b, x, .96, .044)


def cascading_domes(b: Builder) -> None:
    """Domes that climb to a great one, and four thin minarets."""
    for x in (-.74, .8):
        slender_minaret(b, x, 1.12, .032)
    b.box(-.8, 0, .8, .3, .3)
    b.windows(-.78, .78, .03, .28, 13, 2, .4, .6, True, d=.3)
    b.band(-.8, .8, .3, .02, .3)
    for x in (-.52, .58):
        b.dome(x, .32, .16, .12)
    b.box(-.5, .3, .5, .46, .25)
    b.windows(-.48, .48, .32, .45, 9, 1, .4, .8, True)
    for x in (-.34, .42):
        b.dome(x, .46, .2, .16)
    b.dome(.04, .46, .34, .22)
    b.drum(.04, .58, .28, .08)
    b.windows(-.22, .3, .585, .655, 12, 1, .5, .9, True)
    b.dome(.04, .66, .28, .24)
    portal(b, .12, .34, .13, .26)
    for x in (-.92, .98):
        slender_minaret(b, x, 1.05, .032)


def prayer_hall(b: Builder, red: bool) -> None:
    """Long arcade with domes behind a portal: three on the red one, five on the white one."""
    for x in (-.95, 1.0):
        slender_minaret(b, x, 1.05, .055 if red else .04, b.roof)
    b.box(-.9, 0, .9, .36, .22)
    for k in range(5):
        for side in (-1, 1):
            b.arch(side * (.28 + .135 * k), 0, .1, .27, True, frame=.01, reveal=False)
    b.crenels(-.9, .9, .36, 30, .025, .22, b.trim)
    if red:
        domes = [(-.45, .2), (.5, .2), (.03, .28)]
    else:
        domes = [(-.68, .12), (.74, .12), (-.4, .17), (.46, .17), (.03, .27)]
    for x, r in domes:
        b.drum(x, .36, r * .85, .12, b.trim if red else b.wall)
        b.onion(x, .47, r, r * 1.7, neck=.86, finial=.5)
    portal(b, .2, .5, .22, .4)
    for x in (-.2, .2):
        b.drum(x, 0, .02, .54, b.trim)
        b.dome(x, .54, .028, finial=.6)


def tiled_mosque(b: Builder) -> None:
    """Tall portal between two minarets before a patterned dome."""
    b.box(-.95, 0, .95, .36, .2, mix(b.wall, b.trim, .3))
    for k in range(4):
        for side in (-1, 1):
            b.arch(side * (.42 + .16 * k), .02, .12, .28, True, frame=.012)
    cx = .3
    b.drum(cx, .36, .26, .34)
    b.windows(cx - .24, cx + .24, .44, .62, 7, 1, .4, .8, True, b.trim, "tile")
    b.onion(cx, .7, .3, .5, neck=.88)
    pattern = [((cx - .24, .8), (cx + .2, .98)), ((cx - .2, .98), (cx + .24, .8)), ((cx - .1, 1.08), (cx + .12, .9))]
    b.lines(pattern, .012, b.trim, "tile", "dome", .1)
    for x in (-.27, .27):
        slender_minaret(b, x, 1.2, .05)
    portal(b, .27, .68, .32, .56)


def octagonal_shrine(b: Builder) -> None:
    """Tiled octagon under a golden dome."""
    b.steps(-.95, .95, 0, .08, 2, .05, .2, b.trim)
    b.rect(-.5, .08, .5, .5, mass=True)
    b.add([(.5, .08), (.9, .1), (.9, .46), (.5, .5)], form="side", mass=True)
    b.add([(-.5, .08), (-.9, .1), (-.9, .46), (-.5, .5)], form="left", mass=True)
    for x0, x1, n in ((-.88, -.52, 3), (-.47, .47, 5), (.52, .88, 3)):
        b.rect(x0, .09, x1, .22, b.trim, "stone")
        b.windows(x0, x1, .24, .44, n, 1, .55, .8, True, dim(b.wall, .55), "window")
    b.arch(0, .08, .16, .22, frame=.02)
    b.band(-.9, .9, .46, .04, 0, b.wall, 0)
    b.drum(0, .5, .4, .18)
    b.windows(-.38, .38, .53, .65, 9, 1, .5, .8, True)
    b.lathe(0, [(.41, .66), (.42, .7)], "e8b83c", "gold")
    b.dome(0, .7, .4, .46, material="gold")


def tent_mosque(b: Builder, landmark: Landmark) -> None:
    """Folded tent-like shell with four pencil minarets."""
    for x, h in ((-.78, 1.08), (.84, 1.08)):
        b.lathe(x, [(.03, 0), (.028, h * .82), (.002, h)])
    b.box(-.85, 0, .85, .1, .3, b.trim)
    b.windows(-.85, .85, .01, .09, 20, 1, .6, .7)
    tip = (0, .74)
    for corner, next_corner, form in (((-.7, .1), (-.26, .1), "left"), ((-.26, .1), (0, .42), "under"),
                                      ((0, .42), (.26, .1), "front"), ((.26, .1), (.7, .1), "side")):
        b.add([corner, next_corner, tip], b.roof, "plaster", form, mass=True)
    b.add([(-.26, .1), (.26, .1), (0, .42)], "5c7484", "window", "flat")
    mullions = [-.24 + .06 * i for i in range(9)]
    b.lines([((x, .1), (x, .1 + .3 * (1 - abs(x) / .26))) for x in mullions], .01, b.roof, "plaster")
    b.lines([((-.7 + .06 * i, .1), tip) for i in range(1, 7)], .006, dim(b.roof, .8), "plaster", "left", .1)
    b.lines([((.7 - .06 * i, .1), tip) for i in range(1, 7)], .006, dim(b.roof, .7), "plaster", "side", .1)
    b.pole(0, .73, .1, .012)
    for x, h in ((-.98, 1.2), (1.02, 1.2)):
        b.lathe(x, [(.036, 0), (.033, h * .82), (.002, h)])
        b.lathe(x, [(.034, h * .78), (.045, h * .8), (.045, h * .82)], b.trim)


def mud_mosque(b: Builder, landmark: Landmark) -> None:
    """Mud-brick wall with three towers, cones and projecting beams."""
    b.box(-.95, 0, .95, .5, .3)
    for i in range(13):
        b.lathe(-.93 + .155 * i, [(.035, 0), (.028, .5), (.02, .56), (.004, .64)])
    for x, h in ((-.55, .74), (.55, .74), (0, .9)):
        b.box(x - .16, 0, x + .16, h, .1)
        b.windows(x - .13, x + .13, .2, h - .04, 3, 4, .3, .4, color="4a3424")
        for corner in (x - .13, x + .13):
            b.cone(corner, h, .045, .14, b.wall, "mud")
        b.cone(x + .02, h, .09, .26, b.wall, "mud")
        b.ball(x + .02, h + .27, .02, "f4f0e4", "plaster")
        beams = [((x - .12 + .08 * i, .3 + .16 * j), (x - .1 + .08 * i, .285 + .16 * j))
                 for i in range(4) for j in range(int((h - .3) / .16))]
        b.lines(beams, .022, b.trim, "wood")
    beams = [((-.9 + .1 * i, .2 + .16 * j), (-.87 + .1 * i, .185 + .16 * j)) for i in range(19) for j in range(2)]
    b.lines(beams, .02, b.trim, "wood")
    b.arch(0, 0, .1, .22)
