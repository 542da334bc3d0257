"""Restoring journals into the tables of a locked study. A second restore changes nothing.

Existing rows stay: only missing participants and answers are added, and withdrawn participants are deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database import audit_log, participation, slots
from study.database.status import study_row
from study.database.transactions import only_row, row, rows
from study.database.trials import insert_trial
from study.design.plan import from_json
from study.replica import journal


@dataclass(frozen=True)
class RestoreSummary:
    """The numbers of added and deleted participants and answers."""

    participants: int = 0
    answers: int = 0
    withdrawn: int = 0

    @property
    def changed(self) -> bool:
        """True if the database has changed."""
        return bool(self.participants or self.answers or self.withdrawn)


def restore(db: Database, journals: Mapping[str, bytes], withdrawn: Collection[str], now: int) -> RestoreSummary:
    """Add, in the caller's transaction, what the journals (participant -> lines) have and the database lacks."""
    present = [found["id"] for found in rows(db, "SELECT id FROM participant WHERE mode = 'live'")]
    deleted = [participant for participant in present if participant in withdrawn]
    for participant in deleted:
        participation.delete(db, participant)
    parsed = {name: journal.parse(data, name) for name, data in journals.items() if name not in withdrawn}
    participants = answers = 0
    for joined, given in parsed.values():
        participants += _add_participant(db, joined)
        answers += _add_answers(db, joined, given)
    if answers and study_row(db)["state"] != "live":
        raise StudyError("the study is not live, so no answer can be added; restore into the folder as it was locked")
    # participants who finished keep their slots first, then those who were active last
    for joined, _ in sorted(parsed.values(), key=_precedence, reverse=True):
        _restore_slot(db, joined, bool(joined["completion_code"]), now)
    summary = RestoreSummary(participants, answers, len(deleted))
    if summary.changed:
        audit_log.append(db, now, "restored", participants=participants, answers=answers, withdrawn=len(deleted))
    return summary


def _add_participant(db: Database, joined: dict[str, Any]) -> bool:
    """Add a participant with the trials and view tokens of the journal; return False if it exists."""
    participant = joined["participant"]
    if row(db, "SELECT 1 FROM participant WHERE id = ?", participant):
        return False
    slot = row(db, "SELECT plan FROM slot WHERE number = ? AND mode = 'live'", joined["plan"])
    plan = from_json(slot["plan"]) if slot else ()
    trials = {trial["seq"]: trial for trial in joined["trials"]}
    if not slot or set(trials) != {trial.seq for trial in plan}:
        raise StudyError(f"the journal of {participant} does not fit the plans of this study; it is of another study")
    db.table("participant").insert(
        {
            "id": participant,
            **{name: joined[name] for name in journal.PARTICIPANT_FIELDS},
            "state": "active",
            "seen_at": joined["consent_at"],
            "completion_code": None,
        }
    )
    slots.log_event(db, participant, "joined", joined["consent_at"])
    for trial in plan:
        insert_trial(db, participant, trial, trials[trial.seq]["id"], trials[trial.seq])
    return True


def _add_answers(db: Database, joined: dict[str, Any], given: list[dict[str, Any]]) -> int:
    """Add the missing answers, and completion if the participant had finished; return how many."""
    participant, added = joined["participant"], 0
    for answer in given:
        trial = row(
            db,
            "SELECT t.id, t.shown_at, r.id AS response FROM trial t LEFT JOIN response r ON r.trial = t.id "
            "WHERE t.participant = ? AND t.seq = ?",
            participant,
            answer["seq"],
        )
        if trial is None:
            raise StudyError(
                f"the journal of {participant} answers question {answer['seq']}, which this study does not have; it is "
                "of another study"
            )
        if trial["response"] is not None:
            continue
        if trial["shown_at"] is None and answer["shown_at"] is not None:
            db.execute("UPDATE trial SET shown_at = ? WHERE id = ?", [answer["shown_at"], trial["id"]])
        values = {name: answer[name] for name in journal.ANSWER_FIELDS}
        db.table("response").insert({"trial": trial["id"], **values})
        db.execute(
            "UPDATE participant SET seen_at = max(seen_at, ?) WHERE id = ?", [answer["answered_at"], participant]
        )
        added += 1
    if added and joined["completion_code"]:
        db.execute(
            "UPDATE participant SET state = 'complete', completion_code = ? WHERE id = ?",
            [joined["completion_code"], participant],
        )
        slots.log_event(db, participant, "completed", given[-1]["answered_at"])
    return added


def _precedence(entry: tuple[dict[str, Any], list[dict[str, Any]]]) -> tuple[bool, int]:
    joined, given = entry
    return bool(joined["completion_code"]), given[-1]["answered_at"] if given else joined["consent_at"]


def _restore_slot(db: Database, joined: dict[str, Any], complete: bool, now: int) -> None:
    """Give a participant the slot of the journal, unless another participant has a better claim to it."""
    participant, number = joined["participant"], joined["slot"]
    own = row(db, "SELECT number, state FROM slot WHERE participant = ?", participant)
    if own is None and number is not None:
        slot = only_row(db, "SELECT state, participant FROM slot WHERE number = ?", number)
        if slot["state"] == "leased" and complete:
            db.execute(
                "UPDATE slot SET state = 'free', participant = NULL, leased_at = NULL WHERE number = ?", [number]
            )
            slots.log_event(db, slot["participant"], "displaced", now)
        elif slot["state"] != "free":
            return  # as after any lost slot, there may be another one when the participant comes back
        slots.lease(db, number, participant, joined["consent_at"])
        own = {"number": number, "state": "leased"}
    if own and complete and own["state"] != "complete":
        db.execute("UPDATE slot SET state = 'complete' WHERE number = ?", [own["number"]])
