"""A study on disk: `study.db` with what participants see and answer, `key.db` with the origins of its images.

Every method is one transaction on its own connection, so threads may share a store, and several processes may use one
folder. What a method has returned is on disk. What a participant does is in `database.participation`.
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
from study.database.creation import catalogue, create_files, insert_plans
from study.database.participation import Joined
from study.database.schema import migrate
from study.database.status import Status, definition_of, require_state, study_row
from study.database.transactions import only_row, reading, rows, writing
from study.database.trials import CurrentTrial
from study.design.definition import Definition
from study.design.spec import StimulusImage
from study.replica import replication, restore


def now_ms() -> int:
    """Return the current time in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def create(
    folder: Path, definition: Definition, images: Sequence[StimulusImage], clock: Callable[[], int] = now_ms
) -> Store:
    """Create a draft with six slots for a pilot; raise StudyError for unsuitable images."""
    folder = Path(folder)
    create_files(folder / "study.db", folder / "key.db", definition, images, clock())
    return Store(folder, clock)


class Store:
    """The folder of one study."""

    def __init__(self, folder: Path, clock: Callable[[], int] = now_ms):
        self.folder = Path(folder)
        self.file = self.folder / "study.db"
        self._key_file = self.folder / "key.db"
        self._clock = clock
        if not self.file.is_file():
            raise StudyError(f"there is no study in {self.folder}; create one first")
        migrate(self.file)

    def definition(self) -> Definition:
        """Return the definition of the study."""
        with reading(self.file) as db:
            return definition_of(db)

    def status(self) -> Status:
        """Return the progress of the study."""
        with reading(self.file) as db:
            return status.read_status(db, self._clock())

    def lock(self, analysis_sha256: str) -> str:
        """Plan all slots and open the study to participants; return the sha256 over definition and analysis.

        From now on the definition, the images and the plans never change; the pilot is over.
        """
        if not re.fullmatch(r"[0-9a-f]{64}", analysis_sha256):
            raise StudyError(f"the analysis is {analysis_sha256[:80]!r}; give its sha256 of 64 hexadecimal digits")
        self._require_state("draft", "pilot")
        origins = {stimulus: origin.origin for stimulus, origin in self._origins("lock").items()}
        now = self._clock()
        with writing(self.file) as db:
            require_state(study_row(db), "draft", "pilot")
            definition = definition_of(db)
            stimuli = [
                (stimulus["id"], stimulus["role"], stimulus["landmark"])
                for stimulus in rows(db, "SELECT id, role, landmark FROM stimulus ORDER BY id")
            ]
            insert_plans(db, definition, "live", slots.live_numbers(definition), catalogue(stimuli, origins))
            lock_sha256 = hashlib.sha256(f"{definition.digest()}\n{analysis_sha256}\n".encode()).hexdigest()
            db.table("study_version").update(
                1, {"state": "live", "locked_at": now, "analysis_sha256": analysis_sha256, "lock_sha256": lock_sha256}
            )
            audit_log.append(
                db, now, "locked", analysis_sha256=analysis_sha256, lock_sha256=lock_sha256, **audit_log.fingerprint(db)
            )
        return lock_sha256

    def close(self) -> None:
        """Close a live study permanently: it accepts no more answers, and the origins may be read."""
        now = self._clock()
        with writing(self.file) as db:
            require_state(study_row(db), "live")
            db.table("study_version").update(1, {"state": "closed", "closed_at": now})
            db.execute("UPDATE slot SET state = 'void' WHERE state IN ('free', 'leased')")
            complete = only_row(db, "SELECT count(*) AS n FROM slot WHERE state = 'complete' AND mode = 'live'")["n"]
            audit_log.append(db, now, "closed", complete=complete)

    def join(self, mode: str = "live", consent_version: str = "", token: str | None = None) -> Joined:
        """Add a participant with a slot; raise StudyError without consent, or if the study is full or not live.

        The modes live and simulated need a live study and exclude each other; pilot needs a draft. With the caller's
        own token, joining is safe to repeat.
        """
        with writing(self.file) as db:
            joined = participation.join(db, mode, consent_version, self._clock(), token)
            self._replica().mark_pending(db, joined.token)
        self._replica().flush(joined.token)
        return joined

    def refusal(self, mode: str = "live") -> str | None:
        """Return the reason why nobody can join at the moment; None if joining is possible."""
        try:
            with reading(self.file) as db:
                participation.admit(db, mode, self._clock())
        except StudyError as error:
            return str(error)
        return None

    def current(self, token: str) -> CurrentTrial:
        """Return the next trial or the debrief; raise StudyError for an unknown token, a lost slot, a closed study."""
        with writing(self.file) as db:
            current = participation.current(db, token, self._clock())
        self._replica().flush(token)  # the next question confirms that the last answer is stored
        return current

    def shown(self, token: str, trial_id: str) -> None:
        """Start the server's clock of a trial whose images are on the screen; only the first call counts."""
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
    ) -> CurrentTrial:
        """Store an answer on disk and in the replica, and return the next trial.

        A response id or trial that was answered before changes nothing. `choice` is "image" with a position from 1, or
        a word of the trial's menu; `client_ms` is the browser's time from showing to answering; `input` is mouse,
        touch, pen, keyboard or empty. Raises StudyError for a trial or answer id of another participant, and for a
        choice that the trial does not offer.
        """
        with writing(self.file) as db:
            current = participation.answer(
                db, token, trial_id, response_id, choice, position, client_ms, input, self._clock()
            )
            self._replica().mark_pending(db, token)
        self._replica().flush(token)
        return current

    def pooled_connections(self) -> AbstractContextManager[None]:
        """Reuse connections inside the block, while participants answer; an answer then takes a third of the time."""
        return connection_pool.pooled(self.file)

    def open_connection_pool(self) -> None:
        """Reuse connections from now on, until the study is moved or the process ends."""
        connection_pool.open_pool(self.file)

    def move(self, folder: Path) -> None:
        """Rename the folder; raise OSError if that is not possible.

        Pooled connections are closed first: if they closed later, they would delete the log of another study that was
        put in the old folder meanwhile.
        """
        connection_pool.close_pool(self.file)
        self.folder.rename(folder)

    def image(self, view_token: str) -> bytes:
        """Return the PNG for a view token; raise StudyError if there is none."""
        with reading(self.file) as db:
            return participation.image(db, view_token)

    def withdraw(self, code: str) -> int:
        """Delete all data of the participant with this code and free the slot; return the number of deleted answers.

        The file is rewritten without the deleted rows, so that no bytes remain; copies by `backup` have to be replaced.
        The replica is deleted first; raises ReplicaError, with nothing deleted, if that is not possible. Works after
        the close.
        """
        with reading(self.file) as db:
            participant, mode = participation.find_by_code(db, code)
        if mode == "live":
            self._replica().delete_participant(participant)
        with writing(self.file) as db:
            mode, answers = participation.withdraw(db, code)
            audit_log.append(db, self._clock(), "withdrawn", mode=mode)
        backup.scrub(self.file)
        return answers

    def clear_pilot(self) -> int:
        """Delete all pilot participants; return how many there were."""
        with writing(self.file) as db:
            pilots = rows(db, "SELECT id FROM participant WHERE mode = 'pilot'")
            for pilot in pilots:
                participation.delete(db, pilot["id"])
            if study_row(db)["state"] == "pilot":
                db.table("study_version").update(1, {"state": "draft"})
            audit_log.append(db, self._clock(), "pilot cleared", participants=len(pilots))
        backup.scrub(self.file)
        return len(pilots)

    def expire(self, now: int | None = None) -> int:
        """If no slot is free, free those inactive for `lease_minutes`; return how many. `join` does this itself."""
        now = self._clock() if now is None else now
        with writing(self.file) as db:
            return sum(slots.expire(db, definition_of(db), mode, now) for mode in ("live", "pilot"))

    def completion_codes(self) -> list[str]:
        """Return the completion codes of all complete participants, sorted, to compare with the list of a panel."""
        with reading(self.file) as db:
            complete = rows(db, "SELECT completion_code FROM participant WHERE mode = 'live' AND state = 'complete'")
        return sorted(participant["completion_code"] for participant in complete)

    def backup(self, path: Path) -> None:
        """Write a consistent copy of study.db in one file, while participants answer; it does not contain the key."""
        backup.backup(self.file, Path(path))

    def export_rows(self) -> list[dict[str, Any]]:
        """Return the answers of complete participants with origins; raise StudyError unless the study is closed.

        Keys are the fields of `analysis.answers.Row`. The audit log has the opening of the key before it is opened.
        """
        origins = self._opened_key("analysis")
        with reading(self.file) as db:
            return export.analysis_rows(db, origins)

    def export(self, folder: Path, extra_files: Mapping[str, str] | None = None) -> Path:
        """Write tables, codebook, database and checksums of a closed study into a new folder; return the folder.

        `extra_files` are further files, name -> text, with checksums as well.
        """
        origins = self._opened_key("export")
        with reading(self.file) as db:
            tables = export.tables(db, origins)
            definition = study_row(db)["definition"]
        return export.write(Path(folder), tables, definition, self.backup, extra_files or {})

    def stimulus_images(self, purpose: str) -> list[StimulusImage]:
        """Return the blind copies with their origins; raise StudyError while the study is live.

        Another study can be created from them. The audit log records the purpose, as for every opening of the key.
        """
        self._require_state("draft", "pilot", "closed")
        origins = self._origins(purpose)
        with reading(self.file) as db:
            stimuli = rows(db, "SELECT id, role, landmark, image FROM stimulus ORDER BY id")
        return [
            StimulusImage(
                stimulus["role"],
                stimulus["landmark"],
                origins[stimulus["id"]].origin,
                stimulus["image"],
                origins[stimulus["id"]].metadata,
            )
            for stimulus in stimuli
        ]

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit log, oldest entry first: seq, at (ms), action, detail, previous, hash."""
        with reading(self.file) as db:
            return audit_log.entries(db)

    def audit_chain_ok(self) -> bool:
        """Return True if no entry was changed, and definition, images and plans are those that were locked."""
        with reading(self.file) as db:
            return audit_log.intact(db)

    def sync_replica(self) -> restore.RestoreSummary:
        """Restore what the replica has, and write what it lacks; raise ReplicaError if it is unreachable."""
        return self._replica().sync()

    def _replica(self) -> replication.Replica:
        return replication.replica_of(self.file, self._clock)

    def _require_state(self, *states: str) -> None:
        with reading(self.file) as db:
            require_state(study_row(db), *states)

    def _opened_key(self, purpose: str) -> dict[str, key.Origin]:
        self._require_state("closed")
        return self._origins(purpose)

    def _origins(self, purpose: str) -> dict[str, key.Origin]:
        with writing(self.file) as db:
            stimuli = [stimulus["id"] for stimulus in rows(db, "SELECT id FROM stimulus")]
            audit_log.append(db, self._clock(), "key opened", purpose=purpose)
        return key.read(self._key_file, stimuli)
