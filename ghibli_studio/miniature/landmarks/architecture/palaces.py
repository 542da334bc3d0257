"""Long fronts and domes of state: palaces, capitol and observatory, the Potala, the opera of shells, the lotus."""

from __future__ import annotations

import math

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import arch_points, dim


def palace_wing(b: Builder, x0, x1, h, n, roof) -> None:
    """Long wing with two rows of n windows and a slate roof."""
    b.box(x0, 0, x1, h, .2)
    b.band(x0, x1, h * .46, .015, .2, out=.008)
    b.windows(x0, x1, .02, h * .44, n, 1, .42, .75, True)
    b.windows(x0, x1, h * .5, h * .95, n, 1, .42, .72)
    b.band(x0, x1, h, .03, .2)
    b.hip(x0, x1, h + .03, h * .34, .06, .2, roof)


def palace(b: Builder, landmark: Landmark) -> None:
    """Long symmetrical palace front with projecting pavilions; flat roofed, or with slate roofs."""
    flat, h = landmark.variant == 0, .5
    if flat:
        b.box(-1.4, 0, 1.4, h, .25)
        b.windows(-1.38, 1.38, .02, h, 25, 3, .42, .62)
        b.band(-1.4, 1.4, h, .035, .25)
        b.windows(-1.4, 1.4, h + .035, h + .09, 40, 1, .5, 1, color=b.trim, material="stone")
    else:
        palace_wing(b, -1.4, 1.4, h, 25, b.roof)
        b.add([arch_points(-1.3 + .2 * i, h + .06, .07, .1) for i in range(14)], b.trim, mass=True)
        b.add([arch_points(-1.3 + .2 * i, h + .06, .045, .08) for i in range(14)], "3c4450", "window", "flat")
    for cx, w, height in ((-1.25, .2, .98), (1.25, .2, .98), (0, .36, 1.05)):
        left, right = cx - w, cx + w
        bays, columns = (5, 4) if w < .3 else (7, 6)
        b.box(left, 0, right, h * height + .02, .08)
        b.windows(left, right, .01, h * .36, bays, 1, .4, .8, True)
        b.windows(left, right, h * .42, h * .94, bays, 1, .4, .7)
        b.columns(left, right, h * .38, h * .58, columns, .22)
        b.band(left, right, h * height, .035, .08)
        if flat or cx == 0:
            b.gable(left, right, h * height + .035, .13, .08, b.trim)
        if not flat:
            b.hip(left, right, h * height + .035, .26, .1, .1)
    if flat:
        b.pole(.02, h + .2, .3, .007, "8c8478", "metal")
        b.add([(.025, h + .5), (.18, h + .48), (.18, h + .39), (.025, h + .39)], "b83048", "cloth")
        b.arch(0, 0, .1, .17)
    else:
        b.box(-.1, h + .3, .12, h + .42, .06, b.trim)
        b.dome(.02, h + .42, .1, .09)


def potala(b: Builder, landmark: Landmark) -> None:
    """Stacked white blocks on a hill with a red palace on top."""
    hill = [(-1.5, 0), (-1.2, .3), (-.9, .42), (.9, .42), (1.25, .26), (1.55, 0)]
    b.add(hill, "8c8460", "rock", "round", mass=True)
    for x0, x1, y0, y1 in ((-1.05, -.4, .22, .68), (.42, 1.05, .22, .66), (-.7, .7, .12, .6)):
        battered_block(b, x0, x1, y0, y1, .05)
        b.windows(x0 + .07, x1 - .07, y0 + .08, y1 - .03, int((x1 - x0) * 12), 3, .4, .5, color="4a3430")
        b.lines([((x0 + .05, y1 - .01), (x1 - .05, y1 - .01))], .035, b.roof, "plaster")
    battered_block(b, -.36, .36, .4, .96, .05, b.roof, "plaster")
    b.windows(-.28, .28, .5, .92, 7, 4, .42, .5, color="3a2420")
    b.lines([((-.31, .95), (.31, .95))], .035, "e8dcc4", "plaster")
    for x, y, w in ((-.18, .97, .13), (.2, .97, .13), (.01, .99, .16), (-.72, .68, .14), (.74, .66, .14)):
        b.rect(x - w * .6, y, x + w * .6, y + .05, b.roof, "plaster")
        gold_roof = [(x - w, y + .05), (x + w, y + .05), (x + w * .5, y + .14), (x - w * .5, y + .14)]
        b.add(gold_roof, b.trim, "gold", "slope", mass=True)
    for k in range(3):  # zigzag stairs
        side = 1 if k % 2 else -1
        b.add([(side * .9, .02 + .13 * k), (-side * .6, .14 + .13 * k), (-side * .6, .19 + .13 * k),
               (side * .9, .06 + .13 * k)], dim(b.wall, .93), "plaster", "front")


def battered_block(b: Builder, x0, x1, y0, y1, batter, color=None, material=None) -> None:
    """Block whose front narrows by `batter` on each side."""
    b.add([(x0, y0), (x1, y0), (x1 - batter, y1), (x0 + batter, y1)], color, material, mass=True)
    side = [(x1, y0), b.back(x1, y0, .2), b.back(x1 - batter, y1, .2), (x1 - batter, y1)]
    b.add(side, color, material, "side", mass=True)


def dome_building(b: Builder, landmark: Landmark) -> None:
    """Capitol with wings and tall dome, or an observatory with three domes."""
    if landmark.variant == 1:
        observatory(b)
    else:
        capitol(b)


def observatory(b: Builder) -> None:
    """Low white building with a large and two small copper domes, their slits open."""
    for x in (-.98, 1.0):
        b.drum(x, 0, .25, .34)
        b.windows(x - .2, x + .2, .05, .28, 4, 1, .35, .8, True)
        b.lathe(x, [(.26, .32), (.26, .36)], b.trim)
        b.dome(x, .36, .21, .2, finial=0, material="copper")
        b.lines([((x, .37), (x + .06, .55))], .025, dim(b.roof, .6), "dark")
    b.box(-.9, 0, .9, .3, .2)
    b.windows(-.88, .88, .04, .26, 15, 1, .4, .8)
    b.band(-.9, .9, .3, .03, .2)
    b.box(-.32, 0, .32, .42, .1)
    b.windows(-.3, .3, .22, .38, 5, 1, .4, .7)
    b.band(-.32, .32, .42, .03, .1)
    b.drum(.02, .45, .34, .16)
    b.lathe(.02, [(.35, .59), (.35, .63)], b.trim)
    b.dome(.02, .63, .32, .3, finial=.2, material="copper")
    b.lines([((.02, .64), (.09, .92))], .03, dim(b.roof, .6), "dark")
    b.arch(0, 0, .14, .24, frame=.02)


def capitol(b: Builder) -> None:
    """Two wings and a portico under a tall ribbed dome with a statue."""
    b.steps(-1.35, 1.35, 0, .08, 2, .05, .2)
    b.box(-1.3, .08, 1.3, .38, .2)
    b.windows(-1.28, 1.28, .1, .37, 25, 2, .4, .62)
    b.band(-1.3, 1.3, .38, .03, .2)
    for x, w, columns in ((-1.1, .24, 5), (1.1, .24, 5), (0, .36, 8)):
        b.box(x - w, .08, x + w, .42, .06)
        b.rect(x - w, .14, x + w, .38, dim(b.wall, .65), form="under")
        b.columns(x - w, x + w, .13, .26, columns, .36)
        b.band(x - w, x + w, .39, .03, .06)
        b.gable(x - w, x + w, .42, .1, .08, b.trim)
    b.add([(-.3, 0), (.3, 0), (.26, .13), (-.26, .13)], b.trim, mass=True)
    b.lines([((-.29, .02 + .018 * i), (.29, .02 + .018 * i)) for i in range(6)], .006, dim(b.wall, .75), "stone")
    b.drum(.04, .44, .34, .1)
    b.lathe(.04, [(.3, .54), (.3, .56)], b.trim)
    b.drum(.04, .56, .22, .2, dim(b.wall, .72))
    b.columns(-.22, .3, .56, .2, 9, .4)
    b.lathe(.04, [(.29, .76), (.29, .79)], b.trim)
    b.drum(.04, .79, .23, .08)
    b.windows(-.17, .25, .795, .865, 7, 1, .4, .8, True)
    b.dome(.04, .87, .25, .34, finial=0)
    ribs = [((.04 + .2 * k, .9), (.04 + .05 * k, 1.19)) for k in (-.95, -.5, 0, .5, .95)]
    b.lines(ribs, .009, dim(b.wall, .82), "stone", "dome", .1)
    b.drum(.04, 1.19, .06, .1)
    b.windows(-.01, .09, 1.2, 1.28, 3, 1, .5, .9, True)
    b.dome(.04, 1.29, .06, .05, finial=0)
    b.lathe(.04, [(.02, 1.33), (.024, 1.38), (.006, 1.45)], "5c7468", "copper")


def shell_opera(b: Builder, landmark: Landmark) -> None:
    """Sail-shaped shells, or the petals of a lotus."""
    if landmark.variant == 0:
        sails(b)
    else:
        lotus(b)


def sails(b: Builder) -> None:
    """Two rows of sails on a long podium, the far row first."""
    b.box(-1.15, 0, 1.15, .1, .3)
    b.steps(-1.05, 1.05, .1, .06, 2, .05, .25)
    b.windows(-1.1, 1.1, 0, .1, 16, 1, .6, .4)
    for cx, w, h, lean in ((.62, .25, .40, .3), (.28, .33, .62, .34), (-.12, .38, .84, .36), (-.62, .3, .46, -.34)):
        shell(b, cx, .16, w, h, lean, b.roof)
    for cx, w, h, lean in ((.82, .2, .28, .22), (.45, .22, .40, .24), (-.9, .18, .28, -.2)):
        shell(b, cx, .14, w, h, lean, dim(b.roof, .97))


def shell(b: Builder, cx: float, y: float, w: float, h: float, lean: float, color) -> None:
    """One pointed sail: a lit and a shaded half, and glass in its mouth."""
    shares = [i / 10 for i in range(11)]
    left = [(cx - w + (w + lean) * t ** 1.5, y + h * math.sin(t * math.pi / 2)) for t in shares]
    right = [(cx + w - (w - lean) * t ** 2.6, y + h * t) for t in shares]
    keel = [(cx - .05 * w + (lean + .05 * w) * t ** 1.5, y + h * t) for t in shares]
    b.add(left + keel[::-1], color, "tile", "left", mass=True)
    b.add(keel + right[::-1], color, "tile", "slope", mass=True)
    b.add([keel[0], right[0], (cx + w * .72, y), (cx + lean, y + h)], dim(color, .55), "glass", "under", .5)


def lotus(b: Builder) -> None:
    """Three rings of petals, the inner and tallest first."""
    b.steps(-1.0, 1.0, 0, .08, 2, .08, .2, b.wall)
    for x, w, h, lean in ((-.3, .24, .86, -.02), (.3, .24, .86, .02), (0, .28, .92, 0),
                          (-.55, .25, .68, -.12), (.55, .25, .68, .12), (-.2, .22, .7, -.05), (.2, .22, .7, .05),
                          (-.78, .24, .4, -.2), (.78, .24, .4, .2), (-.36, .25, .44, -.06), (.36, .25, .44, .06),
                          (0, .24, .46, 0)):
        left = [(x - w, .08), (x - w * .95 + lean * .3, .08 + h * .45), (x - w * .45 + lean * .8, .08 + h * .82)]
        right = [(x + w * .45 + lean * .8, .08 + h * .82), (x + w * .95 + lean * .3, .08 + h * .45), (x + w, .08)]
        b.add([*left, (x + lean, .08 + h), *right], b.roof, "tile", "round", mass=True)
    b.windows(-.9, .9, .08, .2, 9, 1, .5, .8, True)
