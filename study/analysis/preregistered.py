"""The analysis that is fixed when the study is locked: rows in, one JSON-ready dict out.

By question: `analysis_triad`, `analysis_paper`; the quality of the answers: `analysis_quality`; formulas: `statistics`;
words: `findings`. Nothing here reads a database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from study import QUESTIONS
from study.analysis import paper, quality, triad
from study.analysis.answers import Answers, Row
from study.analysis.paper import PUBLISHED, paper_counts
from study.analysis.statistics import CONFIDENCE, power
from study.design.definition import Definition

__all__ = ["PUBLISHED", "Row", "analysis_sha256", "analyze", "paper_counts", "planned_power", "power"]

MODULES = ("answers.py", "findings.py", "paper.py", "preregistered.py", "quality.py", "statistics.py", "triad.py")
"""Modules of this package that decide what the result will be."""


def analyze(definition: Definition, rows: Iterable[Row]) -> dict[str, Any]:
    """Everything that the protocol lists, with everybody ("all") and without those whom its rules exclude ("kept").

    None stands where nothing can be said; there is never a nan. Equal answers give equal results: what is drawn at
    random is seeded by the definition. Raises StudyError for rows that would count twice.
    """
    answers = Answers(definition, rows)
    excluded = answers.excluded()
    whole = _part(answers)
    reached = _powers(len(answers.people), definition.alpha) if answers.people else None
    return {
        "instrument": definition.instrument,
        "definition_sha256": definition.digest(),
        "landmarks": list(definition.landmarks),
        "unit": "participant",
        "alpha": definition.alpha,
        "confidence": CONFIDENCE,
        "power": {"planned": planned_power(definition), "reached": reached},
        "excluded": excluded,
        "all": whole,
        "kept": _part(answers.without({one["participant"] for one in excluded})) if excluded else whole,
    }


def planned_power(definition: Definition) -> dict[str, Any]:
    """`{n, alpha, 70:30, 75:25, 80:20}`: chances to find such shares with the people asked for, at a third of alpha.

    A third, since Holm's first and strictest step divides by the three questions.
    """
    return _powers(definition.participants, definition.alpha)


def analysis_sha256() -> str:
    """sha256 over the sources of the analysis, hexadecimal: what is locked together with the definition."""
    digest = hashlib.sha256()
    for name in MODULES:
        source = (Path(__file__).parent / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def _powers(people: int, alpha: float) -> dict[str, Any]:
    each = alpha / len(QUESTIONS)
    shares = {f"{share}:{100 - share}": power(people, share / 100, each) for share in (70, 75, 80)}
    return {"n": people, "alpha": each, **shares}


def _part(answers: Answers) -> dict[str, Any]:
    """The whole analysis of some people's answers."""
    room = paper if answers.definition.instrument == "paper" else triad
    questions = {}
    for name in QUESTIONS:
        rows = [row for person in answers.of("main", name).values() for row in person]
        questions[name] = {
            **room.question(answers, name),
            "repeats": quality.repeats(answers, name),
            "positions": quality.positions(answers, name),
            "seconds": quality.seconds(rows),
        }
    return {
        "people": len(answers.people),
        "questions": paper.adjust(questions),
        "guess": quality.guess(answers),
        "agreement": quality.agreement(answers),
        "catches": quality.catches(answers),
    }
