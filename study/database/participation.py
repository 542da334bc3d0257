"""What one participant does: join, see the current trial, answer it, come back, withdraw.

Every function works inside the caller's transaction and returns the state as the database has it, so that a double
click, the back button, a second tab and a retry end in the same place. No origin is known here, and the key is never
opened. Quotas and leases are `places`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database import slots
from study.database.schema import MODES
from study.database.tokens import completion_code, new_id, sha256, typed, withdrawal_code
from study.database.transactions import row
from study.database.trials import Current, check_answer, current_trial, lay_out, next_trial, trial_of
from study.design.definition import Definition
from study.design.plan import from_json

OPEN = {"live": ("live",), "simulated": ("live",), "pilot": ("draft", "pilot")}
A_MOMENT = 1000
"""ms; signs of life that are closer to each other are one."""


@dataclass(frozen=True)
class Joined:
    """A new participant."""

    token: str
    """The personal link's secret, known to nobody else: the database has its sha256."""
    participant: str
    """Random id, as in the export."""


def join(db: Database, mode: str, consent_version: str, now: int, token: str | None = None) -> Joined:
    """A new participant with a place and a plan; StudyError if there is none to have.

    Who joins twice with one token is one participant.
    """
    study, definition = _study(db)
    token = new_id() if token is None else token
    if not re.fullmatch(r"[\w-]{22,64}", token, re.ASCII):
        raise StudyError(f"a personal link's secret is {token[:80]!r}; it needs 22 to 64 letters, digits, - or _")
    if known := row(db, "SELECT id FROM participant WHERE token_sha256 = ?", sha256(token)):
        return Joined(token, known["id"])
    if not consent_version.strip():
        raise StudyError("nobody takes part without having agreed; show the consent and tell its version")
    admit(db, mode, now)
    number = slots.free(db, definition, mode, now)  # never None: fewer are wanted than there are slots
    person = new_id()
    db["participant"].insert(
        {
            "id": person,
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
    slots.take(db, number, person, now)
    slots.note(db, person, "joined", now)
    for trial in from_json(row(db, "SELECT plan FROM slot WHERE number = ?", number)["plan"]):
        lay_out(db, person, trial)
    if study["state"] == "draft":
        db.execute("UPDATE study_version SET state = 'pilot'")
    return Joined(token, person)


def admit(db: Database, mode: str, now: int) -> None:
    """StudyError unless one more person of this mode can join."""
    study, definition = _study(db)
    if mode not in MODES:
        raise StudyError(f"the mode is {mode!r}; choose one of {', '.join(MODES)}")
    _permit(mode, study)
    other = {"live": "simulated", "simulated": "live"}.get(mode)
    if row(db, "SELECT 1 FROM participant WHERE mode = ? LIMIT 1", other):
        raise StudyError(f"this study has {other} answers, which never mix with {mode} ones; create another study")
    slots.admit(db, definition, mode, now)


def current(db: Database, token: str, now: int) -> Current:
    """The trial that is next, or the debrief; a sign of life. StudyError for an unknown token or a lost place."""
    person = _person(db, token)
    if person["state"] == "active":
        _alive(db, person, now)
    return current_trial(db, person, token)


def shown(db: Database, token: str, trial_id: str, now: int) -> None:
    """Start the server's clock of a trial; only the first call counts."""
    person = _person(db, token)
    trial = trial_of(db, person, trial_id)
    if trial["response"] is None and trial["shown_at"] is None:
        _alive(db, person, now)
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
) -> Current:
    """Write one answer and return where the participant is then; nothing is written that was answered before."""
    person = _person(db, token)
    trial = trial_of(db, person, trial_id)
    sent = row(db, "SELECT t.participant FROM response r JOIN trial t ON t.id = r.trial WHERE r.id = ?", response_id)
    if sent and sent["participant"] != person["id"]:
        raise StudyError(f"the answer id {response_id!r} is somebody else's; reload the page")
    if sent or trial["response"] is not None:
        return current_trial(db, person, token)
    _alive(db, person, now)
    if trial["seq"] != next_trial(db, person)["seq"]:
        raise StudyError(f"question {trial['seq']} is not the current one; reload the page")
    check_answer(db, trial, response_id, choice, position, client_ms, input)
    server_ms = None if trial["shown_at"] is None else max(0, now - trial["shown_at"])
    db["response"].insert(
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
    if next_trial(db, person) is None:
        person["state"], person["completion_code"] = "complete", completion_code(token)
        db.execute(
            "UPDATE participant SET state = 'complete', completion_code = ? WHERE id = ?",
            [person["completion_code"], person["id"]],
        )
        db.execute("UPDATE slot SET state = 'complete' WHERE participant = ?", [person["id"]])
        slots.note(db, person["id"], "completed", now)
    return current_trial(db, person, token)


def image(db: Database, view_token: str) -> bytes:
    """The blind copy behind a view token; StudyError if there is none."""
    found = row(
        db, "SELECT s.image FROM trial_option o JOIN stimulus s ON s.id = o.stimulus WHERE o.view_token = ?", view_token
    )
    if found is None:
        raise StudyError("there is no such picture; reload the page")
    return found["image"]


def holder(db: Database, code: str) -> tuple[str, str]:
    """(id, mode) of who has a withdrawal code; StudyError for a code of nobody."""
    person = row(db, "SELECT id, mode FROM participant WHERE withdrawal_sha256 = ?", sha256(typed(code)))
    if person is None:
        raise StudyError("this withdrawal code is not known; it has 12 letters and digits, and works once")
    return person["id"], person["mode"]


def withdraw(db: Database, code: str) -> tuple[str, int]:
    """Delete everything of a person and free the place; returns the mode and how many answers there were."""
    person, mode = holder(db, code)
    return mode, delete(db, person)


def delete(db: Database, participant: str) -> int:
    """Delete a person's rows in all tables and free the place; returns how many answers there were."""
    count = "SELECT count(*) AS n FROM response r JOIN trial t ON t.id = r.trial WHERE t.participant = ?"
    answers = row(db, count, participant)["n"]
    slots.leave(db, participant)
    db.execute("DELETE FROM participant WHERE id = ?", [participant])
    return answers


def _study(db: Database) -> tuple[dict[str, Any], Definition]:
    study = row(db, "SELECT state, definition FROM study_version")
    return study, Definition.model_validate_json(study["definition"])


def _permit(mode: str, study: dict[str, Any]) -> None:
    """StudyError unless people of this mode may answer in the study's state."""
    if study["state"] in OPEN[mode]:
        return
    if study["state"] == "closed":
        raise StudyError("this study is closed; thank you, no more answers are needed")
    if mode == "pilot":
        raise StudyError("the pilot ended when the study was locked; join the study itself")
    raise StudyError("this study has not begun; lock its definition and its analysis first")


def _person(db: Database, token: str) -> dict[str, Any]:
    person = row(
        db,
        "SELECT p.*, s.number AS slot FROM participant p LEFT JOIN slot s ON s.participant = p.id "
        "WHERE p.token_sha256 = ?",
        sha256(token),
    )
    if person is None:
        raise StudyError("this personal link is not known; it was shortened, or its answers were withdrawn")
    return person


def _alive(db: Database, person: dict[str, Any], now: int) -> None:
    """A sign of life; who has lost the place to somebody else needs a free one to go on."""
    study, definition = _study(db)
    _permit(person["mode"], study)
    if person["slot"] is None:
        person["slot"] = slots.free(db, definition, person["mode"], now)
        if person["slot"] is None:
            raise StudyError(
                f"your place was given away after {definition.lease_minutes} minutes without an answer, and all places "
                "are in use; your answers are kept, so try again later"
            )
        slots.take(db, person["slot"], person["id"], now)
        slots.note(db, person["id"], "resumed", now)
    # a page that follows its answer at once need not wait for the disk
    db.execute("UPDATE participant SET seen_at = ? WHERE id = ? AND seen_at < ?", [now, person["id"], now - A_MOMENT])
