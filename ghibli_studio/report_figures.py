"""The figures and tables of an evaluation, for the report and the Evaluate tab: from `result.json` to HTML.

No number is computed here but where it is drawn. What trainings say is drawn in `training_figures`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from ghibli_studio import charts, figures
from ghibli_studio.charts import Line, Path, Point
from ghibli_studio.figures import COLOURS, SPARE_COLOURS, Bar
from ghibli_studio.findings import QUESTIONS, TASKS, is_stand_in, pairs, signed_form, stand_ins, standing
from ghibli_studio.findings_training import label
from ghibli_studio.words import p_value

MARKS = {"base": "diamond", "lora": "circle", "ti": "square"}
STYLE, LANDMARK = "style_similarity", "landmark_similarity"
NO_INTERVAL = "Too few landmarks for intervals: what is seen here may be luck."
COMPARED = ["Measure", "Drawn", "Pair", "Difference", "95 % interval", "p after Holm", "Effect", "What may be said"]


def looks(variants: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """(colour, marker) of each variant that is compared: its method's, a spare one where a method comes again."""
    found, used, spare = {}, set(), iter(SPARE_COLOURS * (len(variants) + 1))
    for one in variants:
        if one["group"] != "compare":
            continue
        method = one["method"]
        colour = next(spare) if method in used or method not in COLOURS else COLOURS[method]
        used.add(method)
        found[one["name"]] = (colour, MARKS.get(method, "triangle"))
    return found


def tasks_of(result: dict[str, Any]) -> list[str]:
    """The tasks that were drawn, in the order of TASKS."""
    return [task for task in TASKS if any(one["task"] == task for one in result["means"])]


def measures_of(result: dict[str, Any], task: str, question: str | None = None) -> list[str]:
    """Keys of the measures of a task, of one question if given, in the order of the questions."""
    keys = [key for name, (_, _, keys) in QUESTIONS.items() if question in (None, name) for key in keys]
    keys += [key for key in result["metrics"] if key not in keys and question is None]
    there = {one["metric"] for one in result["means"] if one["task"] == task}
    return [key for key in keys if key in there]


def means(result: dict[str, Any], task: str, question: str | None = None) -> list[str]:
    """One figure a measure: the mean of every variant that is compared, with its interval."""
    found = []
    for key in measures_of(result, task, question):
        metric, bars = result["metrics"][key], []
        for name, (colour, _) in looks(result["variants"]).items():
            one = _mean(result, task, key, name)
            if one:
                bars.append(Bar(name, one["mean"], *(one["interval"] or (None, None)), colour))
        if bars:
            scale = figures.axis([value for bar in bars for value in (bar.value, bar.low, bar.high)])
            note = f"{metric['better'].capitalize()} is better. {metric['what'].split('; ')[0].rstrip('.')}."
            note += "" if any(bar.low is not None for bar in bars) else f" {NO_INTERVAL}"
            title = f"{_capital(metric['label'])}, drawn {TASKS[task]}"
            found.append(figures.intervals(title, bars, note, scale=scale))
    return found


def forest(result: dict[str, Any], task: str, pair: tuple[str, str]) -> str:
    """All measures of one pair on one scale: each difference divided by its spread over landmarks, better to the right.

    Empty where nothing of the pair can be drawn.
    """
    colours, bars = looks(result["variants"]), []
    for key in measures_of(result, task):
        one = _comparison(result, task, key, pair)
        if one is None or not one["effect"] or not one["difference"] or one["interval"] is None:
            continue
        sign = 1 if result["metrics"][key]["better"] == "higher" else -1
        unit = sign * one["effect"] / one["difference"]
        low, high = sorted(unit * value for value in one["interval"])
        ahead = one["favours"] if standing(one) == "better" else None
        colour = colours[ahead][0] if ahead in colours else COLOURS["base"]
        bars.append(Bar(_brief(result, key), unit * one["difference"], low, high, colour))
    if not bars:
        return ""
    scale = figures.axis([value for bar in bars for value in (bar.value, bar.low, bar.high)], include=(0.0,))
    return figures.intervals(
        f"{pair[0]} against {pair[1]}, drawn {TASKS[task]}", bars,
        f"Right of the line {pair[0]} is better, left of it {pair[1]}. Each difference is divided by its spread over "
        f"landmarks, so that all share one scale; grey: no evidence of a difference.{_stars(result, bars)}", mark=0.0,
        scale=scale)


def forests(result: dict[str, Any]) -> list[str]:
    """The forests of all pairs of adapters (of all pairs where there are none), for every task."""
    own, with_base = pairs(result)
    drawn = (forest(result, task, pair) for pair in (own or with_base)[:6] for task in tasks_of(result))
    return [one for one in drawn if one]


def ranked(result: dict[str, Any]) -> list[dict[str, Any]]:
    """All comparisons: pairs of adapters first, then by task, then in the order of the questions."""
    own, with_base = pairs(result)
    order = [key for task in TASKS for key in measures_of(result, task)]
    return sorted(result["comparisons"], key=lambda one: (
        [*own, *with_base].index((one["a"], one["b"])), list(TASKS).index(one["task"]), order.index(one["metric"])))


def compared_rows(result: dict[str, Any]) -> list[list[str]]:
    """Rows under COMPARED: every comparison as texts, in the order of `ranked`."""
    rows = []
    for one in ranked(result):
        form = signed_form(one)
        said = {"better": f"{one['favours']} better", "none": "no evidence of a difference"}.get(
            standing(one), one["verdict"])
        rows.append([
            result["metrics"][one["metric"]]["label"], TASKS[one["task"]], f"{one['a']} − {one['b']}",
            form(one["difference"]),
            f"{form(one['interval'][0])} to {form(one['interval'][1])}" if one["interval"] else "none",
            "none" if one["p_holm"] is None else p_value(one["p_holm"]).removeprefix("p = ").removeprefix("p "),
            "none" if one["effect"] is None else f"{one['effect']:+.2f}".replace("-", "−"), said,
        ])
    return rows


def comparisons(result: dict[str, Any]) -> str:
    """Every comparison in one table."""
    return figures.table("All comparisons", COMPARED, compared_rows(result),
                         "The difference is the first minus the second. Effect: divided by its spread over landmarks.")


def sets(result: dict[str, Any]) -> list[str]:
    """A figure for each measure of whole sets that has an interval, and one table of all of them."""
    colours, found = looks(result["variants"]), []
    for task in tasks_of(result):
        for name in dict.fromkeys(one["metric"] for one in result["sets"]):
            told = [one for one in result["sets"] if (one["task"], one["metric"]) == (task, name)
                    and one["variant"] in colours]
            if told and any(one["interval"] for one in told):
                bars = [Bar(one["variant"], one["value"], *(one["interval"] or (None, None)),
                            colours[one["variant"]][0]) for one in told]
                scale = figures.axis([value for bar in bars for value in (bar.value, bar.low, bar.high)])
                higher = "Higher is more varied" if name == "diversity" else "Lower is nearer to the originals"
                found.append(figures.intervals(f"{_capital(told[0]['label'])}, drawn {TASKS[task]}", bars,
                                               f"{higher}; {told[0]['pictures']} pictures a set.", scale=scale))
    if result["sets"]:
        kinds = list(dict.fromkeys(one["metric"] for one in result["sets"]))
        told = sorted(result["sets"], key=lambda one: (list(TASKS).index(one["task"]), kinds.index(one["metric"])))
        rows = [[one["label"], TASKS[one["task"]], one["variant"], _number(one["value"]),
                 f"{_number(one['interval'][0])} to {_number(one['interval'][1])}" if one["interval"] else "none",
                 str(one["pictures"]), one["warning"] or ""] for one in told]
        heads = ["Measure", "Drawn", "Set", "Value", "95 % interval", "Pictures", "Warning"]
        found.append(figures.table("Whole sets against the originals", heads, rows))
    return found


def strengths(result: dict[str, Any]) -> list[str]:
    """Style and landmark by the adapter's strength, a figure a task and measure; empty without a sweep."""
    found = []
    for task in tasks_of(result):
        for key in (STYLE, LANDMARK, "clip_score"):
            series = [
                Line(label(method), tuple((at, one["mean"]) for at, one in told), COLOURS.get(method, SPARE_COLOURS[0]),
                     tuple((at, *one["interval"]) for at, one in told if one["interval"]),
                     marker=MARKS.get(method, "triangle"))
                for method, told in _swept(result, task, key, "strength").items()
            ]
            if series:
                ticks = sorted({x for line in series for x, _ in line.points})
                metric = result["metrics"][key]
                found.append(charts.lines(
                    f"{_capital(metric['label'])} by strength, drawn {TASKS[task]}", series, "strength of the adapter",
                    metric["label"].split(" (")[0], f"{metric['better'].capitalize()} is better; 0 is the base model, "
                    "1 as trained. Bands are 95 % intervals.", ticks=ticks))
    return found


def planes(result: dict[str, Any]) -> list[str]:
    """Style against landmark, a figure a task: the compared variants, and the ways that strength and epochs take."""
    found = []
    for task in tasks_of(result):
        if not {STYLE, LANDMARK} <= set(measures_of(result, task)):
            continue
        points = []
        for name, (colour, mark) in looks(result["variants"]).items():
            x, y = _mean(result, task, LANDMARK, name), _mean(result, task, STYLE, name)
            if x and y:
                within = tuple(tuple(one["interval"]) if one["interval"] else None for one in (x, y))
                points.append(Point(name, x["mean"], y["mean"], colour, mark, within))
        names = [result["metrics"][key]["label"].split(" (")[0] for key in (LANDMARK, STYLE)]
        crossed = any(point.within[0] for point in points)
        note = f"Up and to the right is better at both. {'Crosses are 95 % intervals.' if crossed else NO_INTERVAL}"
        note += " Both measures rest on a stand-in network." if is_stand_in(result, STYLE) else ""
        ways = {"by strength": _ways(result, task, "strength"), "by epoch": _ways(result, task, "epoch")}
        for words, paths in ({name: told for name, told in ways.items() if told} or {"": []}).items():
            if points:
                title = f"Style and landmark{words and ' ' + words}, drawn {TASKS[task]}"
                found.append(charts.plane(title, points, f"{names[0]} (higher is better)",
                                          f"{names[1]} (higher is better)", note, paths))
    return found


def _ways(result: dict[str, Any], task: str, group: str) -> list[Path]:
    """The way of each method through the plane as its strength or its epochs grow."""
    across, up = _swept(result, task, LANDMARK, group), _swept(result, task, STYLE, group)
    ways = []
    for method, told in across.items():
        places = tuple((x["mean"], y["mean"], f"{at:g}") for (at, x), (_, y) in zip(told, up[method]))
        colour = COLOURS.get(method, SPARE_COLOURS[0])
        ways.append(Path(f"{label(method)} by {group}", places, colour, MARKS.get(method, "triangle")))
    return ways


def _swept(result: dict[str, Any], task: str, key: str, group: str) -> dict[str, list[tuple[float, dict[str, Any]]]]:
    """For each method (strength or epoch, mean) in order; the compared variants belong to the way where they fit."""
    found: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    methods = dict.fromkeys(one["method"] for one in result["variants"] if one["group"] == group)
    for method in methods:
        runs = {one["run"] for one in result["variants"] if one["group"] == group and one["method"] == method}
        told = {}
        for one in result["variants"]:
            fits = one["group"] == group or (one["group"] == "compare" and one["run"] in runs)
            if one["method"] == "base" and group == "strength" and one["group"] == "compare":
                at: float | None = 0.0
            elif one["method"] == method and fits:
                at = one["strength"] if group == "strength" else one["epoch"]
            else:
                continue
            mean = _mean(result, task, key, one["name"])
            if mean is not None and at is not None:
                told.setdefault(at, mean)
        found[method] = sorted(told.items())
    return {method: told for method, told in found.items() if len(told) > 1}


def _mean(result: dict[str, Any], task: str, key: str, variant: str) -> dict[str, Any] | None:
    wanted = (task, key, variant)
    return next((one for one in result["means"] if (one["task"], one["metric"], one["variant"]) == wanted), None)


def _comparison(result: dict[str, Any], task: str, key: str, pair: tuple[str, str]) -> dict[str, Any] | None:
    wanted = (task, key, *pair)
    return next((one for one in result["comparisons"]
                 if (one["task"], one["metric"], one["a"], one["b"]) == wanted), None)


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


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
