"""The state of a run, from its files and its process, and its place in the queue."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psutil

from ghibli_studio.workspace.files import read_json, write_json
from ghibli_studio.workspace.project import Workspace, project_of
from ghibli_studio.workspace.run import Run

State = Literal["queued", "running", "done", "cancelled", "failed", "interrupted"]
ENDED = ("done", "cancelled", "failed")
POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Status:
    """The state of a run at one moment."""

    state: State
    message: str = ""
    ahead: int = 0
    """Runs before this one in the queue."""
    events: tuple[dict[str, Any], ...] = ()

    @property
    def active(self) -> bool:
        """Whether a process is queued or running."""
        return self.state in ("queued", "running")

    @property
    def fraction(self) -> float:
        """Fraction of the work done, 0..1."""
        return next((e["fraction"] for e in reversed(self.events) if "fraction" in e), 0.0)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left; None until there is an estimate."""
        return next((e["seconds_left"] for e in reversed(self.events) if "seconds_left" in e), None)


def status(run: Run) -> Status:
    """Return the state and the events of a run."""
    events = tuple(run.progress())
    if run.done_file.exists():
        done = read_json(run.done_file)
        return Status(done["state"], done.get("message", ""), 0, events)
    job = living_job(run)
    if job is None:
        started = run.job_file.exists()
        message = "its process ended unexpectedly (killed, or the machine restarted); resume it, or see log.txt"
        return Status("interrupted", message if started else "", 0, events)
    if job["started"]:
        return Status("running", "", 0, events)
    return Status("queued", "", runs_ahead(run, job["submitted"]), events)


def watch(run: Run, poll_seconds: float = POLL_SECONDS) -> Iterator[Status]:
    """Yield the run's status at every change until it has ended."""
    last = None
    while True:
        now = status(run)
        if (key := (now.state, now.ahead, len(now.events))) != last:
            last = key
            yield now
        if not now.active:
            return
        time.sleep(poll_seconds)


def current(workspace: Workspace) -> Run | None:
    """Return the run that is training now, or None."""
    return next((run for run in workspace.runs() if (job := living_job(run)) and job["started"]), None)


def write_job(run: Run, pid: int, started: float | None = None) -> None:
    """Write `job.json`: the process, and when the run was submitted and started."""
    submitted = read_json(run.job_file)["submitted"] if started else time.time()
    created = psutil.Process(pid).create_time()
    write_json(run.job_file, {"pid": pid, "created": created, "submitted": submitted, "started": started})


def living_job(run: Run) -> dict[str, Any] | None:
    """Return the content of `job.json` if its process is alive; a later process with the same pid does not count."""
    if not run.job_file.exists() or run.done_file.exists():
        return None
    job = read_json(run.job_file)
    try:
        process = psutil.Process(job["pid"])
        alive = process.create_time() == job["created"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return job if alive else None


def runs_ahead(run: Run, submitted: float) -> int:
    """Return the number of active runs of the workspace that were submitted earlier."""
    others = (other for other in project_of(run).workspace.runs() if other.folder != run.folder)
    jobs = (job for other in others if (job := living_job(other)))
    return sum((job["submitted"], job["pid"]) < (submitted, os.getpid()) for job in jobs)
