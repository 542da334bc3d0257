"""Does a step cost more late in a long run, or with ten times the data? And does memory grow?

The arms take turns step by step, each with a model of its own, so that what else the machine does meets all alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from benchmarks import studio
from ghibli_studio.models.base_model import BaseModel

PICTURES = 32
MORE = 10
LATE = 9_000
"""Epochs that a late run has behind it; ten thousand is the most that can be chosen."""


@dataclass(frozen=True)
class Growth:
    """How a step's cost and the memory held change."""

    method: str
    steps: int
    seconds: float
    """Median step of a short run with little data."""
    more_data: float
    """Median step with ten times the data, as a multiple."""
    late: float
    """Median step after LATE epochs, as a multiple."""
    second_half: float
    """Median step of the second half of the timed steps, as a multiple of the first half's."""
    memory_bytes: int
    """Memory held more at the end than after the first half, by all three runs together."""

    def __str__(self) -> str:
        return (
            f"{self.method}: {self.seconds * 1e3:.1f} ms a step over {self.steps} steps; {MORE}x data "
            f"{self.more_data - 1:+.1%}, after {LATE} epochs {self.late - 1:+.1%}, second half "
            f"{self.second_half - 1:+.1%}; memory {self.memory_bytes / 2**20:+.1f} MiB from the middle to the end"
        )


def grown(bases: tuple[BaseModel, ...], method: str, *, warm: int, count: int, changes: dict[str, Any]) -> Growth:
    """Measure with three models that are equal: little data, much data, late in a long run."""
    arms = [
        studio.training(bases[0], method, 1, pictures=PICTURES, changes=changes),
        studio.training(bases[1], method, 1, pictures=MORE * PICTURES, changes=changes),
        studio.training(bases[2], method, 1, pictures=PICTURES, changes=changes, finished_epochs=LATE),
    ]
    rounds: list[list[float]] = []
    with ExitStack() as stack:
        clocks = [stack.enter_context(closing(arm)) for arm in arms]
        middle = 0
        for turn, times in enumerate(_turns(clocks, warm + count)):
            if turn >= warm:
                rounds.append(times)
            if turn == warm + count // 2:
                middle = held(bases[0])
        end = held(bases[0])
    base, more, late = (statistics.median(column) for column in zip(*rounds))
    halves = [statistics.median(times[0] for times in part) for part in (rounds[: count // 2], rounds[count // 2 :])]
    return Growth(method, count, base, more / base, late / base, halves[1] / halves[0], end - middle)


def _turns(clocks: list[Iterator[float]], count: int) -> Iterator[list[float]]:
    for _ in range(count):
        yield [next(clock) for clock in clocks]


def held(base: BaseModel) -> int:
    """Memory held now, bytes: of the GPU by tensors, or by this process."""
    import psutil
    import torch

    if base.device.type == "cuda":
        return torch.cuda.memory_allocated(base.device)
    return psutil.Process().memory_info().rss
