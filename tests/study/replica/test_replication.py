"""The replica: written before an answer is acknowledged, and enough to rebuild the study."""

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from study import StudyError
from study.cli.app import main
from study.database.tokens import withdrawal_code
from study.replica import journal, replication
from study.replica.backend import DatasetBackend, FolderBackend
from study.replica.replication import ReplicaError
from study.store import Store
from tests.support.fake_dataset_hub import Hub
from tests.support.study_sample import MINUTE, Clock, answer_all, answer_one, draft, live, query, study_error, traces
from tests.support.study_site import Browser, site

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
UNREACHABLE = (
    "the copy of your data cannot be written at the moment; your answer is saved, but it does not count until it has "
    "been copied, so try again in a minute"
)


@pytest.fixture(autouse=True)
def no_pause_after_errors(monkeypatch):
    monkeypatch.setattr(replication, "RETRY_SECONDS", 0.0)


@pytest.fixture
def away(tmp_path, monkeypatch):
    """A replica folder that the environment names."""
    folder = tmp_path / "away"
    folder.mkdir()
    monkeypatch.setenv("STUDY_REPLICA_FOLDER", str(folder))
    return folder


@pytest.fixture
def store(tmp_path, away):
    return live(tmp_path / "study")


def contents(store):
    """Return all rows that participants caused."""
    return {
        "participant": query(
            store,
            "SELECT id, token_sha256, withdrawal_sha256, mode, state, plan, consent_version, "
            "consent_at, completion_code FROM participant ORDER BY id",
        ),
        "trial": query(store, "SELECT t.* FROM trial t JOIN response r ON r.trial = t.id ORDER BY t.id")
        + query(store, "SELECT t.id, t.seq, t.kind, t.question, t.menu, t.answer FROM trial t ORDER BY t.id"),
        "option": query(store, "SELECT * FROM trial_option ORDER BY view_token"),
        "response": query(store, "SELECT * FROM response ORDER BY id"),
        "slot": query(store, "SELECT number, mode, state, participant FROM slot ORDER BY number"),
    }


def rebuilt(folder, away, clock=None):
    """Return the study from the replica alone."""
    replication.fetch_study(folder / "study.db", FolderBackend(away))
    store = Store(folder, clock or Clock())
    replication.pull(store.file, FolderBackend(away), store._clock)
    return store


def test_a_study_is_rebuilt_from_the_replica_alone(tmp_path, store, away):
    finished, begun = store.join("live", "1"), store.join("live", "1")
    answer_all(store, finished.token, client_ms=1200, input="touch")
    for _ in range(3):
        answer_one(store, begun.token)
    before = contents(store)
    assert len(before["response"]) > 20
    shutil.rmtree(store.folder)
    again = rebuilt(tmp_path / "again", away)
    assert contents(again) == before
    assert again.current(finished.token).completion_code
    assert again.current(begun.token).number == 4
    assert again.audit_chain_ok()
    assert [entry["action"] for entry in again.audit()][-1] == "restored"
    assert not (again.folder / "key.db").exists()
    answer_all(again, begun.token)  # the unfinished participant can continue


def test_a_second_pull_changes_nothing(tmp_path, store, away):
    answer_all(store, store.join("live", "1").token)
    again = rebuilt(tmp_path / "again", away)
    before, entries = contents(again), len(again.audit())
    summary = replication.pull(again.file, FolderBackend(away), again._clock)
    assert not summary.changed
    assert (contents(again), len(again.audit())) == (before, entries)


def test_answers_are_pulled_to_the_folder_with_the_key(tmp_path, store, away):
    """The study is served elsewhere without the key, and analyzed where the key is."""
    home = shutil.copytree(store.folder, tmp_path / "home")
    (store.folder / "key.db").unlink()
    answer_all(store, store.join("live", "1").token)
    assert main(["pull", str(home), "--json"]) == 0
    back = Store(home)
    back.close()
    assert len(back.export_rows()) == query(store, "SELECT count(*) FROM response")[0][0]


def test_nothing_is_acknowledged_before_it_is_replicated(store, away):
    """When a call returns, the replica has the answer."""
    person = store.join("live", "1")
    file = next(away.rglob("participants/*.jsonl"))
    for number in range(1, 6):
        answer_one(store, person.token)
        assert journal.answered_trials(file.read_bytes()) == set(range(1, number + 1))


def test_an_unreachable_replica_is_an_error_and_nothing_is_lost(store, away):
    person = store.join("live", "1")
    now = store.current(person.token)
    away.rename(away.with_name("gone"))
    for _ in range(2):  # the same answer again, and the next question, give the same error
        with pytest.raises(ReplicaError) as error:
            store.answer(person.token, now.trial_id, "answer-one", "image", 1)
        assert str(error.value) == UNREACHABLE
    with pytest.raises(ReplicaError):
        store.current(person.token)
    with pytest.raises(ReplicaError):
        store.join("live", "1")
    away.with_name("gone").rename(away)
    assert store.answer(person.token, now.trial_id, "answer-one", "image", 2).number == 2
    assert query(store, "SELECT choice, position FROM response") == [("image", 1)], "the first answer counts"
    assert len(list(away.rglob("participants/*.jsonl"))) == 2, "a participant who joined meanwhile was replicated too"
    assert query(store, "SELECT count(*) FROM outbox") == [(0,)]


def test_a_participant_sees_a_message_and_can_continue(store, away):
    with site(lambda: store) as address:
        visit = Browser(address)
        first = visit.begin()
        away.rename(away.with_name("gone"))
        refused = visit.answer(first)
        assert refused.status == 503
        assert "The copy of your data cannot be written at the moment" in " ".join(refused.paragraphs)
        assert refused.form is None
        assert visit.now().status == 503, "the next question would mean that the answer was saved"
        away.with_name("gone").rename(away)
        assert visit.now().heading != first.heading
    assert query(store, "SELECT count(*) FROM response") == [(1,)]


def test_withdrawal_deletes_the_journal_too(tmp_path, store, away):
    leaves, stays = store.join("live", "1"), store.join("live", "1")
    answer_all(store, leaves.token)
    answer_one(store, stays.token)
    old = tmp_path / "old"
    store.backup(old_file := tmp_path / "old.db")
    marks = traces(store, leaves.participant)
    away.rename(away.with_name("gone"))
    with pytest.raises(ReplicaError, match="nothing was deleted yet"):
        store.withdraw(withdrawal_code(leaves.token))
    assert store.current(stays.token).number == 2
    away.with_name("gone").rename(away)
    assert store.withdraw(withdrawal_code(leaves.token)) > 20
    left = b"".join(path.read_bytes() for path in away.rglob("*") if path.is_file())
    assert not any(mark.encode() in left for mark in marks)
    assert [path.stem for path in away.rglob("participants/*")] == [stays.participant]
    old.mkdir()
    old_file.rename(old / "study.db")  # an old backup does not bring the participant back
    back = Store(old)
    assert back.sync_replica().withdrawn == 1
    assert query(back, "SELECT id FROM participant") == [(stays.participant,)]
    assert [path.stem for path in away.rglob("participants/*")] == [stays.participant]


def test_the_replica_has_no_origin_and_no_secret_of_a_participant(store, away):
    person = store.join("live", "1")
    answer_all(store, person.token)
    with closing(sqlite3.connect(store.folder / "key.db")) as key:
        sources = {value for row in key.execute("SELECT source_sha256 FROM origin") for value in row}
    everything = b"".join(path.read_bytes() for path in away.rglob("*") if path.is_file())
    lines = b"".join(path.read_bytes() for path in away.rglob("*.jsonl")).decode()
    assert sources
    assert not any(one.encode() in everything for one in sources)
    assert person.token.encode() not in everything
    assert withdrawal_code(person.token) not in lines
    assert not any(word in lines for word in ("lora", '"ti"', "original", "origin"))


def test_pilot_and_simulated_participants_are_not_replicated(tmp_path, away):
    store = draft(tmp_path / "study")
    answer_one(store, store.join("pilot", "1").token)
    assert list(away.iterdir()) == []
    store = live(tmp_path / "other")
    answer_one(store, store.join("simulated", "1").token)
    assert list(away.rglob("participants/*")) == []


def test_earlier_participants_are_replicated_when_a_replica_is_configured(tmp_path, monkeypatch):
    store = live(tmp_path / "study")
    answer_all(store, store.join("live", "1").token)
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.setenv("STUDY_REPLICA_FOLDER", str(away))
    store.sync_replica()
    assert contents(rebuilt(tmp_path / "again", away)) == contents(store)


def test_two_servers_by_mistake_lose_nothing(tmp_path, store, away):
    """A new container starts while the old one still serves: each detects the writes of the other."""
    person = store.join("live", "1")
    answer_one(store, person.token)
    other = rebuilt(tmp_path / "other", away)
    answer_one(store, person.token)  # the old server continues
    late = store.join("live", "1")
    newcomer = other.join("live", "1")
    answer_one(other, person.token)  # it has restored the second answer by now
    assert other.current(person.token).number == 4
    assert (
        len(
            journal.answered_trials(
                (away / f"{next(away.iterdir()).name}/participants/{person.participant}.jsonl").read_bytes()
            )
        )
        == 3
    )
    kept = {path.stem for path in away.rglob("participants/*.jsonl")}
    assert kept == {person.participant, late.participant, newcomer.participant}


def test_a_slot_is_restored_to_its_last_owner(tmp_path, away):
    clock = Clock()
    store = live(tmp_path / "study", clock, participants=2)
    gone, stays = store.join("live", "1"), store.join("live", "1")
    answer_one(store, gone.token)
    clock.pass_(400 * MINUTE)
    others = [answer_all(store, store.join("live", "1").token) for _ in range(2)]
    assert all(one.done for one in others)
    again = rebuilt(tmp_path / "again", away, clock)
    assert contents(again)["slot"] == contents(store)["slot"]
    assert contents(again)["response"] == contents(store)["response"]
    assert stays.participant in {row[0] for row in contents(again)["participant"]}


def test_concurrent_answers_share_calls(store, away, monkeypatch):
    calls, write = [], FolderBackend.write

    def slow(backend, files, expected=None):
        calls.append(len(files))
        time.sleep(0.05)
        write(backend, files, expected)

    tokens = [store.join("live", "1").token for _ in range(16)]
    monkeypatch.setattr(FolderBackend, "write", slow)
    with ThreadPoolExecutor(16) as crowd:
        list(crowd.map(lambda token: answer_one(store, token), tokens))
    assert query(store, "SELECT count(*) FROM outbox") == [(0,)]
    assert sum(len(journal.answered_trials(path.read_bytes())) for path in away.rglob("*.jsonl")) == 16
    assert len(calls) < 16, "answers that arrived during a call share the next one"


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\xff", b'{"format": 2}\n', b"[1]\n"])
def test_a_damaged_journal_is_an_error(tmp_path, store, away, damage):
    store.join("live", "1")
    next(away.rglob("participants/*.jsonl")).write_bytes(damage)
    with pytest.raises(
        StudyError, match=r"is damaged; restore an older version|has format 2, but this version reads format 1"
    ):
        rebuilt(tmp_path / "again", away)


SERVE = """
import sys
from study.store import Store
store = Store({folder!r})
while True:
    person = store.join("live", "1")
    print("joined", person.token, flush=True)
    now = store.current(person.token)
    while not now.done:
        one, choice = now.trial_id, ("seen", None) if now.block == "view" else ("image", 1)
        now = store.answer(person.token, one, "answer-" + one, *choice)
        print("answered", one, flush=True)
"""


@pytest.mark.parametrize("seconds", [0.15, 0.4, 0.9])
def test_acknowledged_answers_survive_a_kill_and_the_loss_of_the_disk(tmp_path, away, seconds):
    store = live(tmp_path / "study")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE.format(folder=str(store.folder))], cwd=ROOT, text=True, stdout=subprocess.PIPE
    )
    first = process.stdout.readline()
    time.sleep(seconds * random.uniform(0.8, 1.2))
    process.send_signal(signal.SIGKILL)
    lines = [first, *process.stdout.read().splitlines()]
    process.wait()
    shutil.rmtree(store.folder)
    again = rebuilt(tmp_path / "again", away)
    answered = {line.split()[1] for line in lines if line.startswith("answered") and len(line.split()[-1]) == 32}
    assert answered
    assert answered <= {one for (one,) in query(again, "SELECT trial FROM response")}
    for line in lines:
        if line.startswith("joined"):
            again.current(line.split()[1])
    assert not list(away.rglob("*.tmp"))


def test_a_kill_between_disk_and_replica_leaves_a_note(tmp_path, store, away, monkeypatch):
    """If the program is killed after the disk and before the replica, the next request sends the answer."""
    person = store.join("live", "1")
    now = store.current(person.token)

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(replication.Replica, "flush", kill)
        with pytest.raises(Killed):
            store.answer(person.token, now.trial_id, "answer-one", "image", 1)
    replication._replicas.clear()  # another process
    assert Store(store.folder).current(person.token).number == 2
    assert contents(rebuilt(tmp_path / "again", away))["response"] == contents(store)["response"]


# --- the command line -------------------------------------------------------------------------------------------------


def test_push_and_pull_on_the_command_line(tmp_path, store, away, capsys):
    assert main(["push", str(store.folder), "--json"]) == 0
    name = json.loads(capsys.readouterr().out)["name"]
    assert (away / name / "base.db").is_file()
    answer_one(store, store.join("live", "1").token)
    assert main(["pull", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "event": "pulled",
        "name": name,
        "fetched": True,
        "participants": 1,
        "answers": 1,
        "withdrawn": 0,
    }
    assert main(["pull", str(tmp_path / "again"), "--from", str(away)]) == 0
    assert "nothing was missing" in capsys.readouterr().out
    assert main(["pull", str(tmp_path / "none"), "--from", str(tmp_path)]) == 1
    assert f"the folder {tmp_path} has no study; put one there with: python -m study push" in capsys.readouterr().err


def test_without_a_replica_the_commands_name_the_variables(tmp_path, capsys):
    store = live(tmp_path / "study")
    for command in ("push", "pull"):
        assert main([command, str(store.folder)]) == 1
        assert "no replica is configured; set STUDY_REPLICA_FOLDER or STUDY_REPLICA_DATASET" in capsys.readouterr().err
    unlocked = draft(tmp_path / "draft")
    with study_error("only a study that is locked and not closed can be served elsewhere; lock it first"):
        replication.push(unlocked.file, FolderBackend(tmp_path))


# --- the Hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with Hub("me/answers", "hf_secret") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("STUDY_REPLICA_DATASET", "me/answers")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield server


def test_the_hub_has_every_answer_before_it_is_acknowledged(tmp_path, hub):
    store = live(tmp_path / "study")
    person = store.join("live", "1")
    for number in range(1, 4):
        answer_one(store, person.token)
        (name,) = [name for name in hub.files if "/participants/" in name]
        assert journal.answered_trials(hub.files[name]) == set(range(1, number + 1))
    backend = DatasetBackend("me/answers", "hf_secret", hub.address)
    replication.fetch_study(tmp_path / "again/study.db", backend)
    replication.pull(tmp_path / "again/study.db", backend, Clock())
    assert contents(Store(tmp_path / "again")) == contents(store)
    store.withdraw(withdrawal_code(person.token))
    assert not [name for name in hub.files if "/participants/" in name]
    assert hub.squashed, "older versions still had the answers"


def test_concurrent_answers_share_a_commit(tmp_path, hub):
    store = live(tmp_path / "study")
    tokens = [store.join("live", "1").token for _ in range(3)]
    hub.delay, before = 0.3, len(hub.commits)
    threads = [threading.Thread(target=answer_one, args=(store, token)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hub.commits) - before <= 2
    assert sum(len(journal.answered_trials(data)) for name, data in hub.files.items() if "/participants/" in name) == 3


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "refused (401); check the token in HF_TOKEN"),
        (403, "refused (403); use a token with write access"),
        (429, "has not answered for 1 s; try again later"),
        (500, "has not answered for 1 s; try again later"),
    ],
)
def test_an_error_of_the_hub_is_printed_for_the_operator_without_the_token(
    tmp_path, hub, status, reason, monkeypatch, capsys
):
    from study.replica import backend

    store = live(tmp_path / "study")
    person = store.join("live", "1")
    monkeypatch.setattr(backend, "CALL_TIMEOUT", 1.0)
    hub.refuse = status
    with study_error(UNREACHABLE):
        answer_one(store, person.token)
    hub.refuse = None
    printed = capsys.readouterr()
    assert f"replica: the dataset me/answers on the Hub {reason}\n" in printed.out
    assert "hf_secret" not in printed.out + printed.err
    assert store.current(person.token).number == 2, "it works again when the Hub is back"


def test_another_writer_on_the_hub_is_detected(tmp_path, hub):
    store = live(tmp_path / "study")
    person = store.join("live", "1")
    hub.commit({"else.txt": b"somebody else"})
    assert answer_one(store, person.token).number == 2
    assert [journal.answered_trials(data) for name, data in hub.files.items() if "/participants/" in name] == [{1}]
