"""Journals: the actions of each participant as lines from which a study can be rebuilt; and what the replica lacks.

The journal of a participant is one file: a line for joining, then one line per answer, in order. It is derived from the
tables, so the two cannot diverge. It has no origin and no token, only the sha256 of tokens, like the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database.tokens import sha256
from study.database.transactions import only_row, row, rows

FORMAT = 1
ANSWER_FIELDS = ("id", "choice", "position", "client_ms", "server_ms", "input", "answered_at")
PARTICIPANT_FIELDS = ("token_sha256", "withdrawal_sha256", "mode", "plan", "consent_version", "consent_at")


def mark_pending(db: Database, token: str) -> None:
    """Note, in the caller's transaction, that the replica lacks the latest action of a live participant."""
    db.execute(
        "INSERT INTO outbox (participant) SELECT id FROM participant WHERE token_sha256 = ? AND mode = 'live'",
        [sha256(token)],
    )


def mark_all_pending(db: Database, participants: Iterable[str]) -> None:
    """Note the same for participants by their ids."""
    db.table("outbox").insert_all({"participant": participant} for participant in participants)


def is_pending(db: Database, token: str) -> bool:
    """Return True while the replica lacks an action of this participant."""
    return (
        row(
            db,
            "SELECT 1 FROM outbox o JOIN participant p ON p.id = o.participant WHERE p.token_sha256 = ? LIMIT 1",
            sha256(token),
        )
        is not None
    )


def pending(db: Database) -> tuple[int, dict[str, bytes]]:
    """Return (id of the newest note, journals by participant) of all pending participants."""
    newest = only_row(db, "SELECT max(id) AS newest FROM outbox")["newest"] or 0
    participants = [note["participant"] for note in rows(db, "SELECT DISTINCT participant FROM outbox ORDER BY 1")]
    return newest, {participant: journal_of(db, participant) for participant in participants}


def mark_written(db: Database, newest: int) -> None:
    """Delete the notes up to an id: the replica has these actions."""
    db.execute("DELETE FROM outbox WHERE id <= ?", [newest])


def live_journals(db: Database) -> dict[str, bytes]:
    """Return the journals of all live participants, by participant."""
    participants = rows(db, "SELECT id FROM participant WHERE mode = 'live' ORDER BY id")
    return {participant["id"]: journal_of(db, participant["id"]) for participant in participants}


def journal_of(db: Database, participant: str) -> bytes:
    """Return the journal of one participant: JSON lines."""
    person = only_row(
        db,
        "SELECT p.*, s.number AS slot FROM participant p LEFT JOIN slot s ON s.participant = p.id WHERE p.id = ?",
        participant,
    )
    trials = rows(db, "SELECT * FROM trial WHERE participant = ? ORDER BY seq", participant)
    joined = {
        "format": FORMAT,
        "participant": participant,
        **{name: person[name] for name in PARTICIPANT_FIELDS},
        "slot": person["slot"],
        "completion_code": person["completion_code"],
        "trials": [
            {
                "id": trial["id"],
                "seq": trial["seq"],
                "option": _view_tokens(db, trial["id"], "option"),
                "beside": _view_tokens(db, trial["id"], "beside"),
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
        *(
            {"seq": answer["seq"], "shown_at": answer["shown_at"], **{name: answer[name] for name in ANSWER_FIELDS}}
            for answer in answers
        ),
    ]
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode()


def parse(data: bytes, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return (line of joining, answers) of a journal; raise StudyError if it is damaged or of a newer version."""
    try:
        joined, *answers = [json.loads(line) for line in data.decode().splitlines()]
        if joined["format"] != FORMAT:
            raise StudyError(
                f"{name} has format {joined['format']}, but this version reads format {FORMAT}; update this program"
            )
        complete = {"participant", "slot", "completion_code", "trials", *PARTICIPANT_FIELDS} <= joined.keys()
        if not complete or not all({"seq", "shown_at", *ANSWER_FIELDS} <= answer.keys() for answer in answers):
            raise KeyError(name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{name} in the replica is damaged; restore an older version of it there") from error
    return joined, answers


def answered_trials(data: bytes) -> set[int]:
    """Return the numbers of the trials that a journal has answers to."""
    return {json.loads(line)["seq"] for line in data.decode().splitlines()[1:]}


def _view_tokens(db: Database, trial: str, area: str) -> list[str]:
    options = rows(
        db, "SELECT view_token FROM trial_option WHERE trial = ? AND area = ? ORDER BY position", trial, area
    )
    return [option["view_token"] for option in options]
