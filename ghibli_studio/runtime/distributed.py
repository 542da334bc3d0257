"""Rank and world size of a process started by torchrun."""

from __future__ import annotations

import os
from typing import NamedTuple


class Place(NamedTuple):
    """One process of several."""

    number: int
    """Counted from 0."""
    count: int


def place() -> Place:
    """This process, as torchrun tells it through the environment; alone it is number 0 of 1."""
    return Place(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
