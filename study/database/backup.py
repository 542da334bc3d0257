"""Copies of study.db in one file: everything in it, or everything but people. The key is in neither."""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from study import StudyError
from study.database import participation
from study.database.transactions import opened, rows, writing


def backup(file: Path, path: Path) -> None:
    """A consistent copy while people answer, all or nothing; StudyError where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        temporary.touch(exist_ok=False)  # says why, where it cannot be written
        _copy(file, temporary)
        temporary.replace(path)
    except OSError as error:
        raise StudyError(f"{path} cannot be written ({error.strerror}); choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def blank(file: Path) -> bytes:
    """The bytes of a study without anybody who took part."""
    with tempfile.TemporaryDirectory(prefix="study-") as folder:
        copy = Path(folder) / "base.db"
        _copy(file, copy)
        with writing(copy) as db:
            for one in rows(db, "SELECT id FROM participant"):
                participation.delete(db, one["id"])
        with opened(copy) as db:
            db.vacuum()  # what was deleted must not be in the bytes
            db.conn.execute("PRAGMA journal_mode = DELETE")
        return copy.read_bytes()


def _copy(file: Path, path: Path) -> None:
    with opened(file) as db, closing(sqlite3.connect(path)) as copy:
        db.conn.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without companions
