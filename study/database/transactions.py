"""Connections and transactions on a study's files: the only way to read or write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database import connection_pool

PATIENCE = 30.0
"""Seconds to wait for somebody else's transaction."""
QUEUES: dict[Path, Lock] = {}
"""One writer a file at a time; between processes SQLite sees to it."""

PRAGMAS = (
    "foreign_keys = ON",
    "synchronous = FULL",  # an answer is on the disk when its commit returns
    "secure_delete = ON",
    "temp_store = MEMORY",  # a rewritten file leaves no copy elsewhere
)

OUTSIDE = {  # what the disk or another program did, and no mistake of this one
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    """A connection for one task; tasks come from many threads, and no connection has two at a time.

    What the disk refuses, and somebody else's transaction that lasts longer than 30 s, is a StudyError.
    """
    try:
        one = connection_pool.take(path) or connection_pool.Opened(connection_pool.number(path), _connected(path))
        try:
            yield Database(one.connection, execute_plugins=False)
        except BaseException:
            one.connection.close()  # whatever was begun
            raise
        connection_pool.give(path, one)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in OUTSIDE:
            raise
        raise StudyError(
            f"{path.name} cannot be used ({error}); try again, and if it stays so, look at the disk or restore a backup"
        ) from error


def _connected(path: Path) -> sqlite3.Connection:
    place = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(place, uri=True, timeout=PATIENCE, check_same_thread=False)
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def immediate(db: Database) -> Iterator[None]:
    """One transaction that has the write lock from its beginning, so that what it has read is still true."""
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.conn.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


@contextmanager
def writing(path: Path) -> Iterator[Database]:
    """Everything inside is written when the block ends, on the disk, or nothing of it."""
    with opened(path) as db, _turn(path), immediate(db):
        yield db


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait for this process's other writers.

    SQLite has no queue: who waits sleeps, looks, and sleeps longer, so that of fifty at once some wait for seconds.
    """
    queue = QUEUES.setdefault(path.absolute(), Lock())
    if not queue.acquire(timeout=PATIENCE):
        raise StudyError(f"{path.name} is being written to for more than {PATIENCE:g} s; try again")
    try:
        yield
    finally:
        queue.release()


@contextmanager
def reading(path: Path) -> Iterator[Database]:
    """Everything inside is read from one moment's state."""
    with opened(path) as db:
        db.conn.execute("BEGIN")
        yield db
        db.rollback()


def rows(db: Database, sql: str, *values: Any) -> list[dict[str, Any]]:
    """All rows of a query by the names of their columns."""
    return list(db.query(sql, values))


def row(db: Database, sql: str, *values: Any) -> dict[str, Any] | None:
    """The first row of a query; None if there is none."""
    return next(iter(rows(db, sql, *values)), None)
