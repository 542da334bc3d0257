"""Timing of the arms of one task and batch size, their ratios, and the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


OURS = "ours"
Arm = Callable[[], Generator[float, None, None]]


@dataclass(frozen=True)
class Row:
    """One arm of one task at one batch size."""

    task: str
    batch: int
    arm: str
    seconds: float
    """Median of a step, or of a batch of images."""
    images_per_second: float
    peak_bytes: int | None
    """Of the GPU; None on a CPU, where all arms share one process."""
    roofline_seconds: float
    """The shortest possible time on this device."""

    @property
    def share_of_roofline(self) -> float:
        """The roofline's time over the measured time, 0..1."""
        return self.roofline_seconds / self.seconds


def timed(
    task: str, batch: int, arms: dict[str, Arm], device: torch.device, roofline: float, *, warm: int, count: int
) -> Iterator[Row]:
    """Time every arm: on a CPU in turns, so that other load on the machine affects all equally.

    On a GPU one after the other, so that each has the memory to itself and a peak of its own.
    """
    groups = [[name] for name in arms] if device.type == "cuda" else [list(arms)]
    for group in groups:
        reset_peak(device)
        durations: dict[str, list[float]] = {name: [] for name in group}
        with ExitStack() as stack:
            clocks = {name: stack.enter_context(closing(arms[name]())) for name in group}
            for turn in range(warm + count):
                for name, clock in clocks.items():
                    seconds = next(clock)
                    if turn >= warm:
                        durations[name].append(seconds)
        for name, values in durations.items():
            median = statistics.median(values)
            yield Row(task, batch, name, median, batch / median, peak(device), roofline)


def peak(device: torch.device) -> int | None:
    """Return the peak of the GPU memory since the last `reset_peak`, bytes; None on a CPU."""
    import torch

    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def reset_peak(device: torch.device) -> None:
    """Free unused GPU memory and reset its peak."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def ratio(rows: list[Row], row: Row, to: str) -> float | None:
    """Return the speed relative to another arm of the same task and batch; None if that was not timed."""
    other = next((r for r in rows if (r.task, r.batch, r.arm) == (row.task, row.batch, to)), None)
    return other.seconds / row.seconds if other else None


def line(rows: list[Row], row: Row) -> str:
    """Return one row as text: time, speed, ratios to the arms timed so far, share of the roofline."""
    text = f"{row.task:8} batch {row.batch}  {row.arm:14} {row.seconds * 1e3:9.1f} ms  "
    text += f"{row.images_per_second:8.2f} images/s  {row.share_of_roofline:5.0%} of the roofline"
    for arm in ("reference", "tuned"):
        if row.arm != arm and (speedup := ratio(rows, row, arm)) is not None:
            text += f"  {speedup:.2f}x {arm}"
    return text + (f"  peak {row.peak_bytes / 2**30:.1f} GiB" if row.peak_bytes else "")


def table(rows: list[Row]) -> str:
    """Return Markdown: a row per task and batch, a column per arm (ms), ratios to ours, share of the roofline."""
    arms = list(dict.fromkeys(row.arm for row in rows))
    others = [arm for arm in arms if not arm.startswith(OURS)]
    head = ["task", "batch", *(f"{arm}, ms" for arm in arms), *(f"ours / {arm}" for arm in others), "share of roofline"]
    lines = [head, ["---"] * len(head)]
    for task, batch in dict.fromkeys((row.task, row.batch) for row in rows):
        timed_arms = {row.arm: row for row in rows if (row.task, row.batch) == (task, batch)}
        ours = timed_arms.get(OURS)
        cells = [f"{timed_arms[arm].seconds * 1e3:.1f}" if arm in timed_arms else "" for arm in arms]
        cells += [
            f"{timed_arms[arm].seconds / ours.seconds:.2f}x" if ours and arm in timed_arms else "" for arm in others
        ]
        lines.append([task, str(batch), *cells, f"{ours.share_of_roofline:.0%}" if ours else ""])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
