"""Growth: whether a step takes longer late in a long run or with ten times the data, and whether memory grows.

The arms take turns step by step, each with a model of its own, so that other load on the machine affects all equally.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from benchmarks import studio
from ghibli_studio.models.base_model import BaseModel

IMAGES = 32
MORE_DATA = 10
LATE = 9_000
"""Finished epochs of a late run; ten thousand is the maximum of the setting."""


@dataclass(frozen=True)
class Growth:
    """How the time of a step and the memory in use change."""

    method: str
    steps: int
    seconds: float
    """Median step of a short run with little data."""
    more_data: float
    """Median step with ten times the data, relative to `seconds`."""
    late: float
    """Median step after LATE epochs, relative to `seconds`."""
    second_half: float
    """Median step of the second half of the timed steps, relative to the first half."""
    memory_bytes: int
    """Increase of the memory in use by all three runs, from the middle to the end."""

    def __str__(self) -> str:
        return (
            f"{self.method}: {self.seconds * 1e3:.1f} ms per step over {self.steps} steps; {MORE_DATA}x data "
            f"{self.more_data - 1:+.1%}, after {LATE} epochs {self.late - 1:+.1%}, second half "
            f"{self.second_half - 1:+.1%}; memory {self.memory_bytes / 2**20:+.1f} MiB from the middle to the end"
        )


def measure_growth(
    bases: tuple[BaseModel, ...], method: str, *, warm: int, count: int, changes: dict[str, Any]
) -> Growth:
    """Measure with three equal models: little data, much data, late in a long run."""
    arms = [
        studio.training(bases[0], method, 1, images=IMAGES, changes=changes),
        studio.training(bases[1], method, 1, images=MORE_DATA * IMAGES, changes=changes),
        studio.training(bases[2], method, 1, images=IMAGES, changes=changes, finished_epochs=LATE),
    ]
    rounds: list[list[float]] = []
    with ExitStack() as stack:
        clocks = [stack.enter_context(closing(arm)) for arm in arms]
        middle = 0
        for turn, times in enumerate(_turns(clocks, warm + count)):
            if turn >= warm:
                rounds.append(times)
            if turn == warm + count // 2:
                middle = memory_in_use(bases[0])
        end = memory_in_use(bases[0])
    base, more, late = (statistics.median(column) for column in zip(*rounds))
    halves = [statistics.median(times[0] for times in part) for part in (rounds[: count // 2], rounds[count // 2 :])]
    return Growth(method, count, base, more / base, late / base, halves[1] / halves[0], end - middle)


def _turns(clocks: Sequence[Iterator[float]], count: int) -> Iterator[list[float]]:
    for _ in range(count):
        yield [next(clock) for clock in clocks]


def memory_in_use(base: BaseModel) -> int:
    """Return the memory in use now, bytes: by tensors on the GPU, or by this process."""
    import psutil
    import torch

    if base.device.type == "cuda":
        return torch.cuda.memory_allocated(base.device)
    return psutil.Process().memory_info().rss
