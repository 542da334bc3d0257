"""The table of adapters with thumbnails and loss curves, and the comparison of two adapters, as HTML."""

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
    "No adapters yet. Train one in the Train tab, or import a .safetensors file below: LoRA and Textual Inversion "
    "files of diffusers, kohya's scripts and AUTOMATIC1111."
)
SMALL, CURVE = 72, (96, 36)
MAX_ROWS = 200
"""The largest number of rows of the table; `adapters` on the command line lists all."""


def table(project: Project | None, entries: Sequence[Entry]) -> str:
    """Return the adapters as an HTML table, the newest first."""
    if project is None or not entries:
        return html_parts.empty(NOTHING)
    known = card_images.index_images(project)
    rows = "".join(_row(project, entry, known) for entry in entries[:MAX_ROWS])
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("Image", "Adapter", "Trigger", "Validation loss", "Created")
    )
    more = f"<p>{len(entries) - MAX_ROWS} older adapters are not shown.</p>" if len(entries) > MAX_ROWS else ""
    return (
        f'<div class="figure"><div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>'
        f"</table></div></div>{more}"
    )


def _row(project: Project, entry: Entry, known: Index) -> str:
    name = f"<b>{html.escape(entry.name)}</b><br>"
    if entry.problem:
        why = f'<span class="problem">{html.escape(entry.problem)}</span>'
        return f'<tr><td></td><td colspan="3">{name}{why}</td><td>{entry.created:%Y-%m-%d %H:%M}</td></tr>'
    about = f"{entry.label}, {catalog.ORIGINS[entry.origin]}, {size(entry.file.stat().st_size)}"
    return (
        f"<tr><td>{_image(project, entry, known)}</td><td>{name}{html.escape(about)}</td>"
        f"<td>{html.escape(entry.trigger) or 'none'}</td><td>{_sparkline(entry)}</td>"
        f"<td>{entry.created:%Y-%m-%d %H:%M}</td></tr>"
    )


def _image(project: Project, entry: Entry, known: Index) -> str:
    images = card_images.sample_images(project, entry, 1, known)
    if not images:
        return '<span title="no image was generated with it yet">none yet</span>'
    words = html.escape(images[0].metadata["prompt"][:120])
    return (
        f'<img src="{data_uri(images[0].file, 2 * SMALL)}" width="{SMALL}" height="{SMALL}" loading="lazy" '
        f'alt="{words}" title="{words}" style="border-radius:.4rem;max-width:none">'
    )


def _sparkline(entry: Entry) -> str:
    """Return the validation losses as a small SVG line, with the first and last value as text for screen readers."""
    points = adapter_comparison.validation_losses(entry)
    if len(points) < 2:
        return ""
    (width, height), losses = CURVE, [loss for _, loss in points]
    low, high = min(losses), max(losses)
    across, down = (width - 6) / (len(losses) - 1), (height - 6) / ((high - low) or 1)
    points_text = " ".join(f"{3 + x * across:.1f},{3 + (high - y) * down:.1f}" for x, y in enumerate(losses))
    summary = f"{losses[0]:.4f} to {losses[-1]:.4f} in {points[-1][0]} epochs"
    return (
        f'<svg role="img" aria-label="validation loss {summary}" width="{width}" height="{height}" '
        f'style="max-width:none;width:{width}px"><title>{summary}</title><polyline points="{points_text}" fill="none" '
        f'stroke="{COLORS.get(entry.method, SPARE_COLORS[0])}" stroke-width="2"/></svg>'
        f"<br><small>{low:.4f}</small>"
    )


def comparison(project: Project, one: Entry, other: Entry) -> tuple[str, list[tuple[str, str]]]:
    """Return (loss curves and differing settings as HTML, images for a gallery of two columns)."""
    found = adapter_comparison.compare(project, one, other)
    first = COLORS.get(one.method, SPARE_COLORS[0])
    second = COLORS.get(other.method, SPARE_COLORS[0])
    looks = [(first, "circle"), (second if second != first else SPARE_COLORS[1], "square")]
    lines = [
        Line(entry.name, tuple(points), color, marker=mark)
        for entry, points, (color, mark) in zip((one, other), found.curves, looks)
        if points
    ]
    curves = (
        charts.line_chart(
            "Validation loss by epoch",
            lines,
            "epoch",
            "validation loss",
            "Fixed noise, held-out images; comparable only on the same dataset.",
        )
        if lines
        else ""
    )
    rows = [[name.replace("_", " "), *values] for name, *values in found.rows]
    differences = figures.table("Differences", ["", one.name, other.name], rows)
    images: list[tuple[Any, str]] = []
    for prompt, *pair in found.samples:
        for entry, sample in zip((one, other), pair):
            images.append(
                (
                    html_parts.served(sample.file) if sample else placeholder(),
                    f"{entry.name} · {prompt.split(',')[0]}" if sample else f"{entry.name}: no image",
                )
            )
    return f'<div class="figures">{curves}{differences}</div>', images


@lru_cache(maxsize=1)
def placeholder() -> Any:
    """Return a gray square that stands for a missing image."""
    from PIL import Image

    return Image.new("RGB", (256, 256), "#c9ced4")
