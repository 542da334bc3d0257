"""Photographs from everywhere into a collection: what is kept, what is told, and what no file from outside can do."""

import hashlib
import io
import struct
import time
import tracemalloc
import zipfile
import zlib

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.curation import caption_files, ingest
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.ingest import gather
from ghibli_studio.curation.photos import WORDS, Attempt, Photo
from ghibli_studio.curation.prompts import compose, gauges
from ghibli_studio.curation.review import check
from ghibli_studio.imaging.perceptual_hash import look
from ghibli_studio.miniature.photo_credits import PHOTOGRAPHS
from ghibli_studio.runtime.progress import Progress
from tests.data.test_file_source import folder_of, tree, zip_of
from tests.support.collection_project import encoded, scene


@pytest.fixture
def project(workspace):
    return workspace.project("p", new=True)


@pytest.fixture
def take(project):
    """A function that gathers a source and returns the collection."""

    def gathered(source, *arguments, **options):
        list(gather(project, source, *arguments, **options))
        return collections.load(project)

    return gathered


def photographs(*names, first=0):
    return {name: encoded(scene(first + number)) for number, name in enumerate(names)}


def originals(collection):
    return [photo.original for photo in collection.photos]


def prompt_of(collection):
    return {photo.original: compose(photo) for photo in collection.photos}


def problems(collection):
    return {problem["file"]: problem["reason"] for problem in collection.problems}


def test_what_is_known_of_a_photograph(take, project, tmp_path):
    picture = scene(3, (120, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture, "JPEG", exif=exif, quality=95)
    collection = take(folder_of(tmp_path / "in", {"more/Eiffel Tower 2.JPG": data}))
    likeness, brightness = look(collections.picture(project, collection.photos[0]))
    sha256 = hashlib.sha256(data).hexdigest()
    assert collection.photos == (
        Photo("0001", "0001.jpg", "more/Eiffel Tower 2.JPG", sha256, 90, 120, likeness, brightness, "Eiffel Tower"),
    )
    assert (collection.base_model, collection.resolution, collection.token_limit) == ("miniature", 256, 77)
    assert tree(project.collection.folder / "sources") == {"0001.jpg": data}
    assert collection.notes == ("1 photographs are named after their files; look these names over.",)
    assert collection.problems == ()


def test_progress_tells_every_picture(project, tmp_path):
    files = photographs("a.png", "b.png") | {"c.png": b"broken", "d.txt": b"x"}
    assert list(gather(project, folder_of(tmp_path / "in", files))) == [
        Progress(1, 3, "reading a.png"),
        Progress(2, 3, "reading b.png"),
        Progress(3, 3, "reading c.png"),
    ]


def test_every_source_gives_the_same(workspace, tmp_path):
    words = {"a.txt": b"Big Ben, London, a tower", "captions.txt": b"b.png|Petra, Jordan"}
    files = photographs("a.png", "b.png") | words
    root, archive = folder_of(tmp_path / "in", files), zip_of(tmp_path / "in.zip", files)
    found = []
    for number, source in enumerate((root, archive, [archive], [root / name for name in files])):
        project = workspace.project(f"p{number}", new=True)
        list(gather(project, source))
        found.append((collections.load(project), tree(project.collection.folder)))
    assert prompt_of(found[0][0]) == {"a.png": "Big Ben, London, a tower", "b.png": "Petra, Jordan"}
    assert found.count(found[0]) == 4


def test_a_choice_of_zips_and_pictures(take, tmp_path):
    one = zip_of(tmp_path / "one.zip", photographs("x/a.png") | {"x/a.txt": b"A, x"})
    two = zip_of(tmp_path / "two.zip", photographs("b.png", first=1))
    broken = tmp_path / "three.zip"
    broken.write_bytes(one.read_bytes()[:-30] + b"PK\5\6" + bytes(18))
    alone = folder_of(tmp_path, photographs("c.png", first=2)) / "c.png"
    collection = take([one, two, broken, alone])
    assert originals(collection) == ["x/a.png", "b.png", "c.png"]
    assert compose(collection.photos[0]) == "A, x"


def test_one_picture_by_its_path(take, tmp_path):
    assert originals(take(folder_of(tmp_path, photographs("c.png")) / "c.png")) == ["c.png"]


def test_files_of_one_name_are_all_kept_but_their_words_are_not_guessed(take, tmp_path):
    """A browser sends names without folders."""
    files = [
        folder_of(tmp_path / place, photographs("a.png", "b.png", first=10 * number)) / name
        for number, place in enumerate("xy")
        for name in ("a.png", "b.png")
    ][:3]
    text = folder_of(tmp_path / "x", {"a.txt": b"Big Ben, London", "b.txt": b"Petra, Jordan"})
    collection = take([*files, text / "a.txt", text / "b.txt"])
    assert sorted(originals(collection)) == ["a.png", "a.png", "b.png"]
    assert prompt_of(collection) == {"a.png": "", "b.png": "Petra, Jordan"}
    assert "it is not known whose the words are" in problems(collection)["a.png"]


def test_it_adds_to_what_is_there(take, project, tmp_path):
    first = folder_of(tmp_path / "one", photographs("a.png", "b.png"))
    take(first)
    attempt = project.collection.styled("0001-1.png")
    attempt.parent.mkdir()
    attempt.write_bytes(encoded(scene(9)))
    collections.add_attempt(project, "0001", Attempt("0001-1.png", "", "prompt", 0, 0.5, 5.0, 20))
    before = collections.edit(project, "0001", name="Big Ben", chosen=0)
    after = take(folder_of(tmp_path / "two", photographs("c.png", first=2)))
    assert after.photos[:2] == before.photos
    assert [(photo.id, photo.file) for photo in after.photos] == [
        ("0001", "0001.png"),
        ("0002", "0002.png"),
        ("0003", "0003.png"),
    ]


def test_a_number_is_not_given_twice_while_its_photograph_is_there(take, project, tmp_path):
    take(folder_of(tmp_path / "one", photographs("a.png", "b.png", "c.png")))
    collections.remove(project, ["0002"])
    assert [photo.id for photo in take(folder_of(tmp_path / "two", photographs("d.png", first=3))).photos] == [
        "0001",
        "0003",
        "0004",
    ]


def test_the_same_file_is_taken_once(take, tmp_path):
    files = photographs("a.png", "b.png")
    root = folder_of(tmp_path / "in", files | {"z.png": files["a.png"]})
    once = take(root)
    assert originals(once) == ["a.png", "b.png"]
    assert problems(once) == {"z.png": "z.png is the same file as a.png (photograph 0001); it is taken once"}
    again = take(root)
    assert (again.photos, again.problems) == (once.photos, once.problems)
    assert again.notes == ("2 photographs were there already.",)


def test_what_was_mended_is_no_longer_told(take, tmp_path):
    root = folder_of(tmp_path / "in", photographs("a.png") | {"b.png": b"broken", "c.png": b""})
    assert set(problems(take(root))) == {"b.png", "c.png"}
    folder_of(root, photographs("b.png", first=1))
    assert set(problems(take(root))) == {"c.png"}
    assert set(problems(take(folder_of(tmp_path / "other", photographs("d.png", first=2))))) == {"c.png"}


def test_near_duplicates_are_told(take, tmp_path):
    files = photographs("a.png", "b.png") | {"c.png": encoded(scene(0).resize((192, 144)))}
    collection = take(folder_of(tmp_path / "in", files))
    assert collection.notes == (
        "1 groups of photographs look alike (0001, 0003); they stay on one side of the split, or reject all but one of "
        "each.",
    )


def test_the_bundled_photographs(take, project):
    collection = take("photographs")
    captions = (PHOTOGRAPHS / "captions.txt").read_text(encoding="utf-8").splitlines()
    assert prompt_of(collection) == dict(line.split("|") for line in captions)
    assert len(collection.photos) == 45
    assert (collection.problems, collection.notes) == ((), ())
    by_name = {photo.name: photo for photo in collection.photos}
    assert by_name["Colosseum"].credit == (
        "Urse Ovidiu, Public Domain, https://commons.wikimedia.org/wiki/File:Colosseum_Roma_2009.jpg"
    )
    assert all("Public Domain" in photo.credit or "CC0" in photo.credit for photo in collection.photos)
    assert (by_name["Colosseum"].width, by_name["Colosseum"].height) == (1024, 666)
    assert all(gauge.over == 0 for gauge in gauges(collection))
    assert [finding.kind for finding in check(project)] == ["long"]


def test_the_painters_landmarks(take):
    collection = take("landmarks", count=3, seed=5)
    assert [photo.name for photo in collection.photos] == ["Big Ben", "Colosseum", "Petra"]
    assert {(photo.width, photo.height) for photo in collection.photos} == {(256, 256)}
    for photo in collection.photos:
        assert all(getattr(photo, word) for word in WORDS)
    assert collection.photos[0].original == "Big Ben (drawn, seed 5).png"
    again = take("landmarks", count=3, seed=5)
    assert (again.photos, again.notes) == (collection.photos, ("3 photographs were there already.",))
    assert len(take("landmarks", count=2, seed=6).photos) == 5


def test_another_base_model_is_for_all(take, project, tmp_path, tiny_folder):
    take(folder_of(tmp_path / "in", photographs("a.png")))
    other = take(folder_of(tmp_path / "two", photographs("b.png", first=1)), str(tiny_folder))
    assert (other.base_model, other.resolution, len(other.photos)) == (str(tiny_folder), 64, 2)
    assert take(folder_of(tmp_path / "three", photographs("c.png", first=2))).base_model == str(tiny_folder)


@pytest.mark.parametrize("source", ["empty", "absent"])
def test_a_source_without_pictures_is_refused_and_leaves_no_project(project, workspace, tmp_path, source):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.txt").write_text("x")
    with pytest.raises(StudioError, match=r"holds no picture \(1 files\)|does not exist"):
        list(gather(project, tmp_path / source))
    assert workspace.projects() == []
    assert not collections.exists(project)


def test_stopping_in_the_middle_keeps_what_is_there(project, tmp_path):
    steps = gather(project, folder_of(tmp_path / "in", photographs("a.png", "b.png", "c.png")))
    next(steps)
    next(steps)
    steps.close()
    assert originals(collections.load(project)) == ["a.png", "b.png"]
    list(gather(project, tmp_path / "in"))
    assert originals(collections.load(project)) == ["a.png", "b.png", "c.png"]


def test_two_cannot_gather_at_once_but_prompts_may_be_changed_meanwhile(project, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "WRITING_SHARE", 1e9)  # write after every photograph
    root = folder_of(tmp_path / "in", photographs("a.png", "b.png", "c.png"))
    steps = gather(project, root)
    next(steps)
    with pytest.raises(StudioError, match="is getting photographs just now"):
        next(gather(project, root))
    collections.edit(project, "0001", name="Big Ben")
    assert len(list(steps)) == 2
    assert [photo.name for photo in collections.load(project).photos] == ["Big Ben", "", ""]


# words beside the pictures


def test_words_in_lists(take, tmp_path):
    files = photographs("a.png", "b.png", "train/c.png", "train/d.png", "e.png", "f.png")
    files |= {
        "metadata.jsonl": b'{"file_name": "a.png", "text": "Big Ben, London, a tower", "n": 3}\n\n'
        b'{"file_name": "f.png", "name": "F", "composition": "wide shot", "text": "ignored"}\n',
        "train/Prompts.CSV": "\ufefffile_name,NAME,location,description,composition,other\r\n"
        'c.png,"C, the",\'=Rome,,close-up,x\r\nd.png,,,,,\r\n'.encode(),
        "captions.txt": b"e.png|Petra, Jordan\nb.png|list",
        "e.txt": b"not this",
        "d.txt": b"nor this",
        "train/d.txt": b"D, d",
    }
    collection = take(folder_of(tmp_path / "in", files))
    words = {photo.original: [getattr(photo, word) for word in WORDS] for photo in collection.photos}
    assert words == {
        "a.png": ["Big Ben", "London", "a tower", ""],
        "b.png": ["", "", "list", ""],
        "train/c.png": ["C, the", "=Rome", "", "close-up"],
        "train/d.png": ["", "", "", ""],
        "e.png": ["Petra", "Jordan", "", ""],
        "f.png": ["F", "", "", "wide shot"],
    }
    assert (collection.problems, collection.notes) == ((), ())


def test_a_list_that_cannot_be_read_loses_no_picture(take, tmp_path):
    files = photographs("a.png", "x/b.png") | {
        "captions.txt": b"a.png, Big Ben",
        "x/metadata.jsonl": b"{",
        "x/t.csv": b"\xff\xfe",
        "a.txt": b"A, a",
    }
    collection = take(folder_of(tmp_path / "in", files))
    assert prompt_of(collection) == {"a.png": "A, a", "x/b.png": ""}
    assert problems(collection) == {
        "captions.txt": "line 1 of captions.txt is 'a.png, Big Ben'; it must be file|caption",
        "x/metadata.jsonl": "line 1 of x/metadata.jsonl is no JSON (Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)); write one object a line",
        "x/t.csv": "x/t.csv is not UTF-8 text; save it as UTF-8",
    }


def test_one_text_for_two_pictures_of_one_stem(take, tmp_path):
    files = {"a.png": encoded(scene(1)), "a.jpg": encoded(scene(2), "JPEG"), "a.txt": b"Big Ben, London"}
    assert prompt_of(take(folder_of(tmp_path / "in", files))) == dict.fromkeys(("a.png", "a.jpg"), "Big Ben, London")


# hostile


def png_header(width, height):
    """A PNG that says how large it is, and has hardly any data."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def hostile():
    """Sixty files, and for each that is a good photograph its prompt."""
    whole = encoded(scene(50), "PNG")
    bad = {f"truncated{n}.png": whole[: len(whole) * n // 12] for n in range(1, 11)}
    bad |= {f"cut{n}.jpg": encoded(scene(51), "JPEG")[: 100 * n] for n in range(1, 6)}
    bad |= {f"zero{n}.{end}": b"" for n, end in enumerate(("png", "jpg", "webp", "gif", "tif", "bmp"))}
    bad |= {
        "huge.png": png_header(30_000, 30_000),
        "bomb.png": png_header(2**31 - 1, 2**31 - 1),
        "flat.png": png_header(30_000, 1),
        "nothing.png": png_header(0, 0),
    }
    bad |= {
        "text.png": b"this is no picture",
        "page.jpg": b"<html><img src=x onerror=alert(1)></html>",
        "archive.webp": b"PK\3\4" + bytes(100),
        "program.gif": b"\x7fELF" + bytes(100),
        "vector.svg": b"<svg/>",
        "photo.psd": b"8BPS",
        "small.png": encoded(scene(52, (63, 400))),
        "noise.tif": bytes(range(256)) * 20,
    }
    good = {f"good{n}.png": encoded(scene(100 + n)) for n in range(6)}
    good |= {
        "\U0001f3f0 castle.png": encoded(scene(110)),
        "קולוסיאום.png": encoded(scene(111)),
        "\u202egnp.evil.png": encoded(scene(112)),
        "same.png": encoded(scene(113)),
        "same.jpg": encoded(scene(114), "JPEG"),
        "deep/deep/deep/x.webp": encoded(scene(115), "WEBP"),
        "IMG_0001.png": encoded(scene(116)),
        "<script>.png": encoded(scene(117)),
        "a b  c'\"&.png": encoded(scene(118)),
        "CON.png": encoded(scene(119)),
        "x" * 200 + ".png": encoded(scene(120)),
    }
    words = {
        "good0.txt": b" ".join([b"word"] * 400),
        "good1.txt": b"\xff\xfe bad",
        "good2.txt": b"y" * 5000,
        "same.txt": b"Same, Place",
        "captions.txt": b"no bar here",
        "metadata.jsonl": b"[[[[",
        "table.csv": b"a,b\n1,2\n",
        "notes.docx": b"x",
        "good3.txt": b"",
        "orphan.txt": b"of no picture",
    }
    return good, bad, words


@pytest.mark.parametrize("kind", ["folder", "zip", "files"])
def test_sixty_hostile_files_give_one_list_and_no_photograph_is_lost(project, tmp_path, kind):
    good, bad, words = hostile()
    files = good | bad | words
    assert len(files) == 60
    root = folder_of(tmp_path / "in", files)
    source = {"folder": root, "files": [root / name for name in files]}.get(kind)
    if kind == "zip":
        names = ("../../evil.png", "/etc/evil.png", "..\\..\\evil.png")
        good |= {name: encoded(scene(number)) for number, name in enumerate(names, 121)}
        source = zip_of(tmp_path / "in.zip", files | good)
    before = tree(tmp_path / "in")
    tracemalloc.start()
    list(gather(project, source))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    collection = collections.load(project)
    clean = {name.replace("\u202e", "").strip().replace("  ", " ") for name in good}
    if kind == "files":
        clean = {name.rpartition("/")[2] for name in clean}
    assert set(originals(collection)) == clean
    assert len(collection.photos) == len(good)
    told = problems(collection)
    assert set(told) >= set(bad)
    assert set(told) - set(bad) == {"good1.png", "good2.png", "captions.txt", "metadata.jsonl", "table.csv"}
    assert all(len(reason) < 400 and "\n" not in reason and "Traceback" not in reason for reason in told.values())
    assert told["huge.png"] == "huge.png has too many pixels, at most 100 million are opened; make it smaller first"
    assert told["zero0.png"] == "zero0.png is empty (0 bytes); export it again"
    assert "is of a kind that cannot be read" in told["vector.svg"]
    assert "the shorter side needs 64" in told["small.png"]
    assert "it is kept without a prompt" in told["good1.png"]
    assert len(next(photo for photo in collection.photos if photo.original == "good0.png").description.split()) == 400
    kinds = {finding.kind: finding for finding in check(project)}
    assert kinds["long prompt"].ids == (next(p.id for p in collection.photos if p.original == "good0.png"),)
    assert {photo.name for photo in collection.photos if photo.original.startswith("same")} == {"Same"}
    assert "notes.docx" in " ".join(collection.notes)
    sources = tree(project.collection.folder / "sources")
    assert sorted(sources) == [photo.file for photo in collection.photos]
    assert tree(tmp_path / "in") == before
    assert not list(tmp_path.parent.glob("evil*"))
    assert peak < 100 * 2**20


def test_ten_thousand_entries(take, tmp_path):
    picture = encoded(scene(1))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for number in range(9_999):
            archive.writestr(f"{number}.png", b"broken")
        archive.writestr("z.png", picture)
    began = time.monotonic()
    collection = take(tmp_path / "in.zip")
    assert time.monotonic() - began < 60
    assert originals(collection) == ["z.png"]
    assert len(collection.problems) == 9_999


def test_more_entries_than_the_bound_are_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "MAX_FILES", 2)
    with pytest.raises(StudioError, match="holds more than 2 files; split it"):
        list(gather(project, folder_of(tmp_path / "in", photographs("a.png", "b.png", "c.png"))))


def test_a_member_with_a_password_is_told(take, tmp_path):
    archive = zip_of(tmp_path / "in.zip", photographs("a.png", "b.png"), zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    central = data.index(b"PK\1\2")
    data[6] |= 1
    data[central + 8] |= 1
    archive.write_bytes(data)
    collection = take(archive)
    assert originals(collection) == ["b.png"]
    assert "pack it anew without password" in problems(collection)["a.png"]


def test_a_file_that_may_not_be_read_is_told(take, tmp_path, monkeypatch):
    root = folder_of(tmp_path / "in", photographs("a.png", "b.png"))
    (root / "gone.png").symlink_to(root / "a.png")

    def read(shelf, name):
        if name == "a.png":
            raise StudioError("a.png cannot be read (Permission denied); allow it, or leave it out")
        return (root / name).read_bytes()

    monkeypatch.setattr("ghibli_studio.shelves.FolderShelf.read", read)
    assert problems(take(root))["a.png"] == "a.png cannot be read (Permission denied); allow it, or leave it out"


def test_the_cost_does_not_grow_with_what_is_there(project, tmp_path, monkeypatch):
    """The list is written now and then, so that writing it stays a small share however long it is."""
    writes = []
    original = collections.save
    monkeypatch.setattr(collections, "save", lambda *arguments: writes.append(1) or original(*arguments))
    names = [f"{number:04d}.png" for number in range(300)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, encoded(scene(number, (64, 64)), "PNG", compress_level=1))
    (tmp_path / "in.zip").write_bytes(buffer.getvalue())
    list(gather(project, tmp_path / "in.zip"))
    assert len(collections.load(project).photos) == 300
    assert len(writes) < 30


def test_words_over_the_bound_are_told(tmp_path, take):
    files = photographs("a.png") | {"captions.txt": b"a.png|" + b"z" * 5000}
    collection = take(folder_of(tmp_path / "in", files))
    assert "at most 4000; it is kept without a prompt" in problems(collection)["a.png"]
    assert caption_files.is_list("captions.txt")
