"""Writes are all or nothing, and every refusal gives one sentence."""

import errno
import json
import os

import pytest

from adapters.settings import StudioError
from ghibli_studio.workspace import files
from ghibli_studio.workspace.files import (
    append_line,
    explain_os_error,
    make_folder,
    read_json,
    read_lines,
    write_atomic,
    write_json,
)

DIFFERENT = "choose another folder with --workspace"


def refuse(number):
    """Return a file system function that always raises the error with this number."""

    def call(*_, **__):
        raise OSError(number, os.strerror(number))

    return call


class Usage:
    """Result of `disk_usage` for a nearly full disk; the folder has to exist."""

    def __init__(self, folder):
        assert folder.exists()
        self.free = 3 * 2**20 + 17


def test_a_file_is_written_with_its_parent_folders(tmp_path):
    write_atomic(tmp_path / "a" / "b" / "text.txt", "Ghibli über alles\n")
    write_atomic(tmp_path / "a" / "b" / "data.bin", b"\x00\xff")
    assert (tmp_path / "a/b/text.txt").read_bytes() == "Ghibli über alles\n".encode()
    assert (tmp_path / "a/b/data.bin").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == ["data.bin", "text.txt"]


def test_a_file_has_the_same_permissions_as_other_files(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomic(tmp_path / "atomic", "")
    assert oct((tmp_path / "atomic").stat().st_mode) == oct((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("blow", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_an_interrupted_write_leaves_only_the_old_content(tmp_path, monkeypatch, blow):
    path = tmp_path / "config.json"
    write_atomic(path, "old")

    def fsync(_):
        assert len(list(tmp_path.iterdir())) == 2, "the new content is under another name until it is complete"
        raise blow

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises((KeyboardInterrupt, StudioError)):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_stays_until_the_new_content_is_on_disk(tmp_path, monkeypatch):
    path, order = tmp_path / "a", []
    monkeypatch.setattr(files.os, "fsync", lambda _: order.append("fsync"))
    replace = files.Path.replace
    monkeypatch.setattr(files.Path, "replace", lambda self, to: (order.append("rename"), replace(self, to))[1])
    write_atomic(path, "x")
    assert order == ["fsync", "rename"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_with_the_free_space(tmp_path, monkeypatch, number):
    path = tmp_path / "new folder" / "file"
    monkeypatch.setattr(files.os, "fsync", refuse(number))
    monkeypatch.setattr(files.shutil, "disk_usage", Usage)
    with pytest.raises(StudioError) as caught:
        write_atomic(path, "x")
    assert str(caught.value) == (
        f"the disk is full (3 MB free, cannot write {path}); free some space or choose another --workspace. Finished "
        "work is kept"
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_read_only_folder_is_reported(tmp_path, monkeypatch, number):
    monkeypatch.setattr(files.os, "fsync", refuse(number))
    with pytest.raises(StudioError) as caught:
        write_atomic(tmp_path / "file", "x")
    assert str(caught.value) == f"no permission to write {tmp_path / 'file'}; {DIFFERENT}"


def test_the_message_names_the_file_and_not_its_temporary_name(tmp_path, monkeypatch):
    def open_(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(files.Path, "open", open_)
    with pytest.raises(StudioError) as caught:
        write_atomic(tmp_path / "project.json", "x")
    assert str(caught.value) == f"no permission to write {tmp_path / 'project.json'}; {DIFFERENT}"


def test_any_other_refusal_keeps_the_message_of_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", refuse(errno.EIO))
    with pytest.raises(StudioError) as caught:
        write_atomic(tmp_path / "file", "x")
    assert str(caught.value) == f"{tmp_path / 'file'} cannot be used (Input/output error); {DIFFERENT}"


def test_the_file_named_by_the_system_takes_precedence(tmp_path):
    error = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "inner"))
    assert str(explain_os_error(error, tmp_path)) == f"no permission to write {tmp_path / 'inner'}; {DIFFERENT}"


@pytest.mark.parametrize("write", [make_folder, lambda path: write_json(path, {}), lambda path: write_atomic(path, "")])
def test_a_file_in_place_of_a_folder_is_reported(tmp_path, write):
    (tmp_path / "workspace").write_text("I am a file")
    with pytest.raises(StudioError, match=rf"cannot be used \((Not a directory|File exists)\); {DIFFERENT}"):
        write(tmp_path / "workspace" / "project" / "x")
    assert (tmp_path / "workspace").read_text() == "I am a file"


def test_json_round_trips_with_any_letters(tmp_path):
    value = {"name": "Đà Nẵng 🏯", "list": [1, 2.5, None, True]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Đà Nẵng 🏯" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_a_missing_or_damaged_json_file_is_reported(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(StudioError) as caught:
        read_json(path)
    assert str(caught.value) == f"{path} cannot be read (No such file or directory); was the project moved or deleted?"
    path.write_text('{"a": ')
    with pytest.raises(StudioError) as caught:
        read_json(path)
    assert str(caught.value) == (
        f"{path} is damaged (Expecting value: line 1 column 7 (char 6)); restore it from a copy or delete it"
    )
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(StudioError, match=r"a\.json is damaged \('utf-8' codec can't decode"):
        read_json(path)


def test_lines_are_read_in_order_and_a_missing_file_is_empty(tmp_path):
    path = tmp_path / "progress.jsonl"
    assert read_lines(path) == []
    for number in range(3):
        append_line(path, {"n": number, "text": "Zürich\n"})
    assert read_lines(path) == [{"n": number, "text": "Zürich\n"} for number in range(3)]
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("cut", range(1, len('{"event": "epoch"}')))
def test_a_truncated_last_line_is_skipped_and_does_not_swallow_the_next(tmp_path, cut):
    path = tmp_path / "progress.jsonl"
    append_line(path, {"event": "step"})
    with path.open("a") as file:
        file.write('{"event": "epoch"}'[:cut])
    assert read_lines(path) == [{"event": "step"}]
    append_line(path, {"event": "next"})
    assert read_lines(path) == [{"event": "step"}, {"event": "next"}]


def test_a_line_that_is_not_text_is_skipped(tmp_path):
    path = tmp_path / "progress.jsonl"
    path.write_bytes(b'{"a": 1}\n\xff\xfe\x00\n{"b": 2}\n')
    assert read_lines(path) == [{"a": 1}, {"b": 2}]


def test_a_line_on_a_full_disk_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(files.Path, "open", refuse(errno.ENOSPC))
    with pytest.raises(StudioError, match=r"^the disk is full \(\d+ MB free, cannot write .*progress\.jsonl\)"):
        append_line(tmp_path / "progress.jsonl", {"a": 1})


def test_a_reader_never_sees_half_a_file(tmp_path):
    """Read one of two complete states at any time."""
    import threading

    path, stop = tmp_path / "state.json", threading.Event()
    states = [{"of": "a" * 20_000}, {"of": "b" * 30_000}]
    write_json(path, states[0])

    def write():
        while not stop.is_set():
            for state in states:
                write_json(path, state)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [json.loads(path.read_text()) in states for _ in range(200)]
    finally:
        stop.set()
        writer.join()
    assert all(seen)
