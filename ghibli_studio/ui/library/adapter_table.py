"""How the library of adapters looks: the table with its small pictures and curves, and two adapters side by side."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ghibli_studio.adapter_library import card_images, catalog
from ghibli_studio.adapter_library import comparison as adapter_comparison
from ghibli_studio.adapter_library.card_images import Index
from ghibli_studio.adapter_library.catalog import Entry
from ghibli_studio.plotting import charts, figures
from ghibli_studio.plotting.charts import Line
from ghibli_studio.plotting.figures import COLORS, SPARE_COLORS
from ghibli_studio.plotting.formatting import size
from ghibli_studio.reporting.image_selection import data_uri
from ghibli_studio.ui.components import html_parts
from ghibli_studio.workspace.project import Project

NOTHING = (
    "No adapter yet. Train one in the Train tab, or drop a .safetensors file below under Import: LoRA and "
    "Textual Inversion of diffusers, kohya's scripts and AUTOMATIC1111 are read."
)
SMALL, CURVE = 72, (96, 36)
MOST = 200
"""Rows that the table shows; `adapters` on the command line lists them all."""


def table(project: Project | None, entries: Sequence[Entry]) -> str:
    """The library as HTML: a row an adapter, the newest first."""
    if project is None or not entries:
        return html_parts.empty(NOTHING)
    known = card_images.index(project)
    rows = "".join(_row(project, entry, known) for entry in entries[:MOST])
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Picture", "Adapter", "Trigger", "Validation", "Made"))
    more = f"<p>{len(entries) - MOST} older ones are not shown.</p>" if len(entries) > MOST else ""
    return (
        f'<div class="figure"><div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>'
        f"</table></div></div>{more}"
    )


def _row(project: Project, entry: Entry, known: Index) -> str:
    name = f"<b>{html.escape(entry.name)}</b><br>"
    if entry.problem:
        why = f'<span class="problem">{html.escape(entry.problem)}</span>'
        return f'<tr><td></td><td colspan="3">{name}{why}</td><td>{entry.made:%Y-%m-%d %H:%M}</td></tr>'
    about = f"{entry.label}, {catalog.ORIGINS[entry.origin]}, {size(entry.file.stat().st_size)}"
    return (
        f"<tr><td>{_picture(project, entry, known)}</td><td>{name}{html.escape(about)}</td>"
        f"<td>{html.escape(entry.trigger) or 'none'}</td><td>{_sparkline(entry)}</td>"
        f"<td>{entry.made:%Y-%m-%d %H:%M}</td></tr>"
    )


def _picture(project: Project, entry: Entry, known: Index) -> str:
    found = card_images.samples(project, entry, 1, known)
    if not found:
        return '<span title="nothing was drawn with it yet">none yet</span>'
    words = html.escape(found[0].recipe["prompt"][:120])
    return (
        f'<img src="{data_uri(found[0].file, 2 * SMALL)}" width="{SMALL}" height="{SMALL}" loading="lazy" '
        f'alt="{words}" title="{words}" style="border-radius:.4rem;max-width:none">'
    )


def _sparkline(entry: Entry) -> str:
    """The validation losses as a small line, with first and last in words for those who cannot see it."""
    points = adapter_comparison.validation(entry)
    if len(points) < 2:
        return ""
    (width, height), losses = CURVE, [loss for _, loss in points]
    low, high = min(losses), max(losses)
    across, down = (width - 6) / (len(losses) - 1), (height - 6) / ((high - low) or 1)
    places = " ".join(f"{3 + x * across:.1f},{3 + (high - y) * down:.1f}" for x, y in enumerate(losses))
    told = f"{losses[0]:.4f} to {losses[-1]:.4f} in {points[-1][0]} epochs"
    return (
        f'<svg role="img" aria-label="validation loss {told}" width="{width}" height="{height}" '
        f'style="max-width:none;width:{width}px"><title>{told}</title><polyline points="{places}" fill="none" '
        f'stroke="{COLORS.get(entry.method, SPARE_COLORS[0])}" stroke-width="2"/></svg>'
        f"<br><small>{low:.4f}</small>"
    )


def comparison(project: Project, one: Entry, other: Entry) -> tuple[str, list[tuple[str, str]]]:
    """(curves and what was set otherwise as HTML, pictures for a gallery of two columns)."""
    found = adapter_comparison.compare(project, one, other)
    first = COLORS.get(one.method, SPARE_COLORS[0])
    second = COLORS.get(other.method, SPARE_COLORS[0])
    looks = [(first, "circle"), (second if second != first else SPARE_COLORS[1], "square")]
    lines = [
        Line(entry.name, tuple(points), color, marker=mark)
        for entry, points, (color, mark) in zip((one, other), found.curves, looks)
        if points
    ]
    drawn = (
        charts.lines(
            "Validation loss by epoch",
            lines,
            "epoch",
            "validation loss",
            "Fixed noise, held-out pictures; comparable only on one data set.",
        )
        if lines
        else ""
    )
    rows = [[name.replace("_", " "), *values] for name, *values in found.rows]
    set_otherwise = figures.table("What differs", ["", one.name, other.name], rows)
    pictures: list[tuple[Any, str]] = []
    for prompt, *pair in found.samples:
        for entry, sample in zip((one, other), pair):
            pictures.append(
                (
                    html_parts.served(sample.file) if sample else placeholder(),
                    f"{entry.name} · {prompt.split(',')[0]}" if sample else f"{entry.name}: not drawn",
                )
            )
    return f'<div class="figures">{drawn}{set_otherwise}</div>', pictures


@lru_cache(maxsize=1)
def placeholder() -> Any:
    """A gray square where there is no picture."""
    from PIL import Image

    return Image.new("RGB", (256, 256), "#c9ced4")
