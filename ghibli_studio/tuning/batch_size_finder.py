"""The batch size finder: a few training steps at 1, 2, 4, ... images, until memory or speed sets a limit.

Every method is tried at every size, and a size counts only if it fits for all of them, because runs of all methods use
the same batch size. On a GPU the limit is its out-of-memory error. On a CPU, where the operating system would kill the
program, the search stops before memory is short, or when larger batches are no faster.
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
from ghibli_studio.training.preparation import RunContext
from ghibli_studio.tuning import dry_run
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    import torch


STEPS = 3
"""Steps of a dry run; the first one allocates memory and selects kernels, so it does not count for the speed."""
GAIN = 1.05
"""Less than five percent more images per second is no gain worth larger steps."""
MEMORY_SHARE = 0.8
"""Share of the free memory that a dry run on a CPU may use."""


@dataclass(frozen=True)
class BatchSizeDryRun:
    """One method at one batch size."""

    method: str
    batch: int
    fits: bool
    images_per_second: float | None
    """None if it did not fit."""
    peak_memory_bytes: int | None
    """Of the GPU; on a CPU, of this process."""


@dataclass(frozen=True)
class BatchSizeResult:
    """The result of the search."""

    rows: tuple[BatchSizeDryRun, ...]
    stopped: str
    """Why no larger size was tried, as text."""

    @property
    def largest(self) -> int | None:
        """The largest size that fits for every method; None if not even one image fits."""
        sizes = {row.batch for row in self.rows} - {row.batch for row in self.rows if not row.fits}
        return max(sizes, default=None)

    @property
    def suggestion(self) -> int | None:
        """The smallest size that is as fast as any other (within five percent), all methods together."""
        speeds = {batch: self.speed(batch) for batch in sorted({row.batch for row in self.rows})}
        fitting = {batch: speed for batch, speed in speeds.items() if speed}
        return next((batch for batch, speed in fitting.items() if speed * GAIN >= max(fitting.values())), None)

    def speed(self, batch: int) -> float | None:
        """Return the images per second at that size, averaged over the methods; None if one of them does not fit."""
        speeds = [row.images_per_second for row in self.rows if row.batch == batch]
        known = [speed for speed in speeds if speed is not None]
        return None if len(known) < len(speeds) else len(known) / sum(1 / speed for speed in known)

    @property
    def summary(self) -> str:
        """The result as a sentence."""
        speed = None if self.suggestion is None else self.speed(self.suggestion)
        if self.largest is None or speed is None:
            return "not even a batch of one image fits; close other programs that use the memory, or use smaller images"
        return (
            f"batch size {self.suggestion} is as fast as any ({speed:.1f} images per second); "
            f"{self.largest} is the largest tested that fits; {self.stopped}"
        )


@dataclass(frozen=True)
class SearchProgress:
    """One event of the search."""

    done: int
    total: int
    what: str
    row: BatchSizeDryRun | None = None
    """When a dry run has ended."""
    result: BatchSizeResult | None = None
    """In the last event."""


def find(project: Project, configs: Sequence[RunConfig]) -> Iterator[SearchProgress]:
    """Try batch sizes with the method of each configuration; the last event has the `BatchSizeResult`.

    The configurations differ only in the method. Raises StudioError for everything that a run of them would refuse.
    """
    for event in dry_run.load_context(project, configs):
        if isinstance(event, Progress):
            yield SearchProgress(event.done, event.total, event.what)
        else:
            context = event
    images = len(context.dataset.part("train"))
    sizes = [2**power for power in range(images.bit_length())]  # up to the size of the dataset
    total, done = len(sizes) * len(configs), 0
    result = BatchSizeResult((), f"the dataset has {images} training images")
    for batch in sizes:
        if reason := memory_reason(result, context.base.device, batch):
            result = replace(result, stopped=reason)
            break
        for config in configs:
            yield SearchProgress(done, total, f"{registry.method(config.method).LABEL}: batch size {batch}")
            row = try_batch_size(context, config, batch)
            result, done = replace(result, rows=(*result.rows, row)), done + 1
            yield SearchProgress(done, total, describe(row), row)
            if not row.fits:
                break
        if reason := stop_reason(result, context.base.device, batch):
            result = replace(result, stopped=reason)
            break
    yield SearchProgress(total, total, result.summary, result=result)


def try_batch_size(context: RunContext, config: RunConfig, batch: int) -> BatchSizeDryRun:
    """Train a few steps at a batch size, and free the memory."""
    import torch

    on_gpu, steps = context.base.device.type == "cuda", []
    resized = config.model_copy(update={"training": config.training.changed(train_batch_size=batch)})
    try:
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(context.base.device)
        with dry_run.start_dry_run(context, resized) as started:
            filled = replace(started, examples=fill_batches(started.examples, batch * STEPS))
            steps = list(dry_run.first_steps(filled, STEPS))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return BatchSizeDryRun(config.method, batch, False, None, None)
    finally:
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
    seconds = sum(step.seconds for step in steps[1:])
    return BatchSizeDryRun(config.method, batch, True, batch * (STEPS - 1) / seconds, steps[-1].peak_memory_bytes)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether the error means out of memory; a CPU and an Apple GPU raise no class of their own for it."""
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


def fill_batches(examples: Examples, count: int) -> Examples:
    """Return `count` examples, repeated from the start if there are fewer, so that every batch is full."""
    indices = [index % len(examples.captions) for index in range(count)]
    # the text states end with those of the prompts that replace dropped captions
    tail = examples.states[len(examples.captions) :]
    return replace(
        examples,
        latents=[examples.latents[index] for index in indices],
        captions=[examples.captions[index] for index in indices],
        mirrored=[examples.mirrored[index] for index in indices] if len(examples.mirrored) else (),
        states=[*(examples.states[index] for index in indices), *tail] if len(examples.states) else (),
    )


def memory_reason(result: BatchSizeResult, device: torch.device, batch: int) -> str:
    """Return why this size would use too much of a computer's memory; empty on a GPU, which raises an error itself."""
    import psutil

    peaks = [
        max(row.peak_memory_bytes or 0 for row in result.rows if row.batch == smaller)
        for smaller in (batch // 4, batch // 2)
        if any(row.batch == smaller for row in result.rows)
    ]
    if device.type != "cpu" or len(peaks) < 2:
        return ""
    needed = 2 * (peaks[1] - peaks[0])  # a doubling takes twice as much as the last one
    free = psutil.virtual_memory().available
    if needed <= MEMORY_SHARE * free:
        return ""
    return f"batch size {batch} would need about {size(needed)} more, and {size(free)} are free"


def stop_reason(result: BatchSizeResult, device: torch.device, batch: int) -> str:
    """Return why to stop after this size; empty to continue."""
    if result.speed(batch) is None:
        return f"batch size {batch} does not fit"
    if device.type == "cpu" and result.suggestion is not None and 4 * result.suggestion <= batch:
        return f"batch size {batch} is no faster"
    return ""


def describe(row: BatchSizeDryRun) -> str:
    """Return the result of a dry run as text."""
    label = registry.method(row.method).LABEL
    if row.images_per_second is None or row.peak_memory_bytes is None:
        return f"{label}: batch size {row.batch} does not fit"
    speed, memory = f"{row.images_per_second:.1f} images per second", size(row.peak_memory_bytes)
    return f"{label}: batch size {row.batch}, {speed}, {memory}"


def figure(result: BatchSizeResult) -> str:
    """Return the dry runs as a table in HTML."""
    rows = [
        [
            registry.method(row.method).LABEL,
            str(row.batch),
            "yes" if row.fits else "no",
            "" if row.images_per_second is None else f"{row.images_per_second:.1f}",
            "" if row.peak_memory_bytes is None else size(row.peak_memory_bytes),
        ]
        for row in result.rows
    ]
    return figures.table(
        "Speed and memory by batch size",
        ["Method", "Batch size", "Fits", "Images per second", "Peak memory"],
        rows,
        result.summary,
        numbers=2,
    )


def rows_of(result: BatchSizeResult) -> list[dict[str, Any]]:
    """Return the dry runs as JSON values."""
    return [vars(row) for row in result.rows]
