"""One thread for all that computes in a process, whichever threads ask for it.

PyTorch remembers by thread whether gradients are wanted, a team of helpers, and memory to use again. A page drives a
generator by a different thread at every step: there `no_grad` would end at the first step and every later one would
keep all that a gradient needs, and each of a server's threads would get helpers and memory of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

NAME = "computing"
END = object()

_thread = ThreadPoolExecutor(1, thread_name_prefix=NAME)


def in_one_thread(work: Iterator[Any]) -> Iterator[Any]:
    """The items of `work`, each made in the thread that computes; there it is closed too when nobody wants more."""
    try:
        while (item := _there(next, work, END)) is not END:
            yield item
    finally:
        if hasattr(work, "close"):
            _there(work.close)


def _there(act: Callable[..., Any], *arguments: Any) -> Any:
    # a generator that was dropped may be collected, and so closed, in the middle of another's step
    if threading.current_thread().name.startswith(NAME):
        return act(*arguments)
    return _thread.submit(act, *arguments).result()
