"""Connections that are kept open while a study is served. Without that, each task opens one and closes it again.

To open one takes longer than most tasks, and the connection that closes last writes the whole log back into the file,
for which an answer would have to wait. What is done with a connection is `schema`'s.
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
class Opened:
    """A connection, and which file it has opened."""

    number: int | None
    """Of the file, in the file system; None if there was none."""
    connection: sqlite3.Connection


KEPT: dict[Path, list[Opened]] = {}
"""File -> idle connections to it, while it is kept."""


def keep(path: Path) -> None:
    """From now on use connections to this file again."""
    KEPT.setdefault(path.absolute(), [])


def drop(path: Path) -> None:
    """Close the idle connections to this file, and every other one when its task is done."""
    idle = KEPT.pop(path.absolute(), [])
    while idle:
        idle.pop().connection.close()


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Use connections to this file again meanwhile; all are closed at the end."""
    keep(path)
    try:
        yield
    finally:
        drop(path)


def take(path: Path) -> Opened | None:
    """An idle connection to the file that is there now; None if there is none."""
    idle = KEPT.get(path.absolute())
    while idle:
        try:
            one = idle.pop()
        except IndexError:  # another thread was faster
            return None
        if one.number == number(path):
            return one
        one.connection.close()  # another file was put in the place of the one that it has
    return None


def give(path: Path, one: Opened) -> None:
    """Keep a connection for the next task, or close it."""
    idle = KEPT.get(path.absolute())
    if idle is None or one.connection.in_transaction:
        one.connection.close()
    else:
        idle.append(one)


def number(path: Path) -> int | None:
    """Of a file, in the file system; another file in its place has another."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
