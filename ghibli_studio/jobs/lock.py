"""One computation at a time: the lock of a workspace, waited for by turns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from filelock import FileLock, Timeout

from ghibli_studio.jobs.status import POLL_SECONDS, current
from ghibli_studio.runtime.compute_thread import in_one_thread
from ghibli_studio.workspace.files import explain_os_error, make_folder
from ghibli_studio.workspace.project import Workspace
from ghibli_studio.workspace.run import Run


@dataclass(frozen=True)
class Waiting:
    """Somebody else computes."""

    run: Run | None
    """The run that is at work; None where pictures are being drawn."""


def in_turn(workspace: Workspace, work: Iterator[Any]) -> Iterator[Any]:
    """The events of `work` while holding the right to compute; before that, a `Waiting` now and then.

    The right is a file lock, which the system frees however this process ends.
    """
    make_folder(workspace.root)
    lock = FileLock(workspace.accelerator_lock, thread_local=False)  # several threads may drive this in turn
    try:
        while not _taken(lock):
            yield Waiting(current(workspace))
            time.sleep(POLL_SECONDS)
    except OSError as error:
        raise explain_os_error(error, workspace.accelerator_lock) from error
    try:
        yield from in_one_thread(work)
    finally:
        lock.release()


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True
