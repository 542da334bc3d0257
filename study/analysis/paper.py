"""One question of the `paper` instrument, one answer a person; and the published study's own counts as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from study import ORIGINS
from study.analysis.answers import Answers
from study.analysis.statistics import binomial, chi_square, cohens_h, holm, proportion, smallest_p

BOARD = {"original": 5, "lora": 5, "ti": 5, "none": 1}
"""The menu of a board: fifteen pictures and "none"."""
PUBLISHED = {
    "buy": {"lora": 45, "ti": 0, "none": 5},
    "landmark": {"lora": 20, "ti": 5, "none": 25},
    "style": {"lora": 40, "ti": 10},
}
"""The published shares (90/0/10, 40/10/50 and 80/20 %) of 50 participants; "neither" is "none" here.

The single answers were not published, nor how often an original was chosen.
"""


def question(answers: Answers, name: str) -> dict[str, Any]:
    """Everything on one question, as `counted`."""
    rows = [row for person in answers.of("main", name).values() for row in person]
    told = Counter(row.category if row.category in ORIGINS else "none" for row in rows)
    return counted({category: told[category] for category in BOARD}, BOARD)


def counted(counts: Mapping[str, int], menu: Mapping[str, float]) -> dict[str, Any]:
    """What independent answers say, one a person.

    p is the exact binomial test of LoRA against TI among those who chose either. `chi_square` is against a blind choice
    from the menu, whose weights say how much of it each category fills; its p is rough where `smallest_expected` is
    below five.
    """
    either = counts["lora"] + counts["ti"]
    lora = proportion(counts["lora"], either)
    people = sum(counts.values())
    found = {
        "people": people,
        "counts": dict(counts),
        "either": either,
        "lora": lora,
        "p": binomial(counts["lora"], counts["ti"]),
        "smallest_p": smallest_p(either),
        "cohens_h": cohens_h(lora["share"]),
        "shares": {category: proportion(count, people) for category, count in counts.items()},
        "menu": dict(menu),
        "chi_square": chi_square([counts[category] for category in menu], list(menu.values())),
    }
    if "none" in counts:
        for method in ("lora", "ti"):
            found[f"{method}_vs_none"] = {
                method: counts[method],
                "none": counts["none"],
                "p": binomial(counts[method], counts["none"]),
            }
    return found


def adjust(questions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add `p_holm` to each of the three questions: the study's one family of tests."""
    for told, adjusted in zip(questions.values(), holm([told["p"] for told in questions.values()])):
        told["p_holm"] = adjusted
    return questions


def paper_counts(counts: Mapping[str, Mapping[str, int]] = PUBLISHED, alpha: float = 0.05) -> dict[str, Any]:
    """The result, in the form of `analyze`, of counts alone: by question, `lora`, `ti` and, where offered, `none`.

    The menu is taken as the answers that were told, each as likely. Nobody can be excluded, and nothing is known of
    repeats, positions, times or guesses.
    """
    questions = adjust({name: counted(told, dict.fromkeys(told, 1)) for name, told in counts.items()})
    part = {"people": max(told["people"] for told in questions.values()), "questions": questions, "guess": None}
    return {"instrument": "paper", "alpha": alpha, "landmarks": None, "excluded": [], "all": part, "kept": part}
