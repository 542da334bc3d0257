"""The oldest ones: pyramids, ziggurats, arenas, facades cut into rock, standing stones."""

from __future__ import annotations

import math

from ghibli_studio.miniature.landmarks.architecture.palaces import palace_wing
from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import arch_points, dim, rgb


def pyramid(b: Builder, landmark: Landmark) -> None:
    """Great pyramid with small ones, the glass pyramid, or a steep group."""
    if landmark.variant == 1:
        b.material, b.wall = "stone", (.86, .79, .65)
        palace_wing(b, -1.5, 1.5, .5, 17, (.36, .42, .5))
        b.material, b.wall = "glass", rgb(landmark.wall)
        glass_pyramid(b)
    elif landmark.variant == 2:
        for cx, w, h in ((.75, .3, .62), (-.75, .32, .7), (.25, .34, .8), (-.25, .38, .92)):
            masonry_pyramid(b, cx, w, h, 12)
            b.box(cx - w * .55, 0, cx - w * .25, .2, .1)
            b.arch(cx - w * .4, 0, .05, .13, reveal=False)
    else:
        masonry_pyramid(b, .95, .42, .5, 8)
        masonry_pyramid(b, -.95, .36, .4, 8)
        masonry_pyramid(b, 0, 1.0, 1.2, 16)


def masonry_pyramid(b: Builder, cx: float, w: float, h: float, courses: int) -> None:
    """Square pyramid with a lit and a shaded face and a few masonry courses; w is half its width."""
    left, ridge, right = (cx - w, 0), (cx + w * .3, -.04 * w), (cx + w, .03 * w)
    apex = (cx + w * .04, h)
    b.add([left, ridge, apex], form="left", mass=True)
    b.add([ridge, right, apex], form="side", mass=True)
    for k in range(1, courses):
        t = k / courses
        low, corner, high = [(x + (apex[0] - x) * t, y + (apex[1] - y) * t) for x, y in (left, ridge, right)]
        b.lines([(low, corner), (corner, high)], .007 * w, dim(b.wall, .8), "block", "under", 0)


def glass_pyramid(b: Builder) -> None:
    """Glass pyramid with a metal grid on both faces, and its door."""
    masonry_pyramid(b, 0, .75, .78, 1)
    for k in range(1, 9):
        t = k / 9
        ridge = (.225 - .195 * t, -.03 + .81 * t)
        b.lines([((-.75 + .78 * t, .78 * t), ridge), ((-.75 + .975 * t, -.03 * t), (.03, .78)),
                 ((.225 + .525 * t, -.03 + .05 * t), (.03, .78)), ((.75 - .72 * t, .02 + .76 * t), ridge)],
                .007, b.roof, "metal", "front", .2)
    b.rect(-.28, -.02, -.1, .14, "4a5a64", "window", "flat")


def ziggurat(b: Builder, landmark: Landmark) -> None:
    """Stepped pyramid with a staircase and a temple or comb on top."""
    n, variant = landmark.count, landmark.variant
    temple, comb, plain, bare = variant in (0, 2), variant == 2, variant == 1, variant == 3
    h = 2 * landmark.ratio
    top = .26 if temple else .38 if plain else .3
    for i in range(n):
        x = 1 - (1 - top) * i / n
        b.box(-x, h * i / n, x, h * (i + 1) / n, x * .5, line=.8)
        edge_y = h * (i + 1) / n - .008
        b.lines([((-x, edge_y), (x, edge_y))], .022, b.trim, b.material, "top", .4)
    if not bare:
        staircase(b, .13 if comb else .17, h)
    if temple:
        b.box(-.24, h, .24, h + .17, .2)
        b.windows(-.2, .2, h, h + .12, 3, 1, .5, .95, color="2e2822", material="dark")
        b.band(-.24, .24, h + .17, .04, .2)
    if comb:
        b.lathe(.04, [(.2, h + .21), (.14, h + .55), (.1, h + .62)], dim(b.wall, .9), form="front")
        b.windows(-.1, .16, h + .26, h + .5, 3, 2, .3, .5, color=dim(b.wall, .6), material="dark")
    if plain:
        b.box(-.2, h, .2, h + .07, .15, b.roof)


def staircase(b: Builder, half: float, h: float) -> None:
    """Straight flight up the middle of the front, 22 steps to the height h."""
    b.add([(-half * 1.25, -.02), (half * 1.25, -.02), (half * .8, h), (-half * .8, h)], b.trim, mass=True)
    treads = [((-half * (1.05 - .4 * t), h * t), (half * (1.05 - .4 * t), h * t)) for t in [i / 22 for i in range(22)]]
    b.lines(treads, .011, dim(b.wall, .68), b.material, "under", 0)


RING_PERSPECTIVE = .12
"""How much smaller an arena's ends are drawn than its nearest wall."""
RING_STEPS = 48
INTACT = .62
"""Part of a broken arena's front, from its left end, that keeps its full height."""


def amphitheatre(b: Builder, landmark: Landmark) -> None:
    """Round arena wall with tiers of arches, one end broken lower, as a viewer on the ground sees it.

    Everything lies on one ring around the eye's height: below the eye circles sag in the middle, above it they rise,
    so that no view from below shows the rim of a bowl seen from above.
    """
    tiers, h = landmark.variant, 2 * landmark.ratio
    broken = tiers > 2
    tier_h = h / (tiers + (.7 if broken else .35))
    low = tier_h * 2.04

    def rim(t: float) -> float:
        """Height of the wall from the left end (t = 0) to the right end (t = 1), where it is broken."""
        if not broken or t <= INTACT:
            return h
        slope = min(1, (t - INTACT) / .05)
        return h + (low + tier_h * .06 * math.sin(30 * t) * slope - h) * slope

    if broken:  # the inside of the far wall, over the low end
        far = [(t, low + tier_h * .42 * min(1, (.985 - t) / .1)) for t in steps_between(INTACT, .985)]
        near = [(t, low) for t in steps_between(.985, INTACT)]
        b.add([on_ring(b, t, y, far_side=True) for t, y in far] + [on_ring(b, t, y) for t, y in near],
              dim(b.roof, .74), form="under", mass=True)
    along = steps_between(0, 1)
    b.add([on_ring(b, t, rim(t)) for t in along] + [on_ring(b, t, 0) for t in reversed(along)], form="round", mass=True)
    for k in range(tiers + broken):
        b.add(arena_openings(b, landmark.count * 2, k, tier_h, rim), dim(b.roof, .42), "dark", "flat", .7)
        if k:
            whole = [t for t in along if rim(t) >= tier_h * k + .02]
            b.add([on_ring(b, t, tier_h * k + .015) for t in whole]
                  + [on_ring(b, t, tier_h * k - .015) for t in reversed(whole)], b.trim, form="round", line=.6)


def steps_between(start: float, end: float) -> list[float]:
    """Places on the ring from `start` to `end`, which may be the smaller, close enough to look round."""
    count = max(2, round(abs(end - start) * RING_STEPS))
    return [start + (end - start) * i / count for i in range(count + 1)]


def on_ring(b: Builder, t: float, y: float, far_side: bool = False) -> tuple[float, float]:
    """The point at height y on the wall, t from the left end (0) to the right (1), on the near or the far half."""
    angle = (t - .5) * math.pi * .96
    nearness = -math.cos(angle) if far_side else math.cos(angle)
    return math.sin(angle), b.eye + (y - b.eye) / (1 + RING_PERSPECTIVE * (1 - nearness))


def arena_openings(b: Builder, n: int, tier: int, tier_h: float, rim) -> list:
    """n arches around one tier (small windows in the fourth), none that the wall, broken lower, would not hold."""
    polys = []
    y = tier_h * tier
    proportion = .64 * math.pi / n / (.66 * tier_h)  # width to height in the middle, where arches are seen from ahead
    for i in range(n):
        if y + tier_h * .8 > min(rim((i + share) / n) for share in (.18, .5, .82)):
            continue
        if tier == 3:
            corners = [(.36, .2), (.64, .2), (.64, .42), (.36, .42)]
        else:
            # an arch of height 1, stood on the ring point by point
            corners = [(.5 + .64 * x / proportion, .08 + .66 * up) for x, up in arch_points(0, 0, proportion, 1, n=6)]
        polys.append([on_ring(b, (i + across) / n, y + tier_h * up) for across, up in corners])
    return polys


def rock_facade(b: Builder, landmark: Landmark) -> None:
    """Facade cut into a cliff that frames it: treasury, single tomb, or four seated statues."""
    h = 1.0
    w = h / landmark.ratio / 2
    single_rock = landmark.variant == 1
    cliff = [(-w * 2.3, 0), (-w * 2.2, .7), (-w * 1.9, 1.02), (-w * 1.5, 1.16), (-w * .9, 1.3), (-w * .2, 1.26),
             (w * .5, 1.38), (w * 1.1, 1.24), (w * 1.7, 1.18), (w * 2.1, .85), (w * 2.35, .5), (w * 2.4, 0)]
    if single_rock:
        cliff = [(x * .72, y * .95) for x, y in cliff]
    b.add(cliff, b.roof, "rock", "round", mass=True)
    for i in range(5):
        x = w * (-1.9 + .9 * i) * (.7 if single_rock else 1)
        fold = [(x, 0), (x + .05, .5), (x - .03, 1.05), (x + .12, .95), (x + .16, .3), (x + .2, 0)]
        b.add(fold, dim(b.roof, .8), "rock", "side", .4)
    b.rect(-w, 0, w, h * .98, dim(b.wall, .9), form="under")
    if landmark.variant == 2:
        seated_statues(b, w, h)
        return
    ground_floor = h * .5
    b.steps(-w * .95, w * .95, 0, .05, 2, .05, 0)
    b.rect(-w * .92, .05, w * .92, ground_floor, b.wall)
    b.rect(-w * .9, .05, w * .9, ground_floor, dim(b.wall, .82), form="under")
    b.arch(0, .05, w * .34, ground_floor * .72, frame=.02)
    b.columns(-w * .95, w * .95, .05, ground_floor - .05, landmark.count, .34)
    b.band(-w * .95, w * .95, ground_floor, .06, 0)
    b.add([(-w * .6, ground_floor + .06), (w * .6, ground_floor + .06), (0, ground_floor + .17)], b.trim)
    if single_rock:
        for i in range(5):
            for side in (-1, 1):
                x = side * w * (.9 - .17 * i)
                b.rect(min(x, x - side * .06), ground_floor + .1, max(x, x - side * .06),
                       ground_floor + .14 + .055 * i, b.trim)
        b.band(-w, w, h * .88, .05, 0)
    else:
        broken_pediment(b, w, ground_floor + .1, h)


def seated_statues(b: Builder, w: float, h: float) -> None:
    """Temple front with four giants beside the door."""
    b.add([(-w, 0), (w, 0), (w * .9, h), (-w * .9, h)])
    b.band(-w * .92, w * .92, h * .95, .06, 0)
    for i in range(4):
        cx = w * (-.75 + .5 * i) + (-.04 if i < 2 else .04)
        b.box(cx - .11, 0, cx + .11, .16, .05, dim(b.wall, .92))
        b.add([(cx - .1, .16), (cx + .1, .16), (cx + .1, .4), (cx - .1, .4)], b.trim, form="round")
        b.add([(cx - .12, .38), (cx + .12, .38), (cx + .1, .64), (cx - .1, .64)], b.trim, form="round")
        b.ball(cx, .72, .065, b.trim, ry=.085)
        headdress = [(cx - .1, .66), (cx - .05, .8), (cx + .05, .8), (cx + .1, .66), (cx + .06, .68), (cx, .78),
                     (cx - .06, .68)]
        b.add(headdress, dim(b.trim, .85), form="round")
        b.lines([((cx, .16), (cx, .38))], .012, dim(b.wall, .5), "dark")
    b.arch(0, 0, .12, .42)


def broken_pediment(b: Builder, w: float, y: float, h: float) -> None:
    """Upper floor from y to h: a round temple between two halves of a pediment."""
    b.rect(-w * .92, y, -w * .38, h * .88, dim(b.wall, .95))
    b.rect(w * .38, y, w * .92, h * .88, dim(b.wall, .95))
    b.columns(-w * .94, -w * .38, y, h * .86 - y, 2, .3)
    b.columns(w * .38, w * .94, y, h * .86 - y, 2, .3)
    for side in (-1, 1):
        b.add([(side * w * .98, h * .86), (side * w * .34, h * .86), (side * w * .34, h * .97)], b.trim)
    b.drum(0, y, w * .26, h * .84 - y, b.wall)
    b.columns(-w * .27, w * .27, y, h * .84 - y, 3, .3)
    b.band(-w * .28, w * .28, h * .84, .03, 0)
    b.cone(0, h * .87, w * .28, .14, b.trim, "rock")
    b.ball(0, h + .02, .035, b.trim)


def standing_stones(b: Builder, landmark: Landmark) -> None:
    """Ring of rough uprights with lintels, the far ones first."""
    for i in range(6):
        upright(b, -.85 + .34 * i, .1, .07, .4, .85)
    b.box(-.94, .49, -.4, .57, .06, b.roof)
    b.box(.12, .49, .95, .57, .06, b.roof)
    for x, h in ((-.32, .72), (-.06, .72), (.36, .62)):
        upright(b, x, .04, .09, h, .95)
    b.box(-.44, .75, .06, .86, .08, b.roof)
    for x, h, lean in ((-1.05, .52, 0), (-.72, .52, 0), (.62, .56, 0), (.96, .54, 0), (.22, .3, .06)):
        upright(b, x, -.03, .1, h, 1.05, lean)
    b.box(-1.17, .48, -.6, .58, .08)
    b.box(.5, .52, 1.08, .62, .08)
    b.add([(-.5, -.06), (-.2, -.06), (-.16, .04), (-.3, .08), (-.46, .05)], b.trim, mass=True)


def upright(b: Builder, x: float, y: float, w: float, h: float, brightness: float, lean: float = 0.0) -> None:
    """One rough stone with its shaded side."""
    color = dim(b.wall, brightness)
    b.add([(x - w, y), (x + w, y), (x + w * .92 + lean, y + h * .6), (x + w * .8 + lean, y + h),
           (x - w * .78 + lean, y + h * .98), (x - w * .96, y + h * .5)], color, mass=True)
    b.add([(x + w, y), (x + w + .06, y + .01), (x + w * .8 + lean + .05, y + h * .97), (x + w * .8 + lean, y + h)],
          color, form="side", mass=True)
