"""Read `result.json` of an evaluation: variants, tasks, metrics, comparisons, and the colors of the variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ghibli_studio.evaluation.metrics import TASKS
from ghibli_studio.plotting.figures import COLORS, SPARE_COLORS
from ghibli_studio.reporting.findings import QUESTIONS, compared_pairs

MARKERS = {"base": "diamond", "lora": "circle", "ti": "square"}
STYLE_METRIC, LANDMARK_METRIC = "style_similarity", "landmark_similarity"
COMPARISON_COLUMNS = ["Metric", "Task", "Pair", "Difference", "95 % interval", "p (Holm)", "Effect size", "Verdict"]


def variant_styles(variants: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return (color, marker) of each compared variant; a second variant of a method gets a spare color."""
    compared = [variant for variant in variants if variant["group"] == "compare"]
    return {variant["name"]: style for variant, style in zip(compared, method_styles(compared))}


def method_styles(entries: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (color, marker) of each entry by its `method`; a second entry of a method gets a spare color."""
    styles: list[tuple[str, str]] = []
    used: set[str] = set()
    spare = iter(SPARE_COLORS * (len(entries) + 1))
    for entry in entries:
        method = entry["method"]
        color = next(spare) if method in used or method not in COLORS else COLORS[method]
        used.add(method)
        styles.append((color, MARKERS.get(method, "triangle")))
    return styles


def tasks_of(result: dict[str, Any]) -> list[str]:
    """Return the evaluated tasks, in the order of TASKS."""
    return [task for task in TASKS if any(mean["task"] == task for mean in result["means"])]


def metrics_of(result: dict[str, Any], task: str, question: str | None = None) -> list[str]:
    """Return the keys of the metrics of a task (of one question, if given), in the order of the questions."""
    keys = [key for name, (_, _, keys) in QUESTIONS.items() if question in (None, name) for key in keys]
    keys += [key for key in result["metrics"] if key not in keys and question is None]
    computed = {mean["metric"] for mean in result["means"] if mean["task"] == task}
    return [key for key in keys if key in computed]


def sorted_comparisons(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all comparisons: pairs of adapters first, then by task, then in the order of the questions."""
    adapter_pairs, with_base = compared_pairs(result)
    pairs = [*adapter_pairs, *with_base]
    order = [key for task in TASKS for key in metrics_of(result, task)]
    return sorted(
        result["comparisons"],
        key=lambda comparison: (
            pairs.index((comparison["a"], comparison["b"])),
            TASKS.index(comparison["task"]),
            order.index(comparison["metric"]),
        ),
    )


def mean_of(result: dict[str, Any], task: str, key: str, variant: str) -> dict[str, Any] | None:
    """Return the mean of a metric for one variant and task; None if it was not computed."""
    for mean in result["means"]:
        if (mean["task"], mean["metric"], mean["variant"]) == (task, key, variant):
            return mean
    return None


def comparison_of(result: dict[str, Any], task: str, key: str, pair: tuple[str, str]) -> dict[str, Any] | None:
    """Return the comparison of a pair by one metric and task; None if it was not computed."""
    for comparison in result["comparisons"]:
        if (comparison["task"], comparison["metric"], comparison["a"], comparison["b"]) == (task, key, *pair):
            return comparison
    return None
