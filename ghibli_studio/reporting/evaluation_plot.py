"""The figures and tables of an evaluation for the report and the Evaluate tab: from `result.json` to HTML.

No number is computed here, except to scale a plot. The figures of training are in `training_plot`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from ghibli_studio.evaluation.metrics import TASKS
from ghibli_studio.plotting import figures
from ghibli_studio.plotting.figures import COLORS, Axis, Bar
from ghibli_studio.plotting.formatting import p_value
from ghibli_studio.reporting.evaluation_result import (
    COMPARISON_COLUMNS,
    comparison_of,
    mean_of,
    metrics_of,
    sorted_comparisons,
    tasks_of,
    variant_styles,
)
from ghibli_studio.reporting.findings import classify, compared_pairs, proxy_networks, signed_formatter, uses_proxy

NO_INTERVAL = "Too few landmarks for intervals: the differences may be due to chance."


def mean_plots(result: dict[str, Any], task: str, question: str | None = None) -> list[str]:
    """Return one figure per metric: the mean of every compared variant, with its interval."""
    plots = []
    for key in metrics_of(result, task, question):
        metric, bars = result["metrics"][key], []
        for name, (color, _) in variant_styles(result["variants"]).items():
            mean = mean_of(result, task, key, name)
            if mean:
                low, high = mean["interval"] or (None, None)
                bars.append(Bar(name, mean["mean"], low, high, color))
        if bars:
            note = f"{metric['better'].capitalize()} is better. {metric['description'].split('; ')[0].rstrip('.')}."
            note += "" if any(bar.low is not None for bar in bars) else f" {NO_INTERVAL}"
            title = f"{capitalize_first(metric['label'])}, {task}"
            plots.append(figures.interval_chart(title, bars, note, scale=_scale(bars)))
    return plots


def forest_plot(result: dict[str, Any], task: str, pair: tuple[str, str]) -> str:
    """Return all metrics of one pair on one scale: standardized differences, better to the right.

    Empty if there is nothing to plot.
    """
    colors, bars = variant_styles(result["variants"]), []
    for key in metrics_of(result, task):
        comparison = comparison_of(result, task, key, pair)
        if comparison is None or comparison["interval"] is None:
            continue
        if not comparison["effect_size"] or not comparison["difference"]:
            continue
        sign = 1 if result["metrics"][key]["better"] == "higher" else -1
        unit = sign * comparison["effect_size"] / comparison["difference"]
        low, high = sorted(unit * value for value in comparison["interval"])
        favors = comparison["favors"] if classify(comparison) == "difference" else None
        color = colors[favors][0] if favors in colors else COLORS["base"]
        bars.append(Bar(_short_label(result, key), unit * comparison["difference"], low, high, color))
    if not bars:
        return ""
    return figures.interval_chart(
        f"{pair[0]} vs. {pair[1]}, {task}",
        bars,
        f"{pair[0]} is better to the right of the line, {pair[1]} to the left. Each difference is divided by its "
        f"spread over landmarks to share one scale; gray: no evidence of a difference.{_proxy_note(result, bars)}",
        mark=0.0,
        scale=_scale(bars, include=(0.0,)),
    )


def forest_plots(result: dict[str, Any]) -> list[str]:
    """Return the forest plots of all pairs of adapters (of all pairs if there are none), for every task."""
    adapter_pairs, with_base = compared_pairs(result)
    pairs = (adapter_pairs or with_base)[:6]
    plots = (forest_plot(result, task, pair) for pair in pairs for task in tasks_of(result))
    return [plot for plot in plots if plot]


def comparison_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return every comparison as a row of texts under COMPARISON_COLUMNS, in the order of `sorted_comparisons`."""
    rows = []
    for comparison in sorted_comparisons(result):
        form, interval, effect_size = signed_formatter(comparison), comparison["interval"], comparison["effect_size"]
        verdicts = {"difference": f"{comparison['favors']} better", "no_difference": "no evidence of a difference"}
        p = comparison["p_holm"]
        rows.append(
            [
                result["metrics"][comparison["metric"]]["label"],
                comparison["task"],
                f"{comparison['a']} − {comparison['b']}",
                form(comparison["difference"]),
                f"{form(interval[0])} to {form(interval[1])}" if interval else "none",
                "none" if p is None else p_value(p).removeprefix("p = ").removeprefix("p "),
                "none" if effect_size is None else f"{effect_size:+.2f}".replace("-", "−"),
                verdicts.get(classify(comparison), comparison["verdict"]),
            ]
        )
    return rows


def comparison_table(result: dict[str, Any]) -> str:
    """Return every comparison in one table."""
    return figures.table(
        "All comparisons",
        COMPARISON_COLUMNS,
        comparison_rows(result),
        "The difference is the first minus the second. Effect size: the difference divided by its spread over "
        "landmarks.",
    )


def distribution_plots(result: dict[str, Any]) -> list[str]:
    """Return a figure for each distribution metric that has an interval, and one table of all of them."""
    colors, plots = variant_styles(result["variants"]), []
    for task in tasks_of(result):
        for name in dict.fromkeys(entry["metric"] for entry in result["sets"]):
            entries = [
                entry
                for entry in result["sets"]
                if (entry["task"], entry["metric"]) == (task, name) and entry["variant"] in colors
            ]
            if any(entry["interval"] for entry in entries):
                bars = []
                for entry in entries:
                    low, high = entry["interval"] or (None, None)
                    bars.append(Bar(entry["variant"], entry["value"], low, high, colors[entry["variant"]][0]))
                direction = "Higher is more varied" if name == "diversity" else "Lower is closer to the originals"
                plots.append(
                    figures.interval_chart(
                        f"{capitalize_first(entries[0]['label'])}, {task}",
                        bars,
                        f"{direction}; {entries[0]['images']} images per set.",
                        scale=_scale(bars),
                    )
                )
    if result["sets"]:
        plots.append(_distribution_table(result))
    return plots


def _distribution_table(result: dict[str, Any]) -> str:
    metrics = list(dict.fromkeys(entry["metric"] for entry in result["sets"]))
    entries = sorted(result["sets"], key=lambda entry: (TASKS.index(entry["task"]), metrics.index(entry["metric"])))
    rows = [
        [
            entry["label"],
            entry["task"],
            entry["variant"],
            _number(entry["value"]),
            f"{_number(entry['interval'][0])} to {_number(entry['interval'][1])}" if entry["interval"] else "none",
            str(entry["images"]),
            entry["warning"] or "",
        ]
        for entry in entries
    ]
    heads = ["Metric", "Task", "Variant", "Value", "95 % interval", "Images", "Warning"]
    return figures.table("Sets of images vs. the originals", heads, rows)


def _scale(bars: Sequence[Bar], include: Sequence[float] = ()) -> Axis:
    return figures.axis([value for bar in bars for value in (bar.value, bar.low, bar.high)], include=include)


def _short_label(result: dict[str, Any], key: str) -> str:
    """Return a metric's label for a narrow place, in two lines if needed; a star marks a proxy."""
    name = re.sub(r"\s*\([^)]*\)|,? a proxy|\s*proxy", "", result["metrics"][key]["label"])
    name += " *" if uses_proxy(result, key) else ""
    if len(name) <= figures.LETTERS:
        return name
    lines = textwrap.wrap(name, figures.LETTERS)
    return "\n".join(lines if len(lines) < 3 else textwrap.wrap(name, figures.LETTERS + 4)[:2])


def _proxy_note(result: dict[str, Any], bars: Sequence[Bar]) -> str:
    """Return the meaning of the star, if there is one."""
    starred = any(bar.label.endswith("*") for bar in bars)
    return f" * computed with a proxy network ({', '.join(proxy_networks(result))})." if starred else ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:#.3g}".rstrip(".").replace("-", "−")


def capitalize_first(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[0].upper() + text[1:]
