"""How good the answers are: repeats, catch trials, positions, times, and how blind people were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from study import QUESTIONS
from study.analysis.answers import Answers, Row
from study.analysis.statistics import bootstrap_mean, cohens_kappa, proportion, quartiles, rotation
from study.analysis.triad import WHOLE, paired


def repeats(answers: Answers, question: str) -> dict[str, Any]:
    """`{agreed, kappa}` of second with first answers to one question, one repeat a person."""
    pairs = [(first, second) for _, first, second in answers.repeated(question)]
    return {"agreed": proportion(sum(one == two for one, two in pairs), len(pairs)), "kappa": cohens_kappa(pairs)}


def agreement(answers: Answers) -> dict[str, Any]:
    """Each person's share of repeats answered the same, over all questions, as `{people, mean, interval}`."""
    by_person: dict[str, list[bool]] = {}
    for question in QUESTIONS:
        for person, first, second in answers.repeated(question):
            by_person.setdefault(person, []).append(first == second)
    shares = [sum(same) / len(same) for same in by_person.values()]
    return {
        "people": len(shares),
        "mean": math.fsum(shares) / len(shares) if shares else None,
        "interval": bootstrap_mean(shares, answers.definition.seed),
    }


def catches(answers: Answers) -> dict[str, int]:
    """`{people, answers, wrong}` of the questions with a known answer."""
    told = answers.of("catch")
    rows = [row for person in told.values() for row in person]
    return {"people": len(told), "answers": len(rows), "wrong": sum(row.position != row.answer for row in rows)}


def positions(answers: Answers, question: str) -> dict[str, Any]:
    """`{counts, statistic, p}`: choices by position, chi-square against equal shares, people as units."""
    main = answers.of("main", question)
    places = max((len(row.positions) for person in main.values() for row in person), default=0)
    table = [
        [sum(row.position == place for row in person) for place in range(1, places + 1)] for person in main.values()
    ]
    return {"counts": [sum(column) for column in zip(*table)], **rotation(table, answers.definition.seed)}


def seconds(rows: Sequence[Row]) -> dict[str, Any]:
    """`{client, server}`, each `{n, median, quartiles}` in seconds; description only."""
    return {
        clock: quartiles([told / 1000 for row in rows if (told := getattr(row, f"{clock}_ms")) is not None])
        for clock in ("client", "server")
    }


def guess(answers: Answers) -> dict[str, Any]:
    """How blind it was: each person's right minus wrong guesses, over those where a picture was named.

    `{people, answers, unsure, right: {mean, interval}, p, smallest_p, opinions}`: `people` named at least one picture,
    `unsure` is the share of "unsure" among all answers. Chance is .5; p is of the sign-flip test, people as units.
    """
    told = answers.of("guess")
    named = [own for rows in told.values() if (own := [row for row in rows if row.choice == "image"])]
    scores = [sum(1 if row.origin == "lora" else -1 for row in own) * WHOLE // len(own) for own in named]
    total = sum(map(len, told.values()))
    difference = paired(scores, answers.definition.seed)
    return {
        "people": len(named),
        "answers": total,
        "unsure": (total - sum(map(len, named))) / total if total else None,
        "right": {
            "mean": None if difference["mean"] is None else (1 + difference["mean"]) / 2,
            "interval": difference["interval"] and [(1 + end) / 2 for end in difference["interval"]],
        },
        "p": difference["p"],
        "smallest_p": difference["smallest_p"],
        "opinions": difference["opinions"],
    }
