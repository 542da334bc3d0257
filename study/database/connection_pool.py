"""A pool of open connections while a study is served; without a pool, each task opens and closes a connection.

Opening a connection takes longer than most tasks, and the last connection that closes writes the whole log back into
the file, which would delay an answer. What is done on a connection is in `transactions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True)
class PooledConnection:
    """A connection and the file that it has opened."""

    inode: int | None
    """Number of the file in the file system; None if there was no file."""
    connection: sqlite3.Connection


POOLS: dict[Path, list[PooledConnection]] = {}
"""File -> idle connections to it, while its pool is open."""


def open_pool(path: Path) -> None:
    """Reuse connections to this file from now on."""
    POOLS.setdefault(path.absolute(), [])


def close_pool(path: Path) -> None:
    """Close the idle connections to this file now, and every busy one when its task is done."""
    idle = POOLS.pop(path.absolute(), [])
    while idle:
        idle.pop().connection.close()


@contextmanager
def pooled(path: Path) -> Iterator[None]:
    """Reuse connections to this file inside the block; close all of them at its end."""
    open_pool(path)
    try:
        yield
    finally:
        close_pool(path)


def acquire(path: Path) -> PooledConnection | None:
    """Return an idle connection to the file that is at this path now; None if there is none."""
    idle = POOLS.get(path.absolute())
    while idle:
        try:
            pooled_connection = idle.pop()
        except IndexError:  # another thread was faster
            return None
        if pooled_connection.inode == inode(path):
            return pooled_connection
        pooled_connection.connection.close()  # the file was replaced by another one
    return None


def release(path: Path, pooled_connection: PooledConnection) -> None:
    """Return a connection to the pool for the next task, or close it."""
    idle = POOLS.get(path.absolute())
    if idle is None or pooled_connection.connection.in_transaction:
        pooled_connection.connection.close()
    else:
        idle.append(pooled_connection)


def inode(path: Path) -> int | None:
    """Return the number of a file in the file system, which differs after a replacement; None if there is no file."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
