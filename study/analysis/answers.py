"""What people answered, in plain rows: who answered what, who is left out and why.

No SQL (`store` makes the rows), no test and no interval (`statistics`), no order of trials (`design`).
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

FEWEST_POSITIONS = 10
"""With fewer answers nobody is judged by positions: one honest person in sixteen picks one side five times of five."""


@dataclass(frozen=True)
class Row:
    """One response of one person."""

    participant: str
    seq: int
    """Place of the trial in the person's plan, from 1."""
    kind: str
    """main | practice | catch | repeat | guess | view."""
    question: str
    landmark: str | None
    """None on a board of the `paper` instrument."""
    choice: str
    """image | none | both | neither | unsure | seen."""
    origin: str | None
    """Of the chosen picture; None where none was chosen."""
    position: int | None
    """Of the chosen picture, from 1."""
    positions: tuple[str, ...]
    """Origins by position 1..n; of practice and catch trials "right" and "wrong"."""
    answer: int | None
    """The right position of a catch trial."""
    repeats: int | None
    """A repeat: the `seq` of the trial that it repeats."""
    client_ms: int | None
    """From showing to answering, as the browser counts."""
    server_ms: int | None
    """The same, as the server counts."""

    @property
    def category(self) -> str:
        """What was chosen: an origin, or the choice that is no picture."""
        return self.origin if self.choice == "image" and self.origin else self.choice

    @property
    def seconds(self) -> float | None:
        """The browser's time, else the server's, in seconds."""
        told = self.server_ms if self.client_ms is None else self.client_ms
        return None if told is None else told / 1000


class Answers:
    """All responses of a study, by person and question.

    Raises StudyError for rows that would count twice, or that the definition does not know.
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
    def people(self) -> tuple[str, ...]:
        """Those who answered at least one main question."""
        return tuple(dict.fromkeys(row.participant for row in self.rows if row.kind == "main"))

    def of(self, kind: str, question: str | None = None) -> dict[str, list[Row]]:
        """Responses of one kind (to one question) by person; people without any are not in it."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row.kind == kind and question in (None, row.question):
                found[row.participant].append(row)
        return dict(found)

    def repeated(self, question: str) -> list[tuple[str, str, str]]:
        """(person, first category, second category) of every repeat whose first trial was answered too."""
        first = {(row.participant, row.seq): row for row in self.rows}
        return [
            (row.participant, first[row.participant, row.repeats].category, row.category)
            for row in self.rows
            if row.kind == "repeat" and row.question == question and (row.participant, row.repeats) in first
        ]

    def without(self, people: Collection[str]) -> Answers:
        """The answers of everybody else."""
        return Answers(self.definition, (row for row in self.rows if row.participant not in people))

    def excluded(self) -> list[dict[str, Any]]:
        """`{"participant", "why": [sentence]}` of everybody whom the definition's rules leave out."""
        catches, main = self.of("catch"), self.of("main")
        found = []
        for person in self.people:
            if why := self._reasons(catches.get(person, []), main[person]):
                found.append({"participant": person, "why": why})
        return found

    def _reasons(self, catches: list[Row], main: list[Row]) -> list[str]:
        rules, why = self.definition.exclusions, []
        wrong = sum(row.position != row.answer for row in catches)
        if wrong > rules.max_wrong_catches:
            why.append(
                f"{wrong} of {len(catches)} questions with a known answer wrong; {rules.max_wrong_catches} may be"
            )
        times = [row.seconds for row in main if row.seconds is not None]
        if times and median(times) < rules.min_median_seconds:
            why.append(f"median {median(times):.2f} s an answer; at least {rules.min_median_seconds:g} s are asked for")
        places = Counter(row.position for row in main if row.position is not None)
        if places and len(main) >= FEWEST_POSITIONS:
            place, count = places.most_common(1)[0]
            if count / len(main) > rules.max_same_position:
                why.append(
                    f"{count} of {len(main)} answers at position {place}; at most {rules.max_same_position:.0%} may be"
                )
        return why


def _check(row: Row, definition: Definition) -> None:
    if row.question not in QUESTIONS:
        raise StudyError(f"an answer is to {row.question!r}; the questions are {', '.join(QUESTIONS)}")
    wanted = (None,) if definition.instrument == "paper" else definition.landmarks
    if row.landmark not in wanted:
        raise StudyError(f"an answer is about {row.landmark!r}; the study knows {', '.join(map(str, wanted))}")
    if row.choice == "image" and row.origin not in ORIGINS:
        raise StudyError(f"a chosen picture is of origin {row.origin!r}; the origins are {', '.join(ORIGINS)}")
