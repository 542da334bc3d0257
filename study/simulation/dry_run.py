"""A dry run: simulated participants take part in a copy of a study on its own server, and their answers are analyzed.

The study itself gets no answers. How participants use the pages is in `participant`, what they choose in `preferences`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from study import StudyError
from study.analysis.preregistered import analysis_sha256
from study.analysis.result import Result, study_result
from study.design.definition import Definition
from study.design.spec import StimulusImage
from study.simulation.participant import SimulationLog, check_bounds, simulate
from study.simulation.preferences import Preferences
from study.store import Store, create

ROOT = Path(__file__).parents[2]
SHUTDOWN_SECONDS = 10.0
"""Seconds that a server gets to stop."""


@dataclass(frozen=True)
class DryRun:
    """The outcome of a dry run."""

    log: SimulationLog
    result: Result


def simulate_on_copy(
    store: Store, participants: int, preferences: Preferences, seed: int = 0, concurrency: int = 50, pause: float = 0.0
) -> DryRun:
    """Copy the study, let simulated participants take part, close the copy, analyze it and delete it.

    StudyError if the study is live: its key stays closed until the study is closed.
    """
    check_bounds(participants, concurrency, pause)
    with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
        copy, images = copy_study(store, Path(folder) / "study", participants)
        with Server(copy.folder) as server:
            log = simulate(server.address, participants, preferences, images, seed, concurrency, pause)
        copy.close()
        return DryRun(log, study_result(copy))


def copy_study(store: Store, folder: Path, participants: int) -> tuple[Store, Mapping[str, StimulusImage]]:
    """Create a locked study of the same images for another number of participants.

    Returns it with the image behind the sha256 of each file. The copy is made of the blind copies, which do not change
    when they are copied again.
    """
    if store.status().state == "live":
        raise StudyError(
            "the study is live, and its key stays closed until the study is closed; simulate on a draft that was "
            "created from the same images"
        )
    images = store.stimulus_images("dry run")
    definition = Definition.checked(store.definition().model_dump() | {"participants": participants})
    copy = create(folder, definition, images)
    copy.lock(analysis_sha256())
    return copy, {hashlib.sha256(cast(bytes, image.data)).hexdigest(): image for image in images}


class Server:
    """`python -m study serve` in its own process, for simulated participants; a context manager stops it."""

    def __init__(self, folder: Path, port: int = 0):
        self.folder, self.port = folder, port
        self.address = ""
        """Address of the consent page; empty before the start."""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start to serve and wait until it does, at the same port as before; StudyError if it does not start."""
        command = [sys.executable, "-m", "study", "serve", str(self.folder)]
        command += ["--port", str(self.port), "--mode", "simulated"]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
        )
        self._process = process
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise StudyError(f"the server did not start ({process.communicate()[1].strip()[-500:]})")
        self.address = line.split()[-1]
        self.port = int(self.address.split(":")[-1].split("/")[0])

    def kill(self) -> None:
        """Stop it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    def stop(self) -> None:
        """Stop it and wait until it has stopped."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.communicate(timeout=SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._process = None
