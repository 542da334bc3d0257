"""What was done to a study as a whole, in a chain of hashes: an entry that is changed or taken out breaks it.

Nothing about single participants is written here, since a withdrawal must leave no trace of the person.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlite_utils import Database

from study.database.transactions import row, rows

START = "0" * 64


def append(db: Database, now: int, action: str, **detail: Any) -> None:
    """Add an entry to the chain, in the caller's transaction."""
    last = row(db, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1") or {"seq": 0, "hash": START}
    entry = {
        "seq": last["seq"] + 1,
        "at": now,
        "action": action,
        "detail": json.dumps(detail, ensure_ascii=False, sort_keys=True),
        "previous": last["hash"],
    }
    db["audit"].insert({**entry, "hash": _hash(entry)})


def entries(db: Database) -> list[dict[str, Any]]:
    """All entries in their order: seq, at, action, detail, previous, hash."""
    return [{**entry, "detail": json.loads(entry["detail"])} for entry in rows(db, "SELECT * FROM audit ORDER BY seq")]


def intact(db: Database) -> bool:
    """True if every entry is the one that was written after its predecessor, and what was locked stands as it was."""
    previous = START
    for number, entry in enumerate(rows(db, "SELECT * FROM audit ORDER BY seq"), 1):
        written = entry.pop("hash")
        if (entry["seq"], entry["previous"], written) != (number, previous, _hash(entry)):
            return False
        previous = written
    locks = [entry["detail"] for entry in entries(db) if entry["action"] == "locked"]
    state = row(db, "SELECT state FROM study_version")["state"]
    if len(locks) != (state in ("live", "closed")):
        return False
    return all(lock.items() >= fingerprint(db).items() for lock in locks)


def fingerprint(db: Database) -> dict[str, str]:
    """sha256, hexadecimal, of everything that a lock locks: definition, pictures, plans."""
    lines = {
        "definition": "SELECT definition AS line FROM study_version",
        "stimuli": "SELECT id || ' ' || role || ' ' || sha256 || ' ' || landmark AS line FROM stimulus ORDER BY id",
        "plans": "SELECT number || ' ' || plan AS line FROM slot WHERE mode = 'live' ORDER BY number",
    }
    return {
        f"{name}_sha256": hashlib.sha256("\n".join(one["line"] for one in rows(db, query)).encode()).hexdigest()
        for name, query in lines.items()
    }


def _hash(entry: dict[str, Any]) -> str:
    """sha256 of an entry without its own hash, hexadecimal."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
