"""What one participant does: join, see the current trial, answer it, come back, withdraw.

Every function works inside the caller's transaction and returns the state as the database has it, so that a double
click, the back button, a second tab and a retry end in the same place. No origin is known here, and the key is never
opened. Quotas and leases are `places`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from study import StudyError, places
from study.codes import completion_code, new_id, sha256, typed, withdrawal_code
from study.definition import Definition
from study.design import Trial, from_json
from study.schema import MODES, row, rows

OPEN = {"live": ("live",), "simulated": ("live",), "pilot": ("draft", "pilot")}
INPUTS = ("mouse", "touch", "pen", "keyboard", "")
"""How an answer was given; empty where a browser did not tell."""
A_MOMENT = 1000
"""ms; signs of life that are closer to each other are one."""
LONGEST = 7 * 24 * 3_600_000
"""ms; a browser that claims more has a broken clock."""


@dataclass(frozen=True)
class Joined:
    """A new participant."""

    token: str
    """The personal link's secret, known to nobody else: the database has its sha256."""
    participant: str
    """Random id, as in the export."""


@dataclass(frozen=True)
class Current:
    """Where a participant is: the trial to answer next, or, when `done`, the debrief."""

    number: int
    """Of this trial, from 1."""
    total: int
    """All trials of the plan."""
    side: int
    """Width and height of every picture, px."""
    withdrawal_code: str
    """Deletes this person's answers; known from the first trial on."""
    pilot: bool = False
    """True if nothing of it counts."""
    trial_id: str = ""
    block: str = ""
    kind: str = ""
    """Not for the participant's page: catch and repeat must look like main."""
    question: str = ""
    landmark: str | None = None
    options: tuple[str, ...] = ()
    """View tokens by position 1..n."""
    shown: tuple[str, ...] = ()
    """View tokens of what is shown beside the options."""
    menu: tuple[str, ...] = ()
    """Choices that are no picture."""
    done: bool = False
    completion_code: str | None = None
    """Only when done."""


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
    number = places.free(db, definition, mode, now)  # never None: fewer are wanted than there are slots
    person = new_id()
    db["participant"].insert({
        "id": person, "token_sha256": sha256(token), "withdrawal_sha256": sha256(withdrawal_code(token)),
        "mode": mode, "state": "active", "plan": number, "consent_version": consent_version, "consent_at": now,
        "seen_at": now, "completion_code": None,
    })
    places.take(db, number, person, now)
    places.note(db, person, "joined", now)
    for trial in from_json(row(db, "SELECT plan FROM slot WHERE number = ?", number)["plan"]):
        _lay_out(db, person, trial)
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
    places.admit(db, definition, mode, now)


def current(db: Database, token: str, now: int) -> Current:
    """The trial that is next, or the debrief; a sign of life. StudyError for an unknown token or a lost place."""
    person = _person(db, token)
    if person["state"] == "active":
        _alive(db, person, now)
    return _where(db, person, token)


def shown(db: Database, token: str, trial_id: str, now: int) -> None:
    """Start the server's clock of a trial; only the first call counts."""
    person = _person(db, token)
    trial = _trial(db, person, trial_id)
    if trial["response"] is None and trial["shown_at"] is None:
        _alive(db, person, now)
        db.execute("UPDATE trial SET shown_at = ? WHERE id = ?", [now, trial_id])


def answer(
    db: Database, token: str, trial_id: str, response_id: str, choice: str, position: int | None,
    client_ms: int | None, input: str, now: int,
) -> Current:
    """Write one answer and return where the participant is then; nothing is written that was answered before."""
    person = _person(db, token)
    trial = _trial(db, person, trial_id)
    sent = row(db, "SELECT t.participant FROM response r JOIN trial t ON t.id = r.trial WHERE r.id = ?", response_id)
    if sent and sent["participant"] != person["id"]:
        raise StudyError(f"the answer id {response_id!r} is somebody else's; reload the page")
    if sent or trial["response"] is not None:
        return _where(db, person, token)
    _alive(db, person, now)
    if trial["seq"] != _next(db, person)["seq"]:
        raise StudyError(f"question {trial['seq']} is not the current one; reload the page")
    _check(db, trial, response_id, choice, position, client_ms, input)
    server_ms = None if trial["shown_at"] is None else max(0, now - trial["shown_at"])
    db["response"].insert({
        "id": response_id, "trial": trial_id, "choice": choice, "position": position, "client_ms": client_ms,
        "server_ms": server_ms, "input": input, "answered_at": now,
    })
    if _next(db, person) is None:
        person["state"], person["completion_code"] = "complete", completion_code(token)
        db.execute("UPDATE participant SET state = 'complete', completion_code = ? WHERE id = ?",
                   [person["completion_code"], person["id"]])
        db.execute("UPDATE slot SET state = 'complete' WHERE participant = ?", [person["id"]])
        places.note(db, person["id"], "completed", now)
    return _where(db, person, token)


def image(db: Database, view_token: str) -> bytes:
    """The blind copy behind a view token; StudyError if there is none."""
    found = row(db, "SELECT s.image FROM trial_option o JOIN stimulus s ON s.id = o.stimulus WHERE o.view_token = ?",
                view_token)
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
    places.leave(db, participant)
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
    person = row(db, "SELECT p.*, s.number AS slot FROM participant p LEFT JOIN slot s ON s.participant = p.id "
                     "WHERE p.token_sha256 = ?", sha256(token))
    if person is None:
        raise StudyError("this personal link is not known; it was shortened, or its answers were withdrawn")
    return person


def _alive(db: Database, person: dict[str, Any], now: int) -> None:
    """A sign of life; who has lost the place to somebody else needs a free one to go on."""
    study, definition = _study(db)
    _permit(person["mode"], study)
    if person["slot"] is None:
        person["slot"] = places.free(db, definition, person["mode"], now)
        if person["slot"] is None:
            raise StudyError(
                f"your place was given away after {definition.lease_minutes} minutes without an answer, and all places "
                "are in use; your answers are kept, so try again later"
            )
        places.take(db, person["slot"], person["id"], now)
        places.note(db, person["id"], "resumed", now)
    # a page that follows its answer at once need not wait for the disk
    db.execute("UPDATE participant SET seen_at = ? WHERE id = ? AND seen_at < ?", [now, person["id"], now - A_MOMENT])


def _lay_out(db: Database, person: str, trial: Trial) -> None:
    """Copy a trial of the plan for one person, each picture under a name that is used once."""
    trial_id = new_id()
    db["trial"].insert({
        "id": trial_id, "participant": person, "seq": trial.seq, "kind": trial.kind, "block": trial.block,
        "question": trial.question, "landmark": trial.landmark, "menu": json.dumps(trial.menu),
        "answer": trial.answer, "repeats": trial.repeats, "shown_at": None,
    })
    db["trial_option"].insert_all(
        {"view_token": new_id(), "trial": trial_id, "place": place, "position": position, "stimulus": one}
        for place, stimuli in (("option", trial.options), ("beside", trial.shown))
        for position, one in enumerate(stimuli, 1)
    )


def _trial(db: Database, person: dict[str, Any], trial_id: str) -> dict[str, Any]:
    """A trial of this person, with the id of its response; StudyError for anything else."""
    trial = row(db, "SELECT t.*, r.id AS response FROM trial t LEFT JOIN response r ON r.trial = t.id "
                    "WHERE t.id = ? AND t.participant = ?", trial_id, person["id"])
    if trial is None:
        raise StudyError("this question is not one of yours; reload the page")
    return trial


def _next(db: Database, person: dict[str, Any]) -> dict[str, Any] | None:
    return row(db, "SELECT t.* FROM trial t LEFT JOIN response r ON r.trial = t.id "
                   "WHERE t.participant = ? AND r.id IS NULL ORDER BY t.seq LIMIT 1", person["id"])


def _where(db: Database, person: dict[str, Any], token: str) -> Current:
    total = row(db, "SELECT count(*) AS n FROM trial WHERE participant = ?", person["id"])["n"]
    side = row(db, "SELECT width FROM stimulus LIMIT 1")["width"]
    withdrawal, pilot = withdrawal_code(token), person["mode"] == "pilot"
    trial = _next(db, person)
    if trial is None:
        return Current(total, total, side, withdrawal, pilot, done=True, completion_code=person["completion_code"])
    views = rows(db, "SELECT place, view_token FROM trial_option WHERE trial = ? ORDER BY position", trial["id"])
    options, beside = (tuple(v["view_token"] for v in views if v["place"] == place) for place in ("option", "beside"))
    return Current(
        trial["seq"], total, side, withdrawal, pilot, trial["id"], trial["block"], trial["kind"], trial["question"],
        trial["landmark"], options, beside, tuple(json.loads(trial["menu"])),
    )


def _check(
    db: Database, trial: dict[str, Any], response_id: str, choice: str, position: int | None, client_ms: int | None,
    input: str,
) -> None:
    """StudyError unless the answer is one that the trial offers."""
    if not isinstance(response_id, str) or not re.fullmatch(r"[\w-]{8,64}", response_id, re.ASCII):
        raise StudyError(f"an answer's id is {str(response_id)[:80]!r}; it needs 8 to 64 letters, digits, - or _")
    pictures = row(db, "SELECT count(*) AS n FROM trial_option WHERE trial = ? AND place = 'option'", trial["id"])["n"]
    menu = json.loads(trial["menu"])
    # of a picture that is only looked at, nothing can be chosen
    choices = [word for word in ("image",) if trial["kind"] != "view"] + menu
    if choice not in choices:
        raise StudyError(f"the choice is {str(choice)[:40]!r}; this question offers {', '.join(choices)}")
    if choice == "image" and not (type(position) is int and 1 <= position <= pictures):
        raise StudyError(f"the position is {str(position)[:40]}; this question has the positions 1 to {pictures}")
    if choice != "image" and position is not None:
        raise StudyError(f"the position is {str(position)[:40]}; {choice!r} is no picture and has none")
    if client_ms is not None and not (type(client_ms) is int and 0 <= client_ms <= LONGEST):
        raise StudyError(f"the response time is {str(client_ms)[:40]} ms; it must be from 0 to {LONGEST}")
    if input not in INPUTS:
        raise StudyError(f"the input is {str(input)[:40]!r}; known are {', '.join(filter(None, INPUTS))} and none")
