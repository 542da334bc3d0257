"""What the training loops share: the learning-rate curve, the running average, batches, progress. No model in here."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


BATCHES_AHEAD = 6
READERS = 3


def learning_rate(done: float, peak: float, warm: float = 0.04, floor: float = 0.03) -> float:
    """Rises in a line to `peak` while `done` (0 to 1) is below `warm`, then falls on a half cosine to floor * peak."""
    done = min(max(done, 0.0), 1.0)
    if done < warm:
        return peak * done / warm
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of parameters the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def average_towards(average: list[Tensor], trained: list[Tensor], step: int, most: float) -> None:
    """Move the running average a little towards what is trained, quickly at first; decay is at most `most`."""
    import torch

    decay = min(most, (step + 1) / (step + 10))
    with torch.no_grad():
        torch._foreach_lerp_(average, [tensor.detach() for tensor in trained], 1 - decay)


def mixed_precision(device: str) -> torch.autocast:
    """Bfloat16 where it is quick, which on a CPU it is not."""
    import torch

    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def as_signed(pictures: torch.Tensor) -> torch.Tensor:
    """(batch, height, width, 3) bytes -> (batch, 3, height, width) numbers from -1 to 1."""
    return pictures.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def shown_to(device: str, pictures: np.ndarray) -> torch.Tensor:
    """(batch, height, width, 3) bytes -> (batch, 3, height, width) numbers from -1 to 1 on the device."""
    import torch

    # a copy, since torch wants memory that it may write to, which a memory-mapped file is not
    return as_signed(torch.from_numpy(np.array(pictures)).to(device))


def as_bytes(pictures: torch.Tensor) -> np.ndarray:
    """(batch, 3, height, width) numbers from -1 to 1 -> (batch, height, width, 3) bytes."""
    return ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def picture_batches(
    images: np.ndarray, rows: Callable[[int], np.ndarray], *, batch: int, first: int, seed: int, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield random batches without end: row numbers (batch,) and their pictures (batch, 3, height, width), -1 to 1.

    `rows` gives the rows that a batch of that number may show, and may wait until they are there; `first` is the number
    of the first batch. Threads read ahead, since a batch is scattered over the whole file; each batch has a seed of its
    own, so their order does not depend on which thread is quicker.
    """
    import torch

    def read(number: int) -> tuple[np.ndarray, torch.Tensor]:
        allowed = rows(number)
        rng = np.random.default_rng([seed, number])
        chosen = np.sort(rng.choice(allowed, batch, replace=len(allowed) < batch))
        pictures = torch.from_numpy(images[chosen])
        return torch.from_numpy(chosen), pictures.pin_memory() if device == "cuda" else pictures

    with ThreadPoolExecutor(READERS) as readers:
        waiting = deque(readers.submit(read, first + ahead) for ahead in range(BATCHES_AHEAD))
        try:
            for number in itertools.count(first + BATCHES_AHEAD):
                chosen, pictures = waiting.popleft().result()
                waiting.append(readers.submit(read, number))
                yield chosen, as_signed(pictures.to(device, non_blocking=True))
        finally:
            for promised in waiting:
                promised.cancel()


class Progress:
    """Prints a line now and then: how far a stage is, its figures, and the time left."""

    def __init__(self, stage: str, total: int, lines: int = 20, first: int = 0) -> None:
        self.stage, self.total, self.every, self.first = stage, total, max(1, total // lines), first
        self.began = time.monotonic()

    def due(self, step: int) -> bool:
        """Is there a line to print after this step (0 is the first)? Ask before fetching figures from a GPU."""
        return (step + 1) % self.every == 0 or step in (self.first, self.total - 1)

    def say(self, step: int, **figures: float) -> None:
        """Print the line for a step that has just been made; the time left is of steps, a bound may end it earlier."""
        made = step + 1 - self.first
        left = (time.monotonic() - self.began) / made * (self.total - step - 1)
        shown = "".join(f", {name} {value:.4f}" for name, value in figures.items())
        print(f"{self.stage}: {step + 1:,} of {self.total:,}{shown}, {duration(left)} left", flush=True)


def duration(seconds: float) -> str:
    """'42 s', '7 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
