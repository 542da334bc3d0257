"""Copies of study.db in one file, with all data or without participants, and its rewrite after a deletion. No key."""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from study import StudyError
from study.database import participation
from study.database.transactions import connected, rows, writing


def backup(file: Path, path: Path) -> None:
    """Write a consistent copy while participants answer, all or nothing; raise StudyError if it cannot be written."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        temporary.touch(exist_ok=False)  # raises with the reason if the folder is not writable
        _copy(file, temporary)
        temporary.replace(path)
    except OSError as error:
        raise StudyError(f"{path} cannot be written ({error.strerror}); choose another path") from error
    finally:
        temporary.unlink(missing_ok=True)


def without_participants(file: Path) -> bytes:
    """Return the bytes of a study without anybody who took part."""
    with tempfile.TemporaryDirectory(prefix="study-") as folder:
        copy = Path(folder) / "base.db"
        _copy(file, copy)
        with writing(copy) as db:
            for participant in rows(db, "SELECT id FROM participant"):
                participation.delete(db, participant["id"])
        with connected(copy) as db:
            db.vacuum()  # deleted rows must not remain in the bytes
            db.conn.execute("PRAGMA journal_mode = DELETE")
        return copy.read_bytes()


def scrub(file: Path) -> None:
    """Rewrite the file: rows that moved between pages may have left copies that secure_delete does not reach."""
    with connected(file) as db:
        db.vacuum()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _copy(file: Path, path: Path) -> None:
    with connected(file) as db, closing(sqlite3.connect(path)) as copy:
        db.conn.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without -wal and -shm
