"""Folders, ZIPs and single files as shelves: what is listed, what is read, and what no name or header can do."""

import errno
import io
import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data import file_source
from ghibli_studio.data.file_source import open_shelf

CAPTIONS = {
    "a.png": "Big Ben, London",
    "b.png": "Petra, Jordan",
    "c.png": "Colosseum, Rome",
    "d.png": "Taj Mahal, Agra",
    "e.png": "Eiffel Tower, Paris",
}


def picture(shade=0, size=(80, 64), kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def with_captions(captions):
    """File name to bytes: a picture and a caption file for each."""
    files = {}
    for shade, (name, caption) in enumerate(captions.items()):
        files[name] = picture(shade)
        files[str(Path(name).with_suffix(".txt"))] = caption.encode()
    return files


FILES = with_captions(CAPTIONS)


def folder_of(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zip_of(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def tree(folder):
    """Every file below a folder with its bytes, locks aside."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def contents(source):
    """Every name with its bytes or the sentence that says why it cannot be read, in the shelf's order."""
    found = {}
    with open_shelf(source) as shelf:
        for name in shelf.names():
            try:
                found[name] = shelf.read(name)
            except StudioError as error:
                found[name] = str(error)
    return found


def refusal(source):
    """Why the whole source is refused."""
    with pytest.raises(StudioError) as told, open_shelf(source) as shelf:
        shelf.names()
    return str(told.value)


def every_shelf(tmp_path, files):
    """The same files as a folder, a ZIP, a choice of that ZIP alone, and a choice of all."""
    root, archive = folder_of(tmp_path / "in", files), zip_of(tmp_path / "in.zip", files)
    return [root, archive, [archive], [root / name for name in files]]


def test_every_shelf_has_the_same_names_in_order(tmp_path):
    for source in every_shelf(tmp_path, dict(reversed(FILES.items()))):
        found = contents(source)
        assert found == FILES
        assert list(found) == sorted(FILES)


def test_names_in_folders_have_forward_slashes(tmp_path):
    files = {"b.png": b"1", "a/b/c (1).PNG": b"2", "ä/吉.txt": b"3", "z": b""}
    assert contents(folder_of(tmp_path / "in", files)) == contents(zip_of(tmp_path / "in.zip", files)) == files


def test_nothing_on_a_shelf_is_nothing(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert contents(empty) == contents(zip_of(tmp_path / "bare.zip", {})) == contents([]) == {}


def test_a_file_over_the_bound_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(file_source, "MAX_BYTES", 2**20)
    files = {"big.png": bytes(2**20 + 1), "just.png": bytes(2**20)}
    for source in every_shelf(tmp_path, files):
        assert contents(source) == {**files, "big.png": "big.png has more than 1 MB; make it smaller first"}


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
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
            "a.png": "a.png cannot be read (Permission denied); allow it, or leave it out",
            "b.txt": "b.txt cannot be read (Permission denied); allow it, or leave it out",
        }


# folders and single files


def test_hidden_files_and_links_that_lead_out_are_not_listed(tmp_path):
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


def test_the_listing_of_a_folder_stops_one_file_beyond_the_bound(tmp_path, monkeypatch):
    """Somebody may name the whole disk."""
    monkeypatch.setattr(file_source, "MAX_FILES", 6)
    root = folder_of(tmp_path / "in", FILES | {".hidden": b""})
    looked, is_file = [], Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda self: looked.append(self) or is_file(self))
    with open_shelf(root) as shelf:
        assert len(set(shelf.names()) & FILES.keys()) == len(shelf.names()) == 7
    assert len(looked) == 14


def test_a_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder_of(tmp_path / "in", FILES)
    assert contents(Path("~/in")) == contents(["~/in"]) == FILES


@pytest.mark.parametrize("name", ["nowhere", "~", "~nobody-of-that-name/in"])
def test_what_does_not_exist(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path / "no home"))
    path = Path(name) if name.startswith("~") else tmp_path / name
    shown = tmp_path / "no home" if name == "~" else path
    assert (
        refusal(path)
        == refusal([path])
        == (f"{shown} does not exist; give a folder or a ZIP of pictures with .txt captions beside them")
    )


def test_what_is_neither_folder_nor_zip(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    sentence = f"{tmp_path / 'a.png'} is neither a folder nor a ZIP; put the pictures and their .txt captions into one"
    assert refusal(tmp_path / "a.png") == refusal([tmp_path / "a.png"]) == sentence
    cut = tmp_path / "cut.zip"
    cut.write_bytes(zip_of(tmp_path / "in.zip", FILES).read_bytes()[:-30])
    assert refusal(cut) == f"{cut} is neither a folder nor a ZIP; put the pictures and their .txt captions into one"


def test_single_files_of_one_name_are_refused(tmp_path):
    root = folder_of(tmp_path / "in", with_captions({"x/a.png": "A, x", "y/a.png": "B, y", "b.png": "C, z"}))
    assert refusal([path for path in root.rglob("*") if path.is_file()]) == (
        "2 of 6 files share a name with another; rename them or pack them into a ZIP with folders"
    )


# ZIPs that mean harm, or are broken


def test_names_in_a_zip_are_labels(tmp_path):
    files = dict.fromkeys(["../../evil.png", "/abs.png", "a/../../up.png", "x\\..\\back.png", "C:\\disk.png"], b"x")
    assert contents(zip_of(tmp_path / "evil.zip", files)) == files
    assert set(tree(tmp_path)) == {"evil.zip"}


def test_rubbish_from_macos_is_not_listed(tmp_path):
    files = FILES | {
        "__MACOSX/._a.png": b"x",
        "._b.png": b"x",
        ".DS_Store": b"x",
        "x/.hidden.png": b"x",
        "folder.png/": b"",
    }
    assert contents(zip_of(tmp_path / "in.zip", files)) == FILES


def patched(path, name, **fields):
    """The ZIP with one member's size or flags changed in both of its headers."""
    data = bytearray(path.read_bytes())
    places = {"flags": (6, 8, "<H"), "size": (22, 24, "<I"), "crc": (14, 16, "<I")}
    for signature, fixed, which in ((b"PK\x03\x04", 30, 0), (b"PK\x01\x02", 46, 1)):
        start = data.find(name.encode()) - fixed
        while data[start : start + 4] != signature:
            start = data.find(name.encode(), start + fixed + 1) - fixed
        for field, value in fields.items():
            offset, kind = places[field][which], places[field][2]
            data[start + offset : start + offset + struct.calcsize(kind)] = struct.pack(kind, value)
    path.write_bytes(data)
    return path


def unreadable(name, reason):
    return f"{name} in the ZIP cannot be read ({reason}); pack it anew without password"


def test_an_encrypted_member_is_told(tmp_path):
    source = patched(zip_of(tmp_path / "in.zip", FILES), "c.png", flags=1)
    assert contents(source) == {
        **FILES,
        "c.png": unreadable("c.png", "File 'c.png' is encrypted, password required for extraction"),
    }


def test_a_member_with_a_wrong_checksum_is_told(tmp_path):
    source = patched(zip_of(tmp_path / "in.zip", FILES), "c.png", crc=1)
    assert contents(source) == {**FILES, "c.png": unreadable("c.png", "Bad CRC-32 for file 'c.png'")}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("offsets", [[35], [36], [39], [40], [45, 60, 2000], [4900]])  # 35 is where its data begins
def test_a_member_with_spoilt_bytes_is_told(tmp_path, method, offsets):
    files = {"0.png": random.Random(0).randbytes(5000), "0.txt": b"X, y", **FILES}
    source = zip_of(tmp_path / "in.zip", files, method)
    data = bytearray(source.read_bytes())
    for offset in offsets:
        data[offset : offset + 8] = b"\xff" * 8
    source.write_bytes(data)
    found = contents(source)
    told = found.pop("0.png")
    assert told.startswith("0.png in the ZIP cannot be read (")
    assert told.endswith("); pack it anew without password")
    assert {"0.png": files["0.png"], **found} == files


def test_a_zip_with_a_spoilt_directory_is_refused(tmp_path):
    source = zip_of(tmp_path / "in.zip", FILES)
    data = source.read_bytes()
    source.write_bytes(data.replace(b"PK\x01\x02", b"XXXX", 1))
    assert refusal(source) == f"{source} is a broken ZIP (Bad magic number for central directory); pack it anew"


def peak_while(call):
    """The most bytes that Python held while it ran, beyond what it held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("claimed", [None, 1000])
def test_a_bomb_is_told_and_never_unpacked(tmp_path, monkeypatch, claimed):
    """64 MB of zeros in 64 kB, once honest and once with a header that claims 1000 bytes; the bound is 1 MB."""
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
        else "bomb.png has more than 1 MB; make it smaller first",
    }


def test_a_zip_of_too_much_in_all_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(file_source, "MAX_TOTAL_BYTES", 2**30)
    source = zip_of(tmp_path / "in.zip", FILES)
    patched(source, "c.png", size=2**30 + 2**29)
    assert refusal(source) == "the ZIP holds 1.5 GB unpacked, at most 1 GB are read; split it"


def test_of_a_name_that_stands_twice_in_a_zip_the_last_counts(tmp_path, recwarn):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for files in (FILES, {"a.png": picture(200)}):
            for name, data in files.items():
                archive.writestr(name, data)
    with open_shelf(tmp_path / "in.zip") as shelf:
        assert shelf.names() == sorted(FILES)
    assert contents(tmp_path / "in.zip") == {**FILES, "a.png": picture(200)}


def test_a_zip_is_closed_when_it_is_left(tmp_path):
    source = zip_of(tmp_path / "in.zip", FILES)
    with open_shelf(source) as shelf:
        archive = shelf.archive
        assert shelf.read("a.txt") == b"Big Ben, London"
    with pytest.raises(ValueError, match="closed"):
        archive.open("a.txt")
