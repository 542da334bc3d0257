"""A rehearsal: artificial people walk a copy of a study on a server of its own, and their answers are analyzed.

The study itself gets no answer by this. How they walk is `simulate`, what they like `preferences`.
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

from study import StudyError
from study.analysis.preregistered import analysis_sha256
from study.analysis.result import Result, result
from study.design.definition import Definition
from study.design.spec import Picture
from study.simulation.participant import Simulated, check, simulate
from study.simulation.preferences import Preferences
from study.store import Store, create

ROOT = Path(__file__).parents[2]
LAST_WORDS = 10.0
"""Seconds that a server has to end."""


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal showed."""

    simulated: Simulated
    result: Result


def rehearse(
    store: Store, people: int, preferences: Preferences, seed: int = 0, concurrency: int = 50, pause: float = 0.0
) -> Rehearsed:
    """Copy the study for so many people, let them all take part, close the copy, analyze it and throw it away.

    StudyError if the study is live: its key stays shut until the closing.
    """
    check(people, concurrency, pause)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        stage, origins = copy(store, Path(folder) / "study", people)
        with Server(stage.folder) as server:
            walked = simulate(server.address, people, preferences, origins, seed, concurrency, pause)
        stage.close()
        return Rehearsed(walked, result(stage))


def copy(store: Store, folder: Path, people: int) -> tuple[Store, Mapping[str, Picture]]:
    """A locked study of the same pictures for another number of people, and what is behind each sha256 of its bytes.

    The copy is made of blind copies, which are their own blind copies.
    """
    if store.status().state == "live":
        raise StudyError(
            "the study is live, and nothing opens its key before the closing; simulate on a draft that "
            "was created from the same pictures"
        )
    pictures = store.pictures("rehearsal")
    definition = Definition.checked(store.definition().model_dump() | {"participants": people})
    stage = create(folder, definition, pictures)
    stage.lock(analysis_sha256())
    return stage, {hashlib.sha256(picture.data).hexdigest(): picture for picture in pictures}


class Server:
    """`python -m study serve` as a process of its own, for simulated people; a context ends it."""

    def __init__(self, folder: Path, port: int = 0):
        self.folder, self.port = folder, port
        self.address = ""
        """Of the consent; known when it has begun."""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Begin to serve, and wait until it does; at the same port if it served before."""
        command = [
            sys.executable,
            "-m",
            "study",
            "serve",
            str(self.folder),
            "--port",
            str(self.port),
            "--mode",
            "simulated",
        ]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise StudyError(f"the server did not begin ({self._process.communicate()[1].strip()[-500:]})")
        self.address = line.split()[-1]
        self.port = int(self.address.split(":")[-1].split("/")[0])

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
        self.end()

    def end(self) -> None:
        """End it and wait for that."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.communicate(timeout=LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._process = None
