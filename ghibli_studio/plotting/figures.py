"""Charts of values with intervals as inline SVG: without scripts, for light and dark pages and for reports.

Knows no gradio, file or model. Charts with two axes are in `charts`; the colors of all plots are here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

WIDTH, LABEL, ROW, FOOT = 460, 166, 30, 34
LETTERS = 22

# colors of the methods; readable on light and dark backgrounds
COLORS = {"lora": "#2f9e63", "ti": "#d0672f", "base": "#7a8794"}
SPARE_COLORS = ("#6374de", "#b05ab8", "#2497b4", "#bd9318")
MORE_COLORS = (*SPARE_COLORS, "#c2455b", "#5f9b1f", "#8d6748", "#e08ab0", "#3b62a8", "#8f8a2a", "#5cb0a0", "#a0522d")
"""Colors for plots of many runs; SPARE_COLORS come first."""


@dataclass(frozen=True)
class Axis:
    """The scale of one axis."""

    low: float
    high: float
    ticks: tuple[float, ...]
    form: Callable[[float], str]
    """Formats a number of this axis."""

    def at(self, value: float) -> float:
        """Return the position of a value between the ends, 0..1 for values inside."""
        return (value - self.low) / (self.high - self.low)


SHARES = Axis(0, 1, (0, 0.25, 0.5, 0.75, 1), "{:.0%}".format)


def axis(values: Iterable[float | None], count: int = 4, include: Sequence[float] = ()) -> Axis:
    """Return a scale around the values with about `count` round ticks; it covers the numbers of `include`, too.

    Ticks are 1, 2 or 5 times a power of ten apart (Heckbert 1990, "Nice numbers for graph labels", Graphics Gems).
    """
    finite = [value for value in (*values, *include) if value is not None and math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low <= 1e-9 * max(abs(high), abs(low)):
        half = abs(high) * 0.05 or 0.5
        low, high = low - half, high + half
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in (1, 2, 5, 10) if nice * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple(round(number * step, 12) for number in range(first, last + 1))

    return Axis(ticks[0], ticks[-1], ticks, _formatter(digits))


def precise_format(scale: Axis) -> Callable[[float], str]:
    """Return a formatter with one digit more than the ticks of the axis, for text and tables."""
    step = min((b - a for a, b in zip(scale.ticks, scale.ticks[1:])), default=1.0)
    return _formatter(max(0, 1 - math.floor(math.log10(step) + 1e-9)))


def _formatter(digits: int) -> Callable[[float], str]:
    """Return a formatter with so many digits, a true minus sign, and no sign for a rounded zero."""

    def form(value: float) -> str:
        text = f"{value:,.{digits}f}"
        return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")

    return form


@dataclass(frozen=True)
class Bar:
    """One row of a chart: a value with its interval."""

    label: str
    """A line break in it gives two lines."""
    value: float | None
    """A value on the axis, 0..1 for shares; None where it cannot be computed."""
    low: float | None
    high: float | None
    color: str


def interval_chart(
    title: str, bars: Sequence[Bar], note: str = "", mark: float | None = None, scale: Axis = SHARES
) -> str:
    """Return values with their intervals as rows of an SVG; `mark` is a dashed line, e.g. chance or no difference.

    The default `scale` shows shares from 0 to 100 %; `axis` gives others.
    """
    height = ROW * len(bars) + FOOT
    parts = [
        f'<line x1="{_x(tick, scale):.1f}" y1="4" x2="{_x(tick, scale):.1f}" y2="{height - FOOT + 4}" '
        f'stroke="currentColor" opacity=".15"/><text x="{_x(tick, scale):.1f}" y="{height - 12}" '
        f'text-anchor="middle">{scale.form(tick)}</text>'
        for tick in scale.ticks
    ]
    if mark is not None:
        parts.append(
            f'<line x1="{_x(mark, scale):.1f}" y1="4" x2="{_x(mark, scale):.1f}" y2="{height - FOOT + 4}" '
            'stroke="currentColor" stroke-dasharray="4 4" opacity=".7"/>'
        )
    for row, bar in enumerate(bars):
        y = ROW * row + ROW / 2 + 4
        parts.append(row_label(bar.label, y))
        if bar.value is None:
            parts.append(f'<text x="{LABEL + 6}" y="{y + 5:.1f}" opacity=".7">no data</text>')
            continue
        if bar.low is not None and bar.high is not None:
            parts.append(
                f'<line x1="{_x(bar.low, scale):.1f}" y1="{y:.1f}" x2="{_x(bar.high, scale):.1f}" '
                f'y2="{y:.1f}" stroke="{bar.color}" stroke-width="8" stroke-linecap="round" opacity=".35"/>'
            )
        parts.append(f'<circle cx="{_x(bar.value, scale):.1f}" cy="{y:.1f}" r="6" fill="{bar.color}"/>')
    form = scale.form if scale is SHARES else precise_format(scale)
    values = "; ".join(f"{bar.label} {_described(bar, form)}".replace("\n", " ") for bar in bars)
    return svg_figure(title, note, f"{title}: {values}", WIDTH, height, "".join(parts))


def svg_figure(title: str, note: str, alt_text: str, width: float, height: float, svg: str, after: str = "") -> str:
    """Return an SVG figure with its caption as HTML; `alt_text` is for screen readers, `after` is HTML below it."""
    caption = html.escape(title) + (f"<br><small>{html.escape(note)}</small>" if note else "")
    return (
        f'<figure class="figure"><figcaption>{caption}</figcaption><svg role="img" viewBox="0 0 {width} {height}" '
        f'font-size="14" fill="currentColor" aria-label="{html.escape(alt_text)}">{svg}</svg>{after}</figure>'
    )


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], note: str = "", numbers: int = 0) -> str:
    """Return a table of texts as an HTML figure; the last `numbers` columns are right-aligned."""
    first = len(heads) - numbers

    def cell(tag: str, index: int, text: str) -> str:
        mark = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{mark}{' class=n' if index >= first else ''}>{html.escape(text)}</{tag}>"

    head = "".join(cell("th", index, text) for index, text in enumerate(heads))
    lines = ("".join(cell("td", index, text) for index, text in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    caption = html.escape(title) + (f"<br><small>{html.escape(note)}</small>" if note else "")
    return (
        f'<figure class="figure"><figcaption>{caption}</figcaption><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )


def row_label(label: str, y: float) -> str:
    """Return the label of a row as SVG; a line break in it gives two smaller lines."""
    size = ' font-size="12"' if "\n" in label else ""
    rows = label.split("\n")[:2]
    return "".join(
        f'<text x="{LABEL - 12}" y="{y + 5 + 14 * (index - (len(rows) - 1) / 2):.1f}" text-anchor="end"{size}>'
        f"{html.escape(shorten(row, LETTERS + 4 if size else LETTERS))}</text>"
        for index, row in enumerate(rows)
    )


def shorten(label: str, letters: int = LETTERS) -> str:
    """Return the label, cut to what fits beside a row; the alt text has all of it."""
    return label if len(label) <= letters else label[: letters - 1].rstrip() + "…"


def _x(value: float, scale: Axis) -> float:
    return LABEL + (WIDTH - LABEL - 30) * scale.at(value)


def _described(bar: Bar, form: Callable[[float], str]) -> str:
    if bar.value is None:
        return "no data"
    within = f" ({form(bar.low)} to {form(bar.high)})" if bar.low is not None and bar.high is not None else ""
    return f"{form(bar.value)}{within}"
