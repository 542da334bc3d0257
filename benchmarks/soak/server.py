"""The app as a process: started, killed like by a crash, started again on the same port, and measured."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from ghibli_studio.workspace.project import Workspace

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 120
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Sample:
    """The resources of the app at one moment."""

    seconds: float
    """Since the start of the soak test."""
    start_number: int
    """How often the app had been started, counted from 1."""
    memory: float
    """Of the app without its training processes, MiB."""
    files: int
    """Open files and connections."""
    threads: int
    workspace: float
    """Disk space of the workspace, MiB."""
    temporary: float
    """Disk space of other files, MiB: Gradio's copies and what was not deleted."""


class Studio:
    """`python app.py` on a port that stays the same after crashes; a context manager that ends it."""

    def __init__(self, folder: Path):
        self.folder, self.workspace, self.temporary = folder, folder / "workspace", folder / "temporary"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.log = folder / "app.log"
        self.starts = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Studio:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(trainings=True)

    def start(self) -> None:
        """Start the app and wait until the page responds; raise RuntimeError if it does not."""
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        environment |= {"TMPDIR": str(self.temporary), "GRADIO_ANALYTICS_ENABLED": "False"}
        command = [sys.executable, "app.py", "--port", str(self.port), "--workspace", str(self.workspace)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.starts += 1
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.2)
        raise RuntimeError(f"the app did not start; {self.log} ends with: {self.log.read_text()[-500:]}")

    def kill(self, trainings: bool) -> None:
        """Kill the app like a crash; with `trainings`, kill its training processes too."""
        if self._process is None:
            return
        started = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.kill()
        self._process.wait()
        self._process = None
        # a training process outlives the app in a session of its own: those of earlier starts are found by name
        leftover = started + [other for other in psutil.process_iter() if trainings and self._is_training(other)]
        for process in leftover if trainings else ():
            if process.is_running():
                process.kill()

    def _is_training(self, process: psutil.Process) -> bool:
        try:
            return any(str(self.workspace) in argument for argument in process.cmdline())
        except psutil.Error:
            return False

    def sample(self, seconds: float) -> Sample | None:
        """Return the resources of the app now; None if it has ended."""
        try:
            process = psutil.Process(self._process.pid if self._process else -1)
            memory, threads = process.memory_full_info().uss, process.num_threads()
            files = process.num_fds()
        except (psutil.Error, ValueError):
            return None
        copies = _bytes(Workspace(self.workspace).served)
        return Sample(
            seconds,
            self.starts,
            memory / MEBIBYTE,
            files,
            threads,
            (_bytes(self.workspace) - copies) / MEBIBYTE,
            (_bytes(self.temporary) + copies) / MEBIBYTE,
        )


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:  # deleted during the loop
            continue
    return total
