"""Painting ahead: worker processes fill one memory-mapped file while a stage trains on the rows that are ready.

What is painted is noted block by block, so an interrupted run goes on painting where it stopped. No torch in here:
every worker process imports this file.
"""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from ghibli_studio.miniature.landmarks.painting import render
from ghibli_studio.pretraining.data.photographs import Photograph, crop_of, read_photographs
from ghibli_studio.pretraining.data.scenes import subject
from ghibli_studio.pretraining.settings import Settings

FILE, DONE = "pictures.npy", "painted.npy"
BLOCK = 32
"""Pictures that a worker paints before it reports."""


class Painting:
    """A folder of pictures that is being filled; use as a context, which starts and stops the workers."""

    def __init__(self, settings: Settings, photographs: Path | None, folder: Path, workers: int = 0) -> None:
        """Without workers the pictures are painted here, when they are waited for."""
        self.settings, self.photographs, self.folder, self.workers = settings, photographs, folder, workers
        self.starts = range(0, settings.total_count, BLOCK)
        self.processes: ProcessPoolExecutor | None = None
        self.promised: dict[int, Future] = {}
        self.brush = threading.Lock()

    def __enter__(self) -> Painting:
        self.folder.mkdir(parents=True, exist_ok=True)
        size = self.settings.picture_size
        if not (self.folder / DONE).exists():  # made last: where it is, the pictures' file is too
            _new(self.folder / FILE, (self.settings.total_count, size, size, 3))
            _new(self.folder / DONE, (len(self.starts),))
        self.done = np.load(self.folder / DONE, mmap_mode="r+", allow_pickle=False)
        waiting = [number for number in range(len(self.starts)) if not self.done[number]]
        if self.workers and waiting:
            # spawned, since forked workers would share the threads that torch has already started
            self.processes = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"))
            self.promised = {number: self._promise(number) for number in waiting}
        return self

    def __exit__(self, *_: object) -> None:
        if self.processes is not None:
            self.processes.shutdown(wait=True, cancel_futures=True)

    @property
    def images(self) -> np.ndarray:
        """(total, size, size, 3) bytes, memory-mapped and not writable; rows that are not painted yet are black."""
        return np.load(self.folder / FILE, mmap_mode="r", allow_pickle=False)

    def wait(self, rows: int) -> None:
        """Return when all rows below the number are painted; raises what a worker raised."""
        for number in range(-(-min(rows, self.settings.total_count) // BLOCK)):
            if self.done[number]:
                continue
            if number in self.promised:
                self.promised[number].result()
                self._note(number)
                continue
            with self.brush:  # several threads may wait for the same block
                if not self.done[number]:
                    paint_block(self.settings, self.photographs, self.folder / FILE, self.starts[number])
                    self._note(number)

    def _promise(self, number: int) -> Future:
        promised = self.processes.submit(
            paint_block, self.settings, self.photographs, self.folder / FILE, self.starts[number]
        )
        promised.add_done_callback(lambda made: None if made.cancelled() or made.exception() else self._note(number))
        return promised

    def _note(self, number: int) -> None:
        self.done[number] = 1
        self.done.flush()


def paint_block(settings: Settings, photographs: Path | None, file: Path, start: int) -> None:
    """Paint the rows from `start` up to the next block into the file, and see that they are on disk."""
    images = np.load(file, mmap_mode="r+", allow_pickle=False)
    for row in range(start, min(start + BLOCK, settings.total_count)):
        if settings.is_photograph(row):
            rng = np.random.default_rng([settings.seed, row])
            images[row] = crop_of(_photographs(photographs), row, settings.picture_size, rng)
        else:
            scene, style, _ = subject(settings, row)
            images[row] = np.asarray(render(scene, style, settings.picture_size).convert("RGB"))
    images.flush()


@lru_cache(maxsize=1)  # the 45 photographs hold some 100 MB
def _photographs(folder: Path) -> list[Photograph]:
    return read_photographs(folder)


def _new(path: Path, shape: tuple[int, ...]) -> None:
    partial = path.with_name(f"partial-{path.name}")
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
    partial.replace(path)
