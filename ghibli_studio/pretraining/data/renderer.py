"""Rendering in advance: worker processes fill a memory-mapped file while a stage trains on the finished rows.

Finished blocks are recorded, so an interrupted run continues where it stopped. No torch in here: every worker process
imports this file.
"""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from ghibli_studio.miniature.landmarks.painting import render
from ghibli_studio.pretraining.data.photos import Photo, crop_of, read_photos
from ghibli_studio.pretraining.data.scenes import subject
from ghibli_studio.pretraining.settings import Settings

FILE, DONE = "images.npy", "rendered.npy"
BLOCK = 32
"""Images that a worker renders before it reports."""


class Renderer:
    """A folder of images in the making; a context manager that starts and stops the workers."""

    def __init__(self, settings: Settings, photos: Path | None, folder: Path, workers: int = 0) -> None:
        """Set the folder; without workers the images are rendered in this process, by `wait`."""
        self.settings, self.photos, self.folder, self.workers = settings, photos, folder, workers
        self.starts = range(0, settings.total_count, BLOCK)
        self.processes: ProcessPoolExecutor | None = None
        self.futures: dict[int, Future] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> Renderer:
        self.folder.mkdir(parents=True, exist_ok=True)
        size = self.settings.image_size
        if not (self.folder / DONE).exists():  # created last: if it exists, the images' file does too
            _new(self.folder / FILE, (self.settings.total_count, size, size, 3))
            _new(self.folder / DONE, (len(self.starts),))
        self.done = np.load(self.folder / DONE, mmap_mode="r+", allow_pickle=False)
        missing = [number for number in range(len(self.starts)) if not self.done[number]]
        if self.workers and missing:
            # spawned, because forked workers would share the threads that torch has already started
            self.processes = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"))
            self.futures = {number: self._submit(self.processes, number) for number in missing}
        return self

    def __exit__(self, *_: object) -> None:
        if self.processes is not None:
            self.processes.shutdown(wait=True, cancel_futures=True)

    @property
    def images(self) -> np.ndarray:
        """All images, (total, size, size, 3) bytes, memory-mapped and read-only; unfinished rows are black."""
        return np.load(self.folder / FILE, mmap_mode="r", allow_pickle=False)

    def wait(self, rows: int) -> None:
        """Return when all rows below the number are rendered; re-raises a worker's exception."""
        for number in range(-(-min(rows, self.settings.total_count) // BLOCK)):
            if self.done[number]:
                continue
            if number in self.futures:
                self.futures[number].result()
                self._record(number)
                continue
            with self.lock:  # several threads may wait for the same block
                if not self.done[number]:
                    render_block(self.settings, self.photos, self.folder / FILE, self.starts[number])
                    self._record(number)

    def _submit(self, processes: ProcessPoolExecutor, number: int) -> Future:
        future = processes.submit(render_block, self.settings, self.photos, self.folder / FILE, self.starts[number])
        future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else self._record(number))
        return future

    def _record(self, number: int) -> None:
        self.done[number] = 1
        self.done.flush()


def render_block(settings: Settings, photos: Path | None, file: Path, start: int) -> None:
    """Render the rows from `start` to the next block into the file, and flush it to disk."""
    images = np.load(file, mmap_mode="r+", allow_pickle=False)
    for row in range(start, min(start + BLOCK, settings.total_count)):
        if settings.is_photo_crop(row):
            rng = np.random.default_rng([settings.seed, row])
            images[row] = crop_of(_cached_photos(photos), row, settings.image_size, rng)
        else:
            scene, style, _ = subject(settings, row)
            images[row] = np.asarray(render(scene, style, settings.image_size).convert("RGB"))
    images.flush()


@lru_cache(maxsize=1)  # the 45 photos take about 100 MB
def _cached_photos(folder: Path) -> list[Photo]:
    return read_photos(folder)


def _new(path: Path, shape: tuple[int, ...]) -> None:
    partial = path.with_name(f"partial-{path.name}")
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
    partial.replace(path)
