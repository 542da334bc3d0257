"""Bridges and aqueducts; `layout` puts water below them."""

from __future__ import annotations

from itertools import pairwise

from ghibli_studio.miniature.landmarks.builder import Builder
from ghibli_studio.miniature.landmarks.catalog import Landmark
from ghibli_studio.miniature.landmarks.shapes import arch_points, dim, hanging_cable, mix


def suspension_bridge(b: Builder, landmark: Landmark) -> None:
    """Two towers, main cable, hangers and a deck over water."""
    half, tower_x, deck = 1.7, .86, .2
    tower_h = 3.4 * landmark.ratio * .45
    for x0, x1, y0, y1, sag in ((-half, -tower_x, deck + .02, tower_h, .08),
                                (-tower_x, tower_x, tower_h, tower_h, tower_h - deck - .08),
                                (tower_x, half, tower_h, deck + .02, .08)):
        cable = hanging_cable(x0, x1, y0, y1, sag, 18)
        b.lines([((x, y), (x, deck)) for x, y in cable[1:-1]], .006, dim(b.trim, .95), "metal", "front", .1)
        b.lines(pairwise(cable), .016, b.trim, "metal", "front", .6)
    b.rect(-half, deck - .06, half, deck, dim(b.roof, .92), "metal", mass=True)
    b.rect(-half, deck - .005, half, deck + .018, b.trim, "metal", "top")
    truss = [(-half + half / 20 * i, deck - (.06 if i % 2 else 0)) for i in range(41)]
    b.lines(pairwise(truss), .006, dim(b.roof, .6), "metal")
    for x in (-tower_x, tower_x):
        b.box(x - .14, -.06, x + .14, .06, .16, "a09c94", "stone")
        if landmark.variant == 1:
            stone_tower(b, x, tower_h, deck)
        else:
            steel_tower(b, x, tower_h, deck)


def stone_tower(b: Builder, x: float, h: float, deck: float) -> None:
    """Stone tower with two pointed arches."""
    b.box(x - .12, .06, x + .12, h, .1)
    for k in (-.055, .055):
        b.arch(x + k, deck + .02, .07, (h - deck) * .68, True, "8fa8bc", material="glass", reveal=False)
    b.band(x - .12, x + .12, h, .05, .1)


def steel_tower(b: Builder, x: float, h: float, deck: float) -> None:
    """Two steel legs with four cross beams."""
    for k in (-.08, .06):
        b.box(x + k - .024, .06, x + k + .024, h + .02, .05, b.wall)
    for k in range(4):
        y = deck + .14 + (h - deck - .1) * k / 3.4
        b.rect(x - .08, y, x + .06, y + .055, b.trim, "metal")


def tower_bridge(b: Builder, landmark: Landmark) -> None:
    """Two gothic towers, an upper walkway and blue suspension chains."""
    chains = [hanging_cable(-1.7, -.62, .2, .86, .12), hanging_cable(.62, 1.7, .86, .2, .12)]
    for chain in chains:
        b.lines(pairwise(chain), .04)
    for chain in chains:
        b.lines([((x, y), (x, .2)) for x, y in chain], .008, "dfe6ea", line=.2)
    b.rect(-1.7, .14, 1.7, .21, b.trim, "metal", mass=True)
    b.rect(-1.7, .195, 1.7, .215, "eef0f0", "metal", "top")
    b.box(-.5, .8, .5, .9, .06, mix(b.trim, "ffffff", .3), "metal")
    b.windows(-.5, .5, .81, .89, 14, 1, .5, .7)
    for x in (-.55, .55):
        b.box(x - .22, -.08, x + .22, .14, .2, "a89c88")
        b.box(x - .15, .14, x + .15, 1.0, .16)
        for k in range(4):
            b.windows(x - .13, x + .13, .32 + .17 * k, .46 + .17 * k, 3, 1, .45, .8, True, pointed=True)
            b.side_windows(x + .15, .32 + .17 * k, .46 + .17 * k, .16, 2, 1)
            b.band(x - .15, x + .15, .47 + .17 * k, .015, .16, out=.01)
        b.arch(x, .2, .15, .14, True)
        b.prism(x - .13, x + .13, 1.0, .36, .16)
        b.pole(x + .05, 1.34, .1)
        for dx in (-.15, .15):
            b.drum(x + dx, .14, .035, .92, b.trim)
            b.cone(x + dx, 1.06, .045, .2)


def stone_bridge(b: Builder, landmark: Landmark) -> None:
    """Aqueduct or bridge: one big arch, or one to three tiers of arches."""
    n, variant = landmark.count, landmark.variant
    if n == 1:
        single_arch(b)
        return
    half = 1.5
    statues, two_tiers, aqueduct = variant == 1, variant == 2, variant == 3
    slim = two_tiers and n > 11  # many narrow, pointed arches
    if statues:
        for x in (-1.3, 1.3):
            b.box(x - .12, .1, x + .12, .8, .14, dim(b.wall, .85))
            b.windows(x - .1, x + .1, .5, .74, 2, 2, .4, .6)
            b.prism(x - .14, x + .14, .8, .34, .16)
    tiers: list[tuple[float, float, int]]
    if statues:
        tiers = [(0, .3, n)]
    elif slim:
        tiers = [(0, .28, n), (.28, .5, n)]
    elif two_tiers:
        tiers = [(0, .62, n), (.62, 1.1, n)]
    else:
        tiers = [(0, .46, n - 2), (.46, .92, n), (.92, 1.12, n * 3)]
    opening = .7 if two_tiers and not slim else .78
    for k, (y0, y1, count) in enumerate(tiers):
        tier_half = half * .82 if aqueduct and k == 0 else half
        foot = y0 - .1 if k == 0 else y0
        arcade(b, tier_half, foot, y0, y1, count, (y1 - y0) * (.84 if k < 2 else .7), opening, slim)
    if statues:
        for i in range(n - 1):
            x = -half + 2 * half / n * (i + 1)
            b.add([(x - .05, -.1), (x + .05, -.1), (x + .03, .18), (x - .03, .18)], b.trim, mass=True)
            b.lathe(x, [(.025, .3), (.02, .35), (.03, .4), (.01, .45)], dim(b.wall, .55))


def arcade(b: Builder, half, foot, y0, y1, count, arch_h, opening, pointed) -> None:
    """Wall from -half to half with `count` arches, each `opening` of its share wide."""
    b.box(-half, foot, half, y1, .1)
    step = 2 * half / count
    centers, w, h = [-half + step * (i + .5) for i in range(count)], step * opening, arch_h + y0 - foot
    b.add([arch_points(x, foot, w, h, pointed, 10) for x in centers], dim(b.wall, .55), form="under")
    b.add([arch_points(x + w * .1, foot, w * .8, h * .95, pointed, 10) for x in centers], (.62, .72, .76), "glass",
          "flat", .5)
    b.band(-half, half, y1 - .035, .035, .1, out=.015)


def single_arch(b: Builder) -> None:
    """High arch with a parapet between two small towers."""
    b.add([(-1.25, -.08), (-1.25, .36), (-.5, .52), (0, .66), (.5, .52), (1.25, .36), (1.25, -.08)], mass=True)
    b.add(arch_points(0, -.1, 1.36, .64, n=16), dim(b.wall, .5), form="under")
    b.add(arch_points(.07, -.1, 1.24, .6, n=16), "a8c0cc", "glass", "flat", .6)
    parapet = [(-1.25, .39), (-.5, .55), (0, .69), (.5, .55), (1.25, .39)]
    b.lines(pairwise(parapet), .035, b.trim, "stone", "top")
    for x, h in ((-1.2, .95), (1.2, .85)):
        b.box(x - .2, -.06, x + .2, h, .2)
        b.windows(x - .16, x + .16, .3, h - .05, 2, 3, .3, .45)
        b.prism(x - .23, x + .23, h, .14, .24)
