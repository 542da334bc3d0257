"""Reads `result.json` of an evaluation: variants, tasks, measures, comparisons, and their colors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ghibli_studio.plotting.figures import COLORS, SPARE_COLORS
from ghibli_studio.reporting.findings import QUESTIONS, TASKS, pairs

MARKS = {"base": "diamond", "lora": "circle", "ti": "square"}
STYLE, LANDMARK = "style_similarity", "landmark_similarity"
COMPARED = ["Measure", "Drawn", "Pair", "Difference", "95 % interval", "p after Holm", "Effect", "What may be said"]


def looks(variants: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """(color, marker) of each variant that is compared: its method's, a spare one where a method comes again."""
    found, used, spare = {}, set(), iter(SPARE_COLORS * (len(variants) + 1))
    for one in variants:
        if one["group"] != "compare":
            continue
        method = one["method"]
        color = next(spare) if method in used or method not in COLORS else COLORS[method]
        used.add(method)
        found[one["name"]] = (color, MARKS.get(method, "triangle"))
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


def ranked(result: dict[str, Any]) -> list[dict[str, Any]]:
    """All comparisons: pairs of adapters first, then by task, then in the order of the questions."""
    own, with_base = pairs(result)
    order = [key for task in TASKS for key in measures_of(result, task)]
    return sorted(
        result["comparisons"],
        key=lambda one: (
            [*own, *with_base].index((one["a"], one["b"])),
            list(TASKS).index(one["task"]),
            order.index(one["metric"]),
        ),
    )


def mean_of(result: dict[str, Any], task: str, key: str, variant: str) -> dict[str, Any] | None:
    """The mean of a measure for one variant and task; None if it was not computed."""
    wanted = (task, key, variant)
    return next((one for one in result["means"] if (one["task"], one["metric"], one["variant"]) == wanted), None)


def comparison_of(result: dict[str, Any], task: str, key: str, pair: tuple[str, str]) -> dict[str, Any] | None:
    """The comparison of a pair by one measure and task; None if it was not computed."""
    wanted = (task, key, *pair)
    return next(
        (one for one in result["comparisons"] if (one["task"], one["metric"], one["a"], one["b"]) == wanted), None
    )
