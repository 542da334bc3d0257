"""One thread for all PyTorch work of a process, whichever thread asks for it.

PyTorch keeps the gradient mode, a pool of helper threads and a memory cache per thread. A web page resumes a generator
from a different thread at every step: `no_grad` would then end at the first step, every later step would keep all that
a gradient needs, and each server thread would get helpers and a cache of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
THREAD_NAME = "torch"
END = object()

_thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)


def run_in_torch_thread(work: Iterator[T]) -> Iterator[T]:
    """Yield the items of `work`, each computed in the one PyTorch thread; close `work` there when iteration stops."""
    try:
        while (item := _call_in_thread(next, work, END)) is not END:
            yield item
    finally:
        close = getattr(work, "close", None)
        if close is not None:
            _call_in_thread(close)


def _call_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    # a dropped generator may be garbage-collected, and so closed, in the middle of another one's step
    if threading.current_thread().name.startswith(THREAD_NAME):
        return function(*arguments)
    return _thread.submit(function, *arguments).result()
