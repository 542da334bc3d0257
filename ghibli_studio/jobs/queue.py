"""The queue of training runs: submit, start, cancel. Runs are child processes that train one after the other.

There is no scheduler, and all state is in files. A run's process waits until it is the oldest in the queue, then takes
the workspace's lock, which the operating system frees however the process ends. What the process does is in `worker`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from adapters.settings import StudioError
from ghibli_studio.config.training import RunConfig
from ghibli_studio.jobs.status import Status, living_job, status, write_job
from ghibli_studio.jobs.worker import perform_run
from ghibli_studio.runtime import environment
from ghibli_studio.workspace.files import explain_os_error, write_json
from ghibli_studio.workspace.project import Project
from ghibli_studio.workspace.run import Run

# keep freed memory: returning it and allocating it again in every step takes a tenth of a step on a CPU
CHILD_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
CANCEL_SECONDS = 1.0  # for a clean stop, before a cancelled process is killed


def submit(project: Project, config: RunConfig, *, begin: bool = True) -> Run:
    """Create a run and queue it; raise StudioError for every mistake that shows before a model is loaded.

    Without `begin`, the run waits for torchrun to be started by hand, on several machines.
    """
    from ghibli_studio.training.runs import check

    run = project.new_run(config)
    try:
        check(run)
    except StudioError as error:
        write_json(run.done_file, {"state": "failed", "message": str(error)})
        raise
    if begin:
        start(run)
    return run


def start(run: Run) -> None:
    """Start the run's process, or resume the run after its last finished epoch; StudioError if it is active."""
    if status(run).active:
        raise StudioError(f"run {run.id} is queued or running already; cancel it before you start it again")
    run.cancel_file.unlink(missing_ok=True)
    run.done_file.unlink(missing_ok=True)
    run.job_file.unlink(missing_ok=True)  # the child waits for the new one
    if environment.on_zero_gpu():
        write_job(run, os.getpid())  # before the thread starts, which waits for it
        start_in_thread(run, perform_run)
        return
    try:
        with run.log_file.open("ab") as log:
            process = subprocess.Popen(
                [*interpreter_command(run), "-m", "ghibli_studio.jobs.worker", str(run.folder.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env={**CHILD_ENVIRONMENT, **os.environ},
                start_new_session=True,  # outlives the page's server and its terminal
            )
    except OSError as error:
        raise explain_os_error(error, run.log_file) from error
    write_job(run, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # else it stays a zombie while this process lives


def cancel(run: Run) -> Status:
    """Stop a run within two seconds; its best epoch so far stays usable."""
    if not status(run).active:
        return status(run)
    run.cancel_file.touch()
    deadline = time.monotonic() + CANCEL_SECONDS
    while status(run).active and time.monotonic() < deadline:
        time.sleep(0.05)
    job = living_job(run)
    if job is not None and job["pid"] == os.getpid():  # a thread of this process, which stops at its next event
        return status(run)
    if job is not None:
        process = psutil.Process(job["pid"])
        process.kill()
        process.wait(1)
    if not run.done_file.exists():
        write_json(run.done_file, {"state": "cancelled"})
    return status(run)


def interpreter_command(run: Run) -> list[str]:
    """Return Python, or torchrun for several processes; the process itself reports a damaged configuration."""
    try:
        count = run.config().training.num_processes
    except StudioError:
        count = 1
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return [sys.executable, *(torchrun if count > 1 else [])]


def start_in_thread(run: Run, perform: Callable[[Run], Any]) -> None:
    """Train in a thread of this process, the only one with a GPU; the run ends with it and can be resumed."""
    threading.Thread(target=perform, args=(run,), daemon=True, name=run.id).start()
