"""European castles: fairy-tale turrets, fortresses, a round keep, a chateau."""

from __future__ import annotations

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import dim


def castle(b: Builder, landmark: Landmark) -> None:
    """Castle in one of four plans; brick ones stand on flat ground."""
    if landmark.variant == 0:
        fairy_tale_castle(b)
    elif landmark.variant == 1 and landmark.material == "brick":
        brick_fortress(b)
    elif landmark.variant == 1:
        crag_fortress(b)
    elif landmark.variant == 2:
        keep_castle(b)
    else:
        chateau(b)


def turret(b: Builder, cx: float, y: float, r: float, h: float, roof_h: float, windows: int = 2) -> None:
    """Round tower with a pointed roof, or battlements when roof_h is 0."""
    b.drum(cx, y, r, h)
    b.lathe(cx, [(r, y + h - .05), (r * 1.14, y + h - .02), (r * 1.14, y + h)], b.trim)
    columns = 2 if r > .07 else 1
    b.windows(cx - r * .6, cx + r * .6, y + h * .3, y + h * .9, columns, windows, .35, .5, True)
    if roof_h > 0:
        b.cone(cx, y + h, r * 1.2, roof_h)
        b.pole(cx, y + h + roof_h * .97, .07)
    else:
        b.crenels(cx - r * 1.12, cx + r * 1.12, y + h, max(3, int(r * 40)), .04)


def crag(b: Builder, w: float, h: float, color: str) -> None:
    """Rocky hill under a castle."""
    hill = [(-w * 1.25, 0), (-w * 1.08, h * .5), (-w * .98, h), (w * .95, h), (w * 1.1, h * .62), (w * 1.3, 0)]
    b.add(hill, color, "rock", "round", mass=True)
    for i in range(6):
        x = -w + w * .36 * i
        cleft = [(x, 0), (x + .05, h * .6), (x + .12, h * .95), (x + .2, h * .5), (x + .18, 0)]
        b.add(cleft, dim(color, .75 + .08 * (i % 3)), "rock", "side", .5)


def fairy_tale_castle(b: Builder) -> None:
    """White hall and gatehouse among five pointed turrets."""
    crag(b, .75, .2, "6c7858")
    turret(b, .62, .2, .1, .62, .3, 3)
    b.box(-.45, .2, .55, .66, .2)
    b.hip(-.47, .57, .66, .24, .16, .2)
    b.windows(-.42, .52, .26, .62, 8, 3, .32, .55, True, d=.2)
    b.box(-.75, .2, -.42, .52, .1)
    b.gable(-.75, -.42, .52, .2, .1)
    b.windows(-.72, -.45, .24, .5, 3, 2, .3, .5, True)
    turret(b, -.38, .2, .085, .74, .34, 3)
    turret(b, .1, .6, .06, .3, .26, 1)
    turret(b, .38, .2, .12, 1.0, .4, 4)
    turret(b, -.72, .2, .06, .36, .22)
    b.arch(-.58, .2, .1, .16)


def brick_fortress(b: Builder) -> None:
    """Brick halls with steep roofs behind a wall with roofed towers."""
    curtain_wall(b, 0)
    halls(b, 0, window_rows=2, roofs=(.18, .24))
    for x in (-.95, -.5, .5, .95):
        wall_tower(b, x)
        b.prism(x - .12 - .01, x + .12 + .01, .46, .2, .12)
    b.arch(0, 0, .16, .2, True, frame=.025)
    b.pole(-.02, .66, .2, .005, "8c8478", "metal")


def crag_fortress(b: Builder) -> None:
    """Gray halls on a dark rock, the wall ending in two turrets."""
    crag(b, .95, .3, "5c5850")
    curtain_wall(b, .28)
    halls(b, .28, window_rows=1, roofs=(.18, .14))
    for x in (-.95, .95):
        turret(b, x, .28 - .1, .12, .5, 0)
    b.pole(-.02, .28 + .66, .2, .005, "8c8478", "metal")


def keep_castle(b: Builder) -> None:
    """Great round keep with a flag on a green mound, behind a wall with towers."""
    b.add([(-.5, 0), (-.3, .3), (.35, .3), (.55, 0)], "6f8c4c", "grass", "round", mass=True)
    b.drum(.02, .26, .3, .5)
    b.windows(-.2, .26, .36, .66, 5, 2, .22, .45, True)
    b.crenels(-.29, .33, .76, 9, .06)
    b.drum(.02, .76, .1, .12)
    b.crenels(-.08, .12, .88, 4, .04)
    b.pole(.02, .88, .26, .006, "8c8478", "metal")
    b.add([(.025, 1.12), (.16, 1.1), (.16, 1.03), (.025, 1.03)], "b83c3c", "cloth")
    curtain_wall(b, 0)
    for x in (-.95, -.5, .5, .95):
        wall_tower(b, x)
        b.crenels(x - .12, x + .12, .46, 5, .045, .12)
    b.arch(0, 0, .16, .2, True, frame=.025)


def curtain_wall(b: Builder, y: float) -> None:
    """Long wall with battlements."""
    b.box(-.95, y, .95, y + .26, .25)
    b.crenels(-.95, .95, y + .26, 24, .035, .25)
    b.windows(-.9, .9, y + .08, y + .22, 11, 1, .2, .6, True)


def halls(b: Builder, y: float, window_rows: int, roofs: tuple[float, float]) -> None:
    """Two halls with roofs of the given heights, and a square tower between them."""
    for x0, x1, h, roof_h in ((-.6, -.2, .44, roofs[0]), (.1, .62, .5, roofs[1])):
        b.box(x0, y + .1, x1, y + h, .18)
        b.windows(x0, x1, y + .28, y + h - .02, 5, window_rows, .28, .55, True, d=.18)
        b.hip(x0, x1, y + h, roof_h, .06, .18)
    b.box(-.14, y, .1, y + .66, .14)
    b.windows(-.12, .08, y + .3, y + .6, 2, 2, .3, .5, True)
    b.crenels(-.16, .12, y + .66, 5, .05, .14)


def wall_tower(b: Builder, x: float) -> None:
    """Square tower in front of the wall, without its top."""
    b.box(x - .12, 0, x + .12, .46, .12)
    b.windows(x - .12, x + .12, .16, .42, 2, 2, .25, .5, True)


def chateau(b: Builder) -> None:
    """Long front with round corner towers, blue roofs and chimneys."""
    b.box(-.9, 0, .9, .34, .3)
    b.windows(-.85, .85, .03, .32, 15, 2, .4, .6, d=.3)
    b.hip(-.92, .92, .34, .16, .1, .3)
    b.box(-.42, 0, .42, .5, .1)
    b.windows(-.4, .4, .04, .48, 7, 3, .4, .6)
    b.hip(-.44, .44, .5, .24, .12, .1)
    for i, x in enumerate((-.3, -.18, -.07, .06, .18, .3)):
        top = .8 + .05 * (i % 3)
        b.box(x - .022, .56, x + .022, top, .03, b.trim)
        b.rect(x - .03, top, x + .03, .83 + .05 * (i % 3), b.roof, "roof")
    turret(b, .0, .6, .075, .3, .22, 1)
    for x, h in ((-.92, .42), (-.44, .54), (.44, .54), (.92, .42)):
        turret(b, x, 0, .13, h, .34, 3)
    b.arch(0, 0, .12, .2, frame=.02)
