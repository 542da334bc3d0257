"""One question of the `triad`: each person's five answers become one number, and only then is anything tested.

The unit is the participant; the five landmarks are these five, not a sample of all landmarks. Pooling all answers as if
they were independent would give 9, 18 or 26 % false positives at a within-person correlation of .1, .3 or .5.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from study.analysis.answers import Answers, Row
from study.analysis.statistics import (
    binomial,
    bootstrap_mean,
    cochrans_q,
    holm,
    krippendorff_alpha,
    proportion,
    sign_flip,
    smallest_p,
    wilcoxon,
)

CATEGORIES = {
    "buy": ("original", "lora", "ti", "none"),
    "landmark": ("lora", "ti", "both", "neither"),
    "style": ("lora", "ti"),
}
"""What can be answered, by question."""
WHOLE = math.lcm(1, 2, 3, 4, 5)
"""A person's mean over one to five answers is a whole number of sixtieths, so that the permutation test is exact."""

Main = dict[str, list[Row]]


def says_yes(row: Row, name: str) -> bool:
    """Whether the answer names that origin; "both" names LoRA and TI."""
    return row.category in (name, "both")


def net(rows: Sequence[Row], one: str, other: str) -> int:
    """A person's share of answers naming `one` minus that naming `other`, in sixtieths: -60..60."""
    return sum(says_yes(row, one) - says_yes(row, other) for row in rows) * WHOLE // len(rows)


def paired(scores: Sequence[int], seed: int, whole: int = WHOLE) -> dict[str, Any]:
    """What can be said of one difference a person, given in `whole`ths.

    `{people, mean, interval, p, smallest_p, opinions, wilcoxon_p, rank_biserial, leaning}`: p of the sign-flip test,
    the smallest that so many people with an opinion (a difference that is not zero) could have given, and how many
    lean to either side, with the exact binomial test on them.
    """
    up, down = (sum(sign * score > 0 for score in scores) for sign in (1, -1))
    wilcoxon_p, rank_biserial = wilcoxon(scores)
    return {
        "people": len(scores),
        "mean": sum(scores) / whole / len(scores) if scores else None,
        "interval": bootstrap_mean([score / whole for score in scores], seed),
        "p": sign_flip(scores),
        "smallest_p": smallest_p(up + down),
        "opinions": up + down,
        "wilcoxon_p": wilcoxon_p,
        "rank_biserial": rank_biserial,
        "leaning": {"first": up, "second": down, "neither": len(scores) - up - down, "p": binomial(up, down)},
    }


def question(answers: Answers, name: str) -> dict[str, Any]:
    """Everything on one question; `p` is of the sign-flip test of LoRA minus TI, `p_holm` is added by `analyze`."""
    main, seed = answers.of("main", name), answers.definition.seed
    landmarks, categories = answers.definition.landmarks, CATEGORIES[name]
    rows = [row for person in main.values() for row in person]
    difference = paired([net(person, "lora", "ti") for person in main.values()], seed)
    found = {
        "people": len(main),
        "partial": sum(len(person) < len(landmarks) for person in main.values()),
        "answers": len(rows),
        "p": difference["p"],
        "smallest_p": difference["smallest_p"],
        "lora_minus_ti": difference,
        "counts": _counts(rows, categories),
        "shares": {
            category: _share(main, lambda row, category=category: row.category == category, seed)
            for category in categories
        },
        "landmarks": _landmarks(rows, name, landmarks),
        "participants": [_participant(person, own) for person, own in main.items()],
        "krippendorff_alpha": krippendorff_alpha(
            [list(_counts([row for row in rows if row.landmark == place], categories).values()) for place in landmarks]
        ),
    }
    if name == "buy":
        for method in ("lora", "ti"):
            scores = [net(person, method, "original") for person in main.values()]
            found[f"{method}_minus_original"] = paired(scores, seed)
    if name == "landmark":
        for method in ("lora", "ti"):
            found.setdefault("recognizable", {})[method] = _share(
                main, lambda row, method=method: says_yes(row, method), seed
            )
            found.setdefault("cochran", {})[method] = _cochran(main, method, landmarks)
    return found


def _counts(rows: Sequence[Row], categories: Sequence[str]) -> dict[str, int]:
    counted = Counter(row.category for row in rows)
    return {category: counted[category] for category in categories}


def _share(main: Main, holds: Callable[[Row], bool], seed: int) -> dict[str, Any]:
    """Mean over people of each one's share, with its bootstrap over people."""
    shares = [sum(map(holds, person)) / len(person) for person in main.values()]
    return {"mean": math.fsum(shares) / len(shares) if shares else None, "interval": bootstrap_mean(shares, seed)}


def _landmarks(rows: Sequence[Row], name: str, landmarks: Sequence[str]) -> dict[str, Any]:
    """Each landmark by itself: one answer a person, so that the plain binomial intervals and tests hold.

    `lora_vs_ti` counts answers that name only one of the two: for the landmark question this is McNemar's exact test.
    `p_holm` is over the five landmarks of this question, a family of its own.
    """
    found = {}
    for place in landmarks:
        here = [row for row in rows if row.landmark == place]
        counts = _counts(here, CATEGORIES[name])
        found[place] = {
            "people": len(here),
            "shares": {category: proportion(count, len(here)) for category, count in counts.items()},
            "lora_vs_ti": {"lora": counts["lora"], "ti": counts["ti"], "p": binomial(counts["lora"], counts["ti"])},
        }
        if name == "landmark":
            found[place]["recognizable"] = {
                method: proportion(sum(says_yes(row, method) for row in here), len(here)) for method in ("lora", "ti")
            }
    tests = [place["lora_vs_ti"] for place in found.values()]
    for test, adjusted in zip(tests, holm([test["p"] for test in tests])):
        test["p_holm"] = adjusted
    return found


def _participant(person: str, rows: Sequence[Row]) -> dict[str, Any]:
    """One person's shares; Wilson's interval is the usable one for five answers."""
    shares = {name: proportion(sum(says_yes(row, name) for row in rows), len(rows)) for name in ("lora", "ti")}
    return {
        "participant": person,
        "answers": len(rows),
        **{
            name: {"count": told["count"], "share": told["share"], "interval": told["wilson"]}
            for name, told in shares.items()
        },
    }


def _cochran(main: Main, method: str, landmarks: Sequence[str]) -> dict[str, Any]:
    """Is a method's landmark as recognizable for each of the five? People who answered all five only."""
    whole = ({row.landmark: row for row in person} for person in main.values() if len(person) == len(landmarks))
    return cochrans_q([[says_yes(person[place], method) for place in landmarks] for person in whole])
