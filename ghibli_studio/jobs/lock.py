"""The lock of a workspace: training and generating share one GPU, so only one of them computes at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from filelock import FileLock, Timeout

from ghibli_studio.jobs.status import POLL_SECONDS, current
from ghibli_studio.runtime.torch_thread import run_in_torch_thread
from ghibli_studio.workspace.files import explain_os_error, make_folder
from ghibli_studio.workspace.project import Workspace
from ghibli_studio.workspace.run import Run


@dataclass(frozen=True)
class Queued:
    """Another process or thread holds the lock."""

    run: Run | None
    """The run that trains; None if images are being generated."""


def gpu_lock(workspace: Workspace, work: Iterator[Any]) -> Iterator[Any]:
    """Yield the events of `work` while holding the lock; before that, yield `Queued` at every poll.

    It is a file lock, which the operating system frees however this process ends.
    """
    make_folder(workspace.root)
    lock = FileLock(workspace.accelerator_lock, thread_local=False)  # several threads may drive this generator
    try:
        while not _try_acquire(lock):
            yield Queued(current(workspace))
            time.sleep(POLL_SECONDS)
    except OSError as error:
        raise explain_os_error(error, workspace.accelerator_lock) from error
    try:
        yield from run_in_torch_thread(work)
    finally:
        lock.release()


def _try_acquire(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True
