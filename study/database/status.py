"""How far a study is, in counts; no answer is read here, so that nobody learns a result before the closing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database.slots import since
from study.database.transactions import row, rows
from study.design.definition import Definition


@dataclass(frozen=True)
class Status:
    """How far a study is: counts, and never a result."""

    state: str
    """draft | pilot (a draft that somebody has tried) | live | closed."""
    target: int
    """Complete participants wanted."""
    counts: dict[str, dict[str, int]]
    """Mode (live, pilot, simulated) -> state (active, left, complete) -> participants."""
    places: dict[str, int]
    """State of the study's own slots (free, leased, complete, void) -> slots."""
    side: int
    """Width and height of every picture, px."""
    created_at: str
    """UTC, ISO 8601, as all times here."""
    locked_at: str | None
    closed_at: str | None
    definition_sha256: str
    analysis_sha256: str | None
    lock_sha256: str | None
    """Over definition and analysis."""


def read(db: Database, now: int) -> Status:
    """The status at a time (ms)."""
    study = row(db, "SELECT * FROM study_version")
    people = rows(
        db,
        "SELECT mode, CASE WHEN state = 'active' AND seen_at < ? THEN 'left' ELSE state END AS state, count(*) AS n "
        "FROM participant GROUP BY 1, 2",
        since(Definition.model_validate_json(study["definition"]), now),
    )
    counts: dict[str, dict[str, int]] = {}
    for one in people:
        counts.setdefault(one["mode"], {})[one["state"]] = one["n"]
    slots = rows(db, "SELECT state, count(*) AS n FROM slot WHERE mode = 'live' GROUP BY state")
    return Status(
        state=study["state"],
        target=study["target"],
        counts=counts,
        places={one["state"]: one["n"] for one in slots},
        side=row(db, "SELECT width FROM stimulus LIMIT 1")["width"],
        created_at=_told(study["created_at"]),
        locked_at=_told(study["locked_at"]),
        closed_at=_told(study["closed_at"]),
        definition_sha256=study["definition_sha256"],
        analysis_sha256=study["analysis_sha256"],
        lock_sha256=study["lock_sha256"],
    )


def _told(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def study_row(db: Database) -> dict[str, Any]:
    """The study's only row."""
    return row(db, "SELECT * FROM study_version")


def definition_of(db: Database) -> Definition:
    """What the study is."""
    return Definition.model_validate_json(study_row(db)["definition"])


def require_state(study: dict[str, Any], *states: str) -> None:
    """StudyError unless the study is in one of the states."""
    if study["state"] not in states:
        way_out = {
            "draft": "lock it first",
            "pilot": "lock it first",
            "live": "close it first",
            "closed": "create another one",
        }[study["state"]]
        if "draft" in states and "closed" not in states:
            way_out = "create another one"  # locked is locked
        raise StudyError(f"the study is {study['state']}, and this needs one that is {' or '.join(states)}; {way_out}")
