"""One computation at a time: training runs as child processes that queue up, and can be watched, cancelled, resumed.

There is no scheduler and no state but files. A run's process waits until it is the oldest one waiting, then takes the
workspace's lock, which the system frees however the process ends.
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

# keep freed memory: giving it back and taking it again every step costs a tenth of a step on a CPU
CHILD_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
PATIENCE_SECONDS = 1.0  # for a clean stop, before a cancelled process is ended


def submit(project: Project, config: RunConfig, *, begin: bool = True) -> Run:
    """Create a run and queue it; raises StudioError for what is known to be wrong before a model is loaded.

    Without `begin` it waits for torchrun to be started by hand, on several machines.
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
    """Start the run's process, or start it again after its last finished epoch."""
    if status(run).active:
        raise StudioError(f"run {run.id} is at work already; cancel it first if it shall begin again")
    run.cancel_file.unlink(missing_ok=True)
    run.done_file.unlink(missing_ok=True)
    run.job_file.unlink(missing_ok=True)  # the child waits for the new one
    if environment.zero_gpu():
        write_job(run, os.getpid())
        start_in_thread(run, perform_run)
        return
    try:
        with run.log_file.open("ab") as log:
            process = subprocess.Popen(
                [*interpreter(run), "-m", "ghibli_studio.jobs.worker", str(run.folder.absolute())],
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
    """Stop a run within two seconds; the best epoch so far stays usable."""
    if not status(run).active:
        return status(run)
    run.cancel_file.touch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while status(run).active and time.monotonic() < deadline:
        time.sleep(0.05)
    job = living_job(run)
    if job is not None and job["pid"] == os.getpid():  # a thread of this process; it stops at its next event
        return status(run)
    if job is not None:
        process = psutil.Process(job["pid"])
        process.kill()
        process.wait(1)
    if not run.done_file.exists():
        write_json(run.done_file, {"state": "cancelled"})
    return status(run)


def interpreter(run: Run) -> list[str]:
    """Python, or torchrun's for several processes; a damaged configuration is told by the process itself."""
    try:
        count = run.config().training.num_processes
    except StudioError:
        count = 1
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return [sys.executable, *(several if count > 1 else [])]


def start_in_thread(run: Run, perform: Callable[[Run], Any]) -> None:
    """Do a run in this process, since only this one is lent a GPU; it ends with the process and can be resumed."""
    threading.Thread(target=perform, args=(run,), daemon=True, name=run.id).start()
