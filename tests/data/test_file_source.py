"""Folders, ZIPs and uploads as file sources: listing, reading, and attacks by names and headers."""

import errno
import os
import random
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from adapters.settings import StudioError
from ghibli_studio.data import file_source
from ghibli_studio.data.file_source import open_source
from tests.support.dataset_files import CAPTIONS, folder_of, image_bytes, patched, tree, with_captions, zip_of

FILES = with_captions(CAPTIONS)


def contents(source):
    """Return every name with its bytes or the error message, in the order of the source."""
    found = {}
    with open_source(source) as files:
        for name in files.names():
            try:
                found[name] = files.read(name)
            except StudioError as error:
                found[name] = str(error)
    return found


def refusal(source):
    """Return the error message for the source."""
    with pytest.raises(StudioError) as caught, open_source(source) as files:
        files.names()
    return str(caught.value)


def every_source(tmp_path, files):
    """Return the same files as a folder, a ZIP, an upload of that ZIP, and an upload of all files."""
    root, archive = folder_of(tmp_path / "in", files), zip_of(tmp_path / "in.zip", files)
    return [root, archive, [archive], [root / name for name in files]]


def test_every_source_has_the_same_names_in_order(tmp_path):
    for source in every_source(tmp_path, dict(reversed(FILES.items()))):
        found = contents(source)
        assert found == FILES
        assert list(found) == sorted(FILES)


def test_names_in_folders_have_forward_slashes(tmp_path):
    files = {"b.png": b"1", "a/b/c (1).PNG": b"2", "ä/吉.txt": b"3", "z": b""}
    assert contents(folder_of(tmp_path / "in", files)) == contents(zip_of(tmp_path / "in.zip", files)) == files


def test_an_empty_source_is_empty(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert contents(empty) == contents(zip_of(tmp_path / "bare.zip", {})) == contents([]) == {}


def test_a_file_over_the_size_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(file_source, "MAX_BYTES", 2**20)
    files = {"big.png": bytes(2**20 + 1), "just.png": bytes(2**20)}
    for source in every_source(tmp_path, files):
        assert contents(source) == {**files, "big.png": "big.png is larger than 1 MB; make it smaller first"}


def test_an_unreadable_file_is_reported(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "in", FILES)
    read_bytes = Path.read_bytes

    def refusing(self):
        if self.name in ("a.png", "b.txt"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    for source in (root, [root / name for name in FILES]):
        assert contents(source) == {
            **FILES,
            "a.png": "a.png cannot be read (Permission denied); change its permissions, or leave it out",
            "b.txt": "b.txt cannot be read (Permission denied); change its permissions, or leave it out",
        }


# folders and single files


def test_hidden_files_and_links_that_leave_the_folder_are_not_listed(tmp_path):
    out = folder_of(tmp_path / "out", with_captions({"secret.png": "Secret, place"}))
    root = folder_of(tmp_path / "in", {**FILES, ".hidden.png": b"x", ".git/x.png": b"x"})
    (root / "linked.png").symlink_to(out / "secret.png")
    (root / "linked.txt").symlink_to(out / "secret.txt")
    (root / "inner.png").symlink_to(root / "a.png")
    (root / "folder").symlink_to(out)
    (root / "loop").symlink_to(root)
    (root / "round.png").symlink_to(root / "round.png")
    (root / "nowhere.png").symlink_to(tmp_path / "nowhere.png")
    assert contents(root) == {**FILES, "inner.png": FILES["a.png"]}


def test_the_listing_of_a_folder_stops_one_file_after_the_limit(tmp_path, monkeypatch):
    """The folder may be a whole disk."""
    monkeypatch.setattr(file_source, "MAX_FILES", 6)
    root = folder_of(tmp_path / "in", FILES | {".hidden": b""})
    looked, is_file = [], Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda self: looked.append(self) or is_file(self))
    with open_source(root) as files:
        assert len(set(files.names()) & FILES.keys()) == len(files.names()) == 7
    assert len(looked) == 14


def test_a_path_in_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder_of(tmp_path / "in", FILES)
    assert contents(Path("~/in")) == contents(["~/in"]) == FILES


@pytest.mark.parametrize("name", ["nowhere", "~", "~nobody-of-that-name/in"])
def test_a_path_that_does_not_exist(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path / "no home"))
    path = Path(name) if name.startswith("~") else tmp_path / name
    shown = tmp_path / "no home" if name == "~" else path
    assert (
        refusal(path)
        == refusal([path])
        == (f"{shown} does not exist; give a folder or a ZIP of images with .txt captions")
    )


def test_a_file_that_is_neither_folder_nor_zip(tmp_path):
    (tmp_path / "a.png").write_bytes(image_bytes())
    sentence = f"{tmp_path / 'a.png'} is neither a folder nor a ZIP; put the images and their .txt captions into one"
    assert refusal(tmp_path / "a.png") == refusal([tmp_path / "a.png"]) == sentence
    cut = tmp_path / "cut.zip"
    cut.write_bytes(zip_of(tmp_path / "in.zip", FILES).read_bytes()[:-30])
    assert refusal(cut) == f"{cut} is neither a folder nor a ZIP; put the images and their .txt captions into one"


def test_uploads_with_the_same_name_are_refused(tmp_path):
    root = folder_of(tmp_path / "in", with_captions({"x/a.png": "A, x", "y/a.png": "B, y", "b.png": "C, z"}))
    assert refusal([path for path in root.rglob("*") if path.is_file()]) == (
        "2 of 6 files have the same name as another; rename them or pack them into a ZIP with folders"
    )


# malicious or broken ZIPs


def test_names_in_a_zip_never_become_paths(tmp_path):
    files = dict.fromkeys(["../../evil.png", "/abs.png", "a/../../up.png", "x\\..\\back.png", "C:\\disk.png"], b"x")
    assert contents(zip_of(tmp_path / "evil.zip", files)) == files
    assert set(tree(tmp_path)) == {"evil.zip"}


def test_extra_files_of_macos_are_not_listed(tmp_path):
    files = FILES | {
        "__MACOSX/._a.png": b"x",
        "._b.png": b"x",
        ".DS_Store": b"x",
        "x/.hidden.png": b"x",
        "folder.png/": b"",
    }
    assert contents(zip_of(tmp_path / "in.zip", files)) == FILES


def unreadable(name, reason):
    return f"{name} in the ZIP cannot be read ({reason}); create the ZIP again without a password"


def test_an_encrypted_member_is_reported(tmp_path):
    source = patched(zip_of(tmp_path / "in.zip", FILES), "c.png", flags=1)
    assert contents(source) == {
        **FILES,
        "c.png": unreadable("c.png", "File 'c.png' is encrypted, password required for extraction"),
    }


def test_a_member_with_a_wrong_checksum_is_reported(tmp_path):
    source = patched(zip_of(tmp_path / "in.zip", FILES), "c.png", crc=1)
    assert contents(source) == {**FILES, "c.png": unreadable("c.png", "Bad CRC-32 for file 'c.png'")}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("offsets", [[35], [36], [39], [40], [45, 60, 2000], [4900]])  # 35 is where its data begins
def test_a_member_with_corrupted_bytes_is_reported(tmp_path, method, offsets):
    files = {"0.png": random.Random(0).randbytes(5000), "0.txt": b"X, y", **FILES}
    source = zip_of(tmp_path / "in.zip", files, method)
    data = bytearray(source.read_bytes())
    for offset in offsets:
        data[offset : offset + 8] = b"\xff" * 8
    source.write_bytes(data)
    found = contents(source)
    message = found.pop("0.png")
    assert message.startswith("0.png in the ZIP cannot be read (")
    assert message.endswith("); create the ZIP again without a password")
    assert {"0.png": files["0.png"], **found} == files


def test_a_zip_with_a_corrupted_directory_is_refused(tmp_path):
    source = zip_of(tmp_path / "in.zip", FILES)
    data = source.read_bytes()
    source.write_bytes(data.replace(b"PK\x01\x02", b"XXXX", 1))
    assert refusal(source) == f"{source} is a broken ZIP (Bad magic number for central directory); create it again"


def peak_while(call):
    """Return the peak memory that Python allocated during the call, bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("claimed", [None, 1000])
def test_a_zip_bomb_is_reported_and_never_unpacked(tmp_path, monkeypatch, claimed):
    """64 MB of zeros in 64 kB, once with the true size and once with 1000 bytes in the header; the limit is 1 MB."""
    monkeypatch.setattr(file_source, "MAX_BYTES", 2**20)
    files = {"bomb.png": bytes(64 * 2**20), "bomb.txt": b"Bomb, x", **FILES}
    source = zip_of(tmp_path / "bomb.zip", files)
    del files
    if claimed:
        patched(source, "bomb.png", size=claimed)
    assert source.stat().st_size < 2**18
    found = {}
    assert peak_while(lambda: found.update(contents(source))) < 8 * 2**20
    assert found == {
        **FILES,
        "bomb.txt": b"Bomb, x",
        "bomb.png": unreadable("bomb.png", "Bad CRC-32 for file 'bomb.png'")
        if claimed
        else "bomb.png is larger than 1 MB; make it smaller first",
    }


def test_a_zip_over_the_total_size_limit_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(file_source, "MAX_TOTAL_BYTES", 2**30)
    source = zip_of(tmp_path / "in.zip", FILES)
    patched(source, "c.png", size=2**30 + 2**29)
    assert refusal(source) == "the ZIP has 1.5 GB unpacked, at most 1 GB are allowed; split it"


def test_a_duplicate_name_in_a_zip_gives_the_last_member(tmp_path, recwarn):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for files in (FILES, {"a.png": image_bytes(200)}):
            for name, data in files.items():
                archive.writestr(name, data)
    with open_source(tmp_path / "in.zip") as files:
        assert files.names() == sorted(FILES)
    assert contents(tmp_path / "in.zip") == {**FILES, "a.png": image_bytes(200)}


def test_a_zip_is_closed_after_use(tmp_path):
    source = zip_of(tmp_path / "in.zip", FILES)
    with open_source(source) as files:
        archive = files.archive
        assert files.read("a.txt") == b"Big Ben, London"
    with pytest.raises(ValueError, match="closed"):
        archive.open("a.txt")
