"""The figures and tables of an evaluation, for the report and the Evaluate tab: from `result.json` to HTML.

No number is computed here but where it is drawn. What trainings say is drawn in `training_figures`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from ghibli_studio.plotting import figures
from ghibli_studio.plotting.figures import COLORS, Bar
from ghibli_studio.plotting.formatting import p_value
from ghibli_studio.reporting.evaluation_result import (
    COMPARED,
    comparison_of,
    looks,
    mean_of,
    measures_of,
    ranked,
    tasks_of,
)
from ghibli_studio.reporting.findings import TASKS, is_stand_in, pairs, signed_form, stand_ins, standing

NO_INTERVAL = "Too few landmarks for intervals: what is seen here may be luck."


def means(result: dict[str, Any], task: str, question: str | None = None) -> list[str]:
    """One figure a measure: the mean of every variant that is compared, with its interval."""
    found = []
    for key in measures_of(result, task, question):
        metric, bars = result["metrics"][key], []
        for name, (color, _) in looks(result["variants"]).items():
            one = mean_of(result, task, key, name)
            if one:
                bars.append(Bar(name, one["mean"], *(one["interval"] or (None, None)), color))
        if bars:
            scale = figures.axis([value for bar in bars for value in (bar.value, bar.low, bar.high)])
            note = f"{metric['better'].capitalize()} is better. {metric['what'].split('; ')[0].rstrip('.')}."
            note += "" if any(bar.low is not None for bar in bars) else f" {NO_INTERVAL}"
            title = f"{capitalized(metric['label'])}, drawn {TASKS[task]}"
            found.append(figures.intervals(title, bars, note, scale=scale))
    return found


def forest(result: dict[str, Any], task: str, pair: tuple[str, str]) -> str:
    """All measures of one pair on one scale: each difference divided by its spread over landmarks, better to the right.

    Empty where nothing of the pair can be drawn.
    """
    colors, bars = looks(result["variants"]), []
    for key in measures_of(result, task):
        one = comparison_of(result, task, key, pair)
        if one is None or not one["effect"] or not one["difference"] or one["interval"] is None:
            continue
        sign = 1 if result["metrics"][key]["better"] == "higher" else -1
        unit = sign * one["effect"] / one["difference"]
        low, high = sorted(unit * value for value in one["interval"])
        ahead = one["favors"] if standing(one) == "better" else None
        color = colors[ahead][0] if ahead in colors else COLORS["base"]
        bars.append(Bar(_brief(result, key), unit * one["difference"], low, high, color))
    if not bars:
        return ""
    scale = figures.axis([value for bar in bars for value in (bar.value, bar.low, bar.high)], include=(0.0,))
    return figures.intervals(
        f"{pair[0]} against {pair[1]}, drawn {TASKS[task]}",
        bars,
        f"Right of the line {pair[0]} is better, left of it {pair[1]}. Each difference is divided by its spread over "
        f"landmarks, so that all share one scale; gray: no evidence of a difference.{_stars(result, bars)}",
        mark=0.0,
        scale=scale,
    )


def forests(result: dict[str, Any]) -> list[str]:
    """The forests of all pairs of adapters (of all pairs where there are none), for every task."""
    own, with_base = pairs(result)
    drawn = (forest(result, task, pair) for pair in (own or with_base)[:6] for task in tasks_of(result))
    return [one for one in drawn if one]


def compared_rows(result: dict[str, Any]) -> list[list[str]]:
    """Rows under COMPARED: every comparison as texts, in the order of `ranked`."""
    rows = []
    for one in ranked(result):
        form = signed_form(one)
        said = {"better": f"{one['favors']} better", "none": "no evidence of a difference"}.get(
            standing(one), one["verdict"]
        )
        rows.append(
            [
                result["metrics"][one["metric"]]["label"],
                TASKS[one["task"]],
                f"{one['a']} − {one['b']}",
                form(one["difference"]),
                f"{form(one['interval'][0])} to {form(one['interval'][1])}" if one["interval"] else "none",
                "none" if one["p_holm"] is None else p_value(one["p_holm"]).removeprefix("p = ").removeprefix("p "),
                "none" if one["effect"] is None else f"{one['effect']:+.2f}".replace("-", "−"),
                said,
            ]
        )
    return rows


def comparisons(result: dict[str, Any]) -> str:
    """Every comparison in one table."""
    return figures.table(
        "All comparisons",
        COMPARED,
        compared_rows(result),
        "The difference is the first minus the second. Effect: divided by its spread over landmarks.",
    )


def sets(result: dict[str, Any]) -> list[str]:
    """A figure for each measure of whole sets that has an interval, and one table of all of them."""
    colors, found = looks(result["variants"]), []
    for task in tasks_of(result):
        for name in dict.fromkeys(one["metric"] for one in result["sets"]):
            told = [
                one
                for one in result["sets"]
                if (one["task"], one["metric"]) == (task, name) and one["variant"] in colors
            ]
            if told and any(one["interval"] for one in told):
                bars = [
                    Bar(one["variant"], one["value"], *(one["interval"] or (None, None)), colors[one["variant"]][0])
                    for one in told
                ]
                scale = figures.axis([value for bar in bars for value in (bar.value, bar.low, bar.high)])
                higher = "Higher is more varied" if name == "diversity" else "Lower is nearer to the originals"
                found.append(
                    figures.intervals(
                        f"{capitalized(told[0]['label'])}, drawn {TASKS[task]}",
                        bars,
                        f"{higher}; {told[0]['pictures']} pictures a set.",
                        scale=scale,
                    )
                )
    if result["sets"]:
        kinds = list(dict.fromkeys(one["metric"] for one in result["sets"]))
        told = sorted(result["sets"], key=lambda one: (list(TASKS).index(one["task"]), kinds.index(one["metric"])))
        rows = [
            [
                one["label"],
                TASKS[one["task"]],
                one["variant"],
                _number(one["value"]),
                f"{_number(one['interval'][0])} to {_number(one['interval'][1])}" if one["interval"] else "none",
                str(one["pictures"]),
                one["warning"] or "",
            ]
            for one in told
        ]
        heads = ["Measure", "Drawn", "Set", "Value", "95 % interval", "Pictures", "Warning"]
        found.append(figures.table("Whole sets against the originals", heads, rows))
    return found


def _brief(result: dict[str, Any], key: str) -> str:
    """A measure's label for a narrow place, in two lines if need be; a star stands for the name of a stand-in."""
    name = re.sub(r"\s*\([^)]*\)|,? a stand-in|\s*stand-in", "", result["metrics"][key]["label"])
    name += " *" if is_stand_in(result, key) else ""
    if len(name) <= figures.LETTERS:
        return name
    rows = textwrap.wrap(name, figures.LETTERS)
    return "\n".join(rows if len(rows) < 3 else textwrap.wrap(name, figures.LETTERS + 4)[:2])


def _stars(result: dict[str, Any], bars: Sequence[Bar]) -> str:
    """What the star means, where there is one."""
    starred = any(bar.label.endswith("*") for bar in bars)
    return f" * rests on a stand-in network ({', '.join(stand_ins(result))})." if starred else ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:#.3g}".rstrip(".").replace("-", "−")


def capitalized(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]
