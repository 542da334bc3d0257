"""What a second store has of a study, by which names: `study-<seal>/base.db`, `people/<id>.jsonl`, `withdrawn/<id>`.

`base.db` is the study as it was locked, without people and without the key; a seal tells two studies apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from study.database.transactions import row
from study.replica.backend import Place

BASE, PEOPLE, WITHDRAWN = "base.db", "people", "withdrawn"


@dataclass(frozen=True)
class Found:
    """What a place has of one study."""

    base: bool
    journals: dict[str, bytes]
    """By participant."""
    withdrawn: frozenset[str]
    """Participants who are not to come back."""


def root(db: Database, *states: str) -> str | None:
    """A locked study's folder in every place; None before the lock, and in another state than these if given."""
    study = row(db, "SELECT state, lock_sha256 FROM study_version")
    if study["lock_sha256"] is None or (states and study["state"] not in states):
        return None
    return f"study-{study['lock_sha256'][:16]}"


def base(root: str) -> str:
    """Name of the study without people."""
    return f"{root}/{BASE}"


def person(root: str, participant: str) -> str:
    """Name of a person's journal."""
    return f"{root}/{PEOPLE}/{participant}.jsonl"


def withdrawn(root: str, participant: str) -> str:
    """Name of the note that a person is gone: a random id that stands for nobody any more."""
    return f"{root}/{WITHDRAWN}/{participant}"


def studies(place: Place) -> list[str]:
    """Names of all studies of a place, sorted."""
    return sorted(folder for folder, _, name in (one.partition("/") for one in place.names()) if name == BASE)


def look(place: Place, root: str) -> Found:
    """Everything that a place has of a study but the base itself."""
    names = [name for name in place.names() if name.startswith(f"{root}/")]
    journals = place.read(f"{root}/{PEOPLE}/") if any(f"/{PEOPLE}/" in name for name in names) else {}
    return Found(
        base(root) in names,
        {Path(name).stem: data for name, data in journals.items() if name.endswith(".jsonl")},
        frozenset(Path(name).name for name in names if f"/{WITHDRAWN}/" in name),
    )
