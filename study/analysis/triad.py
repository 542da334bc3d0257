"""One question of the `triad`: each participant's five answers become one number, and only then is anything tested.

The unit is the participant; the five landmarks are fixed, not a sample of all landmarks. Pooling all answers as if they
were independent would give 9, 18 or 26 % false positives at a within-participant correlation of .1, .3 or .5.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from study.analysis.answers import Answers, Row
from study.analysis.statistics import (
    binomial_test,
    bootstrap_mean,
    cochrans_q,
    holm,
    krippendorff_alpha,
    min_attainable_p,
    proportion,
    sign_flip,
    wilcoxon,
)

CATEGORIES = {
    "buy": ("original", "lora", "ti", "none"),
    "landmark": ("lora", "ti", "both", "neither"),
    "style": ("lora", "ti"),
}
"""The possible answers by question."""
DENOMINATOR = math.lcm(1, 2, 3, 4, 5)
"""A participant's mean over one to five answers is a whole number of sixtieths, so the permutation test is exact."""

AnswersByParticipant = dict[str, list[Row]]


def names_origin(row: Row, origin: str) -> bool:
    """Return whether the answer names that origin; "both" names LoRA and TI."""
    return row.category in (origin, "both")


def net_preference(rows: Sequence[Row], first: str, second: str) -> int:
    """Return a participant's share of answers naming `first` minus that naming `second`, in sixtieths: -60..60."""
    return sum(names_origin(row, first) - names_origin(row, second) for row in rows) * DENOMINATOR // len(rows)


def paired_difference(scores: Sequence[int], seed: int) -> dict[str, Any]:
    """Test and describe one difference per participant, given in sixtieths.

    `{participants, mean, interval, p, min_attainable_p, nonzero, wilcoxon_p, rank_biserial, sign_test}`: p is of the
    sign-flip test, `min_attainable_p` the smallest p that so many nonzero differences could give. `sign_test` counts
    the differences by sign and has the exact binomial test on them.
    """
    positive, negative = (sum(sign * score > 0 for score in scores) for sign in (1, -1))
    wilcoxon_p, rank_biserial = wilcoxon(scores)
    return {
        "participants": len(scores),
        "mean": sum(scores) / DENOMINATOR / len(scores) if scores else None,
        "interval": bootstrap_mean([score / DENOMINATOR for score in scores], seed),
        "p": sign_flip(scores),
        "min_attainable_p": min_attainable_p(positive + negative),
        "nonzero": positive + negative,
        "wilcoxon_p": wilcoxon_p,
        "rank_biserial": rank_biserial,
        "sign_test": {
            "positive": positive,
            "negative": negative,
            "zero": len(scores) - positive - negative,
            "p": binomial_test(positive, negative),
        },
    }


def question(answers: Answers, name: str) -> dict[str, Any]:
    """Analyze one question; `p` is of the sign-flip test of LoRA minus TI, `analyze` adds `p_holm`."""
    main, seed = answers.by_participant("main", name), answers.definition.seed
    landmarks, categories = answers.definition.landmarks, CATEGORIES[name]
    rows = [row for own in main.values() for row in own]
    difference = paired_difference([net_preference(own, "lora", "ti") for own in main.values()], seed)
    summary: dict[str, Any] = {
        "participants": len(main),
        "partial": sum(len(own) < len(landmarks) for own in main.values()),
        "answers": len(rows),
        "p": difference["p"],
        "min_attainable_p": difference["min_attainable_p"],
        "lora_minus_ti": difference,
        "counts": _counts(rows, categories),
        "shares": {category: _share(main, (category,), seed) for category in categories},
        "by_landmark": _by_landmark(rows, name, landmarks),
        "by_participant": [_participant(participant, own) for participant, own in main.items()],
        "krippendorff_alpha": krippendorff_alpha(
            [
                list(_counts([row for row in rows if row.landmark == landmark], categories).values())
                for landmark in landmarks
            ]
        ),
    }
    if name == "buy":
        for method in ("lora", "ti"):
            scores = [net_preference(own, method, "original") for own in main.values()]
            summary[f"{method}_minus_original"] = paired_difference(scores, seed)
    if name == "landmark":
        for method in ("lora", "ti"):
            summary.setdefault("recognizable", {})[method] = _share(main, (method, "both"), seed)
            summary.setdefault("cochrans_q", {})[method] = _cochrans_q(main, method, landmarks)
    return summary


def _counts(rows: Sequence[Row], categories: Sequence[str]) -> dict[str, int]:
    counts = Counter(row.category for row in rows)
    return {category: counts[category] for category in categories}


def _share(main: AnswersByParticipant, categories: Collection[str], seed: int) -> dict[str, Any]:
    """Return the mean of the participants' shares of these categories, with its bootstrap over participants."""
    shares = [sum(row.category in categories for row in own) / len(own) for own in main.values()]
    return {"mean": math.fsum(shares) / len(shares) if shares else None, "interval": bootstrap_mean(shares, seed)}


def _by_landmark(rows: Sequence[Row], name: str, landmarks: Sequence[str]) -> dict[str, Any]:
    """Analyze each landmark by itself: one answer per participant, so the plain binomial intervals and tests hold.

    `lora_vs_ti` counts answers that name only one of the two: for the landmark question this is McNemar's exact test.
    `p_holm` is over the five landmarks of this question, a family of its own.
    """
    summary: dict[str, Any] = {}
    for landmark in landmarks:
        own = [row for row in rows if row.landmark == landmark]
        counts = _counts(own, CATEGORIES[name])
        summary[landmark] = {
            "participants": len(own),
            "shares": {category: proportion(count, len(own)) for category, count in counts.items()},
            "lora_vs_ti": {
                "lora": counts["lora"],
                "ti": counts["ti"],
                "p": binomial_test(counts["lora"], counts["ti"]),
            },
        }
        if name == "landmark":
            summary[landmark]["recognizable"] = {
                method: proportion(sum(names_origin(row, method) for row in own), len(own)) for method in ("lora", "ti")
            }
    tests = [entry["lora_vs_ti"] for entry in summary.values()]
    for test, adjusted in zip(tests, holm([test["p"] for test in tests])):
        test["p_holm"] = adjusted
    return summary


def _participant(participant: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return one participant's shares; Wilson's interval is the usable one for five answers."""
    shares = {
        origin: proportion(sum(names_origin(row, origin) for row in rows), len(rows)) for origin in ("lora", "ti")
    }
    return {
        "participant": participant,
        "answers": len(rows),
        **{
            origin: {"count": share["count"], "share": share["share"], "interval": share["wilson"]}
            for origin, share in shares.items()
        },
    }


def _cochrans_q(main: AnswersByParticipant, method: str, landmarks: Sequence[str]) -> dict[str, Any]:
    """Test whether a method's landmark is equally recognizable for all five, on participants who answered all five."""
    complete = [{row.landmark: row for row in own} for own in main.values() if len(own) == len(landmarks)]
    return cochrans_q([[names_origin(own[landmark], method) for landmark in landmarks] for own in complete])
