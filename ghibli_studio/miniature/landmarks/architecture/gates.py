"""Things to pass through, and walls: city gates, triumphal arches, the torii, the Great Wall."""

from __future__ import annotations

from itertools import pairwise

from ghibli_studio.miniature.landmarks.builder import WINDOW, Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import dim, ellipse, mix


def gate(b: Builder, landmark: Landmark) -> None:
    """Fortified gate: one arch or three between two towers with battlements."""
    w, h, variant = .62, 1.24 * landmark.ratio, landmark.variant
    b.box(-w, 0, w, h * .82, .3)
    b.band(-w, w, h * .66, .03, 0, out=0)
    b.crenels(-w, w, h * .82, 11, .06, .3)
    if landmark.count == 3:
        for side in (-1, 1):
            b.arch(side * w * .52, 0, .2, h * .42, frame=.025)
        b.arch(0, 0, .34, h * .6, frame=.035)
    else:
        b.rect(-.26, 0, .26, h * .64, mix(b.wall, b.trim, .6))
        b.arch(0, 0, .36, h * .56, variant in (1, 3), frame=.03)
    b.windows(-w * .6, w * .6, h * .69, h * .8, 7, 1, .35, .7, True)
    for cx in (-w, w):
        if variant == 2:
            square_gate_tower(b, cx, h, gilded=landmark.name == "Ishtar Gate")
        else:
            round_gate_tower(b, cx, h, variant)
    if variant == 3:  # a stepped gable between the towers
        for i in range(3):
            y = h * .82 + i * .12
            b.rect(-.36 + .1 * i, y, .36 - .1 * i, y + .12)
        b.windows(-.3, .3, h * .84, h * .92, 5, 1, .4, .7, True)


def square_gate_tower(b: Builder, cx: float, h: float, gilded: bool) -> None:
    """Square tower with bands and battlements."""
    b.box(cx - .17, 0, cx + .17, h, .24)
    for k in range(3):
        b.band(cx - .17, cx + .17, h * (.3 + .27 * k), .025, .24, out=0)
    b.windows(cx - .12, cx + .12, h * .62, h * .78, 2, 1, .35, .8, True)
    color, material = (b.trim, "gold") if gilded else (WINDOW, "window")
    b.windows(cx - .12, cx + .12, h * .34, h * .5, 2, 1, .35, .8, True, color, material)
    b.crenels(cx - .19, cx + .19, h, 5, .07, .26)


def round_gate_tower(b: Builder, cx: float, h: float, variant: int) -> None:
    """Round tower with rings, under battlements (0), a small dome (1) or a pointed roof (3)."""
    b.drum(cx, 0, .21, h, taper=.9)
    for k in (.33, .62, .86):
        r = .215 - .02 * k
        b.lathe(cx, [(r, h * k), (r + .008, h * k + .015), (r, h * k + .03)], b.trim)
    b.windows(cx - .14, cx + .14, h * .66, h * .8, 3, 1, .3, .7)
    b.windows(cx - .1, cx + .1, h * .4, h * .54, 2, 1, .25, .7)
    if variant == 0:
        b.lathe(cx, [(.21, h), (.22, h + .03)], b.trim)
        b.crenels(cx - .21, cx + .21, h + .03, 6, .06)
    elif variant == 1:
        b.columns(cx - .14, cx + .14, h, .13, 4, .3)
        b.dome(cx, h + .13, .17, .13)
    else:
        b.band(cx - .19, cx + .19, h, .03, 0)
        b.cone(cx, h + .03, .23, .5)
        b.pole(cx, h + .5, .1)


def triumphal_arch(b: Builder, landmark: Landmark) -> None:
    """Massive arch with one opening or three, or the columned gate with a chariot."""
    if landmark.variant == 3:
        columned_gate(b)
        return
    variant, h, d = landmark.variant, 1.0, .34
    w = h / landmark.ratio / 2
    b.box(-w * 1.04, 0, w * 1.04, .07, d + .03, b.trim)
    b.box(-w, .07, w, h, d)
    if variant == 2:
        three_openings(b, w)
    else:
        one_opening(b, w, d, *((.82, .68) if variant == 0 else (.78, .74)))
    b.band(-w, w, .78 if variant == 1 else .74, .05, d, out=.035)
    b.windows(-w, w, .8, .86, 22, 1, .5, .7, color=dim(b.wall, .75), material="stone", line=.3)
    b.band(-w, w, h, .045, d, out=.03)
    if variant == 1:
        b.box(-w * .7, h + .045, w * .75, h + .1, d * .7)
        b.dome(.05, h + .1, .12, .07, b.trim, "stone", 0)
    elif variant == 0:
        b.box(-w * .96, h + .045, w * .96, h + .11, d * .95)


def one_opening(b: Builder, w: float, d: float, share: float, opening_h: float) -> None:
    """One arch over `share` of the half width w, statues beside it, and a small arch in the side wall."""
    opening_w = w * share
    for side in (-1, 1):
        x = side * (w + opening_w / 2) / 2
        b.rect(x - .1, .12, x + .1, .46, b.trim)
        statue = [(x - .07, .14), (x + .07, .14), (x + .05, .36), (x + .02, .44), (x - .05, .38)]
        b.add(statue, dim(b.wall, .82), form="round", line=.8)
        b.rect(x - .1, .55, x + .1, .68, dim(b.wall, .86), form="under", line=.7)
    b.arch(0, 0, opening_w, opening_h, frame=.03, color="9fb4c0", material="glass")
    x, y = b.back(w, 0, d * .5)
    b.add([(x - .05, y), (x + .05, y), (x + .05, .36), (x, .44), (x - .05, .36)], "5a4c40", "dark", "flat")


def three_openings(b: Builder, w: float) -> None:
    """A large arch between two small ones under medallions, with four free columns."""
    for side in (-1, 1):
        b.arch(side * w * .6, 0, w * .3, .38, frame=.015)
        b.add(ellipse(side * w * .6, .6, .07, .07, 16), dim(b.wall, .8), form="under")
    b.arch(0, 0, w * .52, .6, frame=.02)
    for x in (-.88, -.36, .36, .88):
        b.box(x * w - .035, 0, x * w + .035, .14, .03, b.trim)
        b.columns(x * w - .05, x * w + .05, .14, .54, 1, .5)


def columned_gate(b: Builder) -> None:
    """Six columns between two small temples, and a bronze chariot on top."""
    w = .8
    for cx in (-.98, .98):
        b.box(cx - .2, 0, cx + .2, .42, .2)
        b.columns(cx - .2, cx + .2, .04, .32, 4, .4)
        b.gable(cx - .2, cx + .2, .42, .1, .2, dim(b.wall, .9))
    b.rect(-w, 0, w, .68, dim(b.wall, .55), form="under")
    b.windows(-w, w, 0, .64, 5, 1, .62, 1.0, color="93a8b4", material="glass")
    b.columns(-w - .03, w + .03, .0, .66, 6, .3)
    b.band(-w - .03, w + .03, .66, .07, .3)
    b.box(-w * .92, .73, w * .92, .88, .25)
    b.band(-w * .92, w * .92, .88, .025, .25)
    b.box(-.16, .905, .16, .95, .1)
    for x in (-.12, -.04, .04, .12):  # the four horses
        b.lathe(x, [(.035, .95), (.03, 1.02), (.02, 1.06)], b.roof, "copper")
        b.ball(x - .02, 1.07, .022, b.roof, "copper")
    b.lathe(.03, [(.03, 1.0), (.025, 1.14)], b.roof, "copper")
    b.ball(.03, 1.17, .025, b.roof, "copper")
    b.add([(.04, 1.1), (.14, 1.2), (.07, 1.05)], b.roof, "copper")


def torii(b: Builder, landmark: Landmark) -> None:
    """Vermilion gate with two posts and a curved double lintel."""
    for side in (-.5, .5):
        for x in (side + .26 * .8, side - .2 * .8):
            b.drum(x, 0, .03, .4, dim(b.wall, .85))
            b.lathe(x, [(.05, .4), (.01, .4 + .05)], b.roof, "roof")
        b.lines([((side - .2, .28), (side + .25, .28))], .035, dim(b.wall, .8), "wood")
        b.lathe(side, [(.085, 0), (.07, .4), (.06, .86)])
        b.lathe(side, [(.1, 0), (.1, .06)], "4a4440", "wood")
    b.rect(-.66, .62, .66, .7, b.wall, "wood", mass=True)
    b.rect(-.06, .7, .06, .84, "e0b048", "gold")
    lintel(b, .84, .07, .05, .8, b.wall, "front", "wood")
    lintel(b, .91, .05, .06, .84, b.trim, "front", "wood")
    lintel(b, .955, .05, .075, .9, b.roof, "top", "roof")


def lintel(b: Builder, y, thickness, rise, w, color, form, material) -> None:
    """Beam from -w to w whose ends rise."""
    xs = [w * (i / 6 - 1) for i in range(13)]
    lower = [(x, y + rise * (abs(x) / w) ** 2.2) for x in xs]
    upper = [(x * 1.02, y + thickness + rise * 1.15 * (abs(x) / w) ** 2.2) for x in reversed(xs)]
    b.add(lower + upper, color, material, form, mass=True)


def great_wall(b: Builder, landmark: Landmark) -> None:
    """Wall climbing over green hills from tower to tower."""
    b.add([(-1.7, 0), (-1.5, .3), (-1.0, .62), (-.6, .72), (-.2, .5), (.2, .42), (.7, .66), (1.1, .78), (1.5, .5),
           (1.8, 0)], "5c8048", "foliage", "dome", mass=True)
    b.add([(-1.8, 0), (-1.3, .18), (-.7, .34), (-.1, .3), (.5, .22), (1.2, .34), (1.8, .1), (1.8, 0)],
          "6c9050", "foliage", "dome", .6, True)
    # x, y and height of the wall, from far to near
    path = [(-1.25, .5, .03), (-.95, .66, .035), (-.6, .74, .045), (-.3, .6, .06), (.05, .46, .075), (.4, .5, .08),
            (.75, .4, .1), (.4, .22, .13), (-.1, .1, .16), (-.7, -.02, .2)]
    for start, end in pairwise(path):
        wall_stretch(b, *start, *end)
    for x, y, scale in ((-1.3, .48, .35), (-.6, .7, .5), (.78, .34, 1.0)):
        w = .17 * scale
        b.box(x - w, y - .08 * scale, x + w, y + .34 * scale, .16 * scale)
        b.windows(x - w, x + w, y + .1 * scale, y + .26 * scale, 3, 1, .4, .7, True)
        b.side_windows(x + w, y + .1 * scale, y + .26 * scale, .16 * scale, 2, 1, .4, .6)
        b.crenels(x - w * 1.06, x + w * 1.06, y + .34 * scale, 5, .06 * scale, .16 * scale)


def wall_stretch(b: Builder, x0, y0, h0, x1, y1, h1) -> None:
    """Straight stretch of wall with its walkway and six battlements."""
    w, climb = x1 - x0, y1 - y0
    b.add([(x0, y0 - h0 * .3), (x1, y1 - h1 * .3), (x1, y1 + h1 * .9), (x0, y0 + h0 * .9)],
          form="front" if x1 > x0 else "left", mass=True)
    b.add([(x0, y0 + h0 * .55), (x1, y1 + h1 * .55), (x1, y1 + h1 * .95), (x0, y0 + h0 * .95)], b.trim, form="top",
          line=.7)

    def at(sixths: float, lift: float) -> tuple[float, float]:
        return x0 + w * sixths / 6, y0 + climb * sixths / 6 + lift

    b.add([[at(i + .1, h0 * .9), at(i + .6, h0 * .9), at(i + .6, h1 * 1.25), at(i + .1, h1 * 1.25)]
           for i in range(6)], line=.7)
