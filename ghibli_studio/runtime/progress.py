"""The one type that says how far long work has got."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One unit of work is done."""

    done: int
    total: int
    what: str
