"""Progress of a study in counts; no answer is read, so that no result is known before the close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database.slots import abandoned_before
from study.database.transactions import only_row, rows
from study.design.definition import Definition


@dataclass(frozen=True)
class Status:
    """Progress of a study: counts, never a result."""

    state: str
    """draft | pilot (a draft with pilot participants) | live | closed."""
    target: int
    """Target number of complete participants."""
    counts: dict[str, dict[str, int]]
    """Mode (live, pilot, simulated) -> state (active, left, complete) -> participants."""
    slots: dict[str, int]
    """State of the study's own slots (free, leased, complete, void) -> number of slots."""
    side: int
    """Width and height of every image, px."""
    created_at: str
    """UTC, ISO 8601, as the other times."""
    locked_at: str | None
    closed_at: str | None
    definition_sha256: str
    analysis_sha256: str | None
    lock_sha256: str | None
    """sha256 over definition and analysis."""


def read_status(db: Database, now: int) -> Status:
    """Return the status at a time (ms)."""
    study = study_row(db)
    participants = rows(
        db,
        "SELECT mode, CASE WHEN state = 'active' AND seen_at < ? THEN 'left' ELSE state END AS state, count(*) AS n "
        "FROM participant GROUP BY 1, 2",
        abandoned_before(Definition.model_validate_json(study["definition"]), now),
    )
    counts: dict[str, dict[str, int]] = {}
    for group in participants:
        counts.setdefault(group["mode"], {})[group["state"]] = group["n"]
    slots = rows(db, "SELECT state, count(*) AS n FROM slot WHERE mode = 'live' GROUP BY state")
    return Status(
        state=study["state"],
        target=study["target"],
        counts=counts,
        slots={group["state"]: group["n"] for group in slots},
        side=only_row(db, "SELECT width FROM stimulus LIMIT 1")["width"],
        created_at=_iso(study["created_at"]),
        locked_at=None if study["locked_at"] is None else _iso(study["locked_at"]),
        closed_at=None if study["closed_at"] is None else _iso(study["closed_at"]),
        definition_sha256=study["definition_sha256"],
        analysis_sha256=study["analysis_sha256"],
        lock_sha256=study["lock_sha256"],
    )


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def study_row(db: Database) -> dict[str, Any]:
    """Return the row of the study."""
    return only_row(db, "SELECT * FROM study_version")


def definition_of(db: Database) -> Definition:
    """Return the definition of the study."""
    return Definition.model_validate_json(study_row(db)["definition"])


def require_state(study: dict[str, Any], *states: str) -> None:
    """Raise StudyError unless the study is in one of the states."""
    if study["state"] not in states:
        way_out = {
            "draft": "lock it first",
            "pilot": "lock it first",
            "live": "close it first",
            "closed": "create a new study",
        }[study["state"]]
        if "draft" in states and "closed" not in states:
            way_out = "create a new study"  # a lock is final
        raise StudyError(
            f"the study is {study['state']}; this needs a study that is {' or '.join(states)}, so {way_out}"
        )
