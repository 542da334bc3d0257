"""Tensors that are computed once and kept on disk in shards, a tensor a thing; read back without being read in.

A shard is a safetensors file. Its tensors are mapped from the file, so that a large data set takes no memory until a
step needs a picture of it, and what was finished before a kill is not computed again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ghibli_studio.runtime.distributed import place
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor


SHARD = 512
POLL_SECONDS = 0.2
Thing = TypeVar("Thing")


def cached(
    project: Project,
    name: str,
    things: Sequence[Thing],
    compute: Callable[[Sequence[Thing]], Tensor],
    what: str,
    batch_size: int = 4,
) -> Iterator[Progress | list[Tensor]]:
    """`compute` of all things, (things, ...), as one tensor each; the last event is the result.

    `name` has to tell all that the values depend on. Files that were cut short are made again. Processes that train
    together each make some of the shards, and wait for the others'.
    """
    shards = range(0, len(things), SHARD)
    paths = [project.cache_file(f"{name}-{number:05d}.safetensors") for number in range(len(shards))]
    here = place()
    for number, (start, path) in enumerate(zip(shards, paths)):
        some = things[start : start + SHARD]
        if number % here.count == here.number and _read(path, len(some)) is None:
            yield from _write(path, some, compute, batch_size, Progress(start, len(things), what))
    found: list[Tensor] = []
    for start, path in zip(shards, paths):
        while (some := _read(path, len(things[start : start + SHARD]))) is None:
            yield Progress(len(found), len(things), f"{what} (other processes)")
            time.sleep(POLL_SECONDS)
        found += some
    yield found


def _read(path: Path, count: int) -> list[Tensor] | None:
    """What a shard holds, mapped from its file; None where it is not there, or not whole."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        kept = load_file(path)
        return [kept[str(index)] for index in range(count)]
    except (FileNotFoundError, SafetensorError, KeyError):  # cut short by something other than this program
        return None


def _write(
    path: Path, things: Sequence[Thing], compute: Callable[[Sequence[Thing]], Tensor], batch_size: int, told: Progress
) -> Iterator[Progress]:
    from safetensors.torch import save

    made: dict[str, Tensor] = {}
    for first in range(0, len(things), batch_size):
        for value in compute(things[first : first + batch_size]):
            made[str(len(made))] = value.contiguous()
        yield Progress(told.done + len(made), told.total, told.what)
    write_atomic(path, save(made))
