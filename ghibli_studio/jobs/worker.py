"""Several processes that train together: how they are started, which one this is, and what all but the first do.

They are PyTorch's own (torchrun's), and agree through accelerate; each computes its share of every step. Process 0
alone keeps what comes of it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.jobs.lock import in_turn
from ghibli_studio.jobs.status import POLL_SECONDS, runs_ahead, write_job
from ghibli_studio.runtime.distributed import place
from ghibli_studio.runtime.zero_gpu import in_chunks
from ghibli_studio.workspace.files import explain_os_error, read_json, write_atomic, write_json
from ghibli_studio.workspace.project import project_of
from ghibli_studio.workspace.run import Run


def assist(run: Run) -> int:
    """Do a share of every step once it is the run's turn, which process 0 waits for; returns the exit code."""
    while not (run.job_file.exists() and read_json(run.job_file)["started"]):
        time.sleep(POLL_SECONDS)
    from ghibli_studio.training.runs import assist  # brings torch, which nobody needs while waiting

    try:
        assist(run)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


RESERVE_BYTES = 16384


def _wait_for_turn(run: Run) -> Iterator[None]:
    """Yield until the run is the oldest one waiting."""
    while not run.job_file.exists():  # whoever started this process is about to write it
        yield time.sleep(POLL_SECONDS)
    submitted = read_json(run.job_file)["submitted"]
    while runs_ahead(run, submitted):
        yield time.sleep(POLL_SECONDS)


def _work(run: Run) -> Iterator[dict[str, Any]]:
    """The run's events, from the moment that it is its turn."""
    write_job(run, os.getpid(), time.time())
    yield from train(run)  # brings torch, which nobody needs while waiting


class _Cancelled(Exception):
    """The cancel file is there."""


def main(folder: str) -> int:
    """The child process: wait for the turn, do the run, write `done.json` last."""
    run = Run(Path(folder))
    if place().number:
        return assist(run)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _raise_cancelled)
    return perform_run(run)


def perform_run(run: Run) -> int:
    """Do a run and write down how it ended; returns the exit code."""
    try:
        if place().count > 1 and not run.job_file.exists():  # torchrun was started by hand
            write_job(run, os.getpid())
        write_atomic(run.reserve_file, os.urandom(RESERVE_BYTES))
        for _ in _wait_for_turn(run):
            _check_cancelled(run)
        for _ in in_turn(project_of(run).workspace, _work(run)):
            _check_cancelled(run)
        _end(run, {"state": "done"})
        return 0
    except _Cancelled:
        if place().count > 1 and not run.cancel_file.exists():  # torchrun ends all where one has ended
            _end(run, {"state": "failed", "message": f"another process of the run ended; why is in {run.log_file}"})
            return 1
        _end(run, {"state": "cancelled"})
        return 130
    except StudioError as error:
        message = str(error)
    except OSError as error:
        message = str(explain_os_error(error, run.folder))
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}; the whole story is in {run.log_file}"
    try:
        _end(run, {"state": "failed", "message": message})
    except StudioError:  # somebody took the reserve's room: the status will be "interrupted", and the log says why
        print(message, file=sys.stderr)
    return 1


def _end(run: Run, result: dict[str, str]) -> None:
    run.reserve_file.unlink(missing_ok=True)
    write_json(run.done_file, result)


def _check_cancelled(run: Run) -> None:
    if run.cancel_file.exists():
        raise _Cancelled


def _raise_cancelled(number: int, frame: Any) -> None:
    raise _Cancelled


def train(run: Run) -> Iterator[dict[str, Any]]:
    """A run's events, as `runs.execute` has them, from checkpoint to checkpoint."""
    return in_chunks(_epochs, run.folder, progress=lambda: max(run.epoch_adapter_files(), default=0))


def _epochs(folder: Path, enough: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    from ghibli_studio.training.runs import execute

    run = Run(folder)
    last = run.config().adapter.num_train_epochs
    for event in execute(run):
        yield event
        if event["event"] == "epoch" and 0 < event["epoch"] < last and enough():
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
