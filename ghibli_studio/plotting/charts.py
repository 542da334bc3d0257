"""Figures with two axes as inline SVG: lines with bands, and points with their paths in a plane.

Each is told in words for those who cannot see it; markers and dashes tell apart what colors alone would not.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ghibli_studio.plotting.figures import Axis, axis, drawing, precise

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 22, 12, 48
LETTER, TALL = 6.2, 12  # px of a small label
MARKERS = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True)
class Line:
    """One curve."""

    label: str
    points: tuple[tuple[float, float], ...]
    """(x, y) from left to right."""
    color: str
    band: tuple[tuple[float, float, float], ...] = ()
    """(x, low, high) from left to right, e.g. an interval; empty for none."""
    dashed: bool = False
    marker: str = "circle"
    """One of MARKERS, or empty for a bare line."""


@dataclass(frozen=True)
class Point:
    """One place in a plane."""

    label: str
    x: float
    y: float
    color: str
    marker: str = "circle"
    within: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)
    """Intervals along x and along y, where there are any."""


@dataclass(frozen=True)
class Path:
    """Places that follow each other, joined by a line; each may have a short label of its own."""

    label: str
    points: tuple[tuple[float, float, str], ...]
    """(x, y, what it is)."""
    color: str
    marker: str = "circle"


def lines(
    title: str,
    series: Sequence[Line],
    x_label: str,
    y_label: str,
    note: str = "",
    mark: float | None = None,
    ticks: Sequence[float] | None = None,
    logarithmic: bool = False,
) -> str:
    """Curves with their bands; `mark` is a dashed horizontal line, `ticks` are places along x that have to be shown.

    `logarithmic` is for an x that is above zero and goes over powers of ten.
    """
    if logarithmic:
        series = [
            replace(
                line,
                points=tuple((math.log10(x), y) for x, y in line.points),
                band=tuple((math.log10(x), *two) for x, *two in line.band),
            )
            for line in series
        ]
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points] + [y for line in series for _, *two in line.band for y in two]
    across = _powers(xs) if logarithmic else axis(xs, 6) if ticks is None else _exactly(ticks)
    up = axis(ys, 5, () if mark is None else (mark,))
    inside = _frame(across, up, x_label, y_label)
    if mark is not None:
        inside.append(
            f'<line x1="{LEFT}" y1="{_y(mark, up):.1f}" x2="{WIDTH - RIGHT}" y2="{_y(mark, up):.1f}" '
            'stroke="currentColor" stroke-dasharray="4 4" opacity=".7"/>'
        )
    for line in series:
        if line.band:
            there = [f"{_x(x, across):.1f},{_y(high, up):.1f}" for x, _, high in line.band]
            back = [f"{_x(x, across):.1f},{_y(low, up):.1f}" for x, low, _ in reversed(line.band)]
            inside.append(f'<polygon points="{" ".join(there + back)}" fill="{line.color}" opacity=".2"/>')
    for line in series:
        places = [(_x(x, across), _y(y, up)) for x, y in line.points]
        inside.append(_polyline(places, line.color, line.dashed))
        inside += [marker(line.marker, x, y, 3.5, line.color) for x, y in places if line.marker]
    form, at = precise(up), across.form if logarithmic else precise(across)
    spoken = "; ".join(_course(line, form, at) for line in series)
    return drawing(
        title,
        note,
        f"{title}, {y_label} by {x_label}: {spoken}",
        WIDTH,
        HEIGHT,
        "".join(inside),
        legend([(line.label, line.color, line.marker, line.dashed) for line in series]),
    )


def plane(
    title: str, points: Sequence[Point], x_label: str, y_label: str, note: str = "", paths: Sequence[Path] = ()
) -> str:
    """Points with crosses for their intervals, and paths through the plane."""
    xs = [p.x for p in points] + [x for p in points for x in p.within[0] or ()]
    ys = [p.y for p in points] + [y for p in points for y in p.within[1] or ()]
    across = axis(xs + [x for path in paths for x, *_ in path.points], 5)
    up = axis(ys + [y for path in paths for _, y, _ in path.points], 5)
    inside = _frame(across, up, x_label, y_label)
    taken = [(_x(point.x, across) - 9, _y(point.y, up) - 9, 18.0, 18.0) for point in points]
    for path in paths:
        places = [(_x(x, across), _y(y, up)) for x, y, _ in path.points]
        inside.append(_polyline(places, path.color, dashed=True))
        inside += [marker(path.marker, x, y, 3, path.color) for x, y in places]
        taken += [(x - 3, y - 3, 6.0, 6.0) for x, y in places]
    for path in paths:
        for x, y, name in path.points:
            inside.append(_named(name, _x(x, across), _y(y, up), path.color, taken))
    for point in points:
        x, y = _x(point.x, across), _y(point.y, up)
        for places, along in zip(point.within, "xy"):
            if places is not None:
                a, b = (_x(v, across) if along == "x" else _y(v, up) for v in places)
                ends = (a, y, b, y) if along == "x" else (x, a, x, b)
                inside.append(
                    '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" '.format(*ends)
                    + f'stroke="{point.color}" stroke-width="2.5" opacity=".55"/>'
                )
        inside.append(marker(point.marker, x, y, 7, point.color))
    one, other = precise(across), precise(up)
    spoken = "; ".join(
        [
            *(f"{p.label} at {one(p.x)}, {other(p.y)}" for p in points),
            *(
                f"{path.label} from {one(path.points[0][0])}, {other(path.points[0][1])} to {one(path.points[-1][0])}, "
                f"{other(path.points[-1][1])}"
                for path in paths
                if path.points
            ),
        ]
    )
    entries = [(p.label, p.color, p.marker, None) for p in points]
    entries += [(path.label, path.color, path.marker, True) for path in paths]
    return drawing(
        title,
        note,
        f"{title}, {x_label} across and {y_label} up: {spoken}",
        WIDTH,
        HEIGHT,
        "".join(inside),
        legend(entries),
    )


def marker(kind: str, x: float, y: float, size: float, color: str) -> str:
    """A small sign at a place; raises KeyError for a kind that is not in MARKERS."""
    s = size * 0.9
    d = size * 1.25
    return {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{color}"/>',
        "square": f'<rect x="{x - s:.1f}" y="{y - s:.1f}" width="{2 * s:.1f}" height="{2 * s:.1f}" fill="{color}"/>',
        "diamond": f'<path d="M{x:.1f} {y - d:.1f}l{d:.1f} {d:.1f}l{-d:.1f} {d:.1f}l{-d:.1f} {-d:.1f}z" '
        f'fill="{color}"/>',
        "triangle": f'<path d="M{x:.1f} {y - d:.1f}l{d:.1f} {2 * d:.1f}h{-2 * d:.1f}z" fill="{color}"/>',
    }[kind]


def legend(entries: Sequence[tuple[str, str, str, bool | None]]) -> str:
    """(label, color, marker, dashed; None for no line) of everything drawn, as a list below the figure."""
    items = []
    for label, color, kind, dashed in entries:
        line = "" if dashed is None else _polyline([(1, 6), (27, 6)], color, dashed)
        sign = marker(kind, 14, 6, 3.5, color) if kind else ""
        items.append(f'<li><svg viewBox="0 0 28 12" aria-hidden="true">{line}{sign}</svg>{html.escape(label)}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def _frame(across: Axis, up: Axis, x_label: str, y_label: str) -> list[str]:
    """Grid, numbers and the axes' names."""
    floor, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    parts = []
    for tick in across.ticks:
        x = _x(tick, across)
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{floor}" stroke="currentColor" opacity=".1"/>'
            f'<text x="{x:.1f}" y="{floor + 17}" text-anchor="middle" font-size="12">{across.form(tick)}'
            "</text>"
        )
    for tick in up.ticks:
        y = _y(tick, up)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="currentColor" '
            f'opacity=".1"/><text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end" font-size="12">'
            f"{up.form(tick)}</text>"
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle" font-size="13">'
        f"{html.escape(x_label)}</text>"
    )
    parts.append(
        f'<text transform="translate(13 {middle:.1f}) rotate(-90)" text-anchor="middle" font-size="13">'
        f"{html.escape(y_label)}</text>"
    )
    return parts


def _named(name: str, x: float, y: float, color: str, taken: list[tuple[float, float, float, float]]) -> str:
    """A small label beside a place, where it covers nothing that was there before; empty where there is no room.

    `taken` holds (left, top, width, height) of what is there, and grows.
    """
    wide = LETTER * len(name)
    for left, top in ((x + 6, y - 15), (x - 6 - wide, y - 15), (x + 6, y + 3), (x - 6 - wide, y + 3)):
        inside = left >= LEFT and left + wide <= WIDTH and top >= TOP and top + TALL <= HEIGHT - BOTTOM
        free = all(left + wide <= a or a + w <= left or top + TALL <= b or b + h <= top for a, b, w, h in taken)
        if name and inside and free:
            taken.append((left, top, wide, TALL))
            return (
                f'<text x="{left:.1f}" y="{top + TALL - 2:.1f}" font-size="11" fill="{color}">'
                f"{html.escape(name)}</text>"
            )
    return ""


def _polyline(places: Sequence[tuple[float, float]], color: str, dashed: bool) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'


def _course(line: Line, form: Callable[[float], str], at: Callable[[float], str]) -> str:
    """A curve in a sentence: where it begins, where it is lowest, where it ends."""
    if not line.points:
        return f"{line.label} has no point"
    if len(line.points) == 1:
        return f"{line.label}, {form(line.points[0][1])} where {at(line.points[0][0])}"
    first, last, least = line.points[0], line.points[-1], min(line.points, key=lambda point: point[1])
    return (
        f"{line.label} begins at {form(first[1])}, is lowest at {form(least[1])} where {at(least[0])}, "
        f"ends at {form(last[1])}"
    )


def _exactly(ticks: Sequence[float]) -> Axis:
    """A scale with these ticks and no others, a little wider than they are."""
    places = tuple(sorted(ticks))
    room = (places[-1] - places[0]) * 0.03 or 0.5
    return Axis(places[0] - room, places[-1] + room, places, "{:g}".format)


def _powers(logarithms: Sequence[float]) -> Axis:
    """A scale of powers of ten around these logarithms, written as the numbers themselves."""
    low, high = math.floor(min(logarithms, default=0)), math.ceil(max(logarithms, default=1))
    ticks = tuple(range(low, max(high, low + 1) + 1))
    return Axis(ticks[0], ticks[-1], ticks, lambda value: f"{10.0**value:.2g}")


def _x(value: float, scale: Axis) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * scale.at(value)


def _y(value: float, scale: Axis) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * scale.at(value)
