"""Scores of images -> means with intervals, paired comparisons with tests, and a verdict in plain words.

The landmark is the unit: two images of Petra are not independent, and a claim about a method is a claim about
landmarks that were not generated. No network and no file in here.
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
INCONCLUSIVE = "inconclusive"
"""First word of a verdict where the landmarks are too few for any test."""


@dataclass(frozen=True)
class Row:
    """The scores of one image."""

    task: str
    """`txt2img` or `img2img`."""
    landmark: str
    seed: int
    variant: str
    """Name of the variant that generated it."""
    scores: dict[str, float]
    """By metric."""


class HasDirection(Protocol):
    """What the analysis needs to know of a metric (`metrics.Metric`)."""

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which direction is better."""


class ComparableVariant(Protocol):
    """What the analysis needs to know of a variant (`variants.Variant`)."""

    @property
    def name(self) -> str:
        """Display name."""

    @property
    def method(self) -> str:
        """`base`, or the short name of a method."""

    @property
    def group(self) -> str:
        """`compare`: part of the comparisons; anything else is a sweep, for which only means are computed."""


ScoresBySeed = dict[str, dict[int, float]]  # by landmark, then seed
FeaturesByCell = dict[tuple[str, str], dict[tuple[str, int], np.ndarray]]  # task and variant, then landmark and seed


def _finite_scores(rows: Iterable[Row], metric: str) -> ScoresBySeed:
    """Return the finite scores in order of landmark and seed; the last score of an image counts."""
    scores: ScoresBySeed = {}
    for row in rows:
        if math.isfinite(row.scores.get(metric, math.nan)):
            scores.setdefault(row.landmark, {})[row.seed] = row.scores[metric]
    return {landmark: dict(sorted(scores[landmark].items())) for landmark in sorted(scores)}


def _cells(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of each task and variant, in order of first appearance."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row.task, row.variant), []).append(row)
    return cells


def _metric_keys(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(metric for row in rows for metric in row.scores))


def means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the mean over landmarks of each landmark's mean over seeds, by task, metric and variant.

    `{task, metric, variant, mean, interval, landmarks, images}`; the interval is None with fewer than six landmarks.
    Intervals of two variants may overlap although their paired difference is clear: `compare` tests the difference.
    """
    entries = []
    for (task, variant), cell_rows in _cells(rows).items():
        for metric in _metric_keys(cell_rows):
            values = [list(seeds.values()) for seeds in _finite_scores(cell_rows, metric).values()]
            if values:
                entries.append(
                    {
                        "task": task,
                        "metric": metric,
                        "variant": variant,
                        "mean": float(np.mean([np.mean(row) for row in values])),
                        "interval": bootstrap.mean_interval(values),
                        "landmarks": len(values),
                        "images": sum(map(len, values)),
                    }
                )
    return entries


def compare(rows: Sequence[Row], a: str, b: str, metrics: Mapping[str, HasDirection]) -> list[dict[str, Any]]:
    """Return the paired differences a - b on the same task, landmark and seed by metric, with a verdict.

    `{task, metric, a, b, difference, interval, p, p_holm, effect_size, landmarks, verdict, favors}`. p is from the
    sign-flip test with the landmark as unit; `p_holm` adjusts it for the metrics of one task (Holm 1979), and it alone
    decides.
    """
    from study.analysis.statistics import holm

    cells = _cells(rows)
    comparisons = []
    for task in dict.fromkeys(row.task for row in rows):
        ours, theirs = cells.get((task, a), []), cells.get((task, b), [])
        family = []
        for metric in metrics:
            pairs = _paired_differences(_finite_scores(ours, metric), _finite_scores(theirs, metric))
            if pairs:
                family.append(_compare_metric(task, metric, a, b, pairs))
        for comparison, adjusted in zip(family, holm([comparison["p"] for comparison in family])):
            comparison["p_holm"] = adjusted
            comparisons.append(comparison | _verdict(comparison, metrics[comparison["metric"]].better, len(family)))
    return comparisons


def _paired_differences(ours: ScoresBySeed, theirs: ScoresBySeed) -> list[list[float]]:
    """Return the differences of each landmark, one for each seed that both have."""
    pairs = [
        [value - theirs[landmark][seed] for seed, value in seeds.items() if seed in theirs.get(landmark, {})]
        for landmark, seeds in ours.items()
    ]
    return [row for row in pairs if row]


def _compare_metric(task: str, metric: str, a: str, b: str, pairs: list[list[float]]) -> dict[str, Any]:
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
        "effect_size": bootstrap.effect_size(by_landmark),
        "landmarks": len(by_landmark),
    }


def _verdict(comparison: dict[str, Any], better: str, family: int) -> dict[str, Any]:
    """Return the verdict in words, and the variant that it favors."""
    landmarks = comparison["landmarks"]
    least = min(1.0, family * bootstrap.smallest_p(landmarks))
    if least >= ALPHA:
        are = "landmark is" if landmarks == 1 else "landmarks are"
        return {
            "verdict": f"{INCONCLUSIVE}: {landmarks} {are} too few, because even if all agreed, p would be "
            f"{least:.2g} after Holm's correction for {family} metric{'s' if family > 1 else ''}",
            "favors": None,
        }
    if comparison["p_holm"] >= ALPHA:
        return {"verdict": NO_EVIDENCE, "favors": None}
    favors = comparison["a"] if (comparison["difference"] > 0) == (better == "higher") else comparison["b"]
    return {"verdict": f"{favors} better", "favors": favors}


def compared_pairs(variants: Sequence[ComparableVariant]) -> list[tuple[str, str]]:
    """Return every pair of the group `compare`: pairs of methods first, pairs with the base model last."""
    compared = [variant for variant in variants if variant.group == "compare"]
    ordered = sorted(compared, key=lambda variant: variant.method == "base")
    pairs = [(a, b) for a, b in combinations(ordered, 2)]
    return [(a.name, b.name) for a, b in sorted(pairs, key=lambda pair: pair[1].method == "base")]


def analyze(
    rows: Sequence[Row],
    features: Sequence[Any],
    originals: Any,
    variants: Sequence[ComparableVariant],
    metrics: Mapping[str, HasDirection],
    networks: Mapping[str, Any],
) -> dict[str, Any]:
    """Return `{means, comparisons, sets, set_comparisons, warnings}` of an evaluation, ready for JSON.

    `features` holds one vector per row, `originals` is (originals, width) from the same network, which is
    `networks["inception"]` if available, else `networks["clip"]`. Raises ValueError if rows and features differ in
    number.
    """
    vectors, originals = np.asarray([np.asarray(vector) for vector in features]), np.asarray(originals)
    if len(vectors) != len(rows):
        raise ValueError(f"{len(vectors)} vectors for {len(rows)} rows; give one per row")
    pairs = compared_pairs(variants)
    compared = {variant.name for variant in variants if variant.group == "compare"}
    inception = networks.get("inception")
    names = distribution_metrics.labels((inception or networks["clip"])["name"], bool(inception))
    by_cell = _features_by_cell(rows, vectors, compared)
    sets = []
    for (task, variant), cell in by_cell.items():
        landmarks = [landmark for landmark, _ in cell]
        entries = distribution_metrics.describe(np.stack(list(cell.values())), landmarks, originals, names)
        sets += [{"task": task, "variant": variant, **entry} for entry in entries]
    comparisons = [comparison for a, b in pairs for comparison in compare(rows, a, b, metrics)]
    return {
        "means": means(rows),
        "comparisons": comparisons,
        "sets": sets,
        "set_comparisons": _set_comparisons(by_cell, pairs, originals),
        "warnings": _warnings(rows, comparisons, sets, networks),
    }


def _features_by_cell(rows: Sequence[Row], vectors: np.ndarray, variants: set[str]) -> FeaturesByCell:
    """Return the features of each task and named variant, by landmark and seed."""
    by_cell: FeaturesByCell = {}
    for row, vector in zip(rows, vectors):
        if row.variant in variants:
            by_cell.setdefault((row.task, row.variant), {})[row.landmark, row.seed] = vector
    return by_cell


def _set_comparisons(
    by_cell: FeaturesByCell, pairs: Iterable[tuple[str, str]], originals: np.ndarray
) -> list[dict[str, Any]]:
    """Return the paired differences of the kernel distance; the jackknife omits the same landmark from both sets."""
    comparisons = []
    for task in dict.fromkeys(task for task, _ in by_cell):
        for a, b in pairs:
            ours, theirs = by_cell.get((task, a), {}), by_cell.get((task, b), {})
            both = [key for key in ours if key in theirs]
            if len(both) < 2 or len(originals) < 2:
                continue
            landmarks = [landmark for landmark, _ in both]
            value, leave_one_out = distribution_metrics.kernel_distance_jackknife(
                np.stack([ours[key] for key in both]), landmarks, originals
            )
            other, other_leave_one_out = distribution_metrics.kernel_distance_jackknife(
                np.stack([theirs[key] for key in both]), landmarks, originals
            )
            interval = bootstrap.jackknife_interval(value - other, leave_one_out - other_leave_one_out)
            clear = interval is not None and (interval[0] > 0 or interval[1] < 0)
            comparisons.append(
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
    return comparisons


def _warnings(
    rows: Sequence[Row], comparisons: list[dict[str, Any]], sets: list[dict[str, Any]], networks: Mapping[str, Any]
) -> list[str]:
    """Return what a reader must know before trusting the numbers, one sentence each, without repeats."""
    warnings = []
    for network in networks.values():
        if network and network.get("proxy"):
            warnings.append(
                f"{network['name']} is a proxy for the published network: use its numbers to compare the variants "
                "here, and not with numbers from elsewhere."
            )
    cells = _cells(rows)
    most: dict[str, int] = {}
    for (task, _), cell_rows in cells.items():
        most[task] = max(most.get(task, 0), len({(row.landmark, row.seed) for row in cell_rows}))
    for (task, variant), cell_rows in cells.items():
        count = len({(row.landmark, row.seed) for row in cell_rows})
        if count < most[task]:
            warnings.append(f"{variant} has {count} of {most[task]} {task} images; it is compared on those only.")
    broken = sorted({metric for row in rows for metric, value in row.scores.items() if not math.isfinite(value)})
    if broken:
        warnings.append(f"Scores that are not finite numbers were omitted from: {', '.join(broken)}.")
    if inconclusive := [
        comparison["landmarks"] for comparison in comparisons if comparison["verdict"].startswith(INCONCLUSIVE)
    ]:
        warnings.append(
            f"{max(inconclusive)} landmarks are too few to show anything about a method in general; evaluate more."
        )
    if len({row.seed for row in rows}) == 1:
        warnings.append("There is one seed per landmark, so the intervals do not include the variation over seeds.")
    warnings += [entry["warning"] for entry in sets if entry["warning"]]
    return list(dict.fromkeys(warnings))
