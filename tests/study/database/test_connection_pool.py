"""The connection pool: reuse while a study is served, never for another file, and closing at the end."""

import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from study.database import connection_pool, transactions
from study.database.transactions import connected, reading, rows, writing
from study.store import Store
from tests.support.study_sample import answer_one, draft, live, query, study_error


@pytest.fixture
def store(tmp_path):
    return live(tmp_path / "study")


def used(store):
    with connected(store.file) as db:
        return db.conn


def closed(connection):
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        return str(error) == "Cannot operate on a closed database."
    return False


def test_each_task_has_its_own_connection(store):
    first, second = used(store), used(store)
    assert first is not second
    assert closed(first)
    assert closed(second)
    assert connection_pool.POOLS == {}


def test_with_a_pool_connections_are_reused(store):
    with store.pooled_connections():
        first = used(store)
        assert used(store) is first
        assert not closed(first)
        with connected(store.file) as outer, connected(store.file) as inner:
            assert outer.conn is first
            assert inner.conn is not first
        assert len(connection_pool.POOLS[store.file.absolute()]) == 2
    assert closed(first)
    assert closed(inner.conn)
    assert connection_pool.POOLS == {}
    assert sorted(path.name for path in store.folder.iterdir()) == ["key.db", "study.db"]


def test_the_pool_is_closed_before_a_study_is_moved(store, tmp_path):
    store.open_connection_pool()
    first = used(store)
    assert used(store) is first
    with connected(store.file) as busy:
        store.move(tmp_path / "elsewhere")
    assert closed(busy.conn)
    assert connection_pool.POOLS == {}
    assert Store(tmp_path / "elsewhere").status().state == "live"
    other = live(tmp_path / "study")
    answer_one(other, other.join("live", "1").token)
    assert query(other, "PRAGMA integrity_check") == [("ok",)]


def test_after_a_failure_a_connection_is_not_reused(store):
    with store.pooled_connections():
        connection = used(store)
        with pytest.raises(sqlite3.IntegrityError), writing(store.file) as db:
            db.execute("UPDATE stimulus SET role = 'photo'")
        assert db.conn is connection
        assert closed(connection)
        with connected(store.file) as left:
            left.conn.execute("BEGIN")
        assert closed(left.conn)
        assert connection_pool.POOLS[store.file.absolute()] == []


def test_a_restored_file_is_the_one_that_is_read(store, tmp_path):
    store.backup(tmp_path / "backup.db")
    with store.pooled_connections():
        token = store.join("live", "1").token
        answer_one(store, token)
        for path in store.folder.glob("study.db*"):
            path.unlink()
        shutil.copy(tmp_path / "backup.db", store.file)
        assert store.status().counts == {}
        with study_error("this personal link is unknown; it was shortened, or its answers were withdrawn"):
            store.current(token)
        token = store.join("live", "1").token
        answer_one(store, token)
    assert Store(store.folder).current(token).number == 2


def test_a_missing_file_is_an_error(store):
    with store.pooled_connections():
        used(store)
        store.file.unlink()
        with study_error(
            "study.db cannot be used (unable to open database file); try again, and if it happens again, "
            "check the disk or restore a backup"
        ):
            store.status()


def test_other_studies_have_no_pool(store, tmp_path):
    with store.pooled_connections():
        other = draft(tmp_path / "other")
        assert closed(used(other))
    assert sorted(path.name for path in other.folder.iterdir()) == ["key.db", "study.db"]


@pytest.mark.parametrize("pooled", [True, False])
def test_many_threads_share_the_pool_and_write_one_after_the_other(store, pooled):
    tokens = [store.join("live", "1").token for _ in range(8)]

    def answer_six(token):
        for _ in range(6):
            answer_one(store, token)
        return store.current(token).number

    with store.pooled_connections() if pooled else ThreadPoolExecutor(1), ThreadPoolExecutor(8) as threads:
        assert list(threads.map(answer_six, tokens)) == [7] * 8
    assert query(store, "SELECT count(*) FROM response") == [(48,)]


def test_waiting_too_long_for_another_writer_is_an_error(store, monkeypatch):
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.01)
    inside, done = threading.Event(), threading.Event()

    def slow():
        with writing(store.file):
            inside.set()
            done.wait(30)

    with ThreadPoolExecutor(1) as threads:
        writer = threads.submit(slow)
        assert inside.wait(30)
        with study_error("study.db has been locked by another writer for more than 0.01 s; try again"):
            store.join("live", "1")
        with reading(store.file) as db:  # readers do not wait
            assert rows(db, "SELECT count(*) AS n FROM participant") == [{"n": 0}]
        done.set()
        writer.result()
    store.join("live", "1")


def test_a_file_that_is_no_database_is_an_error_and_is_closed(store):
    store.file.write_bytes(b"no database" * 1000)
    with store.pooled_connections():
        with study_error(
            "study.db cannot be used (file is not a database); try again, and if it happens again, check "
            "the disk or restore a backup"
        ):
            store.status()
        assert connection_pool.POOLS[store.file.absolute()] == []
