"""What one participant does: join, see the current trial, answer it, come back, withdraw.

Every function works inside the caller's transaction and returns the state that the database has, so that a double
click, the back button, a second tab and a retry have the same result. Origins are not used here, and the key stays
closed. Quotas and leases are in `slots`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database import slots
from study.database.schema import MODES
from study.database.tokens import completion_code, new_id, normalize_code, sha256, withdrawal_code
from study.database.transactions import only_row, row
from study.database.trials import (
    CurrentTrial,
    check_answer,
    current_trial,
    insert_trial,
    next_trial,
    random_view_tokens,
    trial_of,
)
from study.design.definition import Definition
from study.design.plan import from_json

OPEN_STATES = {"live": ("live",), "simulated": ("live",), "pilot": ("draft", "pilot")}
HEARTBEAT_MS = 1000
"""Activity within this time of the last one is not stored."""


@dataclass(frozen=True)
class Joined:
    """A new participant."""

    token: str
    """Secret of the personal link; the database has only its sha256."""
    participant: str
    """Random id, as in the export."""


def join(db: Database, mode: str, consent_version: str, now: int, token: str | None = None) -> Joined:
    """Add a participant with a slot and its plan; raise StudyError if there is none.

    Joining twice with the same token gives the same participant.
    """
    study, definition = _study(db)
    token = new_id() if token is None else token
    if not re.fullmatch(r"[\w-]{22,64}", token, re.ASCII):
        raise StudyError(f"the secret of a personal link is {token[:80]!r}; use 22 to 64 letters, digits, - or _")
    if existing := row(db, "SELECT id FROM participant WHERE token_sha256 = ?", sha256(token)):
        return Joined(token, existing["id"])
    if not consent_version.strip():
        raise StudyError("the version of the consent is empty; show the consent and give its version")
    admit(db, mode, now)
    number = slots.free_slot(db, definition, mode, now)
    if number is None:  # impossible: the target is smaller than the number of slots
        raise StudyError("all slots of this study are in use; try again later")
    participant = new_id()
    db.table("participant").insert(
        {
            "id": participant,
            "token_sha256": sha256(token),
            "withdrawal_sha256": sha256(withdrawal_code(token)),
            "mode": mode,
            "state": "active",
            "plan": number,
            "consent_version": consent_version,
            "consent_at": now,
            "seen_at": now,
            "completion_code": None,
        }
    )
    slots.lease(db, number, participant, now)
    slots.log_event(db, participant, "joined", now)
    for trial in from_json(only_row(db, "SELECT plan FROM slot WHERE number = ?", number)["plan"]):
        insert_trial(db, participant, trial, new_id(), random_view_tokens(trial))
    if study["state"] == "draft":
        db.execute("UPDATE study_version SET state = 'pilot'")
    return Joined(token, participant)


def admit(db: Database, mode: str, now: int) -> None:
    """Raise StudyError unless one more participant of this mode can join."""
    study, definition = _study(db)
    if mode not in MODES:
        raise StudyError(f"the mode is {mode!r}; use {', '.join(MODES)}")
    _permit(mode, study)
    other = {"live": "simulated", "simulated": "live"}.get(mode)
    if row(db, "SELECT 1 FROM participant WHERE mode = ? LIMIT 1", other):
        raise StudyError(f"this study has {other} answers, which never mix with {mode} ones; create a new study")
    slots.admit(db, definition, mode, now)


def current(db: Database, token: str, now: int) -> CurrentTrial:
    """Return the next trial, or the debrief, and store the activity.

    Raises StudyError for an unknown token or a lost slot.
    """
    participant = _participant(db, token)
    if participant["state"] == "active":
        _touch(db, participant, now)
    return current_trial(db, participant, token)


def shown(db: Database, token: str, trial_id: str, now: int) -> None:
    """Start the server's clock of a trial; only the first call counts."""
    participant = _participant(db, token)
    trial = trial_of(db, participant, trial_id)
    if trial["response"] is None and trial["shown_at"] is None:
        _touch(db, participant, now)
        db.execute("UPDATE trial SET shown_at = ? WHERE id = ?", [now, trial_id])


def answer(
    db: Database,
    token: str,
    trial_id: str,
    response_id: str,
    choice: str,
    position: int | None,
    client_ms: int | None,
    input: str,
    now: int,
) -> CurrentTrial:
    """Store one answer and return the next trial; an answer that was stored before changes nothing."""
    participant = _participant(db, token)
    trial = trial_of(db, participant, trial_id)
    sent = row(db, "SELECT t.participant FROM response r JOIN trial t ON t.id = r.trial WHERE r.id = ?", response_id)
    if sent and sent["participant"] != participant["id"]:
        raise StudyError(f"the answer id {response_id!r} belongs to another participant; reload the page")
    if sent or trial["response"] is not None:
        return current_trial(db, participant, token)
    _touch(db, participant, now)
    upcoming = next_trial(db, participant)
    if upcoming is None or trial["seq"] != upcoming["seq"]:
        raise StudyError(f"question {trial['seq']} is not the current one; reload the page")
    check_answer(db, trial, response_id, choice, position, client_ms, input)
    server_ms = None if trial["shown_at"] is None else max(0, now - trial["shown_at"])
    db.table("response").insert(
        {
            "id": response_id,
            "trial": trial_id,
            "choice": choice,
            "position": position,
            "client_ms": client_ms,
            "server_ms": server_ms,
            "input": input,
            "answered_at": now,
        }
    )
    if next_trial(db, participant) is None:
        participant["state"], participant["completion_code"] = "complete", completion_code(token)
        db.execute(
            "UPDATE participant SET state = 'complete', completion_code = ? WHERE id = ?",
            [participant["completion_code"], participant["id"]],
        )
        db.execute("UPDATE slot SET state = 'complete' WHERE participant = ?", [participant["id"]])
        slots.log_event(db, participant["id"], "completed", now)
    return current_trial(db, participant, token)


def image(db: Database, view_token: str) -> bytes:
    """Return the blind copy for a view token; raise StudyError if there is none."""
    found = row(
        db, "SELECT s.image FROM trial_option o JOIN stimulus s ON s.id = o.stimulus WHERE o.view_token = ?", view_token
    )
    if found is None:
        raise StudyError("there is no such image; reload the page")
    return found["image"]


def find_by_code(db: Database, code: str) -> tuple[str, str]:
    """Return (id, mode) of the participant with a withdrawal code; raise StudyError for an unknown code."""
    participant = row(db, "SELECT id, mode FROM participant WHERE withdrawal_sha256 = ?", sha256(normalize_code(code)))
    if participant is None:
        raise StudyError("this withdrawal code is unknown; a code has 12 letters and digits, and works once")
    return participant["id"], participant["mode"]


def withdraw(db: Database, code: str) -> tuple[str, int]:
    """Delete all data of a participant and free the slot; return the mode and the number of deleted answers."""
    participant, mode = find_by_code(db, code)
    return mode, delete(db, participant)


def delete(db: Database, participant: str) -> int:
    """Delete the rows of a participant in all tables and free the slot; return the number of deleted answers."""
    count = "SELECT count(*) AS n FROM response r JOIN trial t ON t.id = r.trial WHERE t.participant = ?"
    answers = only_row(db, count, participant)["n"]
    slots.release(db, participant)
    db.execute("DELETE FROM participant WHERE id = ?", [participant])
    return answers


def _study(db: Database) -> tuple[dict[str, Any], Definition]:
    study = only_row(db, "SELECT state, definition FROM study_version")
    return study, Definition.model_validate_json(study["definition"])


def _permit(mode: str, study: dict[str, Any]) -> None:
    """Raise StudyError unless participants of this mode may answer in the study's state."""
    if study["state"] in OPEN_STATES[mode]:
        return
    if study["state"] == "closed":
        raise StudyError("this study is closed; thank you, no more answers are needed")
    if mode == "pilot":
        raise StudyError("the pilot ended when the study was locked; join the study itself")
    raise StudyError("this study has not started; lock its definition and its analysis first")


def _participant(db: Database, token: str) -> dict[str, Any]:
    participant = row(
        db,
        "SELECT p.*, s.number AS slot FROM participant p LEFT JOIN slot s ON s.participant = p.id "
        "WHERE p.token_sha256 = ?",
        sha256(token),
    )
    if participant is None:
        raise StudyError("this personal link is unknown; it was shortened, or its answers were withdrawn")
    return participant


def _touch(db: Database, participant: dict[str, Any], now: int) -> None:
    """Store the activity of a participant; one whose slot was given to another needs a free one to go on."""
    study, definition = _study(db)
    _permit(participant["mode"], study)
    if participant["slot"] is None:
        participant["slot"] = slots.free_slot(db, definition, participant["mode"], now)
        if participant["slot"] is None:
            raise StudyError(
                f"your place was given to another participant after {definition.lease_minutes} minutes without an "
                "answer, and all places are in use; your answers are saved, so try again later"
            )
        slots.lease(db, participant["slot"], participant["id"], now)
        slots.log_event(db, participant["id"], "resumed", now)
    # the page that follows right after an answer need not wait for the disk
    db.execute(
        "UPDATE participant SET seen_at = ? WHERE id = ? AND seen_at < ?", [now, participant["id"], now - HEARTBEAT_MS]
    )
