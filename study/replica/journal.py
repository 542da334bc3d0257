"""What a participant did, as lines that a study can be rebuilt from, and which of them a second store still lacks.

A person's journal is one file: a line for having joined, then one an answer, in order. It is made from the tables, so
there is nothing to drift apart. No origin is in it, and no token: of those it has the sha256, as the database has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database.tokens import sha256
from study.database.transactions import row, rows

FORMAT = 1
ANSWER = ("id", "choice", "position", "client_ms", "server_ms", "input", "answered_at")
PERSON = ("token_sha256", "withdrawal_sha256", "mode", "plan", "consent_version", "consent_at")


def expect(db: Database, token: str) -> None:
    """In the caller's transaction: a person of the study itself has done something that a second store lacks."""
    db.execute(
        "INSERT INTO outbox (participant) SELECT id FROM participant WHERE token_sha256 = ? AND mode = 'live'",
        [sha256(token)],
    )


def expect_all(db: Database, people: Iterable[str]) -> None:
    """The same for people by their ids."""
    db["outbox"].insert_all({"participant": person} for person in people)


def lacking(db: Database, token: str) -> bool:
    """True while something that this person did is not in the second store."""
    return (
        row(
            db,
            "SELECT 1 FROM outbox o JOIN participant p ON p.id = o.participant WHERE p.token_sha256 = ? LIMIT 1",
            sha256(token),
        )
        is not None
    )


def pending(db: Database) -> tuple[int, dict[str, bytes]]:
    """(number of the newest entry, journals by participant) of all who are expected."""
    newest = row(db, "SELECT max(id) AS newest FROM outbox")["newest"] or 0
    people = [one["participant"] for one in rows(db, "SELECT DISTINCT participant FROM outbox ORDER BY 1")]
    return newest, {person: of(db, person) for person in people}


def settled(db: Database, newest: int) -> None:
    """Everything up to an entry is in the second store."""
    db.execute("DELETE FROM outbox WHERE id <= ?", [newest])


def people(db: Database) -> dict[str, bytes]:
    """Journals of all people of the study itself, by participant."""
    found = rows(db, "SELECT id FROM participant WHERE mode = 'live' ORDER BY id")
    return {one["id"]: of(db, one["id"]) for one in found}


def of(db: Database, participant: str) -> bytes:
    """One person's journal: JSON lines."""
    person = row(
        db,
        "SELECT p.*, s.number AS slot FROM participant p LEFT JOIN slot s ON s.participant = p.id WHERE p.id = ?",
        participant,
    )
    trials = rows(db, "SELECT * FROM trial WHERE participant = ? ORDER BY seq", participant)
    joined = {
        "format": FORMAT,
        "participant": participant,
        **{name: person[name] for name in PERSON},
        "slot": person["slot"],
        "completion_code": person["completion_code"],
        "trials": [
            {
                "id": trial["id"],
                "seq": trial["seq"],
                "option": _views(db, trial["id"], "option"),
                "beside": _views(db, trial["id"], "beside"),
            }
            for trial in trials
        ],
    }
    answers = rows(
        db,
        "SELECT r.*, t.seq, t.shown_at FROM response r JOIN trial t ON t.id = r.trial "
        "WHERE t.participant = ? ORDER BY t.seq",
        participant,
    )
    lines = [
        joined,
        *({"seq": one["seq"], "shown_at": one["shown_at"], **{name: one[name] for name in ANSWER}} for one in answers),
    ]
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode()


def read(data: bytes, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(who joined, answers) of a journal; StudyError for one that is damaged or of a newer program."""
    try:
        joined, *answers = [json.loads(line) for line in data.decode().splitlines()]
        if joined["format"] != FORMAT:
            raise StudyError(f"{name} is of format {joined['format']}, this program reads {FORMAT}; update it first")
        complete = {"participant", "slot", "completion_code", "trials", *PERSON} <= joined.keys()
        if not complete or not all({"seq", "shown_at", *ANSWER} <= one.keys() for one in answers):
            raise KeyError(name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{name} in the second store is damaged; restore it from an older version there") from error
    return joined, answers


def answered(data: bytes) -> set[int]:
    """Numbers of the questions that a journal has answers to."""
    return {json.loads(line)["seq"] for line in data.decode().splitlines()[1:]}


def _views(db: Database, trial: str, place: str) -> list[str]:
    found = rows(
        db, "SELECT view_token FROM trial_option WHERE trial = ? AND place = ? ORDER BY position", trial, place
    )
    return [one["view_token"] for one in found]
