"""Buildings under sweeping East Asian roofs: pagodas, Japanese keeps, Chinese halls."""

from __future__ import annotations

from itertools import pairwise

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import dim


def eave(b: Builder, cx: float, y: float, w: float, h: float, curl: float, inner: float) -> None:
    """One sweeping roof tier from half width w at y to `inner` at y + h, corners raised by curl * h, dark below."""
    lift = curl * h
    underside = [(cx - w * .9, y - .015), (cx + w * .9, y - .015), (cx + inner, y - h * .28), (cx - inner, y - h * .28)]
    b.add(underside, dim(b.roof, .5), "wood", "under", .5)
    edge = [(cx - w, y + lift), (cx - w * .8, y + lift * .25), (cx - w * .4, y),
            (cx + w * .4, y), (cx + w * .8, y + lift * .25), (cx + w, y + lift)]
    shoulder = y + h * .42 + lift * .4
    ridge = [(cx + w * .75, shoulder), (cx + inner, y + h), (cx - inner, y + h), (cx - w * .75, shoulder)]
    b.add(edge + ridge, b.roof, "roof", "slope", mass=True)
    tile_rows = [((cx + w * .8 * t, y + .01 + (lift * .25 if abs(t) > .9 else 0)), (cx + inner * t, y + h))
                 for t in [i / 5 - 1 for i in range(11)]]
    b.lines(tile_rows, .007, dim(b.roof, .72), "roof", "slope", 0)
    b.lines(pairwise(edge), .014, dim(b.roof, 1.25), "roof", "top", .4)


def pagoda(b: Builder, landmark: Landmark) -> None:
    """Storeys with curved eaves and a mast (0), or a masonry pagoda (1)."""
    n, height = landmark.count, .5 * landmark.ratio
    storey_h = height / n
    wooden = landmark.variant == 0
    b.steps(-.36, .36, 0, .05, 2, .06, .1)
    for i in range(n):
        share = 1 - .42 * i / n
        (wooden_storey if wooden else masonry_storey)(b, share, .05 + storey_h * i, storey_h)
    if wooden:
        b.prism(-.2, .2, .05 + height + .02, .1, 0)
        b.pole(0, .05 + height + .05, height * .3, .012, "b89858", "metal")
        b.windows(-.035, .035, height + .16, height * 1.28, 1, 7, .8, .3, color="a88848", material="metal")
    else:
        b.prism(-.17, .17, .05 + height, .14, .1)
        b.pole(.03, height + .16, .16, .02)


def wooden_storey(b: Builder, share: float, y: float, h: float) -> None:
    """Storey of a wooden pagoda with its wide eave; `share` is its width relative to the lowest."""
    w = .27 * share
    b.box(-w, y, w, y + h, 0)
    b.rect(-w, y, w, y + h * .12, b.trim, "plaster")
    b.windows(-w, w, y + h * .1, y + h * .6, 3, 1, .55, .85, color="3a2a22")
    b.rect(-w * 1.15, y + h * .08, w * 1.15, y + h * .2, dim(b.wall, .8), "wood")
    eave(b, 0, y + h * .68, w * 1.85, h * .36, .45, w * .8)


def masonry_storey(b: Builder, share: float, y: float, h: float) -> None:
    """Storey of a masonry pagoda with its cornice; `share` is its width relative to the lowest."""
    w, d = .27 * share * 1.05, .14 * share
    b.box(-w, y, w, y + h, d)
    b.windows(-w, w, y + h * .08, y + h * .72, 3 if share > .75 else 1, 1, .26, .85, True)
    b.side_windows(w, y + h * .1, y + h * .72, d, 1, 1, .35, .8)
    b.band(-w, w, y + h * .86, h * .14, d, b.roof, .035)


def japanese_castle(b: Builder, landmark: Landmark) -> None:
    """White keep with many gabled curved roofs on a battered stone base."""
    n = landmark.count
    gilded = landmark.name == "Osaka Castle"
    b.add([(-.82, 0), (.82, 0), (.64, .3), (-.64, .3)], "8c8680", "block", mass=True)
    b.add([(.82, 0), (1.0, .03), (.76, .3), (.64, .3)], "8c8680", "block", "side", mass=True)
    y = .3
    for i in range(n):
        w, h = .58 * (1 - .62 * i / n), .26 * (1 - .3 * i / n)
        b.box(-w, y, w, y + h, .12)
        b.windows(-w * .9, w * .9, y + h * .1, y + h * .62, 9 - 2 * i if i < 4 else 3, 1, .45, .7, color="4a4844")
        if gilded and i == n - 1:
            b.rect(-w, y, w, y + h * .3, dim(b.wall, .3), "dark")
        eave(b, .02, y + h * .72, w * 1.32, h * .42, .4, w * .86)
        if i < 3:
            cx = -.18 if i == 1 else 0
            b.add([(cx - .2, y + h * .78), (cx + .2, y + h * .78), (cx, y + h * 1.36)], b.roof, "roof")
            b.add([(cx - .13, y + h * .8), (cx + .13, y + h * .8), (cx, y + h * 1.2)], b.wall, "plaster", "under")
        y += h
    b.add([(-.3, y - .02), (.32, y - .02), (.2, y + .16), (-.18, y + .16)], b.roof, "roof", "slope", mass=True)
    for x in (-.19, .21):
        b.lathe(x, [(.02, y + .14), (.03, y + .18), (.008, y + .24)], b.trim, "gold")


def chinese_hall(b: Builder, landmark: Landmark) -> None:
    """Round triple-roofed hall (0), or wide hall with sweeping roofs (1), on white terraces."""
    if landmark.variant == 0:
        round_hall(b)
    else:
        wide_hall(b)


def round_hall(b: Builder) -> None:
    """Three round storeys on three round terraces."""
    for k in range(3):
        w = .95 - .13 * k
        b.drum(0, .08 * k, w, .08, "efeae0", "stone")
        b.windows(-w, w, .08 * k + .045, .08 * k + .085, 30, 1, .5, 1, color="fbf8f0", material="stone", line=.3)
    y = .24
    for r, eave_r, h, top_r, roof_h, rise in ((.46, .62, .24, .38, .17, .12), (.38, .5, .15, .28, .17, .12),
                                              (.28, .4, .13, .02, .34, .34)):
        b.drum(0, y, r, h)
        b.windows(-r * .95, r * .95, y + .01, y + h * .6, 9, 1, .55, .95, color="5c2c24")
        b.lathe(0, [(r * 1.01, y + h * .66), (r * 1.01, y + h)], "3c7c6c", "wood")
        b.lathe(0, [(r * 1.01, y + h * .78), (r * 1.01, y + h * .84)], b.trim, "gold")
        y += h
        slope = [(top_r + (eave_r - top_r) * (1 - t) ** 1.6, y + t * roof_h) for t in (.25, .5, .75, 1)]
        b.lathe(0, [(eave_r, y - .03), (eave_r * .97, y), *slope], b.roof, "roof")
        b.lathe(0, [(eave_r, y - .035), (eave_r, y - .015)], b.trim, "gold", line=.5)
        y += rise
    b.ball(0, y + .02, .045, "e8b840", "gold")


def wide_hall(b: Builder) -> None:
    """Red hall with ten columns under two roofs."""
    b.steps(-1.3, 1.3, 0, .24, 3, .12, .2, b.trim)
    b.windows(-1.3, 1.3, .17, .25, 40, 1, .5, .8, color="fffcf4", material="stone", line=.3)
    b.add([(-.2, 0), (.2, 0), (.15, .24), (-.15, .24)], dim(b.trim, .85), "stone")
    b.rect(-1.05, .24, 1.05, .56, dim(b.wall, .75), form="under", mass=True)
    b.windows(-1.03, 1.03, .25, .5, 9, 1, .66, .95, color="6c3424")
    b.columns(-1.08, 1.08, .24, .3, 10, .22, b.wall, False)
    b.rect(-1.05, .5, 1.05, .57, "2f6c74", "wood")
    eave(b, 0, .58, 1.32, .17, .4, .92)
    b.rect(-.88, .73, .88, .84, "2f6c74", "wood")
    b.windows(-.88, .88, .74, .83, 11, 1, .6, .6, color="b43c2c", material="wood")
    eave(b, 0, .84, 1.16, .32, .3, .74)
    b.lines([((-.78, 1.17), (.78, 1.17))], .035, dim(b.roof, 1.15), "roof", "top")
    for x in (-.78, .78):
        b.lathe(x, [(.03, 1.15), (.035, 1.22), (.01, 1.27)], b.roof, "roof")
