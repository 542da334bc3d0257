"""The tables of a study and their migrations.

SQL is used in this module and in `store`, `database/audit_log`, `database/backup`, `database/creation`,
`database/export`, `database/key`, `database/participation`, `database/slots`, `database/status`,
`database/transactions`, `database/trials`, `replica/journal`, `replica/layout`, `replica/restore`.
The tables themselves enforce what the program guarantees: one answer per trial, and no change after the lock. All times
are milliseconds since 1970, UTC, unless a name says otherwise.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlite_utils import Database, Migrations

from study import StudyError
from study.database.transactions import connected, immediate

MODES = ("live", "pilot", "simulated")

MIN_SQLITE = (3, 37, 0)

TABLES = """
CREATE TABLE study_version (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    definition TEXT NOT NULL,
    definition_sha256 TEXT NOT NULL,
    seed INTEGER NOT NULL,
    target INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('draft', 'pilot', 'live', 'closed')),
    created_at INTEGER NOT NULL,
    locked_at INTEGER,
    closed_at INTEGER,
    analysis_sha256 TEXT,
    lock_sha256 TEXT
) STRICT;

CREATE TABLE stimulus (
    id TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('candidate', 'photo', 'reference', 'practice')),
    landmark TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    image BLOB NOT NULL
) STRICT;

CREATE TABLE participant (
    id TEXT PRIMARY KEY NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    withdrawal_sha256 TEXT NOT NULL UNIQUE,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'pilot', 'simulated')),
    state TEXT NOT NULL CHECK (state IN ('active', 'complete')),
    plan INTEGER NOT NULL REFERENCES slot (number),
    consent_version TEXT NOT NULL,
    consent_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    completion_code TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE slot (
    number INTEGER PRIMARY KEY,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'pilot')),
    plan TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('free', 'leased', 'complete', 'void')),
    participant TEXT UNIQUE REFERENCES participant (id) ON DELETE SET NULL,
    leased_at INTEGER,
    CHECK (state IN ('free', 'void') OR leased_at IS NOT NULL)
) STRICT;

CREATE TABLE trial (
    id TEXT PRIMARY KEY NOT NULL,
    participant TEXT NOT NULL REFERENCES participant (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('main', 'practice', 'attention_check', 'retest', 'blinding_check', 'view')),
    block TEXT NOT NULL,
    question TEXT NOT NULL,
    landmark TEXT,
    menu TEXT NOT NULL,
    answer INTEGER,
    retest_of INTEGER,
    shown_at INTEGER,
    UNIQUE (participant, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE trial_option (
    view_token TEXT PRIMARY KEY NOT NULL,
    trial TEXT NOT NULL REFERENCES trial (id) ON DELETE CASCADE,
    area TEXT NOT NULL CHECK (area IN ('option', 'beside')),
    position INTEGER NOT NULL CHECK (position >= 1),
    stimulus TEXT NOT NULL REFERENCES stimulus (id),
    UNIQUE (trial, area, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE response (
    id TEXT PRIMARY KEY NOT NULL,
    trial TEXT NOT NULL UNIQUE REFERENCES trial (id) ON DELETE CASCADE,
    choice TEXT NOT NULL CHECK (choice IN ('image', 'none', 'both', 'neither', 'seen', 'unsure')),
    position INTEGER CHECK (position >= 1),
    client_ms INTEGER CHECK (client_ms >= 0),
    server_ms INTEGER CHECK (server_ms >= 0),
    input TEXT NOT NULL,
    answered_at INTEGER NOT NULL,
    CHECK ((choice = 'image') = (position IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    participant TEXT NOT NULL REFERENCES participant (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('joined', 'displaced', 'resumed', 'completed'))
) STRICT;
CREATE INDEX event_participant ON event (participant);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
"""

LOCKED = "(SELECT state FROM study_version) IN ('live', 'closed')"
TRIGGERS = [
    # name, event, table, condition, error message
    (
        "definition_stands",
        "UPDATE OF id, definition, definition_sha256, seed, target, created_at",
        "study_version",
        "1",
        "the definition of a study never changes",
    ),
    (
        "lock_stands",
        "UPDATE OF locked_at, analysis_sha256, lock_sha256",
        "study_version",
        "OLD.state IN ('live', 'closed')",
        "a locked study does not change",
    ),
    (
        "closing_stands",
        "UPDATE OF closed_at",
        "study_version",
        "OLD.state = 'closed'",
        "a closed study does not change",
    ),
    (
        "state_goes_on",
        "UPDATE OF state",
        "study_version",
        "OLD.state || ' ' || NEW.state NOT IN "
        "('draft pilot', 'pilot draft', 'draft live', 'pilot live', 'live closed')",
        "the state of a study never goes back",
    ),
    ("study_stays", "DELETE", "study_version", "1", "a study is never deleted from its own database"),
    ("stimulus_enters", "INSERT", "stimulus", LOCKED, "a locked study does not change"),
    ("stimulus_stands", "UPDATE", "stimulus", "1", "the images of a study never change"),
    ("stimulus_stays", "DELETE", "stimulus", LOCKED, "a locked study does not change"),
    ("slot_enters", "INSERT", "slot", LOCKED, "a locked study does not change"),
    ("plan_stands", "UPDATE OF number, mode, plan", "slot", "1", "a plan never changes"),
    ("slot_stays", "DELETE", "slot", "1", "a plan is never deleted"),
    # rows are deleted with their participant only: when the cascade reaches them, the row above is already deleted
    (
        "trial_stands",
        "UPDATE OF id, participant, seq, kind, block, question, landmark, menu, answer, retest_of",
        "trial",
        "1",
        "a trial never changes",
    ),
    ("clock_starts_once", "UPDATE OF shown_at", "trial", "OLD.shown_at IS NOT NULL", "a trial is shown only once"),
    (
        "trial_stays",
        "DELETE",
        "trial",
        "EXISTS (SELECT 1 FROM participant WHERE id = OLD.participant)",
        "a trial is deleted with its participant only",
    ),
    ("option_stands", "UPDATE", "trial_option", "1", "a trial never changes"),
    (
        "option_stays",
        "DELETE",
        "trial_option",
        "EXISTS (SELECT 1 FROM trial WHERE id = OLD.trial)",
        "a trial is deleted with its participant only",
    ),
    ("response_enters", "INSERT", "response", "(SELECT state FROM study_version) = 'closed'", "the study is closed"),
    ("response_stands", "UPDATE", "response", "1", "an answer never changes"),
    (
        "response_stays",
        "DELETE",
        "response",
        "EXISTS (SELECT 1 FROM trial WHERE id = OLD.trial)",
        "an answer is deleted with its participant only",
    ),
    ("audit_stands", "UPDATE", "audit", "1", "the audit never changes"),
    ("audit_stays", "DELETE", "audit", "1", "the audit never changes"),
]

MIGRATIONS = Migrations("study")


@MIGRATIONS()
def first_tables(db: Database) -> None:
    """Create all tables of version 1."""
    db.executescript(TABLES)
    for name, event, table, condition, message in TRIGGERS:
        db.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )


@MIGRATIONS()
def outbox(db: Database) -> None:
    """Create the list of participants whose latest answers are not in the replica yet."""
    column = "participant TEXT NOT NULL REFERENCES participant (id) ON DELETE CASCADE"
    db.execute(f"CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, {column}) STRICT")


def migrate(path: Path) -> None:
    """Bring the tables of a study up to date, all or nothing; raise StudyError if a newer version created them."""
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        oldest = ".".join(map(str, MIN_SQLITE))
        raise StudyError(f"SQLite is {sqlite3.sqlite_version} but strict tables need {oldest}; use a newer Python")
    with connected(path) as db:
        db.enable_wal()  # a restored backup is not
        with Database(memory=True) as empty:
            known = {migration.name for migration in MIGRATIONS.pending(empty)}
        if unknown := {migration.name for migration in MIGRATIONS.applied(db)} - known:
            raise StudyError(
                f"{path.name} was created by a newer version (unknown migration {min(unknown)}); update this program"
            )
        if MIGRATIONS.pending(db):
            with immediate(db):  # the library alone would start without the lock and could apply a migration twice
                MIGRATIONS.apply(db)
