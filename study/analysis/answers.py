"""The answers as plain rows: who answered what, and which participants the exclusion rules drop.

No SQL here (`study.store` makes the rows), no test or interval (`statistics`), no trial order (`study.design.plan`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from study import ORIGINS, QUESTIONS, StudyError
from study.design.definition import Definition

MIN_POSITION_ANSWERS = 10
"""Fewer answers are not checked for position bias: one honest participant in sixteen picks one side five times of five.
"""


@dataclass(frozen=True)
class Row:
    """One response of one participant."""

    participant: str
    seq: int
    """Number of the trial in the participant's plan, from 1."""
    kind: str
    """main | practice | attention_check | retest | blinding_check | view."""
    question: str
    landmark: str | None
    """None on a board of the `paper` instrument."""
    choice: str
    """image | none | both | neither | unsure | seen."""
    origin: str | None
    """Origin of the chosen image; None if no image was chosen."""
    position: int | None
    """Position of the chosen image, from 1."""
    positions: tuple[str, ...]
    """Origins by position 1..n; "right" and "wrong" in practice trials and attention checks."""
    answer: int | None
    """The correct position of an attention check."""
    retest_of: int | None
    """Of a retest: the `seq` of the trial that it repeats."""
    client_ms: int | None
    """Milliseconds from showing to answering, measured by the browser."""
    server_ms: int | None
    """The same, measured by the server."""

    @property
    def category(self) -> str:
        """The choice as a category: an origin, or the menu word if no image was chosen."""
        return self.origin if self.choice == "image" and self.origin else self.choice

    @property
    def seconds(self) -> float | None:
        """The browser's time, else the server's, in seconds."""
        milliseconds = self.server_ms if self.client_ms is None else self.client_ms
        return None if milliseconds is None else milliseconds / 1000


class Answers:
    """All responses of a study, by participant and question.

    Raises StudyError for rows that would count twice, and for rows that do not fit the definition.
    """

    def __init__(self, definition: Definition, rows: Iterable[Row]):
        self.definition = definition
        self.rows = tuple(sorted(rows, key=lambda row: (row.participant, row.seq)))
        seen: set[tuple[Any, ...]] = set()
        for row in self.rows:
            keys: list[tuple[Any, ...]] = [(row.participant, row.seq)]
            if row.kind == "main":
                _check(row, definition)
                keys.append((row.participant, row.question, row.landmark))
            if seen.intersection(keys):
                raise StudyError(
                    f"participant {row.participant} answered trial {row.seq} ({row.question}, {row.landmark}) twice; "
                    "keep one of the two rows"
                )
            seen.update(keys)

    @cached_property
    def participants(self) -> tuple[str, ...]:
        """Participants who answered at least one main question."""
        return tuple(dict.fromkeys(row.participant for row in self.rows if row.kind == "main"))

    def by_participant(self, kind: str, question: str | None = None) -> dict[str, list[Row]]:
        """Return the responses of one kind (to one question) by participant, without participants who gave none."""
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row.kind == kind and question in (None, row.question):
                rows[row.participant].append(row)
        return dict(rows)

    def retest_pairs(self, question: str) -> list[tuple[str, str, str]]:
        """Return (participant, first category, second category) of every retest whose first trial was answered too."""
        by_trial = {(row.participant, row.seq): row for row in self.rows}
        return [
            (row.participant, by_trial[row.participant, row.retest_of].category, row.category)
            for row in self.rows
            if row.kind == "retest"
            and row.question == question
            and row.retest_of is not None
            and (row.participant, row.retest_of) in by_trial
        ]

    def without(self, participants: Collection[str]) -> Answers:
        """Return the answers of all other participants."""
        return Answers(self.definition, (row for row in self.rows if row.participant not in participants))

    def excluded(self) -> list[dict[str, Any]]:
        """Return `{"participant", "reasons": [sentence]}` for everyone whom the definition's rules exclude."""
        checks, main = self.by_participant("attention_check"), self.by_participant("main")
        excluded = []
        for participant in self.participants:
            if reasons := self._reasons(checks.get(participant, []), main[participant]):
                excluded.append({"participant": participant, "reasons": reasons})
        return excluded

    def _reasons(self, checks: list[Row], main: list[Row]) -> list[str]:
        rules, reasons = self.definition.exclusions, []
        wrong = sum(row.position != row.answer for row in checks)
        if wrong > rules.max_failed_attention_checks:
            reasons.append(
                f"{wrong} of {len(checks)} attention checks wrong; at most {rules.max_failed_attention_checks} allowed"
            )
        times = [row.seconds for row in main if row.seconds is not None]
        if times and median(times) < rules.min_median_seconds:
            reasons.append(
                f"median of {median(times):.2f} s per answer; at least {rules.min_median_seconds:g} s required"
            )
        positions = Counter(row.position for row in main if row.position is not None)
        if positions and len(main) >= MIN_POSITION_ANSWERS:
            position, count = positions.most_common(1)[0]
            if count / len(main) > rules.max_same_position:
                reasons.append(
                    f"{count} of {len(main)} answers at position {position}; "
                    f"at most {rules.max_same_position:.0%} allowed"
                )
        return reasons


def _check(row: Row, definition: Definition) -> None:
    if row.question not in QUESTIONS:
        raise StudyError(f"an answer is to the question {row.question!r}; the questions are {', '.join(QUESTIONS)}")
    landmarks = (None,) if definition.instrument == "paper" else definition.landmarks
    if row.landmark not in landmarks:
        listed = ", ".join(map(str, landmarks))
        raise StudyError(f"an answer is about {row.landmark!r}; the study's landmarks are {listed}")
    if row.choice == "image" and row.origin not in ORIGINS:
        raise StudyError(f"a chosen image has the origin {row.origin!r}; the origins are {', '.join(ORIGINS)}")
