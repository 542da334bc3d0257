"""The app as a process of its own: begun, killed as by a crash, begun again at the same port, and measured."""

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
    """What the app holds at one moment."""

    seconds: float
    """Since the soak began."""
    life: int
    """How often the app had been begun."""
    memory: float
    """Of the app alone, without the trainings that it started, MiB."""
    files: int
    """Open files and connections."""
    threads: int
    workspace: float
    """MiB on the disk: what people asked for."""
    temporary: float
    """MiB on the disk beside that: Gradio's copies and whatever was not cleared away."""


class Studio:
    """`python app.py` on a port that stays the same through crashes; a context ends it."""

    def __init__(self, folder: Path):
        self.folder, self.workspace, self.temporary = folder, folder / "workspace", folder / "temporary"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.log = folder / "app.log"
        self.lives = 0
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
        """Begin, and wait until the page answers; raises RuntimeError where it does not."""
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        environment |= {"TMPDIR": str(self.temporary), "GRADIO_ANALYTICS_ENABLED": "False"}
        command = [sys.executable, "app.py", "--port", str(self.port), "--workspace", str(self.workspace)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.lives += 1
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.2)
        raise RuntimeError(f"the app did not begin; {self.log} ends with: {self.log.read_text()[-500:]}")

    def kill(self, trainings: bool) -> None:
        """End the app at once, as a crash would; the trainings that it started too, if told."""
        if self._process is None:
            return
        started = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.kill()
        self._process.wait()
        self._process = None
        # a training is a session of its own, so that it outlives the app: those of earlier lives are found by name
        strays = started + [one for one in psutil.process_iter() if trainings and self._is_training(one)]
        for one in strays if trainings else ():
            if one.is_running():
                one.kill()

    def _is_training(self, process: psutil.Process) -> bool:
        try:
            return any(str(self.workspace) in word for word in process.cmdline())
        except psutil.Error:
            return False

    def sample(self, seconds: float) -> Sample | None:
        """What the app holds now; None where it has ended."""
        try:
            process = psutil.Process(self._process.pid if self._process else -1)
            memory, threads = process.memory_full_info().uss, process.num_threads()
            files = process.num_fds()
        except (psutil.Error, ValueError):
            return None
        copies = _bytes(Workspace(self.workspace).served)
        return Sample(
            seconds,
            self.lives,
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
        except OSError:  # it was cleared away while this looked
            continue
    return total
