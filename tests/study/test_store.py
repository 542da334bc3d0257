"""Guarantees for the data of a study: one answer per trial, one participant per slot, no loss, no leak."""

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from sqlite_utils import Database

from study import StudyError
from study.database import key, schema, transactions
from study.database.creation import catalogue
from study.database.status import Status
from study.design.definition import Definition
from study.design.plan import plan, to_json
from study.store import Store, create
from tests.support.study_sample import (
    ANALYSIS,
    LANDMARKS,
    MINUTE,
    START,
    Clock,
    answer_all,
    answer_one,
    bytes_of,
    draft,
    images,
    live,
    png,
    query,
    study_error,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    """A live study for 48."""
    return live(tmp_path / "study", clock)


@pytest.fixture
def person(store):
    """The token of a new participant."""
    return store.join("live", "1").token


# --- creation ---------------------------------------------------------------------------------------------------------


def test_a_new_study_is_a_draft_in_two_files(tmp_path):
    store = draft(tmp_path / "a" / "study", participants=50)
    assert sorted(path.name for path in store.folder.iterdir()) == ["key.db", "study.db"]
    assert store.definition() == Definition(landmarks=LANDMARKS, participants=50)
    assert store.status() == Status(
        state="draft",
        target=50,
        counts={},
        slots={},
        side=32,
        created_at="2023-11-14T22:13:20.000+00:00",
        locked_at=None,
        closed_at=None,
        definition_sha256=store.definition().digest(),
        analysis_sha256=None,
        lock_sha256=None,
    )
    assert Store(store.folder).definition() == store.definition()


def test_a_folder_has_only_one_study(tmp_path):
    store = draft(tmp_path)
    before = store.file.read_bytes()
    with study_error("there is already a study in this folder, study.db; choose another folder or move it"):
        draft(tmp_path)
    assert store.file.read_bytes() == before
    store.file.unlink()
    with study_error("there is already a study in this folder, key.db; choose another folder or move it"):
        draft(tmp_path)


def test_a_folder_without_a_study_is_an_error(tmp_path):
    with study_error(f"there is no study in {tmp_path}; create one first"):
        Store(tmp_path)


def without(role, landmark=None, origin=None):
    return [one for one in images() if (one.role, one.landmark, one.origin) != (role, landmark, origin)]


def changed(number, **values):
    given = images()
    return [*given[:number], replace(given[number], **values), *given[number + 1 :]]


ASKED = ", ".join(LANDMARKS)
SAME = "are identical to the last pixel; give two different ones"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (without("candidate", "Petra", "ti"), "there are 0 ti images of Petra; give exactly one"),
        ([*images(), images()[0]], "there are 2 original images of Big Ben; give exactly one"),
        (without("photo", "Petra"), "there are 0 photos of Petra; give exactly one"),
        (
            changed(0, role="canditate"),
            "the role of an image is 'canditate'; use candidate, photo, reference, practice",
        ),
        (
            changed(0, origin="dora"),
            "the origin of a candidate image is 'dora'; it must be 'original' or 'lora' or 'ti'",
        ),
        (changed(15, origin="lora"), "the origin of a photo image is 'lora'; it must be None"),
        (changed(20, origin="lora"), "the origin of a reference image is 'lora'; it must be 'original'"),
        (
            changed(0, landmark="Eiffel Tower"),
            "the landmark of a candidate image is Eiffel Tower, which the study does not ask about; choose one of "
            f"{ASKED}",
        ),
        (
            changed(20, landmark="Petra"),
            "the landmark of a reference image is Petra, which the study asks about; choose another",
        ),
        (changed(25, landmark=""), "a practice image has no landmark; name the landmark that it shows"),
        (changed(1, data=png("Big Ben original")), f"the images of Big Ben (original) and Big Ben (lora) {SAME}"),
        (changed(1, data=png("Big Ben photo")), f"the images of Big Ben (lora) and Big Ben (photo) {SAME}"),
        (changed(1, data=b"GIF?"), "image 2 is not a readable image; save it as PNG, JPEG or WebP"),
        (
            without("reference", "Tower 0", "original"),
            f"there are 3 reference images and the style sheet needs 4; add originals of landmarks other than {ASKED}",
        ),
    ],
)
def test_unsuitable_images_are_an_error_and_leave_no_files(tmp_path, given, message):
    with study_error(message):
        create(tmp_path, Definition(landmarks=LANDMARKS), given)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with study_error(
        f"the study cannot be written to {tmp_path / 'file' / 'study'} (Not a directory); choose another folder"
    ):
        draft(tmp_path / "file" / "study")


def test_all_images_get_the_side_of_the_smallest_one(tmp_path):
    store = create(tmp_path, Definition(landmarks=LANDMARKS), changed(3, data=png("smaller", 24)))
    assert store.status().side == 24
    assert set(query(store, "SELECT width, height, bytes, length(image) FROM stimulus")) == {
        (24, 24, *[query(store, "SELECT max(bytes) FROM stimulus")[0][0]] * 2)
    }


def test_the_key_has_the_origins(tmp_path):
    file = tmp_path / "step-900.png"
    file.write_bytes(png("Big Ben lora"))
    given = changed(1, data=file, metadata={"adapter": "9f", "seed": 7})
    store = create(tmp_path / "s", Definition(landmarks=LANDMARKS), given)
    origins = key.read(store.folder / "key.db", [one for (one,) in query(store, "SELECT id FROM stimulus")])
    (found,) = [one for one in origins.values() if one.source]
    assert found == key.Origin(
        found.stimulus, "lora", "step-900.png", sha256(png("Big Ben lora")).hexdigest(), {"adapter": "9f", "seed": 7}
    )
    of = query(store, "SELECT role, landmark FROM stimulus WHERE id = ?", found.stimulus)
    assert of == [("candidate", "Big Ben")]
    assert Counter(one.origin for one in origins.values()) == {"original": 12, "lora": 5, "ti": 5, None: 5}


def test_another_study_can_be_created_from_the_blind_copies(tmp_path):
    store = draft(tmp_path / "a")
    again = create(tmp_path / "b", store.definition(), store.stimulus_images("rehearsal"))
    shown = "SELECT role, landmark, sha256, width, image FROM stimulus ORDER BY sha256"
    assert query(again, shown) == query(store, shown)
    assert {one for (one,) in query(again, "SELECT id FROM stimulus")}.isdisjoint(
        one for (one,) in query(store, "SELECT id FROM stimulus")
    )
    known, given = (
        {(one.role, one.landmark, one.origin, tuple(sorted(one.metadata.items()))) for one in some}
        for some in (again.stimulus_images("test"), images())
    )
    assert known == given
    last = store.audit()[-1]
    assert (last["action"], last["detail"]) == ("key opened", {"purpose": "rehearsal"})


def test_a_live_study_does_not_give_the_origins(store):
    with study_error("the study is live; this needs a study that is draft or pilot or closed, so close it first"):
        store.stimulus_images("curiosity")
    assert [entry["detail"] for entry in store.audit() if entry["action"] == "key opened"] == [{"purpose": "lock"}]
    store.close()
    assert len(store.stimulus_images("afterwards")) == 27


# --- what study.db must not reveal ------------------------------------------------------------------------------------


def test_study_db_never_contains_an_origin(tmp_path):
    store = draft(tmp_path / "s", participants=2)
    answer_all(store, store.join("pilot", "1").token)
    store.lock(ANALYSIS)
    for _ in range(2):
        answer_all(store, store.join("live", "1").token, input="keyboard", client_ms=900)
    store.close()
    store.export(tmp_path / "export")
    for data in (bytes_of(store).lower(), (tmp_path / "export/study.db").read_bytes().lower()):
        assert b"create table" in data
        for word in (b"lora", b"original", b"textual", b"inversion", b"'ti'", b'"ti"', b"prompt", b".png"):
            assert word not in data
    assert b"lora" in (store.folder / "key.db").read_bytes()


def test_ids_and_the_order_of_rows_do_not_follow_the_origins(tmp_path):
    orders = []
    for number in range(4):
        store = draft(tmp_path / str(number))
        stored = query(store, "SELECT id, image FROM stimulus ORDER BY rowid")
        ids = [one for one, _ in stored]
        assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
        assert ids == sorted(ids)
        data = store.file.read_bytes()
        at = [data.index(image[-60:-12]) for _, image in stored]
        assert at == sorted(at)  # the database pages follow the ids too
        origins = key.read(store.folder / "key.db", ids)
        assert list(origins) == ids
        candidates = [one for (one,) in query(store, "SELECT id FROM stimulus WHERE role = 'candidate' ORDER BY rowid")]
        orders.append(tuple(origins[one].origin for one in candidates))
    given = tuple(one.origin for one in images() if one.role == "candidate")
    assert len({*orders, given}) == 5  # of 756,756 orders, two are equal by chance once in 75,000 runs


def test_only_the_owner_can_read_the_key(tmp_path):
    store = draft(tmp_path)
    assert stat.S_IMODE((store.folder / "key.db").stat().st_mode) == 0o600


def test_answering_needs_no_key(store, tmp_path, monkeypatch):
    (store.folder / "key.db").rename(tmp_path / "away.db")
    monkeypatch.setattr(key, "read", None)
    token = store.join("live", "1").token
    seen = store.current(token)
    assert store.image(seen.options[0])[:4] == b"\x89PNG"
    done = answer_all(store, token)
    assert done.done
    assert store.status().counts == {"live": {"complete": 1}}
    store.backup(tmp_path / "backup.db")
    assert store.withdraw(done.withdrawal_code) == 27
    store.expire()
    store.close()
    assert sorted(path.name for path in store.folder.iterdir()) == ["study.db"]


def test_a_view_token_is_random_and_used_once(store):
    tokens = Counter()
    for _ in range(3):
        token = store.join("live", "1").token
        while not (current := store.current(token)).done:
            tokens.update([*current.options, *current.shown])
            answer_one(store, token)
    assert set(tokens.values()) == {1}
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)
    assert not [one for (one,) in query(store, "SELECT id FROM stimulus") if any(one in token for token in tokens)]
    assert len(tokens) == query(store, "SELECT count(*) FROM trial_option")[0][0]


def test_all_images_of_a_participant_have_the_same_length(store, person):
    lengths = set()
    while not (current := store.current(person)).done:
        lengths |= {len(store.image(view)) for view in (*current.options, *current.shown)}
        answer_one(store, person)
    assert len(lengths) == 1


def test_an_image_is_served_by_its_view_token_only(store, person):
    view = store.current(person).options[0]
    ((stimulus, image),) = query(
        store,
        "SELECT s.id, s.image FROM stimulus s JOIN trial_option o ON o.stimulus = s.id WHERE o.view_token = ?",
        view,
    )
    assert store.image(view) == image
    for forged in (stimulus, "", view[:-1], "0" * 32):
        with study_error("there is no such image; reload the page"):
            store.image(forged)


# --- locking ----------------------------------------------------------------------------------------------------------


def test_the_lock_stores_the_plans_and_the_hash_of_definition_and_analysis(tmp_path, clock):
    store = draft(tmp_path, clock, participants=50, seed=3)
    clock.pass_(5 * MINUTE)
    lock_sha256 = store.lock(ANALYSIS)
    definition = store.definition()
    assert lock_sha256 == sha256(f"{definition.digest()}\n{ANALYSIS}\n".encode()).hexdigest()
    assert store.status() == Status(
        state="live",
        target=50,
        counts={},
        slots={"free": 60},
        side=32,
        created_at="2023-11-14T22:13:20.000+00:00",
        locked_at="2023-11-14T22:18:20.000+00:00",
        closed_at=None,
        definition_sha256=definition.digest(),
        analysis_sha256=ANALYSIS,
        lock_sha256=lock_sha256,
    )
    stimuli = query(store, "SELECT id, role, landmark FROM stimulus")
    origins = key.read(store.folder / "key.db", [one for one, _, _ in stimuli])
    which = catalogue(stimuli, {stimulus: one.origin for stimulus, one in origins.items()})
    kept = query(store, "SELECT number, mode, plan FROM slot ORDER BY number")
    assert kept == [
        (number, "live" if number < 60 else "pilot", to_json(plan(definition, number, which))) for number in range(66)
    ]


def test_a_study_is_locked_once(store):
    with study_error("the study is live; this needs a study that is draft or pilot, so create a new study"):
        store.lock("b" * 64)
    assert store.status().analysis_sha256 == ANALYSIS


def test_a_lock_needs_a_sha256(tmp_path):
    store = draft(tmp_path)
    with study_error("the analysis is 'A'; give its sha256 of 64 hexadecimal digits"):
        store.lock("A")
    assert store.status().state == "draft"


def test_a_lock_needs_the_key_of_the_study(tmp_path):
    store, other = draft(tmp_path / "a"), draft(tmp_path / "b")
    (store.folder / "key.db").unlink()
    with study_error("key.db is missing next to study.db; put it back, because only it has the origins of the images"):
        store.lock(ANALYSIS)
    (other.folder / "key.db").rename(store.folder / "key.db")
    with study_error("key.db belongs to another study; put this study's own key next to study.db"):
        store.lock(ANALYSIS)
    assert store.status().state == "draft"
    assert query(store, "SELECT count(*) FROM slot WHERE mode = 'live'") == [(0,)]


def forbidden(store, sql):
    """Return the error message of the database for a statement."""
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError) as error:
            connection.execute(sql)
        return str(error.value)


NEVER = "the definition of a study never changes"
STANDS = "a locked study does not change"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE study_version SET definition = '{}'", NEVER),
        ("UPDATE study_version SET definition_sha256 = 'x'", NEVER),
        ("UPDATE study_version SET seed = 1", NEVER),
        ("UPDATE study_version SET target = 10", NEVER),
        ("UPDATE study_version SET analysis_sha256 = 'x'", STANDS),
        ("UPDATE study_version SET locked_at = 1", STANDS),
        ("UPDATE study_version SET lock_sha256 = 'x'", STANDS),
        ("UPDATE study_version SET state = 'draft'", "the state of a study never goes back"),
        ("UPDATE study_version SET state = 'pilot'", "the state of a study never goes back"),
        ("DELETE FROM study_version", "a study is never deleted from its own database"),
        ("UPDATE slot SET plan = '[]' WHERE number = 59", "a plan never changes"),
        ("UPDATE slot SET number = 100 WHERE number = 59", "a plan never changes"),
        ("UPDATE slot SET mode = 'pilot' WHERE number = 59", "a plan never changes"),
        ("DELETE FROM slot WHERE number = 59", "a plan is never deleted"),
        ("INSERT INTO slot VALUES (99, 'live', '[]', 'free', NULL, NULL)", STANDS),
        ("REPLACE INTO slot VALUES (59, 'live', '[]', 'free', NULL, NULL)", STANDS),
        ("INSERT INTO stimulus VALUES ('x', 'photo', 'Petra', 'x', 1, 1, 1, x'00')", STANDS),
        ("UPDATE stimulus SET image = x'00'", "the images of a study never change"),
        ("DELETE FROM stimulus", STANDS),
        ("UPDATE trial SET answer = 1", "a trial never changes"),
        ("UPDATE trial SET kind = 'main'", "a trial never changes"),
        ("UPDATE trial SET shown_at = 1 WHERE seq = 1", "a trial is shown only once"),
        ("DELETE FROM trial WHERE seq = 1", "a trial is deleted with its participant only"),
        ("UPDATE trial_option SET stimulus = (SELECT min(id) FROM stimulus)", "a trial never changes"),
        ("DELETE FROM trial_option", "a trial is deleted with its participant only"),
        ("UPDATE response SET position = 2", "an answer never changes"),
        ("DELETE FROM response", "an answer is deleted with its participant only"),
        ("REPLACE INTO response SELECT * FROM response", "an answer is deleted with its participant only"),
        ("UPDATE audit SET detail = '{}'", "the audit never changes"),
        ("DELETE FROM audit WHERE seq = 2", "the audit never changes"),
    ],
)
def test_the_database_refuses_every_change_of_a_locked_study(store, person, sql, message):
    answer_one(store, person)
    before = query(store, "SELECT * FROM study_version"), query(store, "SELECT * FROM response")
    assert forbidden(store, sql) == message
    assert (query(store, "SELECT * FROM study_version"), query(store, "SELECT * FROM response")) == before
    assert store.audit_chain_ok()


def test_the_database_of_a_closed_study_refuses_answers(store, person):
    trial = store.current(person).trial_id
    store.close()
    insert = f"INSERT INTO response VALUES ('late-answer', '{trial}', 'image', 1, NULL, NULL, '', 1)"
    assert forbidden(store, insert) == "the study is closed"
    assert forbidden(store, "UPDATE study_version SET state = 'live'") == "the state of a study never goes back"
    assert forbidden(store, "UPDATE study_version SET closed_at = 1") == "a closed study does not change"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE participant SET seen_at = 'today'", "cannot store TEXT value in INTEGER column participant.seen_at"),
        ("UPDATE participant SET mode = 'life'", "CHECK constraint failed: mode IN ('live', 'pilot', 'simulated')"),
        ("UPDATE slot SET leased_at = 1.5", "cannot store REAL value in INTEGER column slot.leased_at"),
        ("UPDATE slot SET state = 'taken'", "CHECK constraint failed: state IN ('free', 'leased', 'complete', 'void')"),
        ("UPDATE trial SET shown_at = x'00'", "cannot store BLOB value in INTEGER column trial.shown_at"),
        (
            "INSERT INTO event VALUES (NULL, (SELECT id FROM participant), 'now', 'joined')",
            "cannot store TEXT value in INTEGER column event.at",
        ),
        (
            "INSERT INTO response SELECT 'answer-1', id, 'image', 'left', 1, 1, '', 1 FROM trial WHERE seq = 1",
            "cannot store TEXT value in INTEGER column response.position",
        ),
        (
            "INSERT INTO response SELECT 'answer-1', id, 'image', NULL, 1, 1, '', 1 FROM trial WHERE seq = 1",
            "CHECK constraint failed: (choice = 'image') = (position IS NOT NULL)",
        ),
        (
            "INSERT INTO response SELECT 'answer-1', id, 'none', 1, 1, 1, '', 1 FROM trial WHERE seq = 1",
            "CHECK constraint failed: (choice = 'image') = (position IS NOT NULL)",
        ),
        (
            "INSERT INTO response SELECT 'answer-1', id, 'best', NULL, 1, 1, '', 1 FROM trial WHERE seq = 1",
            "CHECK constraint failed: choice IN ('image', 'none', 'both', 'neither', 'seen', 'unsure')",
        ),
        (
            "INSERT INTO response SELECT 'answer-1', id, 'none', NULL, -1, 1, '', 1 FROM trial WHERE seq = 1",
            "CHECK constraint failed: client_ms >= 0",
        ),
        (
            "INSERT INTO response VALUES ('answer-1', 'no trial', 'none', NULL, 1, 1, '', 1)",
            "FOREIGN KEY constraint failed",
        ),
    ],
)
def test_the_tables_refuse_wrong_values(store, person, sql, message):
    assert forbidden(store, sql) == message


def test_every_table_is_strict_and_the_journal_mode_is_wal(store):
    listed = {name: strict for _, name, kind, _, _, strict in query(store, "PRAGMA table_list") if kind == "table"}
    ours = {name: strict for name, strict in listed.items() if not name.startswith(("sqlite_", "_sqlite_"))}
    assert ours == dict.fromkeys(
        (
            "study_version",
            "stimulus",
            "participant",
            "slot",
            "trial",
            "trial_option",
            "response",
            "event",
            "audit",
            "outbox",
        ),
        1,
    )
    with transactions.connected(store.file) as db:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "recursive_triggers")
        assert [db.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas] == ["wal", 2, 1, 1, 1]


# --- audit ------------------------------------------------------------------------------------------------------------


def test_the_audit_log_has_every_action(tmp_path, clock):
    store = draft(tmp_path / "s", clock)
    store.join("pilot", "1")
    store.clear_pilot()
    lock_sha256 = store.lock(ANALYSIS)
    store.withdraw(store.current(store.join("live", "1").token).withdrawal_code)
    store.close()
    store.export_rows()
    store.export(tmp_path / "export")
    entries = store.audit()
    assert [(entry["seq"], entry["at"], entry["action"]) for entry in entries] == [
        (number, START, action)
        for number, action in enumerate(
            ["created", "pilot cleared", "key opened", "locked", "withdrawn", "closed", "key opened", "key opened"], 1
        )
    ]
    assert [entry["detail"].get("purpose") for entry in entries if entry["action"] == "key opened"] == [
        "lock",
        "analysis",
        "export",
    ]
    assert (entries[3]["detail"]["lock_sha256"], entries[3]["detail"]["definition_sha256"]) == (
        lock_sha256,
        store.definition().digest(),
    )
    assert [entry["previous"] for entry in entries] == ["0" * 64, *(entry["hash"] for entry in entries[:-1])]
    assert store.audit_chain_ok()


def test_the_audit_log_has_the_opening_before_the_key_is_opened(store):
    store.close()
    (store.folder / "key.db").unlink()
    with pytest.raises(StudyError, match=r"^key\.db is missing"):
        store.export_rows()
    last = store.audit()[-1]
    assert (last["action"], last["detail"]) == ("key opened", {"purpose": "analysis"})


@pytest.mark.parametrize(
    ("trigger", "sql"),
    [
        ("audit_stands", "UPDATE audit SET detail = replace(detail, 'lock', 'look') WHERE seq = 2"),
        ("audit_stands", "UPDATE audit SET at = at - 1 WHERE seq = 1"),
        ("audit_stands", "UPDATE audit SET previous = hash WHERE seq = 3"),
        ("audit_stays", "DELETE FROM audit WHERE seq = 2"),
        ("audit_stays", "DELETE FROM audit WHERE seq = 1"),
        ("audit_stays", "DELETE FROM audit WHERE seq = 3"),
        ("audit_stays", "DELETE FROM audit"),
        ("definition_stands", "UPDATE study_version SET definition = replace(definition, '0.05', '0.10')"),
        ("plan_stands", "UPDATE slot SET plan = (SELECT plan FROM slot WHERE number = 1) WHERE number = 0"),
        ("stimulus_stands", "UPDATE stimulus SET landmark = 'Petra' WHERE landmark = 'Colosseum'"),
        ("state_goes_on", "UPDATE study_version SET state = 'draft'"),
    ],
)
def test_changes_without_the_triggers_are_detected(store, trigger, sql):
    assert store.audit_chain_ok()
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute(f"DROP TRIGGER {trigger}")
        assert connection.execute(sql).rowcount > 0
        connection.commit()
    assert not store.audit_chain_ok()


def test_an_entry_forged_with_its_own_hash_breaks_the_chain(store):
    entry = store.audit()[1]
    entry["detail"] = json.dumps({"purpose": "look"})
    del entry["hash"]
    forged = sha256(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("DROP TRIGGER audit_stands")
        connection.execute("UPDATE audit SET detail = ?, hash = ? WHERE seq = 2", [entry["detail"], forged])
        connection.commit()
    assert not store.audit_chain_ok()


# --- crashes, copies, versions ----------------------------------------------------------------------------------------


ANSWERING = """
import sys
from study.store import Store
store = Store(sys.argv[1])
while True:
    token = store.join("live", "1").token
    current = store.current(token)
    while not current.done:
        answered = current.trial_id
        current = store.answer(token, answered, "answer-" + answered, "image", 1)
        print(token, answered, flush=True)
"""


def start_answering(folder):
    """Start a process in which participants join and answer forever."""
    return subprocess.Popen([sys.executable, "-c", ANSWERING, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.integration
def test_kill_9_loses_no_acknowledged_answer(tmp_path):
    live(tmp_path)
    processes = [start_answering(tmp_path) for _ in range(2)]
    acknowledged = []
    try:
        for number in range(30):
            acknowledged.append(processes[number % 2].stdout.readline().split())
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
    for process in processes:
        rest = process.communicate()[0].splitlines()  # acknowledged between the last line read and the kill
        assert process.returncode == -signal.SIGKILL
        acknowledged += [line.split() for line in rest if len(line) == 65]
    store = Store(tmp_path)
    assert query(store, "PRAGMA integrity_check") == [("ok",)]
    assert query(store, "PRAGMA foreign_key_check") == []
    assert {trial for _, trial in acknowledged} <= {trial for (trial,) in query(store, "SELECT trial FROM response")}
    assert len(acknowledged) >= 30
    for token in {token for token, _ in acknowledged}:
        assert answer_all(store, token).done
    assert store.audit_chain_ok()


@pytest.mark.integration
def test_threads_and_processes_share_a_folder(tmp_path):
    """Connections open and close, so that the journal is created and removed all the time."""
    live(tmp_path)
    other = start_answering(tmp_path)
    store = Store(tmp_path)

    def take_part(_):
        return answer_all(store, store.join("live", "1").token).done

    try:
        assert other.stdout.readline()
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(take_part, range(6))) == [True] * 6
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()
    assert query(store, "PRAGMA integrity_check") == [("ok",)]


def test_with_pooled_connections_the_journal_stays(store, person):
    journal = store.folder / "study.db-wal"
    assert not journal.exists()
    with store.pooled_connections():
        after = answer_one(store, person)
        assert journal.stat().st_size > 0
        assert Store(store.folder).current(person) == after
    assert not journal.exists()
    assert store.current(person) == after


def test_writers_of_one_process_wait_in_a_queue_with_a_timeout(store, person, monkeypatch):
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.0)
    with (
        transactions.writing(store.file),
        study_error("study.db has been locked by another writer for more than 0 s; try again"),
    ):
        store.current(person)
    with pytest.raises(RuntimeError), transactions.writing(store.file):
        raise RuntimeError
    assert store.current(person).number == 1  # the failed writer has left the queue


def test_a_backup_can_be_opened_and_has_every_answer(store, person, tmp_path):
    token = store.join("live", "1").token
    answer_all(store, token)
    after = answer_one(store, person)
    (tmp_path / "copy").mkdir()
    backup = tmp_path / "copy" / "study.db"
    store.backup(backup)
    with closing(sqlite3.connect(backup)) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchall() == [
            ("delete",)
        ]  # so that it can be opened in a read-only folder
    assert [path.name for path in backup.parent.iterdir()] == ["study.db"]
    copy = Store(backup.parent, store._clock)
    assert copy.status() == store.status()
    assert copy.current(person) == after
    assert query(copy, "SELECT * FROM response ORDER BY id") == query(store, "SELECT * FROM response ORDER BY id")
    assert copy.audit_chain_ok()
    answer_one(store, person)
    store.backup(backup)  # replaces the old one
    assert Store(backup.parent).current(person).number == 3


def test_a_backup_works_while_participants_answer(store, person, tmp_path):
    def backup(number):
        store.backup(tmp_path / f"{number}.db")

    with ThreadPoolExecutor(4) as pool:
        copies = pool.map(backup, range(4))
        answer_all(store, person)
        list(copies)
    for number in range(4):
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_backup_that_cannot_be_written_is_an_error(store, tmp_path):
    path = tmp_path / "nowhere" / "study.db"
    with study_error(f"{path} cannot be written (No such file or directory); choose another path"):
        store.backup(path)


def test_a_migration_and_its_record_are_one_transaction(store, monkeypatch):
    migrations = schema.Migrations("study")
    migrations._migrations = list(schema.MIGRATIONS._migrations)
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)

    @migrations()
    def good(db):
        db.execute("CREATE TABLE good (id TEXT PRIMARY KEY) STRICT")

    @migrations()
    def bad(db):
        db.execute("CREATE TABLE bad (id TEXT PRIMARY KEY) STRICT")
        raise RuntimeError("half way")

    def state():
        tables = {name for (name,) in query(store, "SELECT name FROM sqlite_schema WHERE name IN ('good', 'bad')")}
        return tables, [name for (name,) in query(store, "SELECT name FROM _sqlite_migrations ORDER BY id")]

    with pytest.raises(RuntimeError, match="half way"):
        Store(store.folder)
    assert state() == (set(), ["first_tables", "outbox"])
    migrations._migrations.pop()
    Store(store.folder)
    Store(store.folder)
    assert state() == ({"good"}, ["first_tables", "outbox", "good"])


def test_a_study_of_a_newer_version_is_not_changed(store):
    with closing(sqlite3.connect(store.file)) as connection:
        Database(connection)["_sqlite_migrations"].insert(
            {"migration_set": "study", "name": "from_the_future", "applied_at": ""}
        )
    with study_error(
        "study.db was created by a newer version (unknown migration from_the_future); update this program"
    ):
        Store(store.folder)


def test_stores_opened_at_once_migrate_once(tmp_path):
    store = draft(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Store, [tmp_path] * 16))
    assert query(store, "SELECT name FROM _sqlite_migrations") == [("first_tables",), ("outbox",)]


def test_a_file_that_is_no_database_is_an_error(tmp_path):
    (tmp_path / "study.db").write_bytes(b"not a database, but long enough to be looked at" * 10)
    with study_error(
        "study.db cannot be used (file is not a database); try again, and if it happens again, check the "
        "disk or restore a backup"
    ):
        Store(tmp_path)


def test_an_old_sqlite_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.36.0")
    with study_error("SQLite is 3.36.0 but strict tables need 3.37.0; use a newer Python"):
        draft(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_long_transaction_of_another_program_is_an_error(store, person, monkeypatch):
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.0)
    with closing(sqlite3.connect(store.file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with study_error(
            "study.db cannot be used (database is locked); try again, and if it happens again, check the "
            "disk or restore a backup"
        ):
            store.current(person)
        assert store.status().state == "live"  # reading still works


def test_a_bug_is_not_reported_as_an_error_of_the_disk(store):
    with pytest.raises(sqlite3.OperationalError, match="no such table"), transactions.reading(store.file) as db:
        db.execute("SELECT * FROM nowhere")
