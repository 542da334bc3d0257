"""A study on disk: `study.db` with everything that people see and answer, `key.db` with the origins of its pictures.

Every method is one transaction on a connection of its own, so a store may be shared by threads, and several processes
may work on one folder. What has returned is on the disk. What a participant does is `participation`.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from study import StudyError
from study.database import audit_log, backup, connection_pool, export, key, participation, slots, status
from study.database.creation import build, catalogue, insert_plans
from study.database.participation import Joined
from study.database.schema import migrate
from study.database.status import Status, definition_of, require_state, study_row
from study.database.transactions import opened, reading, row, rows, writing
from study.database.trials import Current
from study.design.definition import Definition
from study.design.spec import Picture
from study.replica import replication, restore


def milliseconds() -> int:
    """Now, since 1970, UTC."""
    return time.time_ns() // 1_000_000


def create(
    folder: Path, definition: Definition, pictures: Sequence[Picture], clock: Callable[[], int] = milliseconds
) -> Store:
    """A new draft with six places for a pilot; StudyError for pictures that do not make a study."""
    folder = Path(folder)
    build(folder / "study.db", folder / "key.db", definition, pictures, clock())
    return Store(folder, clock)


class Store:
    """One study's folder."""

    def __init__(self, folder: Path, clock: Callable[[], int] = milliseconds):
        self.folder = Path(folder)
        self.file = self.folder / "study.db"
        self._key_file = self.folder / "key.db"
        self._clock = clock
        if not self.file.is_file():
            raise StudyError(f"there is no study in {self.folder}; create one first")
        migrate(self.file)

    def definition(self) -> Definition:
        """What the study is."""
        with reading(self.file) as db:
            return definition_of(db)

    def status(self) -> Status:
        """How far it is."""
        with reading(self.file) as db:
            return status.read(db, self._clock())

    def lock(self, analysis_sha256: str) -> str:
        """Plan all places and open the study to participants; returns the sha256 over definition and analysis.

        From now on neither the definition nor the pictures nor the plans change; the pilot is over.
        """
        if not re.fullmatch(r"[0-9a-f]{64}", analysis_sha256):
            raise StudyError(f"the analysis is {analysis_sha256[:80]!r}; give its sha256, 64 hexadecimal digits")
        self._demand("draft", "pilot")
        origins = {stimulus: one.origin for stimulus, one in self._origins("lock").items()}
        now = self._clock()
        with writing(self.file) as db:
            require_state(study_row(db), "draft", "pilot")
            definition = definition_of(db)
            stimuli = [
                (one["id"], one["role"], one["landmark"])
                for one in rows(db, "SELECT id, role, landmark FROM stimulus ORDER BY id")
            ]
            insert_plans(db, definition, "live", slots.live_numbers(definition), catalogue(stimuli, origins))
            seal = hashlib.sha256(f"{definition.digest()}\n{analysis_sha256}\n".encode()).hexdigest()
            db["study_version"].update(
                1, {"state": "live", "locked_at": now, "analysis_sha256": analysis_sha256, "lock_sha256": seal}
            )
            audit_log.append(
                db, now, "locked", analysis_sha256=analysis_sha256, lock_sha256=seal, **audit_log.fingerprint(db)
            )
        return seal

    def close(self) -> None:
        """End a live study for good: no answer comes in any more, and the origins may be read."""
        now = self._clock()
        with writing(self.file) as db:
            require_state(study_row(db), "live")
            db["study_version"].update(1, {"state": "closed", "closed_at": now})
            db.execute("UPDATE slot SET state = 'void' WHERE state IN ('free', 'leased')")
            complete = row(db, "SELECT count(*) AS n FROM slot WHERE state = 'complete' AND mode = 'live'")["n"]
            audit_log.append(db, now, "closed", complete=complete)

    def join(self, mode: str = "live", consent_version: str = "", token: str | None = None) -> Joined:
        """A new participant with a place; StudyError if the study is full, closed or not locked, or without consent.

        live and simulated need a live study and exclude each other; pilot a draft. The caller's own token makes joining
        safe to repeat.
        """
        with writing(self.file) as db:
            joined = participation.join(db, mode, consent_version, self._clock(), token)
            self._second().expect(db, joined.token)
        self._second().settle(joined.token)
        return joined

    def refusal(self, mode: str = "live") -> str | None:
        """Why nobody can join just now; None if somebody can."""
        try:
            with reading(self.file) as db:
                participation.admit(db, mode, self._clock())
        except StudyError as error:
            return str(error)
        return None

    def current(self, token: str) -> Current:
        """Where a participant is; StudyError for an unknown token, a lost place, and who comes after the closing."""
        with writing(self.file) as db:
            now = participation.current(db, token, self._clock())
        self._second().settle(token)  # the next question tells that the last answer was kept
        return now

    def shown(self, token: str, trial_id: str) -> None:
        """The pictures of a trial are on the screen: the server's clock starts, once."""
        with writing(self.file) as db:
            participation.shown(db, token, trial_id, self._clock())

    def answer(
        self,
        token: str,
        trial_id: str,
        response_id: str,
        choice: str,
        position: int | None = None,
        client_ms: int | None = None,
        input: str = "",
    ) -> Current:
        """Write an answer and return where the participant is then; on the disk, and in the second store, by then.

        A response id or trial that was answered before writes nothing. `choice` is "image" with a position from 1, or
        a word of the trial's menu; `client_ms` the browser's time from showing to answering; `input` mouse, touch, pen,
        keyboard or empty. StudyError for a trial or answer id of somebody else, and what the trial does not offer.
        """
        with writing(self.file) as db:
            now = participation.answer(
                db, token, trial_id, response_id, choice, position, client_ms, input, self._clock()
            )
            self._second().expect(db, token)
        self._second().settle(token)
        return now

    def held(self) -> AbstractContextManager[None]:
        """Keep connections open while people answer; within, an answer takes a third of the time."""
        return connection_pool.kept(self.file)

    def hold(self) -> None:
        """Keep connections open from now on, until the study is moved or the process ends."""
        connection_pool.keep(self.file)

    def move(self, folder: Path) -> None:
        """Rename the folder; OSError where that is not possible.

        Connections that are held are closed before: a later one would delete the log of a study that has come into the
        place of this one.
        """
        connection_pool.drop(self.file)
        self.folder.rename(folder)

    def image(self, view_token: str) -> bytes:
        """The PNG behind a view token; StudyError if there is none."""
        with reading(self.file) as db:
            return participation.image(db, view_token)

    def withdraw(self, code: str) -> int:
        """Delete all of a person by the withdrawal code, free the place; returns how many answers were deleted.

        The file is rewritten without the deleted rows, so that its bytes are gone as well; copies by `backup` have to
        be replaced. A second store deletes first: NotKept, and nothing deleted, where it cannot. Works after closing.
        """
        with reading(self.file) as db:
            person, mode = participation.holder(db, code)
        if mode == "live":
            self._second().forget(person)
        with writing(self.file) as db:
            mode, answers = participation.withdraw(db, code)
            audit_log.append(db, self._clock(), "withdrawn", mode=mode)
        self._scrub()
        return answers

    def clear_pilot(self) -> int:
        """Delete all that pilot participants left; returns how many they were."""
        with writing(self.file) as db:
            people = rows(db, "SELECT id FROM participant WHERE mode = 'pilot'")
            for person in people:
                participation.delete(db, person["id"])
            if study_row(db)["state"] == "pilot":
                db["study_version"].update(1, {"state": "draft"})
            audit_log.append(db, self._clock(), "pilot cleared", participants=len(people))
        self._scrub()
        return len(people)

    def expire(self, now: int | None = None) -> int:
        """If no place is free, free those left for `lease_minutes`; returns how many. `join` does it by itself."""
        now = self._clock() if now is None else now
        with writing(self.file) as db:
            return sum(slots.expire(db, definition_of(db), mode, now) for mode in ("live", "pilot"))

    def completion_codes(self) -> list[str]:
        """Codes of all who finished, in the order of the alphabet, to check a panel's list against."""
        with reading(self.file) as db:
            found = rows(db, "SELECT completion_code FROM participant WHERE mode = 'live' AND state = 'complete'")
        return sorted(one["completion_code"] for one in found)

    def backup(self, path: Path) -> None:
        """A consistent copy of study.db in one file, while people answer; the key is not in it."""
        backup.backup(self.file, Path(path))

    def export_rows(self) -> list[dict[str, Any]]:
        """All answers of those who finished, with origins, for the analysis; StudyError unless the study is closed.

        Keys are the fields of `answers.Row`. That the key was opened is in the audit before it is.
        """
        origins = self._opened_key("analysis")
        with reading(self.file) as db:
            return export.analysis_rows(db, origins)

    def export(self, folder: Path, more: Mapping[str, str] | None = None) -> Path:
        """Write a closed study's tables, codebook, copy and checksums into a new folder; returns it.

        `more` are further files, name -> text, under the same checksums.
        """
        origins = self._opened_key("export")
        with reading(self.file) as db:
            tables = export.tables(db, origins)
            definition = study_row(db)["definition"]
        return export.write(Path(folder), tables, definition, self.backup, more or {})

    def pictures(self, purpose: str) -> list[Picture]:
        """The blind copies with their origins, to create another study of; StudyError while the study is live.

        What for is in the audit, as every opening of the key.
        """
        self._demand("draft", "pilot", "closed")
        origins = self._origins(purpose)
        with reading(self.file) as db:
            return [
                Picture(one["role"], one["landmark"], origins[one["id"]].origin, one["image"], origins[one["id"]].facts)
                for one in rows(db, "SELECT id, role, landmark, image FROM stimulus ORDER BY id")
            ]

    def audit(self) -> list[dict[str, Any]]:
        """What was done to the study, oldest first: seq, at (ms), action, detail, previous, hash."""
        with reading(self.file) as db:
            return audit_log.entries(db)

    def audit_chain_ok(self) -> bool:
        """True if no entry was changed, and definition, pictures and plans are those that were locked."""
        with reading(self.file) as db:
            return audit_log.intact(db)

    def meet_second(self) -> restore.Restored:
        """Take in what the second store has, and write what it lacks; NotKept where it cannot be reached."""
        return self._second().begin()

    def _second(self) -> replication.Second:
        return replication.of(self.file, self._clock)

    def _demand(self, *states: str) -> None:
        with reading(self.file) as db:
            require_state(study_row(db), *states)

    def _opened_key(self, purpose: str) -> dict[str, key.Origin]:
        self._demand("closed")
        return self._origins(purpose)

    def _origins(self, purpose: str) -> dict[str, key.Origin]:
        with writing(self.file) as db:
            stimuli = [one["id"] for one in rows(db, "SELECT id FROM stimulus")]
            audit_log.append(db, self._clock(), "key opened", purpose=purpose)
        return key.read(self._key_file, stimuli)

    def _scrub(self) -> None:
        """Rewrite the file: rows that once moved between pages may have left copies where secure_delete never comes."""
        with opened(self.file) as db:
            db.vacuum()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
