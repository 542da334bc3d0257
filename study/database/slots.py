"""Slots of a study: how many there are, who has one, and when another participant gets it.

Each slot has a plan. What a participant does on it is in `participation`.
"""

from __future__ import annotations

from sqlite_utils import Database

from study import StudyError
from study.database.transactions import only_row, row, rows
from study.design.definition import Definition
from study.design.plan import slot_count

PILOT_SLOTS = 6
# Simulated answers use the slots of a study in which no real participant takes part.
SLOT_MODE = {"live": "live", "simulated": "live", "pilot": "pilot"}


def live_numbers(definition: Definition) -> range:
    """Return the numbers of the slots for the study itself."""
    return range(slot_count(definition))


def pilot_numbers(definition: Definition) -> range:
    """Return the numbers of the slots for the pilot: a block of six after the study's own."""
    return range(slot_count(definition), slot_count(definition) + PILOT_SLOTS)


def abandoned_before(definition: Definition, now: int) -> int:
    """Return the time (ms) before which a last activity means that the participant has left."""
    return now - definition.lease_minutes * 60_000


def admit(db: Database, definition: Definition, mode: str, now: int) -> None:
    """Raise StudyError if no more participants are needed; complete and active ones count."""
    target = PILOT_SLOTS if mode == "pilot" else definition.participants
    counted = only_row(
        db,
        "SELECT coalesce(sum(s.state = 'complete'), 0) AS finished, "
        "coalesce(sum(s.state = 'leased' AND p.seen_at >= ?), 0) AS working "
        "FROM slot s JOIN participant p ON p.id = s.participant WHERE s.mode = ?",
        abandoned_before(definition, now),
        SLOT_MODE[mode],
    )
    finished, working = counted["finished"], counted["working"]
    if finished >= target:
        raise StudyError(f"all {target} places in this study are filled; thank you, no more answers are needed")
    if finished + working >= target:
        raise StudyError(
            f"all {target} places in this study are taken: {finished} finished, {working} in progress; an abandoned "
            f"place becomes free after {definition.lease_minutes} minutes, so try again later"
        )


def free_slot(db: Database, definition: Definition, mode: str, now: int) -> int | None:
    """Return the lowest free slot, after freeing abandoned ones if there is none; None if all are in use."""
    lowest = "SELECT min(number) AS number FROM slot WHERE mode = ? AND state = 'free'"
    number = only_row(db, lowest, SLOT_MODE[mode])["number"]
    if number is None and expire(db, definition, mode, now):
        number = only_row(db, lowest, SLOT_MODE[mode])["number"]
    return number


def expire(db: Database, definition: Definition, mode: str, now: int) -> int:
    """If no slot is free, free the slots of all who were inactive for `lease_minutes`; return how many."""
    if row(db, "SELECT 1 FROM slot WHERE mode = ? AND state = 'free' LIMIT 1", SLOT_MODE[mode]):
        return 0
    abandoned = rows(
        db,
        "SELECT s.number, s.participant FROM slot s JOIN participant p ON p.id = s.participant "
        "WHERE s.mode = ? AND s.state = 'leased' AND p.seen_at < ?",
        SLOT_MODE[mode],
        abandoned_before(definition, now),
    )
    for slot in abandoned:
        db.execute(
            "UPDATE slot SET state = 'free', participant = NULL, leased_at = NULL WHERE number = ?", [slot["number"]]
        )
        log_event(db, slot["participant"], "displaced", now)
    return len(abandoned)


def lease(db: Database, number: int, participant: str, now: int) -> None:
    """Give a free slot to a participant."""
    db.execute(
        "UPDATE slot SET state = 'leased', participant = ?, leased_at = ? WHERE number = ?", [participant, now, number]
    )


def release(db: Database, participant: str) -> None:
    """Free the slot of a participant who withdraws; after the close it becomes void."""
    db.execute(
        "UPDATE slot SET state = CASE (SELECT state FROM study_version) WHEN 'closed' THEN 'void' ELSE 'free' END, "
        "participant = NULL, leased_at = NULL WHERE participant = ?",
        [participant],
    )


def log_event(db: Database, participant: str, kind: str, now: int) -> None:
    """Log what happened to a participant's slot: joined | displaced | resumed | completed."""
    db.table("event").insert({"participant": participant, "at": now, "kind": kind})
