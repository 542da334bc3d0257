"""Audit log of a study as a chain of hashes: an entry that is changed or removed breaks the chain.

Nothing about single participants is logged here, because a withdrawal must leave no trace of the participant.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlite_utils import Database

from study.database.transactions import only_row, row, rows

START = "0" * 64


def append(db: Database, now: int, action: str, **detail: Any) -> None:
    """Append an entry to the chain, in the caller's transaction."""
    last = row(db, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1") or {"seq": 0, "hash": START}
    entry = {
        "seq": last["seq"] + 1,
        "at": now,
        "action": action,
        "detail": json.dumps(detail, ensure_ascii=False, sort_keys=True),
        "previous": last["hash"],
    }
    db.table("audit").insert({**entry, "hash": _hash(entry)})


def entries(db: Database) -> list[dict[str, Any]]:
    """Return all entries in their order: seq, at, action, detail, previous, hash."""
    return [{**entry, "detail": json.loads(entry["detail"])} for entry in rows(db, "SELECT * FROM audit ORDER BY seq")]


def intact(db: Database) -> bool:
    """Return True if every entry follows its predecessor unchanged, and everything that was locked is unchanged."""
    previous = START
    for number, entry in enumerate(rows(db, "SELECT * FROM audit ORDER BY seq"), 1):
        stored = entry.pop("hash")
        if (entry["seq"], entry["previous"], stored) != (number, previous, _hash(entry)):
            return False
        previous = stored
    locks = [entry["detail"] for entry in entries(db) if entry["action"] == "locked"]
    state = only_row(db, "SELECT state FROM study_version")["state"]
    if len(locks) != (state in ("live", "closed")):
        return False
    return all(lock.items() >= fingerprint(db).items() for lock in locks)


def fingerprint(db: Database) -> dict[str, str]:
    """Return the sha256, hexadecimal, of everything that a lock fixes: definition, images, plans."""
    queries = {
        "definition": "SELECT definition AS line FROM study_version",
        "stimuli": "SELECT id || ' ' || role || ' ' || sha256 || ' ' || landmark AS line FROM stimulus ORDER BY id",
        "plans": "SELECT number || ' ' || plan AS line FROM slot WHERE mode = 'live' ORDER BY number",
    }
    return {
        f"{name}_sha256": hashlib.sha256("\n".join(found["line"] for found in rows(db, query)).encode()).hexdigest()
        for name, query in queries.items()
    }


def _hash(entry: dict[str, Any]) -> str:
    """Return the sha256 of an entry without its own hash, hexadecimal."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
