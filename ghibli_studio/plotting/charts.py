"""Charts with two axes as inline SVG: lines with bands, and scatter plots with paths.

Each has a description in words as alt text; markers and dashes distinguish what colors alone would not.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ghibli_studio.plotting.figures import Axis, axis, precise_format, svg_figure

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 22, 12, 48
LETTER, TALL = 6.2, 12  # of a small label, px
MARKERS = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True)
class Line:
    """One curve."""

    label: str
    points: tuple[tuple[float, float], ...]
    """(x, y) from left to right."""
    color: str
    band: tuple[tuple[float, float, float], ...] = ()
    """(x, low, high) from left to right, e.g. an interval; may be empty."""
    dashed: bool = False
    marker: str = "circle"
    """One of MARKERS, or empty for a line without markers."""


@dataclass(frozen=True)
class Point:
    """One point of a scatter plot."""

    label: str
    x: float
    y: float
    color: str
    marker: str = "circle"
    intervals: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)
    """Intervals along x and along y, if any."""


@dataclass(frozen=True)
class Trajectory:
    """Points joined by a dashed line; each may have a short label."""

    label: str
    points: tuple[tuple[float, float, str], ...]
    """(x, y, label)."""
    color: str
    marker: str = "circle"


def line_chart(
    title: str,
    series: Sequence[Line],
    x_label: str,
    y_label: str,
    note: str = "",
    mark: float | None = None,
    ticks: Sequence[float] | None = None,
    logarithmic: bool = False,
) -> str:
    """Return curves with their bands as HTML; `mark` is a dashed horizontal line, `ticks` are the ticks of the x axis.

    With `logarithmic`, x has to be positive and the x axis shows powers of ten.
    """
    if logarithmic:
        series = [
            replace(
                line,
                points=tuple((math.log10(x), y) for x, y in line.points),
                band=tuple((math.log10(x), low, high) for x, low, high in line.band),
            )
            for line in series
        ]
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points] + [y for line in series for _, *two in line.band for y in two]
    across = _log_axis(xs) if logarithmic else axis(xs, 6) if ticks is None else _axis_with_ticks(ticks)
    up = axis(ys, 5, () if mark is None else (mark,))
    parts = _frame(across, up, x_label, y_label)
    if mark is not None:
        parts.append(
            f'<line x1="{LEFT}" y1="{_y(mark, up):.1f}" x2="{WIDTH - RIGHT}" y2="{_y(mark, up):.1f}" '
            'stroke="currentColor" stroke-dasharray="4 4" opacity=".7"/>'
        )
    for line in series:
        if line.band:
            upper = [f"{_x(x, across):.1f},{_y(high, up):.1f}" for x, _, high in line.band]
            lower = [f"{_x(x, across):.1f},{_y(low, up):.1f}" for x, low, _ in reversed(line.band)]
            parts.append(f'<polygon points="{" ".join(upper + lower)}" fill="{line.color}" opacity=".2"/>')
    for line in series:
        pixels = [(_x(x, across), _y(y, up)) for x, y in line.points]
        parts.append(_polyline(pixels, line.color, line.dashed))
        parts += [marker(line.marker, x, y, 3.5, line.color) for x, y in pixels if line.marker]
    form_y, form_x = precise_format(up), across.form if logarithmic else precise_format(across)
    curves = "; ".join(_described(line, form_y, form_x) for line in series)
    return svg_figure(
        title,
        note,
        f"{title}, {y_label} by {x_label}: {curves}",
        WIDTH,
        HEIGHT,
        "".join(parts),
        legend([(line.label, line.color, line.marker, line.dashed) for line in series]),
    )


def scatter_plot(
    title: str, points: Sequence[Point], x_label: str, y_label: str, note: str = "", paths: Sequence[Trajectory] = ()
) -> str:
    """Return points, with crosses for their intervals, and paths as HTML."""
    xs = [p.x for p in points] + [x for p in points for x in p.intervals[0] or ()]
    ys = [p.y for p in points] + [y for p in points for y in p.intervals[1] or ()]
    across = axis(xs + [x for path in paths for x, *_ in path.points], 5)
    up = axis(ys + [y for path in paths for _, y, _ in path.points], 5)
    parts = _frame(across, up, x_label, y_label)
    taken = [(_x(point.x, across) - 9, _y(point.y, up) - 9, 18.0, 18.0) for point in points]
    for path in paths:
        pixels = [(_x(x, across), _y(y, up)) for x, y, _ in path.points]
        parts.append(_polyline(pixels, path.color, dashed=True))
        parts += [marker(path.marker, x, y, 3, path.color) for x, y in pixels]
        taken += [(x - 3, y - 3, 6.0, 6.0) for x, y in pixels]
    for path in paths:
        for x, y, name in path.points:
            parts.append(_named(name, _x(x, across), _y(y, up), path.color, taken))
    for point in points:
        x, y = _x(point.x, across), _y(point.y, up)
        for interval, along in zip(point.intervals, "xy"):
            if interval is not None:
                a, b = (_x(v, across) if along == "x" else _y(v, up) for v in interval)
                ends = (a, y, b, y) if along == "x" else (x, a, x, b)
                parts.append(
                    '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" '.format(*ends)
                    + f'stroke="{point.color}" stroke-width="2.5" opacity=".55"/>'
                )
        parts.append(marker(point.marker, x, y, 7, point.color))
    form_x, form_y = precise_format(across), precise_format(up)
    described = "; ".join(
        [
            *(f"{p.label} at {form_x(p.x)}, {form_y(p.y)}" for p in points),
            *(
                f"{path.label} from {form_x(path.points[0][0])}, {form_y(path.points[0][1])} to "
                f"{form_x(path.points[-1][0])}, {form_y(path.points[-1][1])}"
                for path in paths
                if path.points
            ),
        ]
    )
    entries: list[tuple[str, str, str, bool | None]] = [(p.label, p.color, p.marker, None) for p in points]
    entries += [(path.label, path.color, path.marker, True) for path in paths]
    return svg_figure(
        title,
        note,
        f"{title}, {x_label} across and {y_label} up: {described}",
        WIDTH,
        HEIGHT,
        "".join(parts),
        legend(entries),
    )


def marker(kind: str, x: float, y: float, size: float, color: str) -> str:
    """Return a marker as SVG; raises KeyError for a kind that is not in MARKERS."""
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
    """Return the legend as an HTML list; entries are (label, color, marker, dashed or None for no line)."""
    items = []
    for label, color, kind, dashed in entries:
        line = "" if dashed is None else _polyline([(1, 6), (27, 6)], color, dashed)
        sign = marker(kind, 14, 6, 3.5, color) if kind else ""
        items.append(f'<li><svg viewBox="0 0 28 12" aria-hidden="true">{line}{sign}</svg>{html.escape(label)}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def _frame(across: Axis, up: Axis, x_label: str, y_label: str) -> list[str]:
    """Return grid, tick labels and axis labels as SVG."""
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
    """Return a small label beside a point where it covers nothing else; empty where there is no room.

    `taken` holds (left, top, width, height) of the occupied boxes; the label is added to it.
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


def _polyline(pixels: Sequence[tuple[float, float]], color: str, dashed: bool) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'


def _described(line: Line, form_y: Callable[[float], str], form_x: Callable[[float], str]) -> str:
    """Return a curve as a sentence: its first, lowest and last value."""
    if not line.points:
        return f"{line.label} has no points"
    if len(line.points) == 1:
        return f"{line.label}, {form_y(line.points[0][1])} at {form_x(line.points[0][0])}"
    first, last, least = line.points[0], line.points[-1], min(line.points, key=lambda point: point[1])
    return (
        f"{line.label} starts at {form_y(first[1])}, is lowest with {form_y(least[1])} at {form_x(least[0])}, and ends "
        f"at {form_y(last[1])}"
    )


def _axis_with_ticks(ticks: Sequence[float]) -> Axis:
    """Return a scale with exactly these ticks, a little wider than they are."""
    ordered = tuple(sorted(ticks))
    room = (ordered[-1] - ordered[0]) * 0.03 or 0.5
    return Axis(ordered[0] - room, ordered[-1] + room, ordered, "{:g}".format)


def _log_axis(logarithms: Sequence[float]) -> Axis:
    """Return a scale of powers of ten around these logarithms, labeled with the numbers themselves."""
    low, high = math.floor(min(logarithms, default=0)), math.ceil(max(logarithms, default=1))
    ticks = tuple(range(low, max(high, low + 1) + 1))
    return Axis(ticks[0], ticks[-1], ticks, lambda value: f"{10.0**value:.2g}")


def _x(value: float, scale: Axis) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * scale.at(value)


def _y(value: float, scale: Axis) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * scale.at(value)
