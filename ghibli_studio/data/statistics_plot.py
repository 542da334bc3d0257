"""What a set of pictures is like, drawn: bars of how many, by the side of the split they are on."""

from __future__ import annotations

from collections.abc import Sequence

from ghibli_studio.data.statistics import Bin, Survey
from ghibli_studio.plotting.figures import COLORS, LABEL, ROW, WIDTH, beside, drawing, short, table

LETTERS = 19  # of a landmark's name; capitals are wide
SIDES = {
    "train": ("to train on", COLORS["lora"]),
    "validation": ("to validate on", COLORS["ti"]),
    "undecided": ("not decided", COLORS["base"]),
}


def survey_figures(survey: Survey) -> list[str]:
    """The figures of a survey as HTML, the table first; those that would tell nothing are left out."""
    drawn = {
        "Shorter side as it came": survey.sizes,
        "Tokens of the prompts": survey.tokens,
        "Brightness, 0 is black and 1 white": survey.brightness,
    }
    if any(sum(_counts(one)) > 1 for one in survey.landmarks[:-1]):  # the last one is that of all others
        drawn["Landmarks"] = survey.landmarks
    return [table("The set in numbers", ("", ""), survey.rows)] + [
        bars(title, bins) for title, bins in drawn.items() if any(_counts(one) for one in bins)
    ]


def bars(title: str, bins: Sequence[Bin]) -> str:
    """Stacked bars of counts; empty ones at either end are left out."""
    full = [index for index, one in enumerate(bins) if sum(_counts(one))]
    shown = bins[full[0] : full[-1] + 1]
    most = max(sum(_counts(one)) for one in shown)
    room = WIDTH - LABEL - 44
    parts = []
    for row, one in enumerate(shown):
        y, left = ROW * row + ROW / 2 + 4, float(LABEL)
        parts.append(beside(short(one.label, LETTERS), y))
        for count, (_, color) in zip(_counts(one), SIDES.values()):
            width = room * count / most
            parts.append(f'<rect x="{left:.1f}" y="{y - 8:.1f}" width="{width:.1f}" height="16" fill="{color}"/>')
            left += width
        parts.append(f'<text x="{left + 6:.1f}" y="{y + 5:.1f}">{sum(_counts(one))}</text>')
    used = [side for index, side in enumerate(SIDES) if any(_counts(one)[index] for one in shown)]
    legend = "".join(
        f'<li><svg viewBox="0 0 18 8" aria-hidden="true"><rect width="18" height="8" fill="{color}"/></svg>{name}</li>'
        for name, color in (SIDES[side] for side in used)
    )
    spoken = "; ".join(f"{one.label}: {sum(_counts(one))}" for one in shown)
    height = ROW * len(shown) + 8
    return drawing(title, "", f"{title}: {spoken}", WIDTH, height, "".join(parts), f'<ul class="legend">{legend}</ul>')


def _counts(one: Bin) -> tuple[int, int, int]:
    return one.train, one.validation, one.undecided
