"""The analysis that is fixed when the study is locked: rows in, one JSON-ready dict out.

By question: `analysis_triad`, `analysis_paper`; the quality of the answers: `analysis_quality`; formulas: `statistics`;
words: `findings`. Nothing here reads a database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from study import QUESTIONS, analysis_paper, analysis_quality, analysis_triad
from study.analysis_paper import PUBLISHED, paper_counts
from study.answers import Answers, Row
from study.definition import Definition
from study.statistics import CONFIDENCE, power

__all__ = ["PUBLISHED", "Row", "analyse", "analysis_sha256", "paper_counts", "planned_power", "power"]

ROOMS = (
    "analysis.py", "analysis_paper.py", "analysis_quality.py", "analysis_triad.py", "answers.py", "findings.py",
    "statistics.py",
)
"""Files that decide what the result will be."""


def analyse(definition: Definition, rows: Iterable[Row]) -> dict[str, Any]:
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
    for name in ROOMS:
        source = (Path(__file__).parent / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def _powers(people: int, alpha: float) -> dict[str, Any]:
    each = alpha / len(QUESTIONS)
    shares = {f"{share}:{100 - share}": power(people, share / 100, each) for share in (70, 75, 80)}
    return {"n": people, "alpha": each, **shares}


def _part(answers: Answers) -> dict[str, Any]:
    """The whole analysis of some people's answers."""
    room = analysis_paper if answers.definition.instrument == "paper" else analysis_triad
    questions = {}
    for name in QUESTIONS:
        rows = [row for person in answers.of("main", name).values() for row in person]
        questions[name] = {
            **room.question(answers, name),
            "repeats": analysis_quality.repeats(answers, name),
            "positions": analysis_quality.positions(answers, name),
            "seconds": analysis_quality.seconds(rows),
        }
    return {
        "people": len(answers.people),
        "questions": analysis_paper.adjust(questions),
        "guess": analysis_quality.guess(answers),
        "agreement": analysis_quality.agreement(answers),
        "catches": analysis_quality.catches(answers),
    }
