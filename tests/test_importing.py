"""Folders, ZIPs and single files: what is taken in, what is left out and why, and what no name from outside can do."""

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

from ghibli_studio import importing
from ghibli_studio.config import StudioError
from ghibli_studio.dataset import Progress, load
from ghibli_studio.importing import import_pictures, open_shelf

CAPTIONS = {
    "a.png": "Big Ben, London", "b.png": "Petra, Jordan", "c.png": "Colosseum, Rome", "d.png": "Taj Mahal, Agra",
    "e.png": "Eiffel Tower, Paris",
}


def picture(shade=0):
    buffer = io.BytesIO()
    Image.new("RGB", (80, 64), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def with_captions(captions):
    """File name to bytes: a picture and a caption file for each."""
    files = {}
    for shade, (name, caption) in enumerate(captions.items()):
        files[name] = picture(shade)
        files[str(Path(name).with_suffix(".txt"))] = caption.encode()
    return files


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
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def take(workspace, tiny_folder):
    """A function that takes a source into project `p` and returns its data set."""

    def make(source, **options):
        project = workspace.project("p", create=True)
        list(import_pictures(project, source, str(tiny_folder), **options))
        return load(project)

    return make


@pytest.fixture
def refusal(take, workspace):
    """A function that tells why a source is refused; nothing may be left of it."""

    def tell(source, **options):
        with pytest.raises(StudioError) as told:
            take(source, **options)
        assert list(tree(workspace.root)) == ["p/project.json"]
        return str(told.value)

    return tell


def brief(dataset):
    return {item.original: (item.landmark, item.caption) for item in dataset.items}


def problems(dataset):
    return {problem["file"]: problem["reason"] for problem in dataset.problems}


def sides(dataset):
    return {item.original: item.split for item in dataset.items}


def test_a_folder_with_captions_beside_the_pictures(take, workspace, tmp_path, tiny_folder):
    files = with_captions({**CAPTIONS, "more/F (1).JPG": "  Big Ben,\tLondon \n by night\n"})
    root = folder_of(tmp_path / "in", files)
    dataset = take(root, seed=3)
    assert (dataset.base_model, dataset.resolution, dataset.seed) == (str(tiny_folder), 64, 3)
    assert brief(dataset) == {
        **{name: (caption.split(",")[0], caption) for name, caption in CAPTIONS.items()},
        "more/F (1).JPG": ("Big Ben", "Big Ben, London by night"),
    }
    assert dataset.problems == ()
    assert sides(dataset)["a.png"] == sides(dataset)["more/F (1).JPG"]
    assert len(dataset.part("validation")) == 1
    sources = workspace.project("p").sources
    assert {item.original: (sources / item.source).read_bytes() for item in dataset.items} == {
        name: data for name, data in files.items() if not name.endswith(".txt")
    }
    assert sorted(item.source for item in dataset.items) == [
        "0001.png", "0002.png", "0003.png", "0004.png", "0005.png", "0006.jpg"
    ]
    assert tree(root) == files, "what was taken in is left as it was"


def test_progress_tells_every_picture(workspace, tiny_folder, tmp_path):
    root = folder_of(tmp_path / "in", {**with_captions(CAPTIONS), "broken.png": b"x"})
    project = workspace.project("p", create=True)
    names = ["a", "b", "broken", "c", "d", "e"]
    assert list(import_pictures(project, root, str(tiny_folder))) == [
        Progress(done, 6, f"reading {name}.png") for done, name in enumerate(names, 1)
    ]


def test_a_zip_and_single_files_give_what_the_folder_gives(take, workspace, tmp_path):
    files = with_captions(CAPTIONS)
    root = folder_of(tmp_path / "in", files)
    dataset = take(root)
    made = tree(workspace.project("p").dataset)
    for source in (zip_of(tmp_path / "in.zip", files), [zip_of(tmp_path / "in.zip", files)], [root / n for n in files]):
        assert take(source, replace=True) == dataset
        assert tree(workspace.project("p").dataset) == made


def test_the_split_is_by_landmark_and_seeded(take, tmp_path):
    captions = {f"{n:02d}.png": f"Landmark {n % 10}, view {n}" for n in range(40)}
    root = folder_of(tmp_path / "in", with_captions(captions))
    dataset = take(root, seed=1)
    validation = {item.landmark for item in dataset.part("validation")}
    assert (len(validation), len(dataset.part("validation"))) == (2, 8)
    assert not validation & {item.landmark for item in dataset.part("train")}
    assert sides(take(root, seed=1, replace=True)) == sides(dataset)
    assert any(sides(take(root, seed=seed, replace=True)) != sides(dataset) for seed in range(2, 6))


# captions


def test_captions_can_stand_in_one_list(take, tmp_path):
    lines = ["\ufeffa.png|Big Ben, London", "", " b.png | Petra | Jordan", "more/c.png|Colosseum, Rome", "absent.png|x"]
    files = {name: picture() for name in ("a.png", "b.png", "more/c.png")}
    files["captions.txt"] = "\r\n".join(lines).encode()
    assert brief(take(folder_of(tmp_path / "in", files))) == {
        "a.png": ("Big Ben", "Big Ben, London"), "b.png": ("b", "Petra | Jordan"),
        "more/c.png": ("Colosseum", "Colosseum, Rome"),
    }


def test_a_list_counts_before_a_file_and_names_pictures_below_it(take, tmp_path):
    files = with_captions({"x/a.png": "file a, x", "x/b.png": "file b, x"}) | {"captions.txt": b"a.png|list a, x"}
    assert brief(take(folder_of(tmp_path / "in", files))) == {
        "x/a.png": ("list a", "list a, x"), "x/b.png": ("file b", "file b, x")
    }


def test_each_folder_has_its_own_list(take, tmp_path):
    files = {
        "x/1.png": picture(), "y/1.png": picture(), "z/1.png": picture(), "captions.txt": b"1.png|Z, top",
        "x/captions.txt": b"1.png|X, own", "y/captions.txt": b"1.png|Y, own",
    }
    assert brief(take(folder_of(tmp_path / "in", files))) == {
        "x/1.png": ("X", "X, own"), "y/1.png": ("Y", "Y, own"), "z/1.png": ("Z", "Z, top")
    }


def test_a_list_that_is_none_is_told_with_its_line(refusal, tmp_path):
    files = with_captions(CAPTIONS) | {"captions.txt": b"a.png|Big Ben\n\nb.png, Petra, Jordan\n"}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        "line 3 of captions.txt is 'b.png, Petra, Jordan'; it must be file|caption"
    )


def test_captions_that_cannot_be_used_leave_their_picture_out(take, tmp_path):
    files = with_captions({**CAPTIONS, "empty.png": "", "blank.png": " \r\n\t", "long.png": "x " * 3000})
    files |= {name: picture() for name in ("latin.png", "utf16.png", "sub/none.png")}
    files |= {"latin.txt": "Café, Paris".encode("latin-1"), "utf16.txt": "Petra".encode("utf-16")}
    dataset = take(folder_of(tmp_path / "in", files))
    assert list(brief(dataset)) == list(CAPTIONS)
    example = "write what it shows, such as 'Big Ben, London, a stone clock tower'"
    assert problems(dataset) == {
        "blank.png": f"blank.png has no caption; {example}",
        "empty.png": f"empty.png has no caption; {example}",
        "latin.png": "latin.txt is not UTF-8 text; save it as UTF-8",
        "long.png": "the caption of long.png has 5999 characters, at most 4000; shorten it",
        "sub/none.png": "sub/none.png has no caption; write none.txt beside it",
        "utf16.png": "utf16.txt is not UTF-8 text; save it as UTF-8",
    }


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("Big Ben 🕰️, London", "Big Ben 🕰️, London"),
        ("ساعة بيغ بن، لندن", "ساعة بيغ بن، لندن"),
        ("\ufeffBig Ben,\r\nLondon\r\n", "Big Ben, London"),
        ("Đà Nẵng, Việt Nam", "Đà Nẵng, Việt Nam"),
    ],
)
def test_captions_in_any_language(take, workspace, tmp_path, text, caption):
    files = with_captions({"a.png": "Petra, Jordan", "b.png": text})
    dataset = take(folder_of(tmp_path / "in", files))
    assert dataset.items[1].caption == caption
    assert (workspace.project("p").dataset / "0002.txt").read_bytes() == f"{caption}\n".encode()


def test_a_caption_over_the_limit_is_kept_whole_and_listed(take, workspace, tmp_path):
    long = "Big Ben, " + " ".join(f"word{n % 10}" for n in range(400))
    dataset = take(folder_of(tmp_path / "in", with_captions({"a.png": long, "b.png": "Petra, Jordan"})))
    assert [item.caption for item in dataset.too_long()] == [long]
    assert dataset.items[0].tokens > 400 > dataset.token_limit == 77
    assert (workspace.project("p").dataset / "0001.txt").read_text() == f"{long}\n"


# train.txt and val.txt


def test_lists_fix_the_split(take, tmp_path):
    files = with_captions(CAPTIONS) | {"train.txt": b"\xef\xbb\xbfa.png\r\nb.png\r\n", "val.txt": b" c.png \n\nd.png\n"}
    dataset = take(folder_of(tmp_path / "in", files))
    assert sides(dataset) == {"a.png": "train", "b.png": "train", "c.png": "validation", "d.png": "validation"}
    assert problems(dataset) == {"e.png": "e.png stands in neither train.txt nor val.txt; add it to one of them"}


@pytest.mark.parametrize(("name", "other"), [("train.txt", "validation"), ("val.txt", "train")])
def test_one_list_is_enough(take, tmp_path, name, other):
    dataset = take(folder_of(tmp_path / "in", with_captions(CAPTIONS) | {name: b"a.png\nb.png\n"}))
    assert [item.original for item in dataset.part(other)] == ["c.png", "d.png", "e.png"]


def test_lists_may_name_pictures_in_folders(take, tmp_path):
    files = with_captions({"x/1.png": "A, x", "y/1.png": "B, y", "y/2.png": "C, y", "z/3.png": "D, z"})
    files |= {"train.txt": b"y/2.png\n3.png", "val.txt": b"x/1.png\n./y/1.png\n"}
    assert sides(take(folder_of(tmp_path / "in", files))) == {
        "x/1.png": "validation", "y/1.png": "validation", "y/2.png": "train", "z/3.png": "train"
    }


def test_a_picture_in_both_lists_is_refused(refusal, tmp_path):
    files = with_captions(CAPTIONS) | {"train.txt": b"a.png\nb.png\n", "val.txt": b"c.png\na.png\n"}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        "a.png stands in both train.txt and val.txt; keep it in one"
    )


@pytest.mark.parametrize("line", ["f.png", "a", "A.png", "a.txt", "pictures/a.png"])
def test_a_line_that_names_no_picture_is_refused(refusal, tmp_path, line):
    files = with_captions(CAPTIONS) | {"val.txt": f"b.png\n{line}\n".encode()}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        f"{line} stands in val.txt but is not there; list one picture a line, with its ending"
    )


@pytest.mark.parametrize("caption", ["Big Ben, at night", "big ben, at night"])
def test_a_landmark_on_both_sides_is_refused(refusal, tmp_path, caption):
    files = with_captions({**CAPTIONS, "f.png": caption}) | {"val.txt": b"c.png\nf.png"}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        f"{caption.split(',')[0]} is in training (a.png) and in validation (f.png), so validation would measure "
        "memory; put all its pictures on one side"
    )


def test_lists_that_leave_one_side_empty_are_refused(refusal, tmp_path):
    files = with_captions(CAPTIONS) | {"train.txt": "\n".join(CAPTIONS).encode(), "val.txt": b""}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        "all 5 usable pictures are for train; name some of them in train.txt and those of another landmark in val.txt, "
        "or leave both files out"
    )


# what is left out


def test_broken_pictures_are_left_out_with_the_reason(take, tmp_path):
    files = with_captions({**CAPTIONS, "half.png": "x", "text.png": "x", "zero.jpg": "x", "tiny.png": "x"})
    small = io.BytesIO()
    Image.new("RGB", (63, 64)).save(small, "PNG")
    files |= {"half.png": picture()[:60], "text.png": b"Petra", "zero.jpg": b"", "tiny.png": small.getvalue()}
    dataset = take(folder_of(tmp_path / "in", files))
    assert list(brief(dataset)) == list(CAPTIONS)
    reasons = problems(dataset)
    assert reasons.pop("half.png").startswith("half.png is broken (")
    assert reasons == {
        "text.png": "text.png is not a picture that can be read; save it as PNG, JPEG or WebP",
        "tiny.png": "tiny.png has 63 x 64 px, the shorter side needs 64; use a larger picture",
        "zero.jpg": "zero.jpg is empty (0 bytes); export it again",
    }
    assert [item.id for item in dataset.items] == ["0001", "0002", "0003", "0004", "0005"]


def test_a_file_over_the_bound_is_left_out(take, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "MAX_BYTES", 2**20)
    files = with_captions({**CAPTIONS, "big.png": "x"}) | {"big.png": picture() + bytes(2**20)}
    reason = {"big.png": "big.png has more than 1 MB; make it smaller first"}
    assert problems(take(folder_of(tmp_path / "in", files))) == reason
    assert problems(take(zip_of(tmp_path / "in.zip", files), replace=True)) == reason
    assert problems(take([tmp_path / "in" / name for name in files], replace=True)) == reason


def test_a_file_that_may_not_be_read_is_left_out(take, tmp_path, monkeypatch):
    root = folder_of(tmp_path / "in", with_captions(CAPTIONS))
    read_bytes = Path.read_bytes

    def refusing(self):
        if self.name in ("a.png", "b.txt"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    for source in (root, [root / name for name in with_captions(CAPTIONS)]):
        assert problems(take(source, replace=True)) == {
            "a.png": "a.png cannot be read (Permission denied); allow it, or leave it out",
            "b.png": "b.txt cannot be read (Permission denied); allow it, or leave it out",
        }


def test_hidden_files_and_links_that_lead_out_are_not_taken(take, tmp_path):
    out = folder_of(tmp_path / "out", with_captions({"secret.png": "Secret, place"}))
    root = folder_of(tmp_path / "in", with_captions({**CAPTIONS, ".hidden.png": "x", ".git/x.png": "x"}))
    for kind in ("png", "txt"):
        (root / f"linked.{kind}").symlink_to(out / f"secret.{kind}")
        (root / f"inner.{kind}").symlink_to(root / f"a.{kind}")
    (root / "folder").symlink_to(out)
    (root / "loop").symlink_to(root)
    (root / "round.png").symlink_to(root / "round.png")
    (root / "nowhere.png").symlink_to(tmp_path / "nowhere.png")
    dataset = take(root)
    assert sorted(brief(dataset)) == [*CAPTIONS, "inner.png"]
    assert dataset.problems == ()


def test_a_caption_that_leads_out_is_not_read(take, tmp_path):
    root = folder_of(tmp_path / "in", {**with_captions(CAPTIONS), "z.png": picture()})
    (tmp_path / "passwords").write_text("secret, place")
    (root / "z.txt").symlink_to(tmp_path / "passwords")
    assert problems(take(root)) == {"z.png": "z.png has no caption; write z.txt beside it"}


# what is refused


def test_nothing_usable(refusal, tmp_path):
    endings = ".png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff, .gif"
    empty = folder_of(tmp_path / "empty", {})
    empty.mkdir()
    assert refusal(empty) == f"{empty} holds no picture (0 files); pictures end in {endings}"
    texts = folder_of(tmp_path / "texts", {"a.txt": b"x", "b.heic": b"x", "png": b"x"})
    assert refusal(texts) == f"{texts} holds no picture (3 files); pictures end in {endings}"
    bare = zip_of(tmp_path / "bare.zip", {})
    assert refusal(bare) == f"{bare} holds no picture (0 files); pictures end in {endings}"
    assert refusal([]) == f"the choice of 0 files holds no picture (0 files); pictures end in {endings}"
    alone = folder_of(tmp_path / "alone", {"a.png": picture(), "b.png": b""})
    assert refusal(alone) == (
        "0 usable pictures are too few: training and validation need a landmark each; the landmark is the caption up "
        "to its first comma, or else the file's name without its number. Left out: 2 (a.png has no caption; write "
        "a.txt beside it; b.png has no caption; write b.txt beside it)"
    )


def test_captions_that_all_begin_alike_are_told_how_a_landmark_is_known(refusal, tmp_path):
    files = with_captions({f"IMG_{n}.png": "my style, a tower" for n in range(3)})
    assert refusal(folder_of(tmp_path / "in", files)).startswith(
        "3 usable pictures of one landmark (my style) are too few: "
    )


def test_what_is_neither_folder_nor_zip(refusal, tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    sentence = f"{tmp_path / 'a.png'} is neither a folder nor a ZIP; put the pictures and their .txt captions into one"
    assert refusal(tmp_path / "a.png") == refusal([tmp_path / "a.png"]) == sentence
    cut = tmp_path / "cut.zip"
    cut.write_bytes(zip_of(tmp_path / "in.zip", with_captions(CAPTIONS)).read_bytes()[:-30])
    assert refusal(cut) == f"{cut} is neither a folder nor a ZIP; put the pictures and their .txt captions into one"


@pytest.mark.parametrize("name", ["nowhere", "~", "~nobody-of-that-name/in"])
def test_what_does_not_exist(refusal, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path / "no home"))
    path = Path(name) if name.startswith("~") else tmp_path / name
    shown = tmp_path / "no home" if name == "~" else path
    assert refusal(path) == (
        f"{shown} does not exist; give a folder or a ZIP of pictures with .txt captions beside them"
    )


def test_single_files_of_one_name_are_refused(refusal, tmp_path):
    root = folder_of(tmp_path / "in", with_captions({"x/a.png": "A, x", "y/a.png": "B, y", "b.png": "C, z"}))
    assert refusal([path for path in root.rglob("*") if path.is_file()]) == (
        "2 of 6 files share a name with another; rename them or pack them into a ZIP with folders"
    )


def test_too_many_files_are_refused(refusal, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "MAX_FILES", 9)
    root = folder_of(tmp_path / "in", with_captions(CAPTIONS))
    assert refusal(root) == f"{root} holds 10 files, at most 9 are read; split it"


def test_a_data_set_is_not_overwritten_unasked(take, workspace, tmp_path):
    root = folder_of(tmp_path / "in", with_captions(CAPTIONS))
    take(root)
    before = tree(workspace.root)
    with pytest.raises(StudioError) as told:
        take(root)
    assert str(told.value) == (
        "project 'p' has a data set already; choose another project, or say --replace to make it anew"
    )
    assert tree(workspace.root) == before


def test_replacing_leaves_nothing_of_the_old(take, workspace, tmp_path):
    take(folder_of(tmp_path / "in", with_captions(CAPTIONS)))
    dataset = take(folder_of(tmp_path / "two", with_captions({"x.png": "X, y", "z.png": "Z, y"})), replace=True)
    assert list(brief(dataset)) == ["x.png", "z.png"]
    assert list(tree(workspace.root / "p")) == [
        "dataset/0001.png", "dataset/0001.txt", "dataset/0002.png", "dataset/0002.txt", "dataset/manifest.json",
        "project.json", "sources/0001.png", "sources/0002.png",
    ]


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_stopped_in_the_middle_the_old_data_set_is_as_it_was(take, workspace, tiny_folder, tmp_path, steps):
    take(folder_of(tmp_path / "in", with_captions(CAPTIONS)))
    before = tree(workspace.root)
    new = folder_of(tmp_path / "new", with_captions({f"{n}.png": f"New {n}, x" for n in range(6)}))
    project = workspace.project("p")
    stopped = import_pictures(project, new, str(tiny_folder), replace=True)
    for _ in range(steps):
        next(stopped)
    during = tree(workspace.root)
    assert {name: during[name] for name in before} == before, "killed here, the old data set is whole"
    stopped.close()
    assert tree(workspace.root) == before


def test_what_a_kill_left_behind_does_not_get_into_the_next_data_set(take, workspace, tmp_path):
    project = workspace.project("p", create=True)
    for part in ("dataset", "sources"):
        folder_of(project.building(part), {"0009.png": b"left behind", "0001.txt": b"left behind"})
    take(folder_of(tmp_path / "in", with_captions(CAPTIONS)))
    files = [name for name, data in tree(project.folder).items() if "0009" in name or data == b"left behind"]
    assert files == []


# ZIPs that mean harm, or are broken


def test_names_in_a_zip_lead_nowhere(take, workspace, tmp_path):
    names = ["../../evil.png", "/abs.png", "a/../../up.png", "x\\..\\back.png", "C:\\disk.png", "ok.png"]
    before = set(tree(tmp_path))
    dataset = take(zip_of(tmp_path / "evil.zip", with_captions({name: f"L{n}, x" for n, name in enumerate(names)})))
    assert sorted(brief(dataset)) == sorted(names)
    made = {"evil.zip", "workspace/p/project.json", "workspace/p/dataset/manifest.json"}
    for number in range(1, 7):
        made |= {f"workspace/p/{name}" for name in (f"dataset/000{number}.png", f"dataset/000{number}.txt",
                                                    f"sources/000{number}.png")}
    assert set(tree(tmp_path)) - before == made
    assert not Path("/abs.png").exists()


def test_rubbish_from_macos_is_not_taken(take, tmp_path):
    files = with_captions(CAPTIONS) | {
        "__MACOSX/._a.png": b"x", "._b.png": b"x", ".DS_Store": b"x", "x/.hidden.png": b"x", "folder.png/": b"",
    }
    dataset = take(zip_of(tmp_path / "in.zip", files))
    assert (list(brief(dataset)), dataset.problems) == (list(CAPTIONS), ())


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


def test_an_encrypted_member_is_left_out(take, tmp_path):
    source = patched(zip_of(tmp_path / "in.zip", with_captions(CAPTIONS)), "c.png", flags=1)
    assert problems(take(source)) == {
        "c.png": unreadable("c.png", "File 'c.png' is encrypted, password required for extraction")
    }


def test_a_member_with_a_wrong_checksum_is_left_out(take, tmp_path):
    source = patched(zip_of(tmp_path / "in.zip", with_captions(CAPTIONS)), "c.png", crc=1)
    assert problems(take(source)) == {"c.png": unreadable("c.png", "Bad CRC-32 for file 'c.png'")}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("offsets", [[35], [36], [39], [40], [45, 60, 2000], [4900]])  # 35 is where its data begins
def test_a_member_with_spoilt_bytes_is_left_out(take, tmp_path, method, offsets):
    files = {"0.png": random.Random(0).randbytes(5000), "0.txt": b"X, y", **with_captions(CAPTIONS)}
    source = zip_of(tmp_path / "in.zip", files, method)
    data = bytearray(source.read_bytes())
    for offset in offsets:
        data[offset : offset + 8] = b"\xff" * 8
    source.write_bytes(data)
    reasons = problems(take(source))
    assert list(reasons) == ["0.png"]
    assert reasons["0.png"].startswith("0.png in the ZIP cannot be read (")


def test_a_zip_with_a_spoilt_directory_is_refused(refusal, tmp_path):
    source = zip_of(tmp_path / "in.zip", with_captions(CAPTIONS))
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
def test_a_bomb_is_left_out_and_never_unpacked(take, tmp_path, monkeypatch, claimed):
    """64 MB of zeros in 64 kB, once honest and once with a header that claims 1000 bytes; the bound is 1 MB."""
    monkeypatch.setattr(importing, "MAX_BYTES", 2**20)
    files = {"bomb.png": bytes(64 * 2**20), "bomb.txt": b"Bomb, x", **with_captions(CAPTIONS)}
    source = zip_of(tmp_path / "bomb.zip", files)
    del files
    if claimed:
        patched(source, "bomb.png", size=claimed)
    assert source.stat().st_size < 2**18
    reasons = []
    assert peak_while(lambda: reasons.append(problems(take(source)))) < 16 * 2**20
    expected = unreadable("bomb.png", "Bad CRC-32 for file 'bomb.png'") if claimed else (
        "bomb.png has more than 1 MB; make it smaller first")
    assert reasons == [{"bomb.png": expected}]


def test_a_zip_of_too_much_in_all_is_refused_before_it_is_read(refusal, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "MAX_TOTAL_BYTES", 2**30)
    source = zip_of(tmp_path / "in.zip", with_captions(CAPTIONS))
    patched(source, "c.png", size=2**30 + 2**29)
    assert refusal(source) == "the ZIP holds 1.5 GB unpacked, at most 1 GB are read; split it"


def test_a_name_that_stands_twice_in_a_zip_is_one_picture(take, tmp_path, recwarn):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for files in (with_captions(CAPTIONS), {"a.png": picture(200)}):
            for name, data in files.items():
                archive.writestr(name, data)
    dataset = take(tmp_path / "in.zip")
    assert [item.original for item in dataset.items] == list(CAPTIONS)


def test_a_zip_is_closed_when_it_is_left(tmp_path):
    source = zip_of(tmp_path / "in.zip", with_captions(CAPTIONS))
    with open_shelf(source) as shelf:
        archive = shelf.archive
        assert shelf.read("a.txt") == b"Big Ben, London"
    with pytest.raises(ValueError, match="closed"):
        archive.open("a.txt")
