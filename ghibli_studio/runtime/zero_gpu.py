"""Long work on a ZeroGPU Space, where a GPU is attached for a short time: in chunks that continue each other.

Each chunk is a call that the package `spaces` sends to a process with a GPU. The work asks between two steps whether to
stop, and is called again until nothing is left; what is finished is on disk. Everywhere else there is one call, with no
process and no time limit. Work that is not chunked runs on the CPU of such a Space.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.runtime.environment import on_zero_gpu

SECONDS_VARIABLE = "GHIBLI_GPU_SECONDS"
DEFAULT_SECONDS = 60
"""Seconds of a chunk by default; a visitor's daily quota is a few of these."""
MORE = "more work is left"
Work = Callable[..., Iterator[Any]]
"""`work(*arguments, time_is_up)`: a function of a module, so that another process can import it by name."""

_inside = False
"""Whether this is the process that has the GPU."""


def chunk_seconds() -> int:
    """Return the length of a chunk, s; raises StudioError where `$GHIBLI_GPU_SECONDS` is out of bounds."""
    text = os.environ.get(SECONDS_VARIABLE, "").strip() or str(DEFAULT_SECONDS)
    if not text.isdigit() or not 10 <= int(text) <= 600:
        raise StudioError(f"{SECONDS_VARIABLE} is {text!r}; it must be a whole number of seconds from 10 to 600")
    return int(text)


def without_gpu() -> bool:
    """Report whether this is a ZeroGPU Space and the process has no GPU now."""
    return on_zero_gpu() and not _inside


class TimeLimit:
    """Tells between two steps of work whether the next step still fits into the time limit."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic):
        self._limit, self._clock = limit, clock
        self._start = self._last = clock()
        self._longest = 0.0
        self.reached = False
        """Whether the last call returned True."""

    def __call__(self) -> bool:
        """Return True if a step as long as the longest so far plus a quarter would exceed the limit."""
        now = self._clock()
        self._longest, self._last = max(self._longest, now - self._last), now
        self.reached = now - self._start + 1.25 * self._longest > self._limit
        return self.reached


def in_chunks(work: Work, *arguments: Any, progress: Callable[[], Any]) -> Iterator[Any]:
    """Yield the events of `work(*arguments, time_is_up)`, chunk after chunk.

    The value of `progress()` changes as work gets done. Raises StudioError where a chunk ends without progress.
    """
    if not on_zero_gpu():
        yield from work(*arguments, lambda: False)
        return
    more = True
    while more:
        before, more, reason = progress(), False, ""
        try:
            for event in _on_gpu(work, arguments, chunk_seconds()):
                if event == MORE:
                    more = True
                else:
                    yield event
        except StudioError:
            raise
        except Exception as error:  # out of time, or out of quota: whatever error the package raises
            more, reason = True, f" ({error})"
        if more and progress() == before:
            raise StudioError(
                f"nothing was finished within the {chunk_seconds()} s of GPU time{reason}; try again later, request "
                f"less at once, or raise {SECONDS_VARIABLE}"
            )


def _chunk(work: Work, arguments: tuple[Any, ...], limit: float) -> Iterator[Any]:
    """Run the work until the time is up, in the process that has the GPU."""
    global _inside
    _inside = True
    try:
        time_is_up = TimeLimit(limit)
        yield from work(*arguments, time_is_up)
        if time_is_up.reached:
            yield MORE
    finally:
        _inside = False


def _duration(work: Work, arguments: tuple[Any, ...], limit: float) -> int:
    """Return the seconds to request: a chunk, and the loading before its first step."""
    return int(limit * 1.5)


def _decorated(chunk: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Return the function decorated for ZeroGPU; this has to happen before the page is launched."""
    if not on_zero_gpu():
        return chunk
    import spaces

    return spaces.GPU(duration=_duration)(chunk)


_on_gpu = _decorated(_chunk)
