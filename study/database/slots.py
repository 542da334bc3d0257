"""Places in a study: how many are wanted, who has one, and when somebody else may have it.

A place is a slot with its plan. What happens on it is `participation`.
"""

from __future__ import annotations

from sqlite_utils import Database

from study import StudyError
from study.database.transactions import row, rows
from study.design.definition import Definition
from study.design.plan import slots

PILOT_PLACES = 6
# Simulated answers fill the places of a study that no person takes part in.
KIND = {"live": "live", "simulated": "live", "pilot": "pilot"}


def live_numbers(definition: Definition) -> range:
    """Numbers of the slots for the study itself."""
    return range(slots(definition))


def pilot_numbers(definition: Definition) -> range:
    """Numbers of the slots for the pilot: a block of six after the study's own."""
    return range(slots(definition), slots(definition) + PILOT_PLACES)


def since(definition: Definition, now: int) -> int:
    """Who gave no sign of life from this time on has left (ms)."""
    return now - definition.lease_minutes * 60_000


def admit(db: Database, definition: Definition, mode: str, now: int) -> None:
    """StudyError unless one more person is wanted: those who finished and those at work count."""
    target = PILOT_PLACES if mode == "pilot" else definition.participants
    counted = row(
        db,
        "SELECT coalesce(sum(s.state = 'complete'), 0) AS finished, "
        "coalesce(sum(s.state = 'leased' AND p.seen_at >= ?), 0) AS working "
        "FROM slot s JOIN participant p ON p.id = s.participant WHERE s.mode = ?",
        since(definition, now),
        KIND[mode],
    )
    finished, working = counted["finished"], counted["working"]
    if finished >= target:
        raise StudyError(f"all {target} places of this study are filled; thank you, no more answers are needed")
    if finished + working >= target:
        raise StudyError(
            f"all {target} places of this study are taken, {finished} finished and {working} at work; a place that is "
            f"left becomes free after {definition.lease_minutes} minutes, so try again later"
        )


def free(db: Database, definition: Definition, mode: str, now: int) -> int | None:
    """The lowest free slot; where there is none, those that were left become free first. None if all are in use."""
    lowest = "SELECT min(number) AS number FROM slot WHERE mode = ? AND state = 'free'"
    number = row(db, lowest, KIND[mode])["number"]
    if number is None and expire(db, definition, mode, now):
        number = row(db, lowest, KIND[mode])["number"]
    return number


def expire(db: Database, definition: Definition, mode: str, now: int) -> int:
    """If no slot is free, take back the slots of all who gave no sign of life for `lease_minutes`; returns how many."""
    if row(db, "SELECT 1 FROM slot WHERE mode = ? AND state = 'free' LIMIT 1", KIND[mode]):
        return 0
    left = rows(
        db,
        "SELECT s.number, s.participant FROM slot s JOIN participant p ON p.id = s.participant "
        "WHERE s.mode = ? AND s.state = 'leased' AND p.seen_at < ?",
        KIND[mode],
        since(definition, now),
    )
    for one in left:
        db.execute(
            "UPDATE slot SET state = 'free', participant = NULL, leased_at = NULL WHERE number = ?", [one["number"]]
        )
        note(db, one["participant"], "displaced", now)
    return len(left)


def take(db: Database, number: int, participant: str, now: int) -> None:
    """Give a free slot to a participant."""
    db.execute(
        "UPDATE slot SET state = 'leased', participant = ?, leased_at = ? WHERE number = ?", [participant, now, number]
    )


def leave(db: Database, participant: str) -> None:
    """Free the slot of a participant who withdraws; after closing nobody else may have it."""
    db.execute(
        "UPDATE slot SET state = CASE (SELECT state FROM study_version) WHEN 'closed' THEN 'void' ELSE 'free' END, "
        "participant = NULL, leased_at = NULL WHERE participant = ?",
        [participant],
    )


def note(db: Database, participant: str, kind: str, now: int) -> None:
    """Remember what happened to a participant's place: joined | displaced | resumed | completed."""
    db["event"].insert({"participant": participant, "at": now, "kind": kind})
