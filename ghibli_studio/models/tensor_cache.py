"""Tensors that are computed once and cached on disk in shards, one tensor per item, and memory-mapped when read.

A shard is a safetensors file. Because it is mapped, a large dataset takes no memory until a step needs one of its
images, and shards that were finished before a kill are not computed again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ghibli_studio.runtime.distributed import process_rank
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor


SHARD = 512
"""Tensors per file."""
POLL_SECONDS = 0.2
Item = TypeVar("Item")


def cache_tensors(
    project: Project,
    name: str,
    items: Sequence[Item],
    compute: Callable[[Sequence[Item]], Tensor],
    what: str,
    batch_size: int = 4,
) -> Iterator[Progress | list[Tensor]]:
    """Yield progress, then `compute` of all items, one tensor each; `compute` returns (items, ...).

    `name` has to identify everything that the values depend on. Truncated files are computed again. Processes that
    train together each compute some of the shards and wait for the others.
    """
    starts = range(0, len(items), SHARD)
    paths = [project.cache_file(f"{name}-{number:05d}.safetensors") for number in range(len(starts))]
    rank, world_size = process_rank()
    for number, (start, path) in enumerate(zip(starts, paths)):
        shard = items[start : start + SHARD]
        if number % world_size == rank and _read(path, len(shard)) is None:
            yield from _write(path, shard, compute, batch_size, Progress(start, len(items), what))
    result: list[Tensor] = []
    for start, path in zip(starts, paths):
        while (tensors := _read(path, len(items[start : start + SHARD]))) is None:
            yield Progress(len(result), len(items), f"{what} (other processes)")
            time.sleep(POLL_SECONDS)
        result += tensors
    yield result


def _read(path: Path, count: int) -> list[Tensor] | None:
    """Return the tensors of a shard, mapped from its file; None if it is missing or incomplete."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        return [tensors[str(index)] for index in range(count)]
    except (FileNotFoundError, SafetensorError, KeyError):  # truncated by something other than this program
        return None


def _write(
    path: Path, items: Sequence[Item], compute: Callable[[Sequence[Item]], Tensor], batch_size: int, start: Progress
) -> Iterator[Progress]:
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for first in range(0, len(items), batch_size):
        for value in compute(items[first : first + batch_size]):
            tensors[str(len(tensors))] = value.contiguous()
        yield Progress(start.done + len(tensors), start.total, start.what)
    write_atomic(path, save(tensors))
