"""The process of a training run: `python -m ghibli_studio.jobs.worker FOLDER` waits for its turn and trains.

With several processes (torchrun's, connected by accelerate), each computes its share of every step, and process 0
alone waits in the queue and writes the results. Starting and cancelling runs is in `queue`.
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
from ghibli_studio.jobs.lock import gpu_lock
from ghibli_studio.jobs.status import POLL_SECONDS, runs_ahead, write_job
from ghibli_studio.runtime.distributed import process_rank
from ghibli_studio.runtime.zero_gpu import in_chunks
from ghibli_studio.workspace.files import explain_os_error, read_json, write_atomic, write_json
from ghibli_studio.workspace.project import project_of
from ghibli_studio.workspace.run import Run

RESERVE_BYTES = 16384


class _Cancelled(Exception):
    """The run was cancelled."""


def main(folder: str) -> int:
    """Wait for the run's turn, train, and write `done.json` last; return the exit code."""
    run = Run(Path(folder))
    if process_rank().rank:
        return run_worker(run)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _raise_cancelled)
    return perform_run(run)


def run_worker(run: Run) -> int:
    """Do a share of every step once process 0 has started the run; return the exit code."""
    while not (run.job_file.exists() and read_json(run.job_file)["started"]):
        time.sleep(POLL_SECONDS)
    from ghibli_studio.training import runs  # imports torch, which a waiting process does not need

    try:
        runs.run_worker(run)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def perform_run(run: Run) -> int:
    """Wait for the run's turn, train, and write how it ended to `done.json`; return the exit code."""
    try:
        if process_rank().world_size > 1 and not run.job_file.exists():  # torchrun was started by hand
            write_job(run, os.getpid())
        write_atomic(run.reserve_file, os.urandom(RESERVE_BYTES))
        for _ in _wait_in_queue(run):
            _check_cancelled(run)
        for _ in gpu_lock(project_of(run).workspace, _work(run)):
            _check_cancelled(run)
        _write_result(run, {"state": "done"})
        return 0
    except _Cancelled:
        if process_rank().world_size > 1 and not run.cancel_file.exists():  # torchrun ends all if one ends
            _write_result(run, {"state": "failed", "message": f"another process of the run failed; see {run.log_file}"})
            return 1
        _write_result(run, {"state": "cancelled"})
        return 130
    except StudioError as error:
        message = str(error)
    except OSError as error:
        message = str(explain_os_error(error, run.folder))
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}; the full traceback is in {run.log_file}"
    try:
        _write_result(run, {"state": "failed", "message": message})
    except StudioError:  # the reserved space is taken: the status will be "interrupted", and the log has the reason
        print(message, file=sys.stderr)
    return 1


def train(run: Run) -> Iterator[dict[str, Any]]:
    """Yield the run's events, like `runs.execute`, in chunks from checkpoint to checkpoint."""
    return in_chunks(_epochs, run.folder, progress=lambda: max(run.epoch_adapter_files(), default=0))


def _epochs(folder: Path, time_is_up: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    from ghibli_studio.training.runs import execute

    run = Run(folder)
    last = run.config().adapter.num_train_epochs
    for event in execute(run):
        yield event
        if event["event"] == "epoch" and 0 < event["epoch"] < last and time_is_up():
            return


def _wait_in_queue(run: Run) -> Iterator[None]:
    """Yield until the run is the oldest in the queue."""
    while not run.job_file.exists():  # the process that started this one is about to write it
        time.sleep(POLL_SECONDS)
        yield
    submitted = read_json(run.job_file)["submitted"]
    while runs_ahead(run, submitted):
        time.sleep(POLL_SECONDS)
        yield


def _work(run: Run) -> Iterator[dict[str, Any]]:
    """Mark the run as started, and yield its events."""
    write_job(run, os.getpid(), time.time())
    yield from train(run)  # imports torch, which a waiting process does not need


def _write_result(run: Run, result: dict[str, str]) -> None:
    run.reserve_file.unlink(missing_ok=True)
    write_json(run.done_file, result)


def _check_cancelled(run: Run) -> None:
    if run.cancel_file.exists():
        raise _Cancelled


def _raise_cancelled(number: int, frame: Any) -> None:
    raise _Cancelled


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
