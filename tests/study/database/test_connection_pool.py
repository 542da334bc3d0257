"""Connections that are kept: used again while a study is served, never for another file, and closed at the end."""

import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from study.database import connection_pool, transactions
from study.database.transactions import opened, reading, rows, writing
from study.store import Store
from tests.support.study_sample import answer_one, draft, live, query, told


@pytest.fixture
def store(tmp_path):
    return live(tmp_path / "study")


def used(store):
    with opened(store.file) as db:
        return db.conn


def closed(connection):
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        return str(error) == "Cannot operate on a closed database."
    return False


def test_each_task_has_a_connection_of_its_own(store):
    first, second = used(store), used(store)
    assert first is not second
    assert closed(first)
    assert closed(second)
    assert connection_pool.KEPT == {}


def test_while_a_study_is_held_connections_are_used_again(store):
    with store.held():
        first = used(store)
        assert used(store) is first
        assert not closed(first)
        with opened(store.file) as outer, opened(store.file) as inner:
            assert outer.conn is first
            assert inner.conn is not first
        assert len(connection_pool.KEPT[store.file.absolute()]) == 2
    assert closed(first)
    assert closed(inner.conn)
    assert connection_pool.KEPT == {}
    assert sorted(path.name for path in store.folder.iterdir()) == ["key.db", "study.db"]


def test_a_held_study_is_let_go_of_before_it_is_moved(store, tmp_path):
    store.hold()
    first = used(store)
    assert used(store) is first
    with opened(store.file) as busy:
        store.move(tmp_path / "elsewhere")
    assert closed(busy.conn)
    assert connection_pool.KEPT == {}
    assert Store(tmp_path / "elsewhere").status().state == "live"
    other = live(tmp_path / "study")
    answer_one(other, other.join("live", "1").token)
    assert query(other, "PRAGMA integrity_check") == [("ok",)]


def test_after_a_failure_a_connection_is_not_used_again(store):
    with store.held():
        connection = used(store)
        with pytest.raises(sqlite3.IntegrityError), writing(store.file) as db:
            db.execute("UPDATE stimulus SET role = 'photo'")
        assert db.conn is connection
        assert closed(connection)
        with opened(store.file) as left:
            left.conn.execute("BEGIN")
        assert closed(left.conn)
        assert connection_pool.KEPT[store.file.absolute()] == []


def test_a_file_that_was_put_back_is_the_one_that_is_read(store, tmp_path):
    store.backup(tmp_path / "backup.db")
    with store.held():
        token = store.join("live", "1").token
        answer_one(store, token)
        for path in store.folder.glob("study.db*"):
            path.unlink()
        shutil.copy(tmp_path / "backup.db", store.file)
        assert store.status().counts == {}
        with told("this personal link is not known; it was shortened, or its answers were withdrawn"):
            store.current(token)
        token = store.join("live", "1").token
        answer_one(store, token)
    assert Store(store.folder).current(token).number == 2


def test_a_file_that_has_gone_is_told(store):
    with store.held():
        used(store)
        store.file.unlink()
        with told(
            "study.db cannot be used (unable to open database file); try again, and if it stays so, look at the "
            "disk or restore a backup"
        ):
            store.status()


def test_other_studies_are_not_held(store, tmp_path):
    with store.held():
        other = draft(tmp_path / "other")
        assert closed(used(other))
    assert sorted(path.name for path in other.folder.iterdir()) == ["key.db", "study.db"]


@pytest.mark.parametrize("held", [True, False])
def test_many_threads_share_them_and_write_one_after_the_other(store, held):
    people = [store.join("live", "1").token for _ in range(8)]

    def walk(token):
        for _ in range(6):
            answer_one(store, token)
        return store.current(token).number

    with store.held() if held else ThreadPoolExecutor(1), ThreadPoolExecutor(8) as threads:
        assert list(threads.map(walk, people)) == [7] * 8
    assert query(store, "SELECT count(*) FROM response") == [(48,)]


def test_whoever_waits_too_long_for_another_writer_is_told(store, monkeypatch):
    monkeypatch.setattr(transactions, "PATIENCE", 0.01)
    inside, done = threading.Event(), threading.Event()

    def slow():
        with writing(store.file):
            inside.set()
            done.wait(30)

    with ThreadPoolExecutor(1) as threads:
        writer = threads.submit(slow)
        assert inside.wait(30)
        with told("study.db is being written to for more than 0.01 s; try again"):
            store.join("live", "1")
        with reading(store.file) as db:  # readers do not wait
            assert rows(db, "SELECT count(*) AS n FROM participant") == [{"n": 0}]
        done.set()
        writer.result()
    store.join("live", "1")


def test_a_file_that_is_no_database_is_told_and_let_go(store):
    store.file.write_bytes(b"no database" * 1000)
    with store.held():
        with told(
            "study.db cannot be used (file is not a database); try again, and if it stays so, look at the disk "
            "or restore a backup"
        ):
            store.status()
        assert connection_pool.KEPT[store.file.absolute()] == []
