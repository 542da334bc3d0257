"""A second copy of what participants did: written before anything is acknowledged, enough to rebuild the study."""

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
from study.replica.backend import Dataset, Folder
from study.replica.replication import NotKept
from study.store import Store
from tests.support.fake_dataset_hub import Hub
from tests.support.study_sample import MINUTE, Clock, answer_all, answer_one, draft, live, query, told, traces
from tests.support.study_site import Browser, site

ROOT = Path(__file__).parents[3]
DOWN = (
    "the second copy cannot be written just now; what you sent is not lost, but it counts only when the copy is "
    "made, so try again in a minute"
)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(replication, "REST", 0.0)


@pytest.fixture
def away(tmp_path, monkeypatch):
    """A folder on other storage, named in the environment."""
    folder = tmp_path / "away"
    folder.mkdir()
    monkeypatch.setenv("STUDY_COPY_FOLDER", str(folder))
    return folder


@pytest.fixture
def store(tmp_path, away):
    return live(tmp_path / "study")


def contents(store):
    """Everything in the tables that people caused."""
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
    """The study from the second store alone."""
    replication.fetch(folder / "study.db", Folder(away))
    store = Store(folder, clock or Clock())
    replication.restored(store.file, Folder(away), store._clock)
    return store


def test_a_study_is_rebuilt_from_the_second_store_alone(tmp_path, store, away):
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
    answer_all(again, begun.token)  # who was in the midst goes on


def test_restoring_twice_changes_nothing(tmp_path, store, away):
    answer_all(store, store.join("live", "1").token)
    again = rebuilt(tmp_path / "again", away)
    before, entries = contents(again), len(again.audit())
    done = replication.restored(again.file, Folder(away), again._clock)
    assert not done.anything
    assert (contents(again), len(again.audit())) == (before, entries)


def test_answers_come_home_to_the_key(tmp_path, store, away):
    """Served elsewhere without the key, analyzed where the key never left."""
    home = shutil.copytree(store.folder, tmp_path / "home")
    (store.folder / "key.db").unlink()
    answer_all(store, store.join("live", "1").token)
    assert main(["restore", str(home), "--json"]) == 0
    back = Store(home)
    back.close()
    assert len(back.export_rows()) == query(store, "SELECT count(*) FROM response")[0][0]


def test_nothing_is_acknowledged_before_it_is_copied(store, away):
    """Whatever a call returns to the participant is in the second store by then."""
    person = store.join("live", "1")
    file = next(away.rglob("people/*.jsonl"))
    for number in range(1, 6):
        answer_one(store, person.token)
        assert journal.answered(file.read_bytes()) == set(range(1, number + 1))


def test_a_store_that_is_down_is_told_and_nothing_is_lost(store, away):
    person = store.join("live", "1")
    now = store.current(person.token)
    away.rename(away.with_name("gone"))
    for _ in range(2):  # the same answer again, and a look at the next question, say the same
        with pytest.raises(NotKept) as error:
            store.answer(person.token, now.trial_id, "answer-one", "image", 1)
        assert str(error.value) == DOWN
    with pytest.raises(NotKept):
        store.current(person.token)
    with pytest.raises(NotKept):
        store.join("live", "1")
    away.with_name("gone").rename(away)
    assert store.answer(person.token, now.trial_id, "answer-one", "image", 2).number == 2
    assert query(store, "SELECT choice, position FROM response") == [("image", 1)], "the first answer counts"
    assert len(list(away.rglob("people/*.jsonl"))) == 2, "who joined in the meantime went out as well"
    assert query(store, "SELECT count(*) FROM outbox") == [(0,)]


def test_a_participant_reads_a_plain_sentence_and_goes_on(store, away):
    with site(lambda: store) as address:
        visit = Browser(address)
        first = visit.begin()
        away.rename(away.with_name("gone"))
        refused = visit.answer(first)
        assert refused.status == 503
        assert "The second copy cannot be written just now" in " ".join(refused.paragraphs)
        assert refused.form is None
        assert visit.now().status == 503, "the next question would say that the answer was kept"
        away.with_name("gone").rename(away)
        assert visit.now().heading != first.heading
    assert query(store, "SELECT count(*) FROM response") == [(1,)]


def test_withdrawing_deletes_there_too(tmp_path, store, away):
    leaves, stays = store.join("live", "1"), store.join("live", "1")
    answer_all(store, leaves.token)
    answer_one(store, stays.token)
    old = tmp_path / "old"
    store.backup(old_file := tmp_path / "old.db")
    marks = traces(store, leaves.participant)
    away.rename(away.with_name("gone"))
    with pytest.raises(NotKept, match="nothing was deleted yet"):
        store.withdraw(withdrawal_code(leaves.token))
    assert store.current(stays.token).number == 2
    away.with_name("gone").rename(away)
    assert store.withdraw(withdrawal_code(leaves.token)) > 20
    left = b"".join(path.read_bytes() for path in away.rglob("*") if path.is_file())
    assert not any(mark.encode() in left for mark in marks)
    assert [path.stem for path in away.rglob("people/*")] == [stays.participant]
    old.mkdir()
    old_file.rename(old / "study.db")  # a copy from before does not bring the person back
    back = Store(old)
    assert back.meet_second().withdrawn == 1
    assert query(back, "SELECT id FROM participant") == [(stays.participant,)]
    assert [path.stem for path in away.rglob("people/*")] == [stays.participant]


def test_the_copy_holds_no_origin_and_no_secret_of_a_person(store, away):
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


def test_pilots_and_simulated_people_are_not_copied(tmp_path, away):
    store = draft(tmp_path / "study")
    answer_one(store, store.join("pilot", "1").token)
    assert list(away.iterdir()) == []
    store = live(tmp_path / "other")
    answer_one(store, store.join("simulated", "1").token)
    assert list(away.rglob("people/*")) == []


def test_people_from_before_are_copied_when_a_second_store_is_named(tmp_path, monkeypatch):
    store = live(tmp_path / "study")
    answer_all(store, store.join("live", "1").token)
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.setenv("STUDY_COPY_FOLDER", str(away))
    store.meet_second()
    assert contents(rebuilt(tmp_path / "again", away)) == contents(store)


def test_two_servers_by_mistake_lose_nothing(tmp_path, store, away):
    """A new container starts while the old one still serves: each sees that somebody else has written."""
    person = store.join("live", "1")
    answer_one(store, person.token)
    other = rebuilt(tmp_path / "other", away)
    answer_one(store, person.token)  # the old one goes on
    late = store.join("live", "1")
    newcomer = other.join("live", "1")
    answer_one(other, person.token)  # it has taken in the second answer by now
    assert other.current(person.token).number == 4
    assert (
        len(journal.answered((away / f"{next(away.iterdir()).name}/people/{person.participant}.jsonl").read_bytes()))
        == 3
    )
    kept = {path.stem for path in away.rglob("people/*.jsonl")}
    assert kept == {person.participant, late.participant, newcomer.participant}


def test_a_place_that_was_given_away_is_given_back_to_who_has_it(tmp_path, away):
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


def test_many_people_at_once_share_calls(store, away, monkeypatch):
    calls, put = [], Folder.put

    def slow(place, files, known=None):
        calls.append(len(files))
        time.sleep(0.05)
        put(place, files, known)

    people = [store.join("live", "1").token for _ in range(16)]
    monkeypatch.setattr(Folder, "put", slow)
    with ThreadPoolExecutor(16) as crowd:
        list(crowd.map(lambda token: answer_one(store, token), people))
    assert query(store, "SELECT count(*) FROM outbox") == [(0,)]
    assert sum(len(journal.answered(path.read_bytes())) for path in away.rglob("*.jsonl")) == 16
    assert len(calls) < 16, "answers that came while a call lasted went out together"


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\xff", b'{"format": 2}\n', b"[1]\n"])
def test_a_damaged_journal_is_told(tmp_path, store, away, damage):
    store.join("live", "1")
    next(away.rglob("people/*.jsonl")).write_bytes(damage)
    with pytest.raises(StudyError, match=r"is damaged; restore it|is of format 2, this program reads 1"):
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
def test_what_was_acknowledged_survives_a_kill_and_the_loss_of_the_disk(tmp_path, away, seconds):
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


def test_a_kill_between_here_and_there_leaves_a_note(tmp_path, store, away, monkeypatch):
    """Killed after the disk here and before the second store: the next look sends it."""
    person = store.join("live", "1")
    now = store.current(person.token)

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(replication.Second, "settle", kill)
        with pytest.raises(Killed):
            store.answer(person.token, now.trial_id, "answer-one", "image", 1)
    replication._seconds.clear()  # another process
    assert Store(store.folder).current(person.token).number == 2
    assert contents(rebuilt(tmp_path / "again", away))["response"] == contents(store)["response"]


# --- the command line -------------------------------------------------------------------------------------------------


def test_publish_and_restore_on_the_command_line(tmp_path, store, away, capsys):
    assert main(["publish", str(store.folder), "--json"]) == 0
    name = json.loads(capsys.readouterr().out)["name"]
    assert (away / name / "base.db").is_file()
    answer_one(store, store.join("live", "1").token)
    assert main(["restore", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "event": "restored",
        "name": name,
        "fetched": True,
        "people": 1,
        "answers": 1,
        "withdrawn": 0,
    }
    assert main(["restore", str(tmp_path / "again"), "--from", str(away)]) == 0
    assert "nothing was missing" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "none"), "--from", str(tmp_path)]) == 1
    assert f"the folder {tmp_path} has no study; put one there with: python -m study publish" in capsys.readouterr().err


def test_without_a_second_store_the_verbs_say_what_to_set(tmp_path, capsys):
    store = live(tmp_path / "study")
    for verb in ("publish", "restore"):
        assert main([verb, str(store.folder)]) == 1
        assert "no second store is named; set STUDY_COPY_FOLDER or STUDY_COPY_DATASET" in capsys.readouterr().err
    unlocked = draft(tmp_path / "draft")
    with told("only a study that is locked and not closed can be served elsewhere; lock it first"):
        replication.publish(unlocked.file, Folder(tmp_path))


# --- the Hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with Hub("me/answers", "hf_secret") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("STUDY_COPY_DATASET", "me/answers")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield server


def test_the_hub_has_every_answer_before_it_is_acknowledged(tmp_path, hub):
    store = live(tmp_path / "study")
    person = store.join("live", "1")
    for number in range(1, 4):
        answer_one(store, person.token)
        (name,) = [name for name in hub.files if "/people/" in name]
        assert journal.answered(hub.files[name]) == set(range(1, number + 1))
    place = Dataset("me/answers", "hf_secret", hub.address)
    replication.fetch(tmp_path / "again/study.db", place)
    replication.restored(tmp_path / "again/study.db", place, Clock())
    assert contents(Store(tmp_path / "again")) == contents(store)
    store.withdraw(withdrawal_code(person.token))
    assert not [name for name in hub.files if "/people/" in name]
    assert hub.squashed, "older versions still had the answers"


def test_people_who_answer_at_once_share_a_commit(tmp_path, hub):
    store = live(tmp_path / "study")
    people = [store.join("live", "1").token for _ in range(3)]
    hub.delay, before = 0.3, len(hub.commits)
    threads = [threading.Thread(target=answer_one, args=(store, token)) for token in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hub.commits) - before <= 2
    assert sum(len(journal.answered(data)) for name, data in hub.files.items() if "/people/" in name) == 3


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "refused (401); check the token in HF_TOKEN"),
        (403, "refused (403); its token may not write there"),
        (429, "has not answered for 1 s; try again later"),
        (500, "has not answered for 1 s; try again later"),
    ],
)
def test_a_hub_that_refuses_is_told_to_the_operator_without_the_token(tmp_path, hub, status, why, monkeypatch, capsys):
    from study.replica import backend

    store = live(tmp_path / "study")
    person = store.join("live", "1")
    monkeypatch.setattr(backend, "PATIENCE", 1.0)
    hub.refuse = status
    with told(DOWN):
        answer_one(store, person.token)
    hub.refuse = None
    said = capsys.readouterr()
    assert f"second copy: the dataset me/answers on the Hub {why}\n" in said.out
    assert "hf_secret" not in said.out + said.err
    assert store.current(person.token).number == 2, "and when it is back, it goes on"


def test_another_writer_on_the_hub_is_noticed(tmp_path, hub):
    store = live(tmp_path / "study")
    person = store.join("live", "1")
    hub.commit({"else.txt": b"somebody else"})
    assert answer_one(store, person.token).number == 2
    assert [journal.answered(data) for name, data in hub.files.items() if "/people/" in name] == [{1}]
