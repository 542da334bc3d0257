"""Long work on a Space whose GPU is lent for a short while at a time (ZeroGPU): in chunks that go on from one another.

Each chunk is a call that the package `spaces` sends to a process with a GPU. Work that goes on from what is on the disk
asks at every resting point whether to stop, and is called again until there is nothing left. Everywhere else it is one
call, without a process or a bound. What is not done in chunks computes on the processor there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.runtime.environment import zero_gpu as present

SECONDS_VARIABLE = "GHIBLI_GPU_SECONDS"
SECONDS = 60
"""Of a chunk, where the variable says nothing else; a visitor's daily share is a few of these."""
MORE = "there is more to do"
Work = Callable[..., Iterator[Any]]
"""`work(*arguments, enough)`: a module's function, so that another process can be told of it by its name."""

_inside = False
"""True in the process that has the GPU."""


def seconds() -> int:
    """Length of a chunk; StudioError for a setting that is none."""
    text = os.environ.get(SECONDS_VARIABLE, "").strip() or str(SECONDS)
    if not text.isdigit() or not 10 <= int(text) <= 600:
        raise StudioError(f"{SECONDS_VARIABLE} is {text!r}; it must be a whole number of seconds from 10 to 600")
    return int(text)


def without_gpu() -> bool:
    """True where a GPU is only lent, and this is not the process that has it."""
    return present() and not _inside


class Enough:
    """Says at a resting point whether the next stretch would still fit."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic):
        self._limit, self._clock = limit, clock
        self._start = self._last = clock()
        self._longest = 0.0
        self.said = False
        """True once it was enough."""

    def __call__(self) -> bool:
        """True if a stretch as long as the longest so far, and a quarter more, would be too long."""
        now = self._clock()
        self._longest, self._last = max(self._longest, now - self._last), now
        self.said = now - self._start + 1.25 * self._longest > self._limit
        return self.said


def in_chunks(work: Work, *arguments: Any, progress: Callable[[], Any]) -> Iterator[Any]:
    """The events of `work(*arguments, enough)`, chunk after chunk; `progress` tells by its value that one got on.

    StudioError where a chunk ends without having reached a resting point.
    """
    if not present():
        yield from work(*arguments, lambda: False)
        return
    more = True
    while more:
        before, more, why = progress(), False, ""
        try:
            for event in _on_gpu(work, arguments, seconds()):
                if event == MORE:
                    more = True
                else:
                    yield event
        except StudioError:
            raise
        except Exception as error:  # the time was up, or the visitor's share is: whatever the package calls it
            more, why = True, f" ({error})"
        if more and progress() == before:
            raise StudioError(
                f"nothing was finished in the {seconds()} s for which this Space lends its GPU{why}; wait and go on "
                f"later, do less at once, or set {SECONDS_VARIABLE} higher"
            )


def _chunk(work: Work, arguments: tuple[Any, ...], limit: float) -> Iterator[Any]:
    """What happens in the process that has the GPU."""
    global _inside
    _inside = True
    try:
        enough = Enough(limit)
        yield from work(*arguments, enough)
        if enough.said:
            yield MORE
    finally:
        _inside = False


def _duration(work: Work, arguments: tuple[Any, ...], limit: float) -> int:
    """Seconds to ask for: a chunk, and the loading before its first stretch."""
    return int(limit * 1.5)


def _lent(chunk: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Decorated where the package is there; it has to be done before the page is launched."""
    if not present():
        return chunk
    import spaces

    return spaces.GPU(duration=_duration)(chunk)


_on_gpu = _lent(_chunk)
