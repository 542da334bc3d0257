"""People's journals back into the tables of a locked study. Doing it twice changes nothing the second time.

What is in the database stays: only people and answers that it lacks are added, and those who withdrew are deleted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database import audit_log, participation, slots
from study.database.transactions import row, rows
from study.design.plan import from_json
from study.replica import journal


@dataclass(frozen=True)
class Restored:
    """What was added and deleted."""

    people: int = 0
    answers: int = 0
    withdrawn: int = 0

    @property
    def anything(self) -> bool:
        """True if the database has changed."""
        return bool(self.people or self.answers or self.withdrawn)


def restore(db: Database, journals: Mapping[str, bytes], withdrawn: Collection[str], now: int) -> Restored:
    """Add what the journals (participant -> lines) have and the database lacks, in the caller's transaction."""
    gone = [one["id"] for one in rows(db, "SELECT id FROM participant WHERE mode = 'live'") if one["id"] in withdrawn]
    for person in gone:
        participation.delete(db, person)
    read = {name: journal.read(data, name) for name, data in journals.items() if name not in withdrawn}
    people = answers = 0
    for joined, given in read.values():
        new = _person(db, joined)
        people += new
        answers += _answers(db, joined, given)
    if answers and row(db, "SELECT state FROM study_version")["state"] != "live":
        raise StudyError("the study is not live, so no answer can be added; restore into the folder as it was locked")
    # who finished has a right to the place; then who was here last
    for joined, _ in sorted(read.values(), key=_precedence, reverse=True):
        _seat(db, joined, bool(joined["completion_code"]), now)
    done = Restored(people, answers, len(gone))
    if done.anything:
        audit_log.append(db, now, "restored", participants=people, answers=answers, withdrawn=len(gone))
    return done


def _person(db: Database, joined: dict[str, Any]) -> bool:
    """Add a participant with the trials as they were laid out; False if it is there."""
    person = joined["participant"]
    if row(db, "SELECT 1 FROM participant WHERE id = ?", person):
        return False
    slot = row(db, "SELECT plan FROM slot WHERE number = ? AND mode = 'live'", joined["plan"])
    plan = from_json(slot["plan"]) if slot else []
    laid = {one["seq"]: one for one in joined["trials"]}
    if not slot or set(laid) != {trial.seq for trial in plan}:
        raise StudyError(f"the journal of {person} does not fit this study's plans; it belongs to another study")
    db["participant"].insert(
        {
            "id": person,
            **{name: joined[name] for name in journal.PERSON},
            "state": "active",
            "seen_at": joined["consent_at"],
            "completion_code": None,
        }
    )
    slots.note(db, person, "joined", joined["consent_at"])
    for trial in plan:
        own = laid[trial.seq]
        db["trial"].insert(
            {
                "id": own["id"],
                "participant": person,
                "seq": trial.seq,
                "kind": trial.kind,
                "block": trial.block,
                "question": trial.question,
                "landmark": trial.landmark,
                "menu": json.dumps(trial.menu),
                "answer": trial.answer,
                "repeats": trial.repeats,
                "shown_at": None,
            }
        )
        db["trial_option"].insert_all(
            {"view_token": token, "trial": own["id"], "place": place, "position": position, "stimulus": stimulus}
            for place, stimuli in (("option", trial.options), ("beside", trial.shown))
            for position, (token, stimulus) in enumerate(zip(own[place], stimuli, strict=True), 1)
        )
    return True


def _answers(db: Database, joined: dict[str, Any], given: list[dict[str, Any]]) -> int:
    """Add the answers that are missing; how many. A finished person is finished again."""
    person, added = joined["participant"], 0
    for one in given:
        trial = row(
            db,
            "SELECT t.id, t.shown_at, r.id AS response FROM trial t LEFT JOIN response r ON r.trial = t.id "
            "WHERE t.participant = ? AND t.seq = ?",
            person,
            one["seq"],
        )
        if trial is None:
            raise StudyError(f"the journal of {person} answers question {one['seq']}, which this study does not have")
        if trial["response"] is not None:
            continue
        if trial["shown_at"] is None and one["shown_at"] is not None:
            db.execute("UPDATE trial SET shown_at = ? WHERE id = ?", [one["shown_at"], trial["id"]])
        db["response"].insert({"trial": trial["id"], **{name: one[name] for name in journal.ANSWER}})
        db.execute("UPDATE participant SET seen_at = max(seen_at, ?) WHERE id = ?", [one["answered_at"], person])
        added += 1
    if added and joined["completion_code"]:
        db.execute(
            "UPDATE participant SET state = 'complete', completion_code = ? WHERE id = ?",
            [joined["completion_code"], person],
        )
        slots.note(db, person, "completed", given[-1]["answered_at"])
    return added


def _precedence(one: tuple[dict[str, Any], list[dict[str, Any]]]) -> tuple[bool, int]:
    joined, given = one
    return bool(joined["completion_code"]), given[-1]["answered_at"] if given else joined["consent_at"]


def _seat(db: Database, joined: dict[str, Any], complete: bool, now: int) -> None:
    """Give a person the place that the journal tells; one that somebody else has by right stays with them."""
    person, number = joined["participant"], joined["slot"]
    own = row(db, "SELECT number, state FROM slot WHERE participant = ?", person)
    if own is None and number is not None:
        holder = row(
            db,
            "SELECT s.state, s.participant, p.state AS person FROM slot s "
            "LEFT JOIN participant p ON p.id = s.participant WHERE s.number = ?",
            number,
        )
        if holder["state"] == "leased" and complete:
            db.execute(
                "UPDATE slot SET state = 'free', participant = NULL, leased_at = NULL WHERE number = ?", [number]
            )
            slots.note(db, holder["participant"], "displaced", now)
        elif holder["state"] != "free":
            return  # like anybody whose place was given away: there may be another when they come back
        slots.take(db, number, person, joined["consent_at"])
        own = {"number": number, "state": "leased"}
    if own and complete and own["state"] != "complete":
        db.execute("UPDATE slot SET state = 'complete' WHERE number = ?", [own["number"]])
