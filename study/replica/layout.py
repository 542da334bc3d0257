"""File names in a replica: `study-<lock>/base.db`, `participants/<id>.jsonl`, `withdrawn/<id>`.

`base.db` is the study as it was locked, without participants and without the key; the lock hash identifies the study.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from study.database.status import study_row
from study.replica.backend import ReplicaBackend

BASE, PARTICIPANTS, WITHDRAWN = "base.db", "participants", "withdrawn"


@dataclass(frozen=True)
class ReplicaContents:
    """The files that a backend has of one study."""

    has_base: bool
    journals: dict[str, bytes]
    """By participant."""
    withdrawn: frozenset[str]
    """Participants who must not be restored."""


def study_folder(db: Database, *states: str) -> str | None:
    """Return the folder of a locked study in every backend; None before the lock, or if not in one of the states."""
    study = study_row(db)
    if study["lock_sha256"] is None or (states and study["state"] not in states):
        return None
    return f"study-{study['lock_sha256'][:16]}"


def base_file(folder: str) -> str:
    """Return the name of the study without participants."""
    return f"{folder}/{BASE}"


def journal_file(folder: str, participant: str) -> str:
    """Return the name of a participant's journal."""
    return f"{folder}/{PARTICIPANTS}/{participant}.jsonl"


def withdrawal_file(folder: str, participant: str) -> str:
    """Return the name of the note that a participant has withdrawn: a random id that identifies nobody."""
    return f"{folder}/{WITHDRAWN}/{participant}"


def study_names(backend: ReplicaBackend) -> list[str]:
    """Return the names of all studies of a backend, sorted."""
    return sorted(folder for folder, _, name in (file.partition("/") for file in backend.names()) if name == BASE)


def read_contents(backend: ReplicaBackend, folder: str) -> ReplicaContents:
    """Return everything that a backend has of a study except the base itself."""
    names = [name for name in backend.names() if name.startswith(f"{folder}/")]
    has_journals = any(f"/{PARTICIPANTS}/" in name for name in names)
    journals = backend.read(f"{folder}/{PARTICIPANTS}/") if has_journals else {}
    return ReplicaContents(
        base_file(folder) in names,
        {Path(name).stem: data for name, data in journals.items() if name.endswith(".jsonl")},
        frozenset(Path(name).name for name in names if f"/{WITHDRAWN}/" in name),
    )
