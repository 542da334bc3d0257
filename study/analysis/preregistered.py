"""The analysis that is fixed when the study is locked: rows in, one JSON-ready dict out.

The questions are in `triad` and `paper`, the quality of the answers in `quality`, the formulas in `statistics`, the
words in `findings`. Nothing here reads a database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from study import QUESTIONS
from study.analysis import paper, quality, triad
from study.analysis.answers import Answers, Row
from study.analysis.paper import PUBLISHED_COUNTS, paper_counts
from study.analysis.statistics import CONFIDENCE, power
from study.design.definition import Definition

__all__ = ["PUBLISHED_COUNTS", "Row", "analysis_sha256", "analyze", "paper_counts", "planned_power", "power"]

MODULES = ("answers.py", "findings.py", "paper.py", "preregistered.py", "quality.py", "statistics.py", "triad.py")
"""Modules of this package that decide what the result will be."""


def analyze(definition: Definition, rows: Iterable[Row]) -> dict[str, Any]:
    """Return everything that the protocol lists, for all participants ("all") and without the excluded ones.

    The second part is "after_exclusions". A value that cannot be computed is None; there is never a nan. Equal answers
    give equal results, since the definition seeds every random draw. Raises StudyError for rows that would count twice.
    """
    answers = Answers(definition, rows)
    excluded = answers.excluded()
    everyone = _part(answers)
    achieved = _powers(len(answers.participants), definition.alpha) if answers.participants else None
    remaining = _part(answers.without({entry["participant"] for entry in excluded})) if excluded else everyone
    return {
        "instrument": definition.instrument,
        "definition_sha256": definition.digest(),
        "landmarks": list(definition.landmarks),
        "unit": "participant",
        "alpha": definition.alpha,
        "confidence": CONFIDENCE,
        "power": {"planned": planned_power(definition), "achieved": achieved},
        "excluded": excluded,
        "all": everyone,
        "after_exclusions": remaining,
    }


def planned_power(definition: Definition) -> dict[str, Any]:
    """Return `{n, alpha, 70:30, 75:25, 80:20}`: the power for such shares with the planned participants.

    alpha is a third of the study's level, since Holm's first and strictest step divides by the three questions.
    """
    return _powers(definition.participants, definition.alpha)


def analysis_sha256() -> str:
    """Return the sha256 over the analysis code, hexadecimal, which is locked together with the definition."""
    digest = hashlib.sha256()
    for name in MODULES:
        source = (Path(__file__).parent / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def _powers(participants: int, alpha: float) -> dict[str, Any]:
    level = alpha / len(QUESTIONS)
    shares = {f"{share}:{100 - share}": power(participants, share / 100, level) for share in (70, 75, 80)}
    return {"n": participants, "alpha": level, **shares}


def _part(answers: Answers) -> dict[str, Any]:
    """Run the whole analysis on some participants' answers."""
    analyze_question = paper.question if answers.definition.instrument == "paper" else triad.question
    questions = {}
    for name in QUESTIONS:
        rows = [row for own in answers.by_participant("main", name).values() for row in own]
        questions[name] = {
            **analyze_question(answers, name),
            "retest": quality.retest(answers, name),
            "positions": quality.positions(answers, name),
            "seconds": quality.seconds(rows),
        }
    return {
        "participants": len(answers.participants),
        "questions": paper.add_holm(questions),
        "blinding_check": quality.blinding_check(answers),
        "retest_agreement": quality.retest_agreement(answers),
        "attention_checks": quality.attention_checks(answers),
    }
