"""Plots of a sweep over adapter scales or epochs, from `result.json` to HTML."""

from __future__ import annotations

from typing import Any

from ghibli_studio.plotting import charts
from ghibli_studio.plotting.charts import Line, Point, Trajectory
from ghibli_studio.plotting.figures import COLORS, SPARE_COLORS
from ghibli_studio.reporting.evaluation_plot import NO_INTERVAL, capitalize_first
from ghibli_studio.reporting.evaluation_result import (
    LANDMARK_METRIC,
    MARKERS,
    STYLE_METRIC,
    mean_of,
    metrics_of,
    tasks_of,
    variant_styles,
)
from ghibli_studio.reporting.findings import uses_proxy
from ghibli_studio.reporting.training_findings import method_label


def adapter_scale_plots(result: dict[str, Any]) -> list[str]:
    """Return style, landmark and CLIP score by adapter scale, one figure per task and metric; empty without a sweep."""
    plots = []
    for task in tasks_of(result):
        for key in (STYLE_METRIC, LANDMARK_METRIC, "clip_score"):
            series = [
                Line(
                    method_label(method),
                    tuple((scale, mean["mean"]) for scale, mean in means),
                    COLORS.get(method, SPARE_COLORS[0]),
                    tuple((scale, *mean["interval"]) for scale, mean in means if mean["interval"]),
                    marker=MARKERS.get(method, "triangle"),
                )
                for method, means in _sweep_means(result, task, key, "adapter_scale").items()
            ]
            if series:
                ticks = sorted({x for line in series for x, _ in line.points})
                metric = result["metrics"][key]
                plots.append(
                    charts.line_chart(
                        f"{capitalize_first(metric['label'])} by adapter scale, {task}",
                        series,
                        "adapter scale",
                        metric["label"].split(" (")[0],
                        f"{metric['better'].capitalize()} is better; 0 is the base model, 1 is the scale in training. "
                        "Bands are 95 % intervals.",
                        ticks=ticks,
                    )
                )
    return plots


def style_landmark_plots(result: dict[str, Any]) -> list[str]:
    """Return style vs. landmark, one figure per task: the compared variants, and the trajectories of the sweeps."""
    plots = []
    for task in tasks_of(result):
        if not {STYLE_METRIC, LANDMARK_METRIC} <= set(metrics_of(result, task)):
            continue
        points = []
        for name, (color, marker) in variant_styles(result["variants"]).items():
            x, y = mean_of(result, task, LANDMARK_METRIC, name), mean_of(result, task, STYLE_METRIC, name)
            if x and y:
                points.append(Point(name, x["mean"], y["mean"], color, marker, (_interval(x), _interval(y))))
        if not points:
            continue
        names = [result["metrics"][key]["label"].split(" (")[0] for key in (LANDMARK_METRIC, STYLE_METRIC)]
        has_intervals = any(point.intervals[0] for point in points)
        note = f"Up and right is better at both. {'Crosses are 95 % intervals.' if has_intervals else NO_INTERVAL}"
        note += " Both metrics are computed with a proxy network." if uses_proxy(result, STYLE_METRIC) else ""
        sweeps = {
            " by adapter scale": _trajectories(result, task, "adapter_scale"),
            " by epoch": _trajectories(result, task, "epoch"),
        }
        shown = {words: paths for words, paths in sweeps.items() if paths} or {"": []}
        for words, paths in shown.items():
            plots.append(
                charts.scatter_plot(
                    f"Style and landmark{words}, {task}",
                    points,
                    f"{names[0]} (higher is better)",
                    f"{names[1]} (higher is better)",
                    note,
                    paths,
                )
            )
    return plots


def _interval(mean: dict[str, Any]) -> tuple[float, float] | None:
    if mean["interval"] is None:
        return None
    low, high = mean["interval"]
    return low, high


def _trajectories(result: dict[str, Any], task: str, group: str) -> list[Trajectory]:
    """Return the trajectory of each method in the plane as its adapter scale or epoch increases."""
    landmark = _sweep_means(result, task, LANDMARK_METRIC, group)
    style = _sweep_means(result, task, STYLE_METRIC, group)
    trajectories = []
    for method, means in landmark.items():
        points = tuple((x["mean"], y["mean"], f"{value:g}") for (value, x), (_, y) in zip(means, style[method]))
        label = f"{method_label(method)} by {group.replace('_', ' ')}"
        color = COLORS.get(method, SPARE_COLORS[0])
        trajectories.append(Trajectory(label, points, color, MARKERS.get(method, "triangle")))
    return trajectories


def _sweep_means(
    result: dict[str, Any], task: str, key: str, group: str
) -> dict[str, list[tuple[float, dict[str, Any]]]]:
    """Return (adapter scale or epoch, mean) of each method in order, with the compared variants where they fit."""
    sweeps: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    variants = result["variants"]
    methods = dict.fromkeys(variant["method"] for variant in variants if variant["group"] == group)
    for method in methods:
        swept = [variant for variant in variants if variant["group"] == group and variant["method"] == method]
        runs = {variant["run"] for variant in swept}
        means: dict[float, dict[str, Any]] = {}
        for variant in variants:
            fits = variant["group"] == group or (variant["group"] == "compare" and variant["run"] in runs)
            value: float | None
            if variant["method"] == "base" and group == "adapter_scale" and variant["group"] == "compare":
                value = 0.0
            elif variant["method"] == method and fits:
                value = variant["adapter_scale"] if group == "adapter_scale" else variant["epoch"]
            else:
                continue
            mean = mean_of(result, task, key, variant["name"])
            if mean is not None and value is not None:
                means.setdefault(value, mean)
        sweeps[method] = sorted(means.items())
    return {method: means for method, means in sweeps.items() if len(means) > 1}
