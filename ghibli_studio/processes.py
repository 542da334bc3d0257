"""Several processes that train together: how they are started, which one this is, and what all but the first do.

They are PyTorch's own (torchrun's), and agree through accelerate; each computes its share of every step. Process 0
alone keeps what comes of it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import NamedTuple

from ghibli_studio.config import StudioError
from ghibli_studio.files import read_json
from ghibli_studio.workspace import Run

POLL_SECONDS = 0.3


class Place(NamedTuple):
    """One process of several."""

    number: int
    """Counted from 0."""
    count: int


def place() -> Place:
    """This process, as torchrun tells it through the environment; alone it is number 0 of 1."""
    return Place(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def interpreter(run: Run) -> list[str]:
    """Python, or torchrun's for several processes; a damaged configuration is told by the process itself."""
    try:
        count = run.config().training.num_processes
    except StudioError:
        count = 1
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return [sys.executable, *(several if count > 1 else [])]


def assist(run: Run) -> int:
    """Do a share of every step once it is the run's turn, which process 0 waits for; returns the exit code."""
    while not (run.job_file.exists() and read_json(run.job_file)["started"]):
        time.sleep(POLL_SECONDS)
    from ghibli_studio.runs import assist  # brings torch, which nobody needs while waiting

    try:
        assist(run)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
