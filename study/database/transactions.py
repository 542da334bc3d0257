"""Connections and transactions on the files of a study: the only way to read or write them."""

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

LOCK_TIMEOUT = 30.0
"""Seconds to wait for another transaction."""
WRITER_LOCKS: dict[Path, Lock] = {}
"""File -> lock for one writer at a time in this process; between processes SQLite locks the file."""

PRAGMAS = (
    "foreign_keys = ON",
    "synchronous = FULL",  # an answer is on disk when its commit returns
    "secure_delete = ON",
    "temp_store = MEMORY",  # a rewritten file leaves no copy elsewhere
)

ENVIRONMENT_ERRORS = {  # caused by the disk or by another program, not by a bug in this one
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
def connected(path: Path) -> Iterator[Database]:
    """Open a connection for one task; tasks come from many threads, and no connection has two at a time.

    Raises StudyError for errors of the disk and for another transaction that lasts longer than 30 s.
    """
    try:
        pooled = connection_pool.acquire(path) or connection_pool.PooledConnection(
            connection_pool.inode(path), _connect(path)
        )
        try:
            yield Database(pooled.connection, execute_plugins=False)
        except BaseException:
            pooled.connection.close()  # discards an unfinished transaction
            raise
        connection_pool.release(path, pooled)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in ENVIRONMENT_ERRORS:
            raise
        raise StudyError(
            f"{path.name} cannot be used ({error}); try again, and if it happens again, check the disk or restore a "
            "backup"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT, check_same_thread=False)
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def immediate(db: Database) -> Iterator[None]:
    """Run one transaction that has the write lock from its start, so that what it has read is still true."""
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.conn.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


@contextmanager
def writing(path: Path) -> Iterator[Database]:
    """Run a write transaction: at the end of the block either everything is on disk, or nothing."""
    with connected(path) as db, _writer_lock(path), immediate(db):
        yield db


@contextmanager
def _writer_lock(path: Path) -> Iterator[None]:
    """Wait for the other writers of this process.

    SQLite has no queue: a waiting connection sleeps, retries, and sleeps longer, so that some of fifty concurrent ones
    wait for seconds.
    """
    lock = WRITER_LOCKS.setdefault(path.absolute(), Lock())
    if not lock.acquire(timeout=LOCK_TIMEOUT):
        raise StudyError(f"{path.name} has been locked by another writer for more than {LOCK_TIMEOUT:g} s; try again")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reading(path: Path) -> Iterator[Database]:
    """Run a read transaction: everything inside the block sees the state of one moment."""
    with connected(path) as db:
        db.conn.execute("BEGIN")
        yield db
        db.rollback()


def rows(db: Database, sql: str, *values: Any) -> list[dict[str, Any]]:
    """Return all rows of a query as dicts of column name -> value."""
    return list(db.query(sql, values))


def row(db: Database, sql: str, *values: Any) -> dict[str, Any] | None:
    """Return the first row of a query; None if there is none."""
    return next(iter(rows(db, sql, *values)), None)


def only_row(db: Database, sql: str, *values: Any) -> dict[str, Any]:
    """Return the first row of a query that always has one, such as a count."""
    return rows(db, sql, *values)[0]
