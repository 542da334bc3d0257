"""The key: the origin of each image, in a file of its own that stays closed while participants answer.

`store` decides who may open it, and logs the opening in the audit log first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study import StudyError
from study.database.transactions import connected, immediate, rows

TABLE = """
CREATE TABLE origin (
    stimulus TEXT PRIMARY KEY NOT NULL,
    origin TEXT CHECK (origin IN ('original', 'lora', 'ti')),
    source TEXT NOT NULL,
    source_sha256 TEXT NOT NULL,
    metadata TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True)
class Origin:
    """The origin of one stimulus."""

    stimulus: str
    """Its id."""
    origin: str | None
    """original | lora | ti; None for a photo."""
    source: str
    """Name of the source file, without folders; empty if it came as bytes."""
    source_sha256: str
    """sha256 of that file, hexadecimal."""
    metadata: dict[str, Any]
    """Adapter hash, prompt, seed and other values that came with the image."""


def write(path: Path, origins: Iterable[Origin]) -> None:
    """Create the key, readable by its owner only."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with connected(path) as db, immediate(db):
        db.execute(TABLE)
        db.table("origin").insert_all(
            {
                "stimulus": origin.stimulus,
                "origin": origin.origin,
                "source": origin.source,
                "source_sha256": origin.source_sha256,
                "metadata": json.dumps(origin.metadata, ensure_ascii=False, sort_keys=True),
            }
            for origin in sorted(origins, key=lambda origin: origin.stimulus)  # the order of the random ids
        )


def read(path: Path, stimuli: Collection[str]) -> dict[str, Origin]:
    """Return the key by stimulus id; raise StudyError if it is missing or belongs to another study."""
    if not path.is_file():
        raise StudyError(
            f"{path.name} is missing next to study.db; put it back, because only it has the origins of the images"
        )
    with connected(path) as db:
        origins = [
            Origin(**{**found, "metadata": json.loads(found["metadata"])}) for found in rows(db, "SELECT * FROM origin")
        ]
    if {origin.stimulus for origin in origins} != set(stimuli):
        raise StudyError(f"{path.name} belongs to another study; put this study's own key next to study.db")
    return {origin.stimulus: origin for origin in origins}
