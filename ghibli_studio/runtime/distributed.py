"""Rank and world size of a process started by torchrun."""

from __future__ import annotations

import os
from typing import NamedTuple


class ProcessRank(NamedTuple):
    """One process of a distributed run."""

    rank: int
    """Counted from 0."""
    world_size: int
    """Number of processes."""


def process_rank() -> ProcessRank:
    """Return this process's rank and world size from torchrun's environment variables; a lone process is 0 of 1."""
    return ProcessRank(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
