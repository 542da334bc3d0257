"""A small study: 27 noise images of 32 px, a clock that stands still, and participants who answer by rule."""

import io
import random
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path

import pytest
from PIL import Image

from study import ORIGINS, StudyError
from study.design.definition import Definition
from study.design.spec import StimulusImage
from study.store import Store, create

LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")
ANALYSIS = "a" * 64
START = 1_700_000_000_000
MINUTE = 60_000


@lru_cache
def png(name, side=32):
    """Return an image of noise; each name gives another image."""
    buffer = io.BytesIO()
    noise = random.Random(name).randbytes(side * side * 3)
    Image.frombytes("RGB", (side, side), noise).save(buffer, "PNG")
    return buffer.getvalue()


def images():
    """Return the images of a study: 15 candidates, 5 photos, 4 references, 3 for practice."""
    return [
        *(
            StimulusImage("candidate", landmark, origin, png(f"{landmark} {origin}"), {"seed": 7, "prompt": landmark})
            for landmark in LANDMARKS
            for origin in ORIGINS
        ),
        *(StimulusImage("photo", landmark, None, png(f"{landmark} photo")) for landmark in LANDMARKS),
        *(StimulusImage("reference", f"Tower {n}", "original", png(f"reference {n}")) for n in range(4)),
        *(StimulusImage("practice", f"Bridge {n}", "original", png(f"practice {n}")) for n in range(3)),
    ]


class Clock:
    """Milliseconds that only pass in `pass_`."""

    def __init__(self, now=START):
        self.now = now

    def __call__(self):
        return self.now

    def pass_(self, milliseconds):
        self.now += milliseconds


def draft(folder, clock=None, **values):
    """Return a study that is not locked yet."""
    return create(folder, Definition(landmarks=LANDMARKS, **values), images(), clock or Clock())


@lru_cache
def _locked(values):
    """Return a folder with a study that was locked at START, to be copied."""
    folder = tempfile.TemporaryDirectory(prefix="study-")
    draft(Path(folder.name) / "study", **dict(values)).lock(ANALYSIS)
    return folder


def live(folder, clock=None, **values):
    """Return a study that is open to participants."""
    shutil.copytree(Path(_locked(tuple(values.items())).name) / "study", folder, dirs_exist_ok=True)
    return Store(folder, clock or Clock())


def first_choice(current):
    """Return the first image, or `seen` in a view trial."""
    return ("seen", None) if current.block == "view" else ("image", 1)


def answer_one(store, token, choose=first_choice, **values):
    """Answer the current trial."""
    current = store.current(token)
    store.shown(token, current.trial_id)
    choice, position = choose(current)
    return store.answer(token, current.trial_id, f"answer-{current.trial_id}", choice, position, **values)


def answer_all(store, token, choose=first_choice, **values):
    """Answer all trials; return the debrief."""
    current = store.current(token)
    while not current.done:
        current = answer_one(store, token, choose, **values)
    return current


@contextmanager
def study_error(message):
    """Expect StudyError with exactly this message."""
    with pytest.raises(StudyError) as error:
        yield
    assert str(error.value) == message


def query(store, sql, *values):
    """Return the rows of a query, read without the store."""
    with closing(sqlite3.connect(store.file)) as connection:
        return connection.execute(sql, values).fetchall()


def bytes_of(store):
    """Return the bytes of the database with its -wal and -shm files."""
    return b"".join(path.read_bytes() for path in sorted(store.folder.glob("study.db*")))


def traces(store, participant):
    """Return every random value that the database has of a participant."""
    hashes = "SELECT token_sha256, withdrawal_sha256 FROM participant WHERE id = ?"
    found = [participant, *query(store, hashes, participant)[0]]
    for (trial,) in query(store, "SELECT id FROM trial WHERE participant = ?", participant):
        found.append(trial)
        found += [one for (one,) in query(store, "SELECT view_token FROM trial_option WHERE trial = ?", trial)]
        found += [one for (one,) in query(store, "SELECT id FROM response WHERE trial = ?", trial)]
    return found
