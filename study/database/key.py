"""The key: which picture comes from where. A file of its own that nothing opens while people answer.

Who may open it, and the entry in the audit before that, is `store`'s to decide.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study import StudyError
from study.database.transactions import immediate, opened, rows

TABLE = """
CREATE TABLE origin (
    stimulus TEXT PRIMARY KEY NOT NULL,
    origin TEXT CHECK (origin IN ('original', 'lora', 'ti')),
    source TEXT NOT NULL,
    source_sha256 TEXT NOT NULL,
    facts TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True)
class Origin:
    """What is behind one stimulus."""

    stimulus: str
    """Its id."""
    origin: str | None
    """original | lora | ti; None for a photograph."""
    source: str
    """Name of the file it was made from, without folders; empty if it came as bytes."""
    source_sha256: str
    """Of that file, hexadecimal."""
    facts: dict[str, Any]
    """What the caller told: adapter hash, prompt, seed."""


def write(path: Path, origins: Iterable[Origin]) -> None:
    """Create the key, readable by its owner only."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with opened(path) as db, immediate(db):
        db.execute(TABLE)
        db["origin"].insert_all(
            {
                "stimulus": one.stimulus,
                "origin": one.origin,
                "source": one.source,
                "source_sha256": one.source_sha256,
                "facts": json.dumps(one.facts, ensure_ascii=False, sort_keys=True),
            }
            for one in sorted(origins, key=lambda one: one.stimulus)  # no order but that of the random ids
        )


def read(path: Path, stimuli: Collection[str]) -> dict[str, Origin]:
    """The key by stimulus id; StudyError if it is missing or belongs to other pictures."""
    if not path.is_file():
        raise StudyError(f"{path.name} is missing beside the study; without it nobody knows which picture is whose")
    with opened(path) as db:
        found = [Origin(**{**one, "facts": json.loads(one["facts"])}) for one in rows(db, "SELECT * FROM origin")]
    if {one.stimulus for one in found} != set(stimuli):
        raise StudyError(f"{path.name} belongs to another study; put this study's own key beside it")
    return {one.stimulus: one for one in found}
