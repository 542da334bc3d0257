"""One question of the `paper` instrument, one answer per participant; and the published study's own counts as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from study import ORIGINS
from study.analysis.answers import Answers
from study.analysis.statistics import binomial_test, chi_square, cohens_h, holm, min_attainable_p, proportion

BOARD_OPTIONS = {"original": 5, "lora": 5, "ti": 5, "none": 1}
"""The menu of a board: fifteen images and "none"."""
PUBLISHED_COUNTS = {
    "buy": {"lora": 45, "ti": 0, "none": 5},
    "landmark": {"lora": 20, "ti": 5, "none": 25},
    "style": {"lora": 40, "ti": 10},
}
"""The published shares (90/0/10, 40/10/50 and 80/20 %) of 50 participants; "neither" is "none" here.

The single answers were not published, nor how often an original was chosen.
"""


def question(answers: Answers, name: str) -> dict[str, Any]:
    """Analyze one question; the keys are those of `summarize_counts`."""
    rows = [row for own in answers.by_participant("main", name).values() for row in own]
    counts = Counter(row.category if row.category in ORIGINS else "none" for row in rows)
    return summarize_counts({category: counts[category] for category in BOARD_OPTIONS}, BOARD_OPTIONS)


def summarize_counts(counts: Mapping[str, int], menu: Mapping[str, float]) -> dict[str, Any]:
    """Test and describe independent answers, one per participant.

    p is the exact binomial test of LoRA against TI among those who chose either. `chi_square` is against a random
    choice from the menu, whose weights say how much of it each category fills; its p is rough where `min_expected` is
    below five.
    """
    chose_either = counts["lora"] + counts["ti"]
    lora = proportion(counts["lora"], chose_either)
    participants = sum(counts.values())
    summary = {
        "participants": participants,
        "counts": dict(counts),
        "chose_either": chose_either,
        "lora": lora,
        "p": binomial_test(counts["lora"], counts["ti"]),
        "min_attainable_p": min_attainable_p(chose_either),
        "cohens_h": cohens_h(lora["share"]),
        "shares": {category: proportion(count, participants) for category, count in counts.items()},
        "menu": dict(menu),
        "chi_square": chi_square([counts[category] for category in menu], list(menu.values())),
    }
    if "none" in counts:
        for method in ("lora", "ti"):
            summary[f"{method}_vs_none"] = {
                method: counts[method],
                "none": counts["none"],
                "p": binomial_test(counts[method], counts["none"]),
            }
    return summary


def add_holm(questions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add `p_holm` to each of the three questions, which are the study's one family of tests."""
    for question, adjusted in zip(questions.values(), holm([question["p"] for question in questions.values()])):
        question["p_holm"] = adjusted
    return questions


def paper_counts(counts: Mapping[str, Mapping[str, int]] = PUBLISHED_COUNTS, alpha: float = 0.05) -> dict[str, Any]:
    """Return the result, in the form of `analyze`, of counts alone: by question `lora`, `ti` and, if offered, `none`.

    The menu is the reported answers, each equally likely. Counts alone allow no exclusions, and say nothing about
    retests, positions, times or the blinding check.
    """
    questions = add_holm({name: summarize_counts(own, dict.fromkeys(own, 1)) for name, own in counts.items()})
    part = {
        "participants": max(question["participants"] for question in questions.values()),
        "questions": questions,
        "blinding_check": None,
    }
    return {
        "instrument": "paper",
        "alpha": alpha,
        "landmarks": None,
        "excluded": [],
        "all": part,
        "after_exclusions": part,
    }
