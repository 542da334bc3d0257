"""The quality of the answers: retests, attention checks, positions, times, and the blinding check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from study import QUESTIONS
from study.analysis.answers import Answers, Row
from study.analysis.statistics import bootstrap_mean, cohens_kappa, proportion, quartiles, rotation_test
from study.analysis.triad import DENOMINATOR, paired_difference


def retest(answers: Answers, question: str) -> dict[str, Any]:
    """Return `{agreed, kappa}` of second and first answers to one question, one retest per participant."""
    pairs = [(first, second) for _, first, second in answers.retest_pairs(question)]
    agreed = sum(first == second for first, second in pairs)
    return {"agreed": proportion(agreed, len(pairs)), "kappa": cohens_kappa(pairs)}


def retest_agreement(answers: Answers) -> dict[str, Any]:
    """Return each participant's share of retests answered the same, over all questions: `{participants, mean,
    interval}`.
    """
    by_participant: dict[str, list[bool]] = {}
    for question in QUESTIONS:
        for participant, first, second in answers.retest_pairs(question):
            by_participant.setdefault(participant, []).append(first == second)
    shares = [sum(same) / len(same) for same in by_participant.values()]
    return {
        "participants": len(shares),
        "mean": math.fsum(shares) / len(shares) if shares else None,
        "interval": bootstrap_mean(shares, answers.definition.seed),
    }


def attention_checks(answers: Answers) -> dict[str, int]:
    """Return `{participants, answers, wrong}` of the attention checks."""
    checks = answers.by_participant("attention_check")
    rows = [row for own in checks.values() for row in own]
    return {"participants": len(checks), "answers": len(rows), "wrong": sum(row.position != row.answer for row in rows)}


def positions(answers: Answers, question: str) -> dict[str, Any]:
    """Return `{counts, statistic, p}`: choices by position, chi-square against equal shares, participants as units."""
    main = answers.by_participant("main", question)
    count = max((len(row.positions) for own in main.values() for row in own), default=0)
    table = [
        [sum(row.position == position for row in own) for position in range(1, count + 1)] for own in main.values()
    ]
    return {"counts": [sum(column) for column in zip(*table)], **rotation_test(table, answers.definition.seed)}


def seconds(rows: Sequence[Row]) -> dict[str, Any]:
    """Return `{client, server}`, each `{n, median, quartiles}` in seconds; description only."""
    return {
        clock: quartiles(
            [milliseconds / 1000 for row in rows if (milliseconds := getattr(row, f"{clock}_ms")) is not None]
        )
        for clock in ("client", "server")
    }


def blinding_check(answers: Answers) -> dict[str, Any]:
    """Return how blind the study was: each participant's correct minus wrong guesses, where an image was named.

    `{participants, answers, unsure, correct: {mean, interval}, p, min_attainable_p, nonzero}`: `participants` named at
    least one image, `unsure` is the share of "unsure" among all answers. Chance is .5; p is of the sign-flip test with
    participants as units.
    """
    checks = answers.by_participant("blinding_check")
    named = [own for rows in checks.values() if (own := [row for row in rows if row.choice == "image"])]
    scores = [sum(1 if row.origin == "lora" else -1 for row in own) * DENOMINATOR // len(own) for own in named]
    total = sum(map(len, checks.values()))
    difference = paired_difference(scores, answers.definition.seed)
    return {
        "participants": len(named),
        "answers": total,
        "unsure": (total - sum(map(len, named))) / total if total else None,
        "correct": {
            "mean": None if difference["mean"] is None else (1 + difference["mean"]) / 2,
            "interval": difference["interval"] and [(1 + end) / 2 for end in difference["interval"]],
        },
        "p": difference["p"],
        "min_attainable_p": difference["min_attainable_p"],
        "nonzero": difference["nonzero"],
    }
