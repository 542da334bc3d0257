"""When the replica is written: before an answer is acknowledged, never after.

An answer is first stored on the local disk, together with a note that the replica lacks it, in one transaction. Then
all pending answers go out in one call, so that participants who answer during the call share the next one. If the call
fails, the answer stays on the local disk but is not acknowledged until it has gone out, which every later request
tries again. If the program is killed at any moment, either the note or the replicated answer remains.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from study import StudyError
from study.database.backup import without_participants
from study.database.transactions import connected, reading, writing
from study.replica import journal, layout
from study.replica.backend import VARIABLES, BackendUnreachable, ReplicaBackend, ReplicaConflict, configured_backends
from study.replica.restore import RestoreSummary, restore

if TYPE_CHECKING:
    from sqlite_utils import Database


RETRY_SECONDS = 3.0
"""Seconds without a new attempt after a backend was unreachable, so that waiting participants get an answer."""
QUEUE_TIMEOUT = 60.0
"""Seconds to wait while the answers of other participants go out."""
ATTEMPTS = 3
WITHDRAWN_NOTE = b"withdrawn\n"


class ReplicaError(StudyError):
    """An answer was not replicated, so it is not acknowledged; trying again is safe."""


class Replica:
    """The replica of one study in all backends."""

    def __init__(self, file: Path, backends: Sequence[ReplicaBackend], clock: Callable[[], int]):
        self.file, self.backends, self._clock = file, backends, clock
        self._thread_lock = Lock()
        self._folder: str | None = None
        """The study's folder in the backends once they were read; None before, and after a conflict."""
        self._stored: list[dict[str, bytes]] = []
        """By backend: file -> its contents."""
        self._retry_at = 0.0

    def mark_pending(self, db: Database, token: str) -> None:
        """Note in the transaction of a participant's action that the replica lacks it."""
        if self.backends:
            journal.mark_pending(db, token)

    def flush(self, token: str) -> None:
        """Return when every backend has all actions of a participant; raise ReplicaError if that is not possible."""
        if not self.backends or self._is_flushed(token):
            return
        with self._exclusive():
            if not self._is_flushed(token):  # another participant's flush may have included it
                self._send()

    def sync(self) -> RestoreSummary:
        """Bring database and backends to the same state; raise ReplicaError if a backend is unreachable."""
        if not self.backends:
            return RestoreSummary()
        with self._exclusive():
            self._folder = None
            return self._send()

    def delete_participant(self, participant: str) -> None:
        """Delete a participant from every backend permanently; raise ReplicaError if that is not possible."""
        folder = replica_name(self.file)
        if folder is None or not self.backends:
            return
        journal_file = layout.journal_file(folder, participant)
        with self._exclusive(), self._reachable("nothing was deleted yet"):
            for backend in self.backends:
                for _ in range(ATTEMPTS):
                    with suppress(ReplicaConflict):
                        backend.delete([journal_file], {layout.withdrawal_file(folder, participant): WITHDRAWN_NOTE})
                        break
                else:
                    raise BackendUnreachable(f"another program is writing to {backend.label}; try again later")
            for stored in self._stored:
                stored.pop(journal_file, None)

    def _is_flushed(self, token: str) -> bool:
        with reading(self.file) as db:
            folder = layout.study_folder(db, "live")
            return folder is None or (folder == self._folder and not journal.is_pending(db, token))

    def _live_folder(self) -> str | None:
        with reading(self.file) as db:
            return layout.study_folder(db, "live")

    def _send(self) -> RestoreSummary:
        """Write everything that is pending, in one call per backend."""
        folder, summary = self._live_folder(), RestoreSummary()
        if folder is None:
            return summary
        with self._reachable("your answer is saved, but it does not count until it has been copied"):
            for _ in range(ATTEMPTS):
                try:
                    if folder != self._folder:
                        summary = self._merge(folder)
                    with reading(self.file) as db:
                        newest, journals = journal.pending(db)
                    files = {layout.journal_file(folder, person): data for person, data in journals.items()}
                    for backend, stored in zip(self.backends, self._stored):
                        if files:
                            backend.write(files, stored)
                            stored.update(files)
                    with writing(self.file) as db:
                        journal.mark_written(db, newest)
                    return summary
                except ReplicaConflict:
                    self._folder = None
            raise BackendUnreachable("another program keeps writing to the replica; serve a study from one server only")

    def _merge(self, folder: str) -> RestoreSummary:
        """Restore what the backends have, and mark what they lack as pending."""
        found = [layout.read_contents(backend, folder) for backend in self.backends]
        longest: dict[str, bytes] = {}
        for contents in found:
            for person, data in contents.journals.items():
                if person not in longest or len(journal.answered_trials(data)) > len(
                    journal.answered_trials(longest[person])
                ):
                    longest[person] = data
        withdrawn = {person for contents in found for person in contents.withdrawn}
        with writing(self.file) as db:
            summary = restore(db, longest, withdrawn, self._clock())
            lacking = [
                person
                for person, data in journal.live_journals(db).items()
                if any(contents.journals.get(person) != data for contents in found)
            ]
            journal.mark_all_pending(db, lacking)
        for backend, contents in zip(self.backends, found):
            if not contents.has_base:
                backend.write({layout.base_file(folder): without_participants(self.file)})
            if stray := [layout.journal_file(folder, person) for person in contents.journals if person in withdrawn]:
                backend.delete(stray, {layout.withdrawal_file(folder, person): WITHDRAWN_NOTE for person in withdrawn})
        self._stored = [
            {layout.journal_file(folder, person): data for person, data in contents.journals.items()}
            for contents in found
        ]
        self._folder = folder
        return summary

    @contextmanager
    def _reachable(self, meanwhile: str) -> Iterator[None]:
        """Convert the errors of a backend to a sentence for the participant who waits."""
        sentence = f"the copy of your data cannot be written at the moment; {meanwhile}, so try again in a minute"
        if time.monotonic() < self._retry_at:
            raise ReplicaError(sentence)
        try:
            yield
        except BackendUnreachable as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            print(f"replica: {error}", flush=True)  # for the operator; a participant cannot fix it
            raise ReplicaError(sentence) from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Wait for the other writers to the replica, in this process and in others on the same folder."""
        if not self._thread_lock.acquire(timeout=QUEUE_TIMEOUT):
            raise ReplicaError("many answers are waiting to be copied; yours is saved, so try again in a minute")
        try:
            with FileLock(self.file.with_name(".replica.lock"), timeout=QUEUE_TIMEOUT, thread_local=False):
                yield
        except Timeout as error:
            raise ReplicaError("another program is copying the answers of this study; try again in a minute") from error
        finally:
            self._thread_lock.release()


_replicas: dict[tuple[Path, tuple[str, ...]], Replica] = {}
_replicas_lock = Lock()


def replica_of(file: Path, clock: Callable[[], int]) -> Replica:
    """Return the replica of a study in the backends that the environment names, which may be none."""
    configuration = tuple(os.environ.get(name, "").strip() for name in VARIABLES)
    with _replicas_lock:
        key = (file.absolute(), configuration)
        if key not in _replicas:
            _replicas[key] = Replica(file, configured_backends(), clock)
        return _replicas[key]


def replica_name(file: Path) -> str | None:
    """Return the name of a study in every backend; None before the lock."""
    with reading(file) as db:
        return layout.study_folder(db)


def push(file: Path, backend: ReplicaBackend) -> str:
    """Write a locked study without participants to a backend, for a server to fetch it; return its name there.

    The key stays on this machine. Raises StudyError for a study that is not live.
    """
    with reading(file) as db:
        folder = layout.study_folder(db, "live")
    if folder is None:
        raise StudyError("only a study that is locked and not closed can be served elsewhere; lock it first")
    backend.write({layout.base_file(folder): without_participants(file)})
    return folder


def fetch_study(file: Path, backend: ReplicaBackend, name: str | None = None) -> str:
    """Write a pushed study to a path without a study, all or nothing; return its name.

    Raises StudyError if the backend has none, or several and no name is given.
    """
    available = layout.study_names(backend)
    if name is None and len(available) > 1:
        raise StudyError(f"{backend.label} has the studies {', '.join(available)}; name one")
    if not available or (name is not None and name not in available):
        raise StudyError(
            f"{backend.label} has no study{f' {name}' if name else ''}; put one there with: python -m study push FOLDER"
        )
    chosen = name or available[0]
    data = backend.read(layout.base_file(chosen))[layout.base_file(chosen)]
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".new-{file.name}")
    temporary.write_bytes(data)
    with connected(temporary) as db:
        if layout.study_folder(db) != chosen:
            raise StudyError(f"the file named {chosen} contains another study; push the study again")
    temporary.replace(file)
    return chosen


def pull(file: Path, backend: ReplicaBackend, clock: Callable[[], int]) -> RestoreSummary:
    """Add to a study what a backend has of it; raise StudyError if the backend does not have this study."""
    folder = replica_name(file)
    available = layout.study_names(backend)
    if folder is None or folder not in available:
        raise StudyError(
            f"{backend.label} does not have the study in {file.parent}; it has {', '.join(available) or 'none'}"
        )
    contents = layout.read_contents(backend, folder)
    with writing(file) as db:
        return restore(db, contents.journals, contents.withdrawn, clock())
