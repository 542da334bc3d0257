"""The one type that reports the progress of long work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One more unit of work is done."""

    done: int
    """Finished units."""
    total: int
    """All units."""
    what: str
    """The current unit, in a few words."""
