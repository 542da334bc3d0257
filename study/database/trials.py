"""A participant's trials: laid out from the plan, found again, and what an answer to one may be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database.tokens import new_id, withdrawal_code
from study.database.transactions import row, rows
from study.design.plan import Trial

INPUTS = ("mouse", "touch", "pen", "keyboard", "")
"""How an answer was given; empty where a browser did not tell."""
LONGEST = 7 * 24 * 3_600_000
"""ms; a browser that claims more has a broken clock."""


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


def lay_out(db: Database, person: str, trial: Trial) -> None:
    """Copy a trial of the plan for one person, each picture under a name that is used once."""
    trial_id = new_id()
    db["trial"].insert(
        {
            "id": trial_id,
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
        {"view_token": new_id(), "trial": trial_id, "place": place, "position": position, "stimulus": one}
        for place, stimuli in (("option", trial.options), ("beside", trial.shown))
        for position, one in enumerate(stimuli, 1)
    )


def trial_of(db: Database, person: dict[str, Any], trial_id: str) -> dict[str, Any]:
    """A trial of this person, with the id of its response; StudyError for anything else."""
    trial = row(
        db,
        "SELECT t.*, r.id AS response FROM trial t LEFT JOIN response r ON r.trial = t.id "
        "WHERE t.id = ? AND t.participant = ?",
        trial_id,
        person["id"],
    )
    if trial is None:
        raise StudyError("this question is not one of yours; reload the page")
    return trial


def next_trial(db: Database, person: dict[str, Any]) -> dict[str, Any] | None:
    """The first trial without a response; None if all have one."""
    return row(
        db,
        "SELECT t.* FROM trial t LEFT JOIN response r ON r.trial = t.id "
        "WHERE t.participant = ? AND r.id IS NULL ORDER BY t.seq LIMIT 1",
        person["id"],
    )


def current_trial(db: Database, person: dict[str, Any], token: str) -> Current:
    """Where a participant is: the next trial, or the end."""
    total = row(db, "SELECT count(*) AS n FROM trial WHERE participant = ?", person["id"])["n"]
    side = row(db, "SELECT width FROM stimulus LIMIT 1")["width"]
    withdrawal, pilot = withdrawal_code(token), person["mode"] == "pilot"
    trial = next_trial(db, person)
    if trial is None:
        return Current(total, total, side, withdrawal, pilot, done=True, completion_code=person["completion_code"])
    views = rows(db, "SELECT place, view_token FROM trial_option WHERE trial = ? ORDER BY position", trial["id"])
    options, beside = (tuple(v["view_token"] for v in views if v["place"] == place) for place in ("option", "beside"))
    return Current(
        trial["seq"],
        total,
        side,
        withdrawal,
        pilot,
        trial["id"],
        trial["block"],
        trial["kind"],
        trial["question"],
        trial["landmark"],
        options,
        beside,
        tuple(json.loads(trial["menu"])),
    )


def check_answer(
    db: Database,
    trial: dict[str, Any],
    response_id: str,
    choice: str,
    position: int | None,
    client_ms: int | None,
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
