"""When a second copy is written: before an answer is acknowledged, never after.

An answer is first on the disk here, with a note that the second store lacks it, in one transaction; then everybody's
that is lacking goes out in one call, so that people who answer while it lasts share the next one. Where that fails, the
answer stands here but counts as not given until it has gone out, which every later look at the study tries again. A
program that is killed anywhere in between leaves either the note or the copy.
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
from study.database.backup import blank
from study.database.transactions import opened, reading, writing
from study.replica import journal, layout
from study.replica.backend import VARIABLES, Changed, Place, Unreachable, configured
from study.replica.restore import Restored, restore

if TYPE_CHECKING:
    from sqlite_utils import Database


REST = 3.0
"""Seconds that a place is left alone after it could not be reached, so that a queue of people is not kept waiting."""
TURN = 60.0
"""Seconds to wait for other people's answers to go out."""
ATTEMPTS = 3


class NotKept(StudyError):
    """Something was not put into the second store, so it is not acknowledged; trying again is safe."""


class Second:
    """The second copy of one study."""

    def __init__(self, file: Path, places: Sequence[Place], clock: Callable[[], int]):
        self.file, self.places, self._clock = file, places, clock
        self._threads = Lock()
        self._root: str | None = None
        """The folder in each place that was looked at; None before, and after somebody else has written there."""
        self._known: list[dict[str, bytes]] = []
        """By place: what its files have in them."""
        self._rest_until = 0.0

    def expect(self, db: Database, token: str) -> None:
        """Note in the transaction of what a person did that every place lacks it."""
        if self.places:
            journal.expect(db, token)

    def settle(self, token: str) -> None:
        """Return when all that a person did is in every place; NotKept where that is not possible now."""
        if not self.places or self._done(token):
            return
        with self._turn():
            if not self._done(token):  # somebody else's turn may have taken it along
                self._send()

    def begin(self) -> Restored:
        """Bring the database and the places to the same state; NotKept where a place cannot be reached."""
        if not self.places:
            return Restored()
        with self._turn():
            self._root = None
            return self._send()

    def forget(self, participant: str) -> None:
        """Delete a person in every place for good; NotKept, with nothing deleted here, where that is not possible."""
        root = name(self.file)
        if root is None or not self.places:
            return
        with self._turn(), self._reached("nothing was deleted yet"):
            for place in self.places:
                for _ in range(ATTEMPTS):
                    with suppress(Changed):
                        place.remove(
                            [layout.person(root, participant)], {layout.withdrawn(root, participant): b"withdrawn\n"}
                        )
                        break
                else:
                    raise Unreachable(f"{place.label} is being written to by somebody else; try again later")
            for known in self._known:
                known.pop(layout.person(root, participant), None)

    def _done(self, token: str) -> bool:
        with reading(self.file) as db:
            root = layout.root(db, "live")
            return root is None or (root == self._root and not journal.lacking(db, token))

    def _name(self) -> str | None:
        with reading(self.file) as db:
            return layout.root(db, "live")

    def _send(self) -> Restored:
        """Everything that is lacking, in one call a place."""
        root, done = self._name(), Restored()
        if root is None:
            return done
        with self._reached("what you sent is not lost, but it counts only when the copy is made"):
            for _ in range(ATTEMPTS):
                try:
                    if root != self._root:
                        done = self._meet(root)
                    with reading(self.file) as db:
                        newest, lacking = journal.pending(db)
                    files = {layout.person(root, person): data for person, data in lacking.items()}
                    for place, known in zip(self.places, self._known):
                        if files:
                            place.put(files, known)
                            known.update(files)
                    with writing(self.file) as db:
                        journal.settled(db, newest)
                    return done
                except Changed:
                    self._root = None
            raise Unreachable("somebody else keeps writing to the second store; serve a study from one place only")

    def _meet(self, root: str) -> Restored:
        """Take in what the places have, and note what they lack."""
        found = [layout.look(place, root) for place in self.places]
        merged: dict[str, bytes] = {}
        for one in found:
            for person, data in one.journals.items():
                if person not in merged or len(journal.answered(data)) > len(journal.answered(merged[person])):
                    merged[person] = data
        gone = {person for one in found for person in one.withdrawn}
        with writing(self.file) as db:
            done = restore(db, merged, gone, self._clock())
            own = journal.people(db)
            journal.expect_all(
                db, (person for person, data in own.items() if any(one.journals.get(person) != data for one in found))
            )
        for place, one in zip(self.places, found):
            if not one.base:
                place.put({layout.base(root): blank(self.file)})
            if stray := [layout.person(root, person) for person in one.journals if person in gone]:
                place.remove(stray, {layout.withdrawn(root, person): b"withdrawn\n" for person in gone})
        self._known = [{layout.person(root, person): data for person, data in one.journals.items()} for one in found]
        self._root = root
        return done

    @contextmanager
    def _reached(self, meanwhile: str) -> Iterator[None]:
        """What a place refuses, in words for the person who waits for it."""
        if time.monotonic() < self._rest_until:
            raise NotKept(f"the second copy cannot be written just now; {meanwhile}, so try again in a minute")
        try:
            yield
        except Unreachable as error:
            self._rest_until = time.monotonic() + REST
            print(f"second copy: {error}", flush=True)  # for who runs the server; a participant cannot mend it
            raise NotKept(
                f"the second copy cannot be written just now; {meanwhile}, so try again in a minute"
            ) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One at a time, in this process and among others on the same folder."""
        if not self._threads.acquire(timeout=TURN):
            raise NotKept("many answers wait to be copied; yours is not lost, so try again in a minute")
        try:
            with FileLock(self.file.with_name(".second.lock"), timeout=TURN, thread_local=False):
                yield
        except Timeout as error:
            raise NotKept("another program is copying this study's answers; try again in a minute") from error
        finally:
            self._threads.release()


_seconds: dict[tuple[Path, str, str, str], Second] = {}
_making = Lock()


def of(file: Path, clock: Callable[[], int]) -> Second:
    """The second copy of a study in the places that the environment names, which may be none."""
    named = tuple(os.environ.get(name, "").strip() for name in VARIABLES)
    with _making:
        key = (file.absolute(), *named)
        if key not in _seconds:
            _seconds[key] = Second(file, configured(), clock)
        return _seconds[key]


def name(file: Path) -> str | None:
    """What a study is called in every place; None before the lock."""
    with reading(file) as db:
        return layout.root(db)


def publish(file: Path, place: Place) -> str:
    """Put a locked study without its people into a place, where a server without it finds it; returns its name there.

    The key stays where it is. StudyError for a study that is not live.
    """
    with reading(file) as db:
        root = layout.root(db, "live")
    if root is None:
        raise StudyError("only a study that is locked and not closed can be served elsewhere; lock it first")
    place.put({layout.base(root): blank(file)})
    return root


def fetch(file: Path, place: Place, wanted: str | None = None) -> str:
    """Write a published study to where there is none yet, all or nothing; returns its name.

    StudyError where the place has none, or several and no name is given.
    """
    there = layout.studies(place)
    if wanted is None and len(there) > 1:
        raise StudyError(f"{place.label} has the studies {', '.join(there)}; name one")
    if not there or (wanted is not None and wanted not in there):
        raise StudyError(
            f"{place.label} has no study{f' {wanted}' if wanted else ''}; put one there with: "
            "python -m study publish FOLDER"
        )
    chosen = wanted or there[0]
    data = place.read(layout.base(chosen))[layout.base(chosen)]
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".new-{file.name}")
    temporary.write_bytes(data)
    with opened(temporary) as db:
        if layout.root(db) != chosen:
            raise StudyError(f"the copy that is called {chosen} is of another study; publish it again")
    temporary.replace(file)
    return chosen


def restored(file: Path, place: Place, clock: Callable[[], int]) -> Restored:
    """Add to a study what a place has of it; StudyError where the place has nothing of this study."""
    root = name(file)
    if root is None or root not in layout.studies(place):
        raise StudyError(
            f"{place.label} has nothing of the study in {file.parent}; there are "
            f"{', '.join(layout.studies(place)) or 'none'}"
        )
    found = layout.look(place, root)
    with writing(file) as db:
        return restore(db, found.journals, found.withdrawn, clock())
