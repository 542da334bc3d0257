"""Plots with intervals as inline SVG: they need no script, follow light and dark, and fit into a report."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, LABEL, ROW, FOOT = 460, 166, 30, 34
LETTERS = 22
TICKS = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Bar:
    """One row: a share with its interval."""

    label: str
    value: float | None
    """0..1; None where nothing can be said."""
    low: float | None
    high: float | None
    colour: str


def intervals(title: str, bars: Sequence[Bar], note: str = "", mark: float | None = None) -> str:
    """Shares from 0 to 100 % with their intervals, one below the other; `mark` is a dashed line, e.g. chance."""
    height = ROW * len(bars) + FOOT
    parts = [
        f'<line x1="{_x(tick):.1f}" y1="4" x2="{_x(tick):.1f}" y2="{height - FOOT + 4}" stroke="currentColor" '
        f'opacity=".15"/><text x="{_x(tick):.1f}" y="{height - 12}" text-anchor="middle">{tick:.0%}</text>'
        for tick in TICKS
    ]
    if mark is not None:
        parts.append(f'<line x1="{_x(mark):.1f}" y1="4" x2="{_x(mark):.1f}" y2="{height - FOOT + 4}" '
                     'stroke="currentColor" stroke-dasharray="4 4" opacity=".7"/>')
    for place, bar in enumerate(bars):
        y = ROW * place + ROW / 2 + 4
        label = html.escape(_short(bar.label))
        parts.append(f'<text x="{LABEL - 12}" y="{y + 5:.1f}" text-anchor="end">{label}</text>')
        if bar.value is None:
            parts.append(f'<text x="{LABEL + 6}" y="{y + 5:.1f}" opacity=".7">cannot be said</text>')
            continue
        if bar.low is not None and bar.high is not None:
            parts.append(f'<line x1="{_x(bar.low):.1f}" y1="{y:.1f}" x2="{_x(bar.high):.1f}" y2="{y:.1f}" '
                         f'stroke="{bar.colour}" stroke-width="8" stroke-linecap="round" opacity=".35"/>')
        parts.append(f'<circle cx="{_x(bar.value):.1f}" cy="{y:.1f}" r="6" fill="{bar.colour}"/>')
    spoken = "; ".join(f"{bar.label} {_told(bar)}" for bar in bars)
    caption = html.escape(title) + (f'<br><small>{html.escape(note)}</small>' if note else "")
    return (
        f'<figure class="figure"><figcaption>{caption}</figcaption><svg role="img" viewBox="0 0 {WIDTH} {height}" '
        f'font-size="14" fill="currentColor" aria-label="{html.escape(f"{title}: {spoken}")}">{"".join(parts)}</svg>'
        "</figure>"
    )


def _short(label: str) -> str:
    """What fits beside a row; the whole label is told in words."""
    return label if len(label) <= LETTERS else label[: LETTERS - 1].rstrip() + "…"


def _x(share: float) -> float:
    return LABEL + (WIDTH - LABEL - 30) * share


def _told(bar: Bar) -> str:
    if bar.value is None:
        return "cannot be said"
    within = f" ({bar.low:.0%} to {bar.high:.0%})" if bar.low is not None and bar.high is not None else ""
    return f"{bar.value:.0%}{within}"
