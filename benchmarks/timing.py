"""Times the arms of one task and batch size; ratios; the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


OURS = "ours"
Arm = Callable[[], Iterator[float]]


@dataclass(frozen=True)
class Row:
    """One arm of one task at one batch size."""

    task: str
    batch: int
    arm: str
    seconds: float
    """Median of a step, or of a batch of pictures."""
    pictures_per_second: float
    peak_bytes: int | None
    """Of the GPU; None on a CPU, where all arms share one process."""
    floor_seconds: float
    """The least that the device could do it in."""

    @property
    def share(self) -> float:
        """Share of the floor that is reached, 0..1."""
        return self.floor_seconds / self.seconds


def timed(
    task: str, batch: int, arms: dict[str, Arm], device: torch.device, floor: float, *, warm: int, count: int
) -> Iterator[Row]:
    """Time every arm: on a CPU turn by turn, so that whatever else the machine does meets all alike.

    On a GPU one after the other, so that each has the memory to itself and its own peak is known.
    """
    groups = [[name] for name in arms] if device.type == "cuda" else [list(arms)]
    for group in groups:
        forget_peak(device)
        took: dict[str, list[float]] = {name: [] for name in group}
        with ExitStack() as stack:
            clocks = {name: stack.enter_context(closing(arms[name]())) for name in group}
            for turn in range(warm + count):
                for name, clock in clocks.items():
                    one = next(clock)
                    if turn >= warm:
                        took[name].append(one)
        for name, values in took.items():
            median = statistics.median(values)
            yield Row(task, batch, name, median, batch / median, peak(device), floor)


def peak(device: torch.device) -> int | None:
    """The most GPU memory held since it was last forgotten, bytes."""
    import torch

    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def forget_peak(device: torch.device) -> None:
    """Give unused GPU memory back and begin a new peak."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def ratio(rows: list[Row], row: Row, to: str) -> float | None:
    """How many times as fast as another arm of the same task and batch; None where that was not timed."""
    other = next((r for r in rows if (r.task, r.batch, r.arm) == (row.task, row.batch, to)), None)
    return other.seconds / row.seconds if other else None


def line(rows: list[Row], row: Row) -> str:
    """One row in words: time, speed, ratios to the arms timed so far, share of the floor."""
    told = f"{row.task:8} batch {row.batch}  {row.arm:14} {row.seconds * 1e3:9.1f} ms  "
    told += f"{row.pictures_per_second:8.2f} pictures/s  {row.share:5.0%} of the floor"
    for arm in ("reference", "tuned"):
        if row.arm != arm and (times := ratio(rows, row, arm)) is not None:
            told += f"  {times:.2f}x {arm}"
    return told + (f"  peak {row.peak_bytes / 2**30:.1f} GiB" if row.peak_bytes else "")


def table(rows: list[Row]) -> str:
    """Markdown: a row for each task and batch, a column for each arm (ms), ours against each, and the floor."""
    arms = list(dict.fromkeys(row.arm for row in rows))
    others = [arm for arm in arms if not arm.startswith(OURS)]
    head = ["task", "batch", *(f"{arm}, ms" for arm in arms), *(f"ours / {arm}" for arm in others), "share of floor"]
    lines = [head, ["---"] * len(head)]
    for task, batch in dict.fromkeys((row.task, row.batch) for row in rows):
        found = {row.arm: row for row in rows if (row.task, row.batch) == (task, batch)}
        mine = found.get(OURS)
        cells = [f"{found[arm].seconds * 1e3:.1f}" if arm in found else "" for arm in arms]
        cells += [f"{found[arm].seconds / mine.seconds:.2f}x" if mine and arm in found else "" for arm in others]
        lines.append([task, str(batch), *cells, f"{mine.share:.0%}" if mine else ""])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
