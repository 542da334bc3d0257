"""Which batch size: a few steps of training at 1, 2, 4, ... pictures, until memory or speed says no.

Every method is tried at every size, and a size counts only if it fits for all of them: a run's batch size is the same
for every method. On a GPU "no" is its out-of-memory error; on a CPU, where the system would end the whole program, the
search stops before the memory is short, or where more pictures at once are no faster any more.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapters import registry
from ghibli_studio.config.training import RunConfig
from ghibli_studio.plotting import figures
from ghibli_studio.plotting.formatting import size
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.preparation import Prepared
from ghibli_studio.tuning import trials
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    import torch


STEPS = 3
"""Steps of a trial; the first one, which takes memory and chooses kernels, does not count for the speed."""
GAIN = 1.05
"""Less than five percent more pictures a second is no gain worth larger steps."""
RESERVE = 0.8
"""Share of the free memory that a trial on a CPU may take."""


@dataclass(frozen=True)
class BatchTrial:
    """One method at one batch size."""

    method: str
    batch: int
    fits: bool
    images_per_second: float | None
    """None where it did not fit."""
    peak_memory_bytes: int | None
    """Of the GPU; of this process on a CPU."""


@dataclass(frozen=True)
class BatchSizes:
    """What the search found."""

    rows: tuple[BatchTrial, ...]
    stopped: str
    """Why no larger size was tried, in words."""

    @property
    def largest(self) -> int | None:
        """The largest size that fits for every method; None where even one picture does not."""
        sizes = {row.batch for row in self.rows} - {row.batch for row in self.rows if not row.fits}
        return max(sizes, default=None)

    @property
    def suggestion(self) -> int | None:
        """The smallest size that is as fast as any (within five percent) for all methods together."""
        speeds = {batch: self.speed(batch) for batch in sorted({row.batch for row in self.rows})}
        fitting = {batch: speed for batch, speed in speeds.items() if speed}
        return next((batch for batch, speed in fitting.items() if speed * GAIN >= max(fitting.values())), None)

    def speed(self, batch: int) -> float | None:
        """Pictures a second at that size, the methods one after the other; None where one does not fit."""
        speeds = [row.images_per_second for row in self.rows if row.batch == batch]
        return None if None in speeds else len(speeds) / sum(1 / speed for speed in speeds)

    @property
    def words(self) -> str:
        """The finding as a sentence."""
        if self.largest is None:
            return "not even one picture at a time fits; close what else uses the memory, or take smaller pictures"
        return (
            f"batch size {self.suggestion} is as fast as any ({self.speed(self.suggestion):.1f} pictures a "
            f"second); {self.largest} is the largest that was tried and fits; {self.stopped}"
        )


@dataclass(frozen=True)
class Searching:
    """News of the search."""

    done: int
    total: int
    what: str
    row: BatchTrial | None = None
    """When a trial has ended."""
    found: BatchSizes | None = None
    """In the last event."""


def find(project: Project, configs: Sequence[RunConfig]) -> Iterator[Searching]:
    """Try sizes with every configuration's method; the last event has the `BatchSizes`.

    The configurations differ in nothing but the method. Raises StudioError for all that a run of them would refuse.
    """
    for event in trials.prepared(project, configs):
        if isinstance(event, Progress):
            yield Searching(event.done, event.total, event.what)
        else:
            ready = event
    pictures = len(ready.dataset.part("train"))
    sizes = [2**power for power in range(pictures.bit_length())]  # to the data set's own size
    total, done = len(sizes) * len(configs), 0
    found = BatchSizes((), f"the data set has {pictures} pictures to train on")
    for batch in sizes:
        if reason := short_of_memory(found, ready.base.device, batch):
            found = replace(found, stopped=reason)
            break
        for config in configs:
            yield Searching(done, total, f"{registry.method(config.method).LABEL}: {batch} at a time")
            row = tried(ready, config, batch)
            found, done = replace(found, rows=(*found.rows, row)), done + 1
            yield Searching(done, total, told(row), row)
            if not row.fits:
                break
        if reason := enough(found, ready.base.device, batch):
            found = replace(found, stopped=reason)
            break
    yield Searching(total, total, found.words, found=found)


def tried(ready: Prepared, config: RunConfig, batch: int) -> BatchTrial:
    """A few steps with so many pictures at a time; the memory is given back."""
    import torch

    on_gpu, steps = ready.base.device.type == "cuda", []
    sized = config.model_copy(update={"training": config.training.changed(train_batch_size=batch)})
    try:
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(ready.base.device)
        with trials.untrained(ready, sized) as trial:
            steps = list(trials.first_steps(replace(trial, examples=full(trial.examples, batch * STEPS)), STEPS))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return BatchTrial(config.method, batch, False, None, None)
    finally:
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
    seconds = sum(step.seconds for step in steps[1:])
    return BatchTrial(config.method, batch, True, batch * (STEPS - 1) / seconds, steps[-1].peak_memory_bytes)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it says that memory was asked for which is not there; a CPU and an Apple GPU have no class for it."""
    import torch

    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in words or "can't allocate memory" in words


def full(examples: Examples, count: int) -> Examples:
    """So many pictures, from the beginning again where there are fewer: every batch of a trial is a full one."""
    places = [place % len(examples.captions) for place in range(count)]
    # the text states end with those of no words
    tail = examples.states[len(examples.captions) :]
    return replace(
        examples,
        latents=[examples.latents[place] for place in places],
        captions=[examples.captions[place] for place in places],
        mirrored=[examples.mirrored[place] for place in places] if len(examples.mirrored) else (),
        states=[*(examples.states[place] for place in places), *tail] if len(examples.states) else (),
    )


def short_of_memory(found: BatchSizes, device: torch.device, batch: int) -> str:
    """Why this size would take too much of a computer's memory; empty on a GPU, which says so itself."""
    import psutil

    peaks = [
        max(row.peak_memory_bytes for row in found.rows if row.batch == one)
        for one in (batch // 4, batch // 2)
        if any(row.batch == one for row in found.rows)
    ]
    if device.type != "cpu" or len(peaks) < 2:
        return ""
    needed = 2 * (peaks[1] - peaks[0])  # a doubling takes twice what the last one took
    free = psutil.virtual_memory().available
    return f"{batch} would take about {size(needed)} more, {size(free)} are free" if needed > RESERVE * free else ""


def enough(found: BatchSizes, device: torch.device, batch: int) -> str:
    """Why to stop after this size; empty to go on."""
    if found.speed(batch) is None:
        return f"{batch} does not fit"
    if device.type == "cpu" and 4 * found.suggestion <= batch:
        return f"{batch} at a time are no faster"
    return ""


def told(row: BatchTrial) -> str:
    """A trial in words."""
    label = registry.method(row.method).LABEL
    if not row.fits:
        return f"{label}: {row.batch} at a time do not fit"
    return (
        f"{label}: {row.batch} at a time, {row.images_per_second:.1f} pictures a second, {size(row.peak_memory_bytes)}"
    )


def figure(found: BatchSizes) -> str:
    """The trials as a table in HTML."""
    rows = [
        [
            registry.method(row.method).LABEL,
            str(row.batch),
            "yes" if row.fits else "no",
            f"{row.images_per_second:.1f}" if row.fits else "",
            size(row.peak_memory_bytes) if row.fits else "",
        ]
        for row in found.rows
    ]
    return figures.table(
        "Speed and memory by batch size",
        ["Method", "Batch", "Fits", "Pictures a second", "Memory at most"],
        rows,
        found.words,
        numbers=2,
    )


def rows_of(found: BatchSizes) -> list[dict[str, Any]]:
    """The trials as JSON values."""
    return [vars(row) for row in found.rows]
