"""Plots of dataset statistics: stacked bars of image counts by split."""

from __future__ import annotations

from collections.abc import Sequence

from ghibli_studio.data.statistics import Bin, DatasetStatistics
from ghibli_studio.plotting.figures import COLORS, LABEL, ROW, WIDTH, row_label, shorten, svg_figure, table

LETTERS = 19  # of a landmark's name; capitals are wide
SPLITS = {
    "train": ("training", COLORS["lora"]),
    "validation": ("validation", COLORS["ti"]),
    "undecided": ("undecided", COLORS["base"]),
}


def statistics_figures(statistics: DatasetStatistics) -> list[str]:
    """Return the figures of the statistics as HTML, the table first; figures without information are left out."""
    plots = {
        "Shorter side of the source": statistics.sizes,
        "Tokens per caption": statistics.tokens,
        "Brightness, 0 is black and 1 white": statistics.brightness,
    }
    if any(sum(_counts(bin)) > 1 for bin in statistics.landmarks[:-1]):  # the last one is "all others"
        plots["Landmarks"] = statistics.landmarks
    return [table("Dataset statistics", ("", ""), statistics.rows)] + [
        bars(title, bins) for title, bins in plots.items() if any(sum(_counts(bin)) for bin in bins)
    ]


def bars(title: str, bins: Sequence[Bin]) -> str:
    """Return stacked bars of counts as HTML; empty bars at either end are left out."""
    full = [index for index, bin in enumerate(bins) if sum(_counts(bin))]
    shown = bins[full[0] : full[-1] + 1]
    most = max(sum(_counts(bin)) for bin in shown)
    room = WIDTH - LABEL - 44
    parts = []
    for row, bin in enumerate(shown):
        y, left = ROW * row + ROW / 2 + 4, float(LABEL)
        parts.append(row_label(shorten(bin.label, LETTERS), y))
        for count, (_, color) in zip(_counts(bin), SPLITS.values()):
            width = room * count / most
            parts.append(f'<rect x="{left:.1f}" y="{y - 8:.1f}" width="{width:.1f}" height="16" fill="{color}"/>')
            left += width
        parts.append(f'<text x="{left + 6:.1f}" y="{y + 5:.1f}">{sum(_counts(bin))}</text>')
    used = [split for index, split in enumerate(SPLITS) if any(_counts(bin)[index] for bin in shown)]
    legend = "".join(
        f'<li><svg viewBox="0 0 18 8" aria-hidden="true"><rect width="18" height="8" fill="{color}"/></svg>{name}</li>'
        for name, color in (SPLITS[split] for split in used)
    )
    values = "; ".join(f"{bin.label}: {sum(_counts(bin))}" for bin in shown)
    height = ROW * len(shown) + 8
    return svg_figure(
        title, "", f"{title}: {values}", WIDTH, height, "".join(parts), f'<ul class="legend">{legend}</ul>'
    )


def _counts(bin: Bin) -> tuple[int, int, int]:
    return bin.train, bin.validation, bin.undecided
