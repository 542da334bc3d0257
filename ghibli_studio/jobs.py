"""One computation at a time: training runs as child processes that queue up, and can be watched, cancelled, resumed.

There is no scheduler and no state but files. A run's process waits until it is the oldest one waiting, then takes the
workspace's lock, which the system frees however the process ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout

from ghibli_studio import zero_gpu
from ghibli_studio.computing import in_one_thread
from ghibli_studio.config import RunConfig, StudioError
from ghibli_studio.files import explain_os_error, make_folder, read_json, write_atomic, write_json
from ghibli_studio.processes import assist, interpreter, place
from ghibli_studio.workspace import Project, Run, Workspace

State = Literal["waiting", "running", "done", "cancelled", "failed", "interrupted"]
ENDED = ("done", "cancelled", "failed")
POLL_SECONDS = 0.3
# keep freed memory: giving it back and taking it again every step costs a tenth of a step on a CPU
CHILD_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
RESERVE_BYTES = 16384
PATIENCE_SECONDS = 1.0  # for a clean stop, before a cancelled process is ended


@dataclass(frozen=True)
class Status:
    """What can be said of a run right now."""

    state: State
    message: str = ""
    ahead: int = 0
    """Runs that come before this one in the queue."""
    events: tuple[dict[str, Any], ...] = ()

    @property
    def active(self) -> bool:
        """True while a process waits or works."""
        return self.state in ("waiting", "running")

    @property
    def fraction(self) -> float:
        """Share of the work done, 0..1."""
        return next((e["fraction"] for e in reversed(self.events) if "fraction" in e), 0.0)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left; None before there is anything to judge by."""
        return next((e["seconds_left"] for e in reversed(self.events) if "seconds_left" in e), None)


def submit(project: Project, config: RunConfig, *, begin: bool = True) -> Run:
    """Create a run and queue it; raises StudioError for what is known to be wrong before a model is loaded.

    Without `begin` it waits for torchrun to be started by hand, on several machines.
    """
    from ghibli_studio.runs import check

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
    if zero_gpu.present():
        _write_job(run, os.getpid())
        zero_gpu.start(run, _perform)
        return
    try:
        with run.log_file.open("ab") as log:
            process = subprocess.Popen(
                [*interpreter(run), "-m", "ghibli_studio.jobs", str(run.folder.absolute())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=Path(__file__).parent.parent,
                env={**CHILD_ENVIRONMENT, **os.environ},
                start_new_session=True,  # outlives the page's server and its terminal
            )
    except OSError as error:
        raise explain_os_error(error, run.log_file) from error
    _write_job(run, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # else it stays a zombie while this process lives


def status(run: Run) -> Status:
    """State and events of a run."""
    events = tuple(run.progress())
    if run.done_file.exists():
        done = read_json(run.done_file)
        return Status(done["state"], done.get("message", ""), 0, events)
    job = _living_job(run)
    if job is None:
        started = run.job_file.exists()
        message = "its process ended without a word (a restart, or killed); resume it, or look into log.txt"
        return Status("interrupted", message if started else "", 0, events)
    if job["started"]:
        return Status("running", "", 0, events)
    return Status("waiting", "", _ahead(run, job["submitted"]), events)


def cancel(run: Run) -> Status:
    """Stop a run within two seconds; the best epoch so far stays usable."""
    if not status(run).active:
        return status(run)
    run.cancel_file.touch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while status(run).active and time.monotonic() < deadline:
        time.sleep(0.05)
    job = _living_job(run)
    if job is not None and job["pid"] == os.getpid():  # a thread of this process; it stops at its next event
        return status(run)
    if job is not None:
        process = psutil.Process(job["pid"])
        process.kill()
        process.wait(1)
    if not run.done_file.exists():
        write_json(run.done_file, {"state": "cancelled"})
    return status(run)


def watch(run: Run, poll_seconds: float = POLL_SECONDS) -> Iterator[Status]:
    """The run's status whenever it has news, until it has ended."""
    seen = None
    while True:
        now = status(run)
        if (news := (now.state, now.ahead, len(now.events))) != seen:
            seen = news
            yield now
        if not now.active:
            return
        time.sleep(poll_seconds)


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


def current(workspace: Workspace) -> Run | None:
    """The run that is computing now."""
    return next((run for run in workspace.runs() if (job := _living_job(run)) and job["started"]), None)


def _write_job(run: Run, pid: int, started: float | None = None) -> None:
    submitted = read_json(run.job_file)["submitted"] if started else time.time()
    created = psutil.Process(pid).create_time()
    write_json(run.job_file, {"pid": pid, "created": created, "submitted": submitted, "started": started})


def _living_job(run: Run) -> dict[str, Any] | None:
    """The job's record if its process lives; a process that got the number later is not it."""
    if not run.job_file.exists() or run.done_file.exists():
        return None
    job = read_json(run.job_file)
    try:
        process = psutil.Process(job["pid"])
        alive = process.create_time() == job["created"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return job if alive else None


def _ahead(run: Run, submitted: float) -> int:
    """Living runs of the workspace that were submitted before."""
    others = (other for other in run.project.workspace.runs() if other.folder != run.folder)
    jobs = (job for other in others if (job := _living_job(other)))
    return sum((job["submitted"], job["pid"]) < (submitted, os.getpid()) for job in jobs)


def _wait_for_turn(run: Run) -> Iterator[None]:
    """Yield until the run is the oldest one waiting."""
    while not run.job_file.exists():  # whoever started this process is about to write it
        yield time.sleep(POLL_SECONDS)
    submitted = read_json(run.job_file)["submitted"]
    while _ahead(run, submitted):
        yield time.sleep(POLL_SECONDS)


def _work(run: Run) -> Iterator[dict[str, Any]]:
    """The run's events, from the moment that it is its turn."""
    _write_job(run, os.getpid(), time.time())
    yield from zero_gpu.train(run)  # brings torch, which nobody needs while waiting


class _Cancelled(Exception):
    """The cancel file is there."""


def main(folder: str) -> int:
    """The child process: wait for the turn, do the run, write `done.json` last."""
    run = Run(Path(folder))
    if place().number:
        return assist(run)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _raise_cancelled)
    return _perform(run)


def _perform(run: Run) -> int:
    """Do a run and write down how it ended; returns the exit code."""
    try:
        if place().count > 1 and not run.job_file.exists():  # torchrun was started by hand
            _write_job(run, os.getpid())
        write_atomic(run.reserve_file, os.urandom(RESERVE_BYTES))
        for _ in _wait_for_turn(run):
            _check_cancelled(run)
        for _ in in_turn(run.project.workspace, _work(run)):
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
