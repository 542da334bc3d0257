"""Shared parts of the training loops: learning-rate schedule, running average, batches, progress. No model in here."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


Model = TypeVar("Model", bound="nn.Module")
BATCHES_AHEAD = 6
READERS = 3


def learning_rate(done: float, peak: float, warm: float = 0.04, floor: float = 0.03) -> float:
    """Return the rate: linear to `peak` while `done` (0 to 1) is below `warm`, then a half cosine to floor * peak."""
    done = min(max(done, 0.0), 1.0)
    if done < warm:
        return peak * done / warm
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def update_average(average: Sequence[Tensor], trained: Sequence[Tensor], step: int, most: float) -> None:
    """Move the running average toward the trained tensors, faster at first; the decay is at most `most`."""
    import torch

    decay = min(most, (step + 1) / (step + 10))
    with torch.no_grad():
        torch._foreach_lerp_(list(average), [tensor.detach() for tensor in trained], 1 - decay)


def mixed_precision(device: str) -> torch.autocast:
    """Return a context that computes in bfloat16 on CUDA, and in float32 on a CPU, where bfloat16 is slow."""
    import torch

    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def move(model: Model, device: str, memory_format: torch.memory_format | None = None) -> Model:
    """Move the model to the device, and its weights to the memory format if given, and return it."""
    import torch

    torch.nn.Module.to(model, device)
    if memory_format is not None:
        torch.nn.Module.to(model, memory_format=memory_format)
    return model


def as_signed(images: torch.Tensor) -> torch.Tensor:
    """Return (batch, height, width, 3) bytes as (batch, 3, height, width) values from -1 to 1."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_model_input(device: str, images: np.ndarray) -> torch.Tensor:
    """Return (batch, height, width, 3) bytes as (batch, 3, height, width) values from -1 to 1 on the device."""
    import torch

    # a copy, because torch requires writable memory, and the memory-mapped file is read-only
    return as_signed(torch.from_numpy(np.array(images)).to(device))


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Return (batch, 3, height, width) values from -1 to 1 as (batch, height, width, 3) bytes."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def image_batches(
    images: np.ndarray, rows: Callable[[int], np.ndarray], *, batch: int, first: int, seed: int, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield random batches without end: row numbers (batch,) and images (batch, 3, height, width) from -1 to 1.

    `rows` returns the rows that the batch of a number may contain, and may wait until they are finished; `first` is the
    number of the first batch. Threads read in advance, because a batch is scattered over the whole file. Each batch has
    its own seed, so the result does not depend on which thread is faster.
    """
    import torch

    def read(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        allowed = rows(number)
        rng = np.random.default_rng([seed, number])
        chosen = np.sort(rng.choice(allowed, batch, replace=len(allowed) < batch))
        selected = torch.from_numpy(images[chosen])
        return torch.from_numpy(chosen), selected.pin_memory() if device == "cuda" else selected

    with ThreadPoolExecutor(READERS) as readers:
        pending = deque(readers.submit(read, first + ahead) for ahead in range(BATCHES_AHEAD))
        try:
            for number in itertools.count(first + BATCHES_AHEAD):
                chosen, selected = pending.popleft().result()
                pending.append(readers.submit(read, number))
                yield chosen, as_signed(selected.to(device, non_blocking=True))
        finally:
            for future in pending:
                future.cancel()


class Progress:
    """Prints the progress of a stage at intervals: steps, values, and the time left."""

    def __init__(self, stage: str, total: int, lines: int = 20, first: int = 0) -> None:
        self.stage, self.total, self.every, self.first = stage, total, max(1, total // lines), first
        self.began = time.monotonic()

    def due(self, step: int) -> bool:
        """Return whether to print a line after this step (0 is the first); check before reading values from a GPU."""
        return (step + 1) % self.every == 0 or step in (self.first, self.total - 1)

    def say(self, step: int, **figures: float) -> None:
        """Print the line of a finished step; the time left is for all steps, but a time limit may end it earlier."""
        finished = step + 1 - self.first
        left = (time.monotonic() - self.began) / finished * (self.total - step - 1)
        texts = "".join(f", {name} {value:.4f}" for name, value in figures.items())
        print(f"{self.stage}: {step + 1:,} of {self.total:,}{texts}, {duration(left)} left", flush=True)


def duration(seconds: float) -> str:
    """Return a duration as '42 s', '7 min' or '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
