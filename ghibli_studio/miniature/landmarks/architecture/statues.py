"""Colossal statues."""

from __future__ import annotations

import math

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import dim


def statue(b: Builder, landmark: Landmark) -> None:
    """Torch bearer, outstretched arms, seated Buddha, or a row of stone heads."""
    (torch_bearer, outstretched_arms, seated_buddha, stone_heads)[landmark.variant](b)


def robed(b: Builder, y: float, w: float, h: float) -> None:
    """Draped figure body with fold lines; w is half its width."""
    b.lathe(0, [(w * 1.05, y), (w * .85, y + h * .35), (w * .7, y + h * .6), (w * .95, y + h * .86), (w * .5, y + h)])
    folds = [((w * k, y + .01), (w * k * .6, y + h * .7)) for k in (-.7, -.4, -.1, .25, .55, .8)]
    b.lines(folds, w * .09, dim(b.wall, .72), b.material, "round", .2)


def torch_bearer(b: Builder) -> None:
    """Crowned figure on a pedestal, her right arm raised with a golden torch."""
    b.add([(-.5, 0), (.5, 0), (.42, .12), (-.42, .12)], b.roof, "stone", mass=True)
    b.box(-.3, .12, .3, .24, .2, b.roof, "stone")
    b.add([(-.22, .24), (.22, .24), (.17, .66), (-.17, .66)], b.roof, "stone", mass=True)
    b.add([(.22, .24), (.31, .25), (.25, .64), (.17, .66)], b.roof, "stone", "side", mass=True)
    b.windows(-.15, .15, .5, .62, 4, 1, .5, .9, color="6c6048", material="dark")
    b.band(-.18, .18, .66, .03, .14, dim(b.roof, 1.1))
    robed(b, .69, .15, .52)
    b.add([(-.11, 1.1), (-.05, 1.16), (-.15, 1.5), (-.2, 1.49)], form="left", mass=True)
    b.lathe(-.18, [(.02, 1.47), (.045, 1.53), (.045, 1.55)], dim(b.wall, .9))
    b.lathe(-.18, [(.035, 1.55), (.03, 1.59), (.004, 1.66)], b.trim, "gold")
    b.add([(.06, .98), (.2, .93), (.23, 1.02), (.09, 1.1)], dim(b.wall, .9), form="side", mass=True)
    b.rect(.12, .9, .21, 1.06, dim(b.wall, .85))
    b.ball(0, 1.27, .062, ry=.078)
    crown = [((.07 * math.cos(a), 1.31 + .03 * math.sin(a)), (.16 * math.cos(a), 1.33 + .13 * math.sin(a)))
             for a in [math.pi * i / 6 for i in range(7)]]
    b.lines(crown, .018, b.wall, "copper")
    b.lathe(0, [(.065, 1.3), (.068, 1.34)], dim(b.wall, .85))
    face = [((-.025, 1.265), (-.01, 1.265)), ((.015, 1.265), (.03, 1.265)), ((-.015, 1.22), (.02, 1.22))]
    b.lines(face, .01, dim(b.wall, .5))


def outstretched_arms(b: Builder) -> None:
    """Robed figure on a rock, arms held out level."""
    b.box(-.16, 0, .16, .22, .14, b.roof)
    b.add([(-.5, 0), (-.3, .05), (.35, .05), (.55, 0)], "6c7458", "rock", "round", mass=True)
    robed(b, .22, .12, .72)
    b.add([(-.08, .78), (-.62, .84), (-.62, .89), (-.08, .93)], form="top", mass=True)
    b.add([(-.1, .78), (-.46, .84), (-.42, .76), (-.12, .66)], dim(b.wall, .85), form="under", mass=True)
    b.add([(.08, .78), (.62, .84), (.62, .89), (.08, .93)], form="side", mass=True)
    b.add([(.1, .78), (.46, .84), (.42, .76), (.12, .66)], dim(b.wall, .8), form="under", mass=True)
    b.ball(0, 1.0, .06, ry=.08)
    b.add([(-.05, .95), (.05, .95), (.03, .9), (-.03, .9)], dim(b.wall, .8), form="round")
    for x in (-.65, .65):
        b.ball(x, .865, .04, ry=.025)


def seated_buddha(b: Builder) -> None:
    """Buddha with folded legs and joined hands."""
    b.box(-.5, 0, .5, .14, .3, b.roof)
    b.ball(0, .24, .48, ry=.12)
    b.lathe(0, [(.42, .2), (.3, .32), (.28, .5), (.34, .68), (.24, .8), (.1, .84)])
    for side, form in ((-1, "left"), (1, "side")):
        arm = [(side * .34, .68), (side * .42, .42), (side * .3, .28), (side * .08, .27), (side * .08, .34),
               (side * .26, .4), (side * .24, .6)]
        b.add(arm, dim(b.wall, .93), form=form, mass=True)
        b.ball(side * .3, .22, .17, dim(b.wall, .97), ry=.075)
    b.add([(-.16, .78), (0, .52), (.16, .78), (.08, .76), (0, .64), (-.08, .76)], b.trim)
    b.ball(0, .31, .09, b.trim, ry=.04)
    b.ball(0, .97, .125, ry=.17)
    b.ball(0, 1.08, .125, dim(b.wall, .72), ry=.085)
    b.ball(0, 1.165, .05, dim(b.wall, .72), ry=.04)
    for x in (-.13, .13):
        b.ball(x, .95, .022, ry=.075)
    face = [((-.07, .99), (-.025, .985)), ((.025, .985), (.07, .99)), ((0, .98), (0, .93)), ((-.03, .885), (.03, .885))]
    b.lines(face, .013, dim(b.wall, .5))


def stone_heads(b: Builder) -> None:
    """Five heads with long faces on a platform, two of them with red topknots."""
    b.box(-1.1, 0, 1.1, .08, .3, b.roof)
    w, y = .15, .08
    for i, h in enumerate((.86, 1.0, .8, .94, .84)):
        x = -.88 + .44 * i
        b.lathe(x, [(w, y), (w * 1.1, y + h * .35), (w * .8, y + h * .44)], dim(b.wall, .9))
        b.lathe(x, [(w * .62, y + h * .4), (w * .78, y + h * .5), (w * .8, y + h * .74), (w * .92, y + h * .8),
                    (w * .86, y + h * .96), (w * .6, y + h)])
        brow = [(x - w * .75, y + h * .8), (x + w * .75, y + h * .8), (x + w * .6, y + h * .72),
                (x - w * .6, y + h * .72)]
        b.add(brow, dim(b.wall, .5), "rock", "flat")
        nose = [(x - w * .12, y + h * .8), (x + w * .1, y + h * .8), (x + w * .24, y + h * .57),
                (x - w * .24, y + h * .57)]
        b.add(nose, b.trim, "rock")
        b.lines([((x - w * .3, y + h * .51), (x + w * .3, y + h * .51))], .016, dim(b.wall, .5), "rock")
        if i in (1, 3):
            b.lathe(x, [(w * .8, y + h), (w * .8, y + h + .1), (w * .5, y + h + .13)], "9c5a44", "rock")
