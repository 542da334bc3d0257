"""Turns a layout into per-pixel buffers (albedo, shade, depth, edges, clouds ...) that all styles share.

That the buffers are shared is what makes the styles of a scene pixel-aligned. Nothing here knows a style.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ghibli_studio.miniature.landmarks.layout import compose
from ghibli_studio.miniature.landmarks.layout.frame import Layout
from ghibli_studio.miniature.landmarks.raster.clouds import cloud_maps
from ghibli_studio.miniature.landmarks.scene import Scene
from ghibli_studio.miniature.landmarks.shapes import MATERIAL_ID


class Form(NamedTuple):
    """How a surface catches light."""

    shade: float
    """Brightness: 1 in full sun."""
    slope: float = 0
    """Gain from the middle to the side turned to the sun."""
    rounding: float = 0
    """Loss from the middle to both sides."""
    lift: float = 0
    """Gain from the middle to the top."""


FORMS = {
    "front": Form(0.84, lift=0.05),
    "side": Form(0.80, lift=0.04),
    "left": Form(0.80, lift=0.04),
    "slope": Form(0.92, 0.05, lift=0.08),
    "top": Form(1.02),
    "under": Form(0.55, 0.04, lift=-0.05),
    "round": Form(0.86, 0.30, 0.12, 0.02),
    "dome": Form(0.84, 0.26, 0.12, 0.20),
    "flat": Form(0.92),
}
SUN_GAIN = {"side": 0.3, "left": -0.3, "front": -0.05}  # brighter or darker when the sun is on the right


@dataclass(frozen=True)
class Buffers:
    """Everything known about each pixel of the picture; read only, since several styles share it.

    All arrays are size x size float32 in 0..1 unless said otherwise; masks are 1 where the thing is.
    """

    size: int
    layout: Layout
    albedo: np.ndarray
    """3 x size x size: local color, before light."""
    shade: np.ndarray
    """Light from the form alone, about 0.4 to 1.4."""
    depth: np.ndarray
    """0 near, 1 the sky."""
    sky: np.ndarray
    water: np.ndarray
    windows: np.ndarray
    edge: np.ndarray
    """Outlines."""
    material: np.ndarray
    """uint8, index into MATERIALS."""
    cast: np.ndarray
    """Shadow that the landmark and the trees throw on the ground."""
    cloud: np.ndarray
    cloud_light: np.ndarray
    """How brightly the clouds are lit."""
    building: np.ndarray
    """Mask of the landmark, hard edged."""


class ShapeTables(NamedTuple):
    """What a pixel must know of its shape, as tables over shape numbers; number 0 is the sky."""

    color: np.ndarray
    """3 x shapes."""
    material: np.ndarray
    depth: np.ndarray
    line: np.ndarray
    light: np.ndarray
    """8 x shapes: shade, slope, rounding, lift, center x, 1 / half width, center y, 1 / half height, in pixels."""


@lru_cache(maxsize=4)  # holds 53 bytes a pixel and the layout: 4 MB a scene at 256 px, 56 MB at 1024 px
def rasterise(scene: Scene, size: int) -> Buffers:
    """Draw the shape numbers at twice the size, look the attributes up, and halve."""
    layout = compose(scene)
    number = shape_numbers(layout, size * 2)
    tables = shape_tables(layout, size * 2)
    near = number[::2, ::2]
    material = tables.material.take(number)
    cloud, cloud_light = cloud_maps(scene, layout, size)

    def mask(name: str) -> np.ndarray:
        return halve((material == MATERIAL_ID[name]).astype(np.float32))

    return Buffers(
        size=size,
        layout=layout,
        albedo=halve(tables.color.take(number, axis=1)),
        shade=halve(form_light(tables, number)),
        depth=tables.depth.take(near),
        sky=mask("sky"),
        water=mask("water"),
        windows=mask("window"),
        edge=outlines(number, tables.line.take(number)),
        material=tables.material.take(near),
        cast=cast_shadow(layout, size),
        cloud=cloud,
        cloud_light=cloud_light,
        building=((near > layout.first_building) & (near <= layout.last_building)).astype(np.float32),
    )


def shape_numbers(layout: Layout, side: int) -> np.ndarray:
    """For each pixel the number of the shape in front, side x side: 0 the sky, 1 the first shape of the layout."""
    image = Image.new("I", (side, side))
    draw = ImageDraw.Draw(image)
    for number, shape in enumerate(layout.shapes, 1):
        for poly in shape.polys:
            draw.polygon([(x * side, y * side) for x, y in poly], fill=number)
    return np.asarray(image).astype(np.intp)  # the type that indexing wants


def shape_tables(layout: Layout, side: int) -> ShapeTables:
    """The tables for a picture of side x side pixels."""
    n = len(layout.shapes) + 1
    tables = ShapeTables(
        color=np.zeros((3, n), np.float32),
        material=np.zeros(n, np.uint8),
        depth=np.zeros(n, np.float32),
        line=np.zeros(n, np.float32),
        light=np.zeros((8, n), np.float32),
    )
    tables.depth[0] = 1
    for i, shape in enumerate(layout.shapes, 1):
        form = FORMS[shape.form]
        tables.color[:, i], tables.material[i] = shape.color, shape.material
        tables.depth[i], tables.line[i] = shape.depth, shape.line
        shade = form.shade + SUN_GAIN.get(shape.form, 0) * layout.sun_side
        tables.light[:4, i] = shade, form.slope * layout.sun_side, form.rounding, form.lift
        if form.slope or form.rounding or form.lift:
            xs = [x for poly in shape.polys for x, _ in poly]
            ys = [y for poly in shape.polys for _, y in poly]
            x0, x1, y0, y1 = min(xs) * side, max(xs) * side, min(ys) * side, max(ys) * side
            tables.light[4:, i] = (x0 + x1) / 2, 2 / max(x1 - x0, 1), (y0 + y1) / 2, 2 / max(y1 - y0, 1)
    return tables


def form_light(tables: ShapeTables, number: np.ndarray) -> np.ndarray:
    """Brightness of each pixel from its shape's form and its place in the shape."""
    # one look-up for all eight: apart they take twice as long
    shade, slope, rounding, lift, cx, per_half_width, cy, per_half_height = tables.light.take(number, axis=1)
    pixels = np.arange(len(number), dtype=np.float32)
    u = (pixels[None, :] - cx) * per_half_width
    v = (cy - pixels[:, None]) * per_half_height
    return shade + slope * u - rounding * u * u + lift * v


def outlines(number: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Strength of the outline where two shapes meet, halved in size; the bolder shape's line counts."""
    edge = np.zeros(number.shape, np.float32)
    for here, before in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:, :], np.s_[:-1, :])):
        differs = number[here] != number[before]
        edge[here] = np.maximum(edge[here], differs * np.maximum(line[here], line[before]))
    edge = np.maximum(edge, np.roll(edge, -1, 1) * 0.6)
    return np.minimum(1, halve(edge) * 1.6)


def halve(pixels: np.ndarray) -> np.ndarray:
    """Mean of each 2 x 2 block of the last two axes."""
    return (pixels[..., ::2, ::2] + pixels[..., 1::2, ::2] + pixels[..., ::2, 1::2] + pixels[..., 1::2, 1::2]) * 0.25


def cast_shadow(layout: Layout, size: int) -> np.ndarray:
    """Soft shadow of the landmark and the trees, thrown over the ground away from the sun."""
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    for i, shape in enumerate(layout.shapes):
        if not shape.mass or shape.form not in ("front", "round", "dome", "slope") or shape.depth >= 0.3:
            continue
        if shape.depth < 0.2:
            foot = layout.base + 0.02
        elif layout.first_building <= i < layout.last_building:
            foot = layout.base
        else:
            foot = max(y for poly in shape.polys for _, y in poly)
        for poly in shape.polys:
            shadow = [(x - layout.sun_side * 0.75 * (foot - y), foot - 0.008 + 0.30 * (foot - y)) for x, y in poly]
            draw.polygon([(x * size, y * size) for x, y in shadow], fill=255)
    return ndimage.gaussian_filter(np.asarray(image, np.float32) / 255, size / 170)
