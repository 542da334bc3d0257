"""Plots of a sweep over adapter scale or img2img strength."""

from __future__ import annotations

from typing import Any

from ghibli_studio.plotting import charts
from ghibli_studio.plotting.charts import Line, Path, Point
from ghibli_studio.plotting.figures import COLORS, SPARE_COLORS
from ghibli_studio.reporting.evaluation_plot import NO_INTERVAL, capitalized
from ghibli_studio.reporting.evaluation_result import LANDMARK, MARKS, STYLE, looks, mean_of, measures_of, tasks_of
from ghibli_studio.reporting.findings import TASKS, is_stand_in
from ghibli_studio.reporting.training_findings import label


def strengths(result: dict[str, Any]) -> list[str]:
    """Style and landmark by the adapter's strength, a figure a task and measure; empty without a sweep."""
    found = []
    for task in tasks_of(result):
        for key in (STYLE, LANDMARK, "clip_score"):
            series = [
                Line(
                    label(method),
                    tuple((at, one["mean"]) for at, one in told),
                    COLORS.get(method, SPARE_COLORS[0]),
                    tuple((at, *one["interval"]) for at, one in told if one["interval"]),
                    marker=MARKS.get(method, "triangle"),
                )
                for method, told in _swept(result, task, key, "adapter_scale").items()
            ]
            if series:
                ticks = sorted({x for line in series for x, _ in line.points})
                metric = result["metrics"][key]
                found.append(
                    charts.lines(
                        f"{capitalized(metric['label'])} by strength, drawn {TASKS[task]}",
                        series,
                        "strength of the adapter",
                        metric["label"].split(" (")[0],
                        f"{metric['better'].capitalize()} is better; 0 is the base model, "
                        "1 as trained. Bands are 95 % intervals.",
                        ticks=ticks,
                    )
                )
    return found


def planes(result: dict[str, Any]) -> list[str]:
    """Style against landmark, a figure a task: the compared variants, and the ways that strength and epochs take."""
    found = []
    for task in tasks_of(result):
        if not {STYLE, LANDMARK} <= set(measures_of(result, task)):
            continue
        points = []
        for name, (color, mark) in looks(result["variants"]).items():
            x, y = mean_of(result, task, LANDMARK, name), mean_of(result, task, STYLE, name)
            if x and y:
                within = tuple(tuple(one["interval"]) if one["interval"] else None for one in (x, y))
                points.append(Point(name, x["mean"], y["mean"], color, mark, within))
        names = [result["metrics"][key]["label"].split(" (")[0] for key in (LANDMARK, STYLE)]
        crossed = any(point.within[0] for point in points)
        note = f"Up and to the right is better at both. {'Crosses are 95 % intervals.' if crossed else NO_INTERVAL}"
        note += " Both measures rest on a stand-in network." if is_stand_in(result, STYLE) else ""
        ways = {"by strength": _ways(result, task, "adapter_scale"), "by epoch": _ways(result, task, "epoch")}
        for words, paths in ({name: told for name, told in ways.items() if told} or {"": []}).items():
            if points:
                title = f"Style and landmark{words and ' ' + words}, drawn {TASKS[task]}"
                found.append(
                    charts.plane(
                        title, points, f"{names[0]} (higher is better)", f"{names[1]} (higher is better)", note, paths
                    )
                )
    return found


def _ways(result: dict[str, Any], task: str, group: str) -> list[Path]:
    """The way of each method through the plane as its strength or its epochs grow."""
    across, up = _swept(result, task, LANDMARK, group), _swept(result, task, STYLE, group)
    ways = []
    for method, told in across.items():
        places = tuple((x["mean"], y["mean"], f"{at:g}") for (at, x), (_, y) in zip(told, up[method]))
        color = COLORS.get(method, SPARE_COLORS[0])
        ways.append(Path(f"{label(method)} by {group}", places, color, MARKS.get(method, "triangle")))
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
            if one["method"] == "base" and group == "adapter_scale" and one["group"] == "compare":
                at: float | None = 0.0
            elif one["method"] == method and fits:
                at = one["adapter_scale"] if group == "adapter_scale" else one["epoch"]
            else:
                continue
            mean = mean_of(result, task, key, one["name"])
            if mean is not None and at is not None:
                told.setdefault(at, mean)
        found[method] = sorted(told.items())
    return {method: told for method, told in found.items() if len(told) > 1}
