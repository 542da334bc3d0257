"""The trials of a participant: inserted from the plan, queried, and the check of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database.tokens import new_id, withdrawal_code
from study.database.transactions import only_row, row, rows
from study.design.plan import Trial

INPUTS = ("mouse", "touch", "pen", "keyboard", "")
"""Input devices; empty if the browser did not report one."""
MAX_RESPONSE_MS = 7 * 24 * 3_600_000
"""ms; a browser that reports more has a wrong clock."""


@dataclass(frozen=True)
class CurrentTrial:
    """The trial that a participant has to answer next, or, if `done`, the debrief."""

    number: int
    """Number of this trial, from 1."""
    total: int
    """Number of trials of the plan."""
    side: int
    """Width and height of every image, px."""
    withdrawal_code: str
    """Code that deletes this participant's answers; available from the first trial on."""
    pilot: bool = False
    """True if the answers do not count."""
    trial_id: str = ""
    block: str = ""
    kind: str = ""
    """Participants must not see it: attention checks and retests must look like main trials."""
    question: str = ""
    landmark: str | None = None
    options: tuple[str, ...] = ()
    """View tokens by position 1..n."""
    shown: tuple[str, ...] = ()
    """View tokens of the images shown beside the options."""
    menu: tuple[str, ...] = ()
    """Choices that are not an image."""
    done: bool = False
    completion_code: str | None = None
    """Only if done."""


def insert_trial(
    db: Database, participant: str, trial: Trial, trial_id: str, view_tokens: Mapping[str, Sequence[str]]
) -> None:
    """Insert a trial of the plan for one participant.

    `view_tokens` has one token per stimulus: area (option, beside) -> tokens in the order of the positions. Raises
    ValueError if the numbers of tokens and stimuli differ.
    """
    db.table("trial").insert(
        {
            "id": trial_id,
            "participant": participant,
            "seq": trial.seq,
            "kind": trial.kind,
            "block": trial.block,
            "question": trial.question,
            "landmark": trial.landmark,
            "menu": json.dumps(trial.menu),
            "answer": trial.answer,
            "retest_of": trial.retest_of,
            "shown_at": None,
        }
    )
    db.table("trial_option").insert_all(
        {"view_token": token, "trial": trial_id, "area": area, "position": position, "stimulus": stimulus}
        for area, stimuli in (("option", trial.options), ("beside", trial.shown))
        for position, (token, stimulus) in enumerate(zip(view_tokens[area], stimuli, strict=True), 1)
    )


def random_view_tokens(trial: Trial) -> dict[str, list[str]]:
    """Return new view tokens for `insert_trial`: each image gets a name that is used once."""
    return {"option": [new_id() for _ in trial.options], "beside": [new_id() for _ in trial.shown]}


def trial_of(db: Database, participant: dict[str, Any], trial_id: str) -> dict[str, Any]:
    """Return a trial of this participant with the id of its response; raise StudyError for any other trial."""
    trial = row(
        db,
        "SELECT t.*, r.id AS response FROM trial t LEFT JOIN response r ON r.trial = t.id "
        "WHERE t.id = ? AND t.participant = ?",
        trial_id,
        participant["id"],
    )
    if trial is None:
        raise StudyError("this question is not one of yours; reload the page")
    return trial


def next_trial(db: Database, participant: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first trial without a response; None if all have one."""
    return row(
        db,
        "SELECT t.* FROM trial t LEFT JOIN response r ON r.trial = t.id "
        "WHERE t.participant = ? AND r.id IS NULL ORDER BY t.seq LIMIT 1",
        participant["id"],
    )


def current_trial(db: Database, participant: dict[str, Any], token: str) -> CurrentTrial:
    """Return the trial that a participant has to answer next, or the debrief."""
    total = only_row(db, "SELECT count(*) AS n FROM trial WHERE participant = ?", participant["id"])["n"]
    side = only_row(db, "SELECT width FROM stimulus LIMIT 1")["width"]
    withdrawal, pilot = withdrawal_code(token), participant["mode"] == "pilot"
    trial = next_trial(db, participant)
    if trial is None:
        return CurrentTrial(
            total, total, side, withdrawal, pilot, done=True, completion_code=participant["completion_code"]
        )
    views = rows(db, "SELECT area, view_token FROM trial_option WHERE trial = ? ORDER BY position", trial["id"])
    options, beside = (
        tuple(view["view_token"] for view in views if view["area"] == area) for area in ("option", "beside")
    )
    return CurrentTrial(
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
    """Raise StudyError unless the trial offers the answer."""
    if not isinstance(response_id, str) or not re.fullmatch(r"[\w-]{8,64}", response_id, re.ASCII):
        raise StudyError(f"the id of an answer is {str(response_id)[:80]!r}; use 8 to 64 letters, digits, - or _")
    count = "SELECT count(*) AS n FROM trial_option WHERE trial = ? AND area = 'option'"
    images = only_row(db, count, trial["id"])["n"]
    menu = json.loads(trial["menu"])
    choices = menu if trial["kind"] == "view" else ["image", *menu]  # in a view trial no image can be chosen
    if choice not in choices:
        raise StudyError(f"the choice is {str(choice)[:40]!r}; this question offers {', '.join(choices)}")
    if choice == "image" and not (type(position) is int and 1 <= position <= images):
        raise StudyError(f"the position is {str(position)[:40]}; this question has the positions 1 to {images}")
    if choice != "image" and position is not None:
        raise StudyError(f"the position is {str(position)[:40]}; {choice!r} is not an image and has no position")
    if client_ms is not None and not (type(client_ms) is int and 0 <= client_ms <= MAX_RESPONSE_MS):
        raise StudyError(f"the response time is {str(client_ms)[:40]} ms; it must be from 0 to {MAX_RESPONSE_MS}")
    if input not in INPUTS:
        raise StudyError(f"the input is {str(input)[:40]!r}; use {', '.join(filter(None, INPUTS))} or nothing")
