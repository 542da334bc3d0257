"""Scores of pictures -> means with intervals, paired comparisons with tests, and a verdict in plain words.

The landmark is the unit: what is true of one picture of Petra is half true of the next, and a claim about a method is
a claim about landmarks that nobody drew yet. No network and no file in here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, Protocol

import numpy as np

from ghibli_studio.evaluation import bootstrap, distribution_metrics

ALPHA = 0.05
"""The family-wise error rate of one task's metrics in one pair of variants."""
NO_EVIDENCE = "no evidence of a difference"


@dataclass(frozen=True)
class Row:
    """The scores of one picture."""

    task: str
    """`prompt` or `photo`."""
    landmark: str
    seed: int
    variant: str
    """Name of what drew it."""
    scores: dict[str, float]
    """By metric."""


class Measured(Protocol):
    """What a metric must say of itself to be compared (`scores.Metric`)."""

    better: Literal["higher", "lower"]


class Compared(Protocol):
    """What a variant must say of itself to be analyzed (`comparing.Variant`)."""

    name: str
    method: str
    group: str
    """`compare`: in the comparisons; anything else is a sweep, of which only the means are told."""


Values = dict[str, dict[int, float]]  # by landmark, then seed
Vectors = dict[tuple[str, str], dict[tuple[str, int], np.ndarray]]  # by task and variant, then landmark and seed


def _values(rows: Iterable[Row], metric: str) -> Values:
    """Finite scores in order of landmark and seed; of a picture scored twice the last time counts."""
    found: Values = {}
    for row in rows:
        if math.isfinite(row.scores.get(metric, math.nan)):
            found.setdefault(row.landmark, {})[row.seed] = row.scores[metric]
    return {landmark: dict(sorted(found[landmark].items())) for landmark in sorted(found)}


def _cells(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows of each task and variant, in order of first appearance."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.task, row.variant), []).append(row)
    return cells


def _metrics_of(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(metric for row in rows for metric in row.scores))


def means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Per task, metric and variant: the mean over landmarks of each landmark's mean over seeds, with its interval.

    `{task, metric, variant, mean, interval, landmarks, pictures}`; the interval is None with fewer than six landmarks.
    Intervals of two variants may overlap although their paired difference is clear: `compare` says which is better.
    """
    found = []
    for (task, variant), drawn in _cells(rows).items():
        for metric in _metrics_of(drawn):
            values = [list(seeds.values()) for seeds in _values(drawn, metric).values()]
            if values:
                found.append(
                    {
                        "task": task,
                        "metric": metric,
                        "variant": variant,
                        "mean": float(np.mean([np.mean(row) for row in values])),
                        "interval": bootstrap.mean_interval(values),
                        "landmarks": len(values),
                        "pictures": sum(map(len, values)),
                    }
                )
    return found


def compare(rows: Sequence[Row], a: str, b: str, metrics: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """Paired differences a - b on the same task, landmark and seed, metric by metric, with a verdict.

    `{task, metric, a, b, difference, interval, p, p_holm, effect, landmarks, verdict, favors}`. p is from the
    sign-flip test with the landmark as unit; `p_holm` adjusts it for the metrics of one task (Holm 1979), and it alone
    decides.
    """
    from study.analysis.statistics import holm

    cells = _cells(rows)
    found = []
    for task in dict.fromkeys(row.task for row in rows):
        ours, theirs = cells.get((task, a), []), cells.get((task, b), [])
        family = []
        for metric in metrics:
            pairs = _pairs(_values(ours, metric), _values(theirs, metric))
            if pairs:
                family.append(_difference(task, metric, a, b, pairs))
        for told, adjusted in zip(family, holm([told["p"] for told in family])):
            told["p_holm"] = adjusted
            found.append(told | _verdict(told, metrics[told["metric"]].better, len(family)))
    return found


def _pairs(ours: Values, theirs: Values) -> list[list[float]]:
    """The differences of each landmark, one a seed that both have."""
    pairs = [
        [value - theirs[landmark][seed] for seed, value in seeds.items() if seed in theirs.get(landmark, {})]
        for landmark, seeds in ours.items()
    ]
    return [row for row in pairs if row]


def _difference(task: str, metric: str, a: str, b: str, pairs: list[list[float]]) -> dict[str, Any]:
    by_landmark = [float(np.mean(row)) for row in pairs]
    return {
        "task": task,
        "metric": metric,
        "a": a,
        "b": b,
        "difference": float(np.mean(by_landmark)),
        "interval": bootstrap.mean_interval(pairs),
        "p": bootstrap.sign_flip(by_landmark),
        "p_holm": None,
        "effect": bootstrap.standardised(by_landmark),
        "landmarks": len(by_landmark),
    }


def _verdict(told: dict[str, Any], better: str, family: int) -> dict[str, Any]:
    """What may be said, in words, and whom it favors."""
    least = min(1.0, family * bootstrap.smallest_p(told["landmarks"]))
    if least >= ALPHA:
        one = told["landmarks"] == 1
        return {
            "verdict": f"cannot be said: {told['landmarks']} landmark{'' if one else 's'} {'is' if one else 'are'} too "
            f"few, since even if all agreed, p would be {least:.2g} after its correction for {family} "
            f"metric{'s' if family > 1 else ''}",
            "favors": None,
        }
    if told["p_holm"] >= ALPHA:
        return {"verdict": NO_EVIDENCE, "favors": None}
    favors = told["a"] if (told["difference"] > 0) == (better == "higher") else told["b"]
    return {"verdict": f"{favors} better", "favors": favors}


def pairs_of(variants: Sequence[Compared]) -> list[tuple[str, str]]:
    """Who is compared with whom: every two of the group `compare`, methods with each other first, the base last."""
    compared = [variant for variant in variants if variant.group == "compare"]
    ordered = sorted(compared, key=lambda variant: variant.method == "base")
    pairs = [(a, b) for a, b in combinations(ordered, 2)]
    return [(a.name, b.name) for a, b in sorted(pairs, key=lambda pair: pair[1].method == "base")]


def analyze(
    rows: Sequence[Row],
    features: Sequence[Any],
    originals: Any,
    variants: Sequence[Compared],
    metrics: Mapping[str, Measured],
    networks: Mapping[str, Any],
) -> dict[str, Any]:
    """`{means, comparisons, sets, set_comparisons, warnings}` of an evaluation, ready for JSON.

    `features` holds one vector a row, `originals` is (pictures, width) from the same network, which is
    `networks["inception"]` where there is one, else `networks["clip"]`.
    """
    vectors, originals = np.asarray([np.asarray(v) for v in features]), np.asarray(originals)
    if len(vectors) != len(rows):
        raise ValueError(f"{len(vectors)} vectors for {len(rows)} rows; give one a row")
    pairs = pairs_of(variants)
    compared = {variant.name for variant in variants if variant.group == "compare"}
    inception = networks.get("inception")
    names = distribution_metrics.labels((inception or networks["clip"])["name"], bool(inception))
    of_cell = _by_cell(rows, vectors, compared)
    sets = []
    for (task, variant), found in of_cell.items():
        landmarks = [landmark for landmark, _ in found]
        numbers = distribution_metrics.describe(np.stack(list(found.values())), landmarks, originals, names)
        sets += [{"task": task, "variant": variant, **told} for told in numbers]
    comparisons = [told for a, b in pairs for told in compare(rows, a, b, metrics)]
    return {
        "means": means(rows),
        "comparisons": comparisons,
        "sets": sets,
        "set_comparisons": _set_comparisons(of_cell, pairs, originals),
        "warnings": _warnings(rows, comparisons, sets, networks),
    }


def _by_cell(rows: Sequence[Row], vectors: np.ndarray, variants: set[str]) -> Vectors:
    """The vectors of each task and variant by landmark and seed, of the variants named."""
    of_cell: Vectors = {}
    for row, vector in zip(rows, vectors):
        if row.variant in variants:
            of_cell.setdefault((row.task, row.variant), {})[row.landmark, row.seed] = vector
    return of_cell


def _set_comparisons(of_cell: Vectors, pairs: Iterable[tuple[str, str]], originals: np.ndarray) -> list[dict[str, Any]]:
    """Paired differences of the kernel distance, by leaving the same landmark out of both sets."""
    found = []
    for task in dict.fromkeys(task for task, _ in of_cell):
        for a, b in pairs:
            ours, theirs = of_cell.get((task, a), {}), of_cell.get((task, b), {})
            both = [key for key in ours if key in theirs]
            if len(both) < 2 or len(originals) < 2:
                continue
            landmarks = [landmark for landmark, _ in both]
            value, without = distribution_metrics.kernel_without(
                np.stack([ours[key] for key in both]), landmarks, originals
            )
            other, other_without = distribution_metrics.kernel_without(
                np.stack([theirs[key] for key in both]), landmarks, originals
            )
            interval = bootstrap.jackknife(value - other, without - other_without)
            clear = interval is not None and (interval[0] > 0 or interval[1] < 0)
            found.append(
                {
                    "task": task,
                    "metric": "kid",
                    "a": a,
                    "b": b,
                    "difference": value - other,
                    "interval": interval,
                    "favors": (a if value < other else b) if clear else None,
                }
            )
    return found


def _warnings(
    rows: Sequence[Row], comparisons: list[dict[str, Any]], sets: list[dict[str, Any]], networks: Mapping[str, Any]
) -> list[str]:
    """What a reader must know before believing a number, one sentence each, without repeats."""
    found = []
    for network in networks.values():
        if network and network.get("stand_in"):
            found.append(
                f"{network['name']} stands in for the published network: its numbers compare the variants here, and "
                "cannot be set beside numbers from elsewhere."
            )
    cells = _cells(rows)
    most: dict[str, int] = {}
    for (task, _), drawn in cells.items():
        most[task] = max(most.get(task, 0), len({(row.landmark, row.seed) for row in drawn}))
    for (task, variant), drawn in cells.items():
        count = len({(row.landmark, row.seed) for row in drawn})
        if count < most[task]:
            found.append(
                f"{variant} has {count} of {most[task]} pictures in the task {task}; it is compared on those only."
            )
    broken = sorted({m for row in rows for m, value in row.scores.items() if not math.isfinite(value)})
    if broken:
        found.append(f"Scores that are no finite number were left out, of: {', '.join(broken)}.")
    if unsaid := [told["landmarks"] for told in comparisons if told["verdict"].startswith("cannot be said")]:
        found.append(f"With {max(unsaid)} landmarks nothing can be shown about a method in general; draw more of them.")
    if len({row.seed for row in rows}) == 1:
        found.append("There is one seed a landmark: what another seed would have drawn is not in the intervals.")
    found += [told["warning"] for told in sets if told["warning"]]
    return list(dict.fromkeys(found))
