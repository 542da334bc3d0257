"""Photos from every source into a collection: what is added, what is reported, and hostile files."""

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
from ghibli_studio.curation.ingest import add_photos
from ghibli_studio.curation.photos import PROMPT_PARTS, Attempt, Photo
from ghibli_studio.curation.prompts import compose, token_usage
from ghibli_studio.curation.review import check
from ghibli_studio.imaging.perceptual_hash import hash_and_brightness
from ghibli_studio.miniature.photo_credits import PHOTOS
from ghibli_studio.runtime.progress import Progress
from tests.support.collection_project import encoded, scene
from tests.support.dataset_files import folder_of, tree, zip_of


@pytest.fixture
def project(workspace):
    return workspace.project("p", new=True)


@pytest.fixture
def add(project):
    """Return a function that adds a source and returns the collection."""

    def added(source, *arguments, **options):
        list(add_photos(project, source, *arguments, **options))
        return collections.load(project)

    return added


def photo_files(*names, first=0):
    return {name: encoded(scene(first + number)) for number, name in enumerate(names)}


def originals(collection):
    return [photo.original for photo in collection.photos]


def prompts_of(collection):
    return {photo.original: compose(photo) for photo in collection.photos}


def reasons(collection):
    return {skipped["file"]: skipped["reason"] for skipped in collection.skipped}


def test_a_photo_is_added_with_its_properties(add, project, tmp_path):
    image = scene(3, (120, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image, "JPEG", exif=exif, quality=95)
    original = "more/Eiffel Tower 2.JPG"
    collection = add(folder_of(tmp_path / "in", {original: data}))
    perceptual_hash, brightness = hash_and_brightness(collections.load_photo(project, collection.photos[0]))
    sha256 = hashlib.sha256(data).hexdigest()
    assert collection.photos == (
        Photo(
            "0001", "0001.jpg", "more/Eiffel Tower 2.JPG", sha256, 90, 120, perceptual_hash, brightness, "Eiffel Tower"
        ),
    )
    assert (collection.base_model, collection.resolution, collection.token_limit) == ("miniature", 256, 77)
    assert tree(project.collection.folder / "sources") == {"0001.jpg": data}
    assert collection.notes == ("1 photo named after the file; check the names.",)
    assert collection.skipped == ()


def test_progress_reports_every_image(project, tmp_path):
    files = photo_files("a.png", "b.png") | {"c.png": b"broken", "d.txt": b"x"}
    assert list(add_photos(project, folder_of(tmp_path / "in", files))) == [
        Progress(1, 3, "reading a.png"),
        Progress(2, 3, "reading b.png"),
        Progress(3, 3, "reading c.png"),
    ]


def test_every_kind_of_source_gives_the_same_collection(workspace, tmp_path):
    captions = {"a.txt": b"Big Ben, London, a tower", "captions.txt": b"b.png|Petra, Jordan"}
    files = photo_files("a.png", "b.png") | captions
    root, archive = folder_of(tmp_path / "in", files), zip_of(tmp_path / "in.zip", files)
    results = []
    for number, source in enumerate((root, archive, [archive], [root / name for name in files])):
        project = workspace.project(f"p{number}", new=True)
        list(add_photos(project, source))
        results.append((collections.load(project), tree(project.collection.folder)))
    assert prompts_of(results[0][0]) == {"a.png": "Big Ben, London, a tower", "b.png": "Petra, Jordan"}
    assert results.count(results[0]) == 4


def test_zips_and_images_are_added_together(add, tmp_path):
    one = zip_of(tmp_path / "one.zip", photo_files("x/a.png") | {"x/a.txt": b"A, x"})
    two = zip_of(tmp_path / "two.zip", photo_files("b.png", first=1))
    broken = tmp_path / "three.zip"
    broken.write_bytes(one.read_bytes()[:-30] + b"PK\5\6" + bytes(18))
    alone = folder_of(tmp_path, photo_files("c.png", first=2)) / "c.png"
    collection = add([one, two, broken, alone])
    assert originals(collection) == ["x/a.png", "b.png", "c.png"]
    assert compose(collection.photos[0]) == "A, x"


def test_a_single_image_is_added_by_its_path(add, tmp_path):
    assert originals(add(folder_of(tmp_path, photo_files("c.png")) / "c.png")) == ["c.png"]


def test_files_with_the_same_name_are_added_without_an_ambiguous_caption(add, tmp_path):
    """A browser sends file names without folders."""
    files = [
        folder_of(tmp_path / place, photo_files("a.png", "b.png", first=10 * number)) / name
        for number, place in enumerate("xy")
        for name in ("a.png", "b.png")
    ][:3]
    text = folder_of(tmp_path / "x", {"a.txt": b"Big Ben, London", "b.txt": b"Petra, Jordan"})
    collection = add([*files, text / "a.txt", text / "b.txt"])
    assert sorted(originals(collection)) == ["a.png", "a.png", "b.png"]
    assert prompts_of(collection) == {"a.png": "", "b.png": "Petra, Jordan"}
    assert "its caption may belong to another one" in reasons(collection)["a.png"]


def test_photos_are_added_to_the_existing_ones(add, project, tmp_path):
    first = folder_of(tmp_path / "one", photo_files("a.png", "b.png"))
    add(first)
    attempt = project.collection.stylized("0001-1.png")
    attempt.parent.mkdir()
    attempt.write_bytes(encoded(scene(9)))
    collections.add_attempt(project, "0001", Attempt("0001-1.png", "", "prompt", 0, 0.5, 5.0, 20))
    before = collections.edit(project, "0001", name="Big Ben", accepted_index=0)
    after = add(folder_of(tmp_path / "two", photo_files("c.png", first=2)))
    assert after.photos[:2] == before.photos
    assert [(photo.id, photo.file) for photo in after.photos] == [
        ("0001", "0001.png"),
        ("0002", "0002.png"),
        ("0003", "0003.png"),
    ]


def test_ids_are_not_reused(add, project, tmp_path):
    add(folder_of(tmp_path / "one", photo_files("a.png", "b.png", "c.png")))
    collections.remove(project, ["0002"])
    assert [photo.id for photo in add(folder_of(tmp_path / "two", photo_files("d.png", first=3))).photos] == [
        "0001",
        "0003",
        "0004",
    ]


def test_the_same_file_is_added_once(add, tmp_path):
    files = photo_files("a.png", "b.png")
    root = folder_of(tmp_path / "in", files | {"z.png": files["a.png"]})
    once = add(root)
    assert originals(once) == ["a.png", "b.png"]
    assert reasons(once) == {"z.png": "z.png is the same file as a.png (photo 0001); it is added only once"}
    again = add(root)
    assert (again.photos, again.skipped) == (once.photos, once.skipped)
    assert again.notes == ("2 photos already in the collection.",)


def test_a_corrected_file_is_no_longer_reported(add, tmp_path):
    root = folder_of(tmp_path / "in", photo_files("a.png") | {"b.png": b"broken", "c.png": b""})
    assert set(reasons(add(root))) == {"b.png", "c.png"}
    folder_of(root, photo_files("b.png", first=1))
    assert set(reasons(add(root))) == {"c.png"}
    assert set(reasons(add(folder_of(tmp_path / "other", photo_files("d.png", first=2))))) == {"c.png"}


def test_near_duplicates_are_noted(add, tmp_path):
    files = photo_files("a.png", "b.png") | {"c.png": encoded(scene(0).resize((192, 144)))}
    collection = add(folder_of(tmp_path / "in", files))
    assert collection.notes == (
        "1 group of near duplicates (0001, 0003); each group stays on one side of the split, or reject all but one of "
        "its photos.",
    )


def test_the_bundled_photos(add, project):
    collection = add("photos")
    captions = (PHOTOS / "captions.txt").read_text(encoding="utf-8").splitlines()
    assert prompts_of(collection) == dict(line.split("|") for line in captions)
    assert len(collection.photos) == 45
    assert (collection.skipped, collection.notes) == ((), ())
    by_name = {photo.name: photo for photo in collection.photos}
    assert by_name["Colosseum"].credit == (
        "Urse Ovidiu, Public Domain, https://commons.wikimedia.org/wiki/File:Colosseum_Roma_2009.jpg"
    )
    assert all("Public Domain" in photo.credit or "CC0" in photo.credit for photo in collection.photos)
    assert (by_name["Colosseum"].width, by_name["Colosseum"].height) == (1024, 666)
    assert all(usage.over == 0 for usage in token_usage(collection))
    assert [issue.kind for issue in check(project)] == ["long"]


def test_the_painted_landmarks(add):
    collection = add("landmarks", count=3, seed=5)
    assert [photo.name for photo in collection.photos] == ["Big Ben", "Colosseum", "Petra"]
    assert {(photo.width, photo.height) for photo in collection.photos} == {(256, 256)}
    for photo in collection.photos:
        assert all(getattr(photo, part) for part in PROMPT_PARTS)
    assert collection.photos[0].original == "Big Ben (painted, seed 5).png"
    again = add("landmarks", count=3, seed=5)
    assert (again.photos, again.notes) == (collection.photos, ("3 photos already in the collection.",))
    assert len(add("landmarks", count=2, seed=6).photos) == 5


def test_another_base_model_applies_to_all_photos(add, project, tmp_path, tiny_folder):
    add(folder_of(tmp_path / "in", photo_files("a.png")))
    other = add(folder_of(tmp_path / "two", photo_files("b.png", first=1)), str(tiny_folder))
    assert (other.base_model, other.resolution, len(other.photos)) == (str(tiny_folder), 64, 2)
    assert add(folder_of(tmp_path / "three", photo_files("c.png", first=2))).base_model == str(tiny_folder)


@pytest.mark.parametrize("source", ["empty", "absent"])
def test_a_source_without_images_is_refused_and_creates_no_project(project, workspace, tmp_path, source):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.txt").write_text("x")
    with pytest.raises(StudioError, match=r"has no image \(1 files\)|does not exist"):
        list(add_photos(project, tmp_path / source))
    assert workspace.projects() == []
    assert not collections.exists(project)


def test_stopping_halfway_keeps_the_photos_so_far(project, tmp_path):
    steps = add_photos(project, folder_of(tmp_path / "in", photo_files("a.png", "b.png", "c.png")))
    next(steps)
    next(steps)
    steps.close()
    assert originals(collections.load(project)) == ["a.png", "b.png"]
    list(add_photos(project, tmp_path / "in"))
    assert originals(collections.load(project)) == ["a.png", "b.png", "c.png"]


def test_only_one_can_add_photos_but_prompts_can_be_edited_meanwhile(project, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "MAX_WRITING_SHARE", 1e9)  # write after every photo
    root = folder_of(tmp_path / "in", photo_files("a.png", "b.png", "c.png"))
    steps = add_photos(project, root)
    next(steps)
    with pytest.raises(StudioError, match="photos are being added to project 'p' right now"):
        next(add_photos(project, root))
    collections.edit(project, "0001", name="Big Ben")
    assert len(list(steps)) == 2
    assert [photo.name for photo in collections.load(project).photos] == ["Big Ben", "", ""]


# captions beside the images


def test_captions_in_lists(add, tmp_path):
    files = photo_files("a.png", "b.png", "train/c.png", "train/d.png", "e.png", "f.png")
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
    collection = add(folder_of(tmp_path / "in", files))
    parts = {photo.original: [getattr(photo, part) for part in PROMPT_PARTS] for photo in collection.photos}
    assert parts == {
        "a.png": ["Big Ben", "London", "a tower", ""],
        "b.png": ["", "", "list", ""],
        "train/c.png": ["C, the", "=Rome", "", "close-up"],
        "train/d.png": ["", "", "", ""],
        "e.png": ["Petra", "Jordan", "", ""],
        "f.png": ["F", "", "", "wide shot"],
    }
    assert (collection.skipped, collection.notes) == ((), ())


def test_an_unreadable_list_loses_no_image(add, tmp_path):
    files = photo_files("a.png", "x/b.png") | {
        "captions.txt": b"a.png, Big Ben",
        "x/metadata.jsonl": b"{",
        "x/t.csv": b"\xff\xfe",
        "a.txt": b"A, a",
    }
    collection = add(folder_of(tmp_path / "in", files))
    assert prompts_of(collection) == {"a.png": "A, a", "x/b.png": ""}
    assert reasons(collection) == {
        "captions.txt": "line 1 of captions.txt is 'a.png, Big Ben'; it must be file|caption",
        "x/metadata.jsonl": "line 1 of x/metadata.jsonl is not JSON (Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)); write one object per line",
        "x/t.csv": "x/t.csv is not UTF-8 text; save it as UTF-8",
    }


def test_one_text_for_two_images_with_the_same_stem(add, tmp_path):
    files = {"a.png": encoded(scene(1)), "a.jpg": encoded(scene(2), "JPEG"), "a.txt": b"Big Ben, London"}
    assert prompts_of(add(folder_of(tmp_path / "in", files))) == dict.fromkeys(("a.png", "a.jpg"), "Big Ben, London")


# hostile


def png_header(width, height):
    """Return a PNG with this size in its header and hardly any data."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def hostile():
    """Return sixty files by name: good photos, bad ones, and captions and other files."""
    complete = encoded(scene(50), "PNG")
    bad = {f"truncated{n}.png": complete[: len(complete) * n // 12] for n in range(1, 11)}
    bad |= {f"cut{n}.jpg": encoded(scene(51), "JPEG")[: 100 * n] for n in range(1, 6)}
    bad |= {f"zero{n}.{end}": b"" for n, end in enumerate(("png", "jpg", "webp", "gif", "tif", "bmp"))}
    bad |= {
        "huge.png": png_header(30_000, 30_000),
        "bomb.png": png_header(2**31 - 1, 2**31 - 1),
        "flat.png": png_header(30_000, 1),
        "nothing.png": png_header(0, 0),
    }
    bad |= {
        "text.png": b"not an image",
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
    others = {
        "good0.txt": b" ".join([b"word"] * 400),
        "good1.txt": b"\xff\xfe bad",
        "good2.txt": b"y" * 5000,
        "same.txt": b"Same, Place",
        "captions.txt": b"no bar here",
        "metadata.jsonl": b"[[[[",
        "table.csv": b"a,b\n1,2\n",
        "notes.docx": b"x",
        "good3.txt": b"",
        "orphan.txt": b"of no image",
    }
    return good, bad, others


@pytest.mark.parametrize("kind", ["folder", "zip", "files"])
def test_sixty_hostile_files_give_one_list_and_no_photo_is_lost(project, tmp_path, kind):
    good, bad, others = hostile()
    files = good | bad | others
    assert len(files) == 60
    root = folder_of(tmp_path / "in", files)
    source = {"folder": root, "files": [root / name for name in files]}.get(kind)
    if kind == "zip":
        names = ("../../evil.png", "/etc/evil.png", "..\\..\\evil.png")
        good |= {name: encoded(scene(number)) for number, name in enumerate(names, 121)}
        source = zip_of(tmp_path / "in.zip", files | good)
    before = tree(tmp_path / "in")
    tracemalloc.start()
    list(add_photos(project, source))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    collection = collections.load(project)
    clean = {name.replace("\u202e", "").strip().replace("  ", " ") for name in good}
    if kind == "files":
        clean = {name.rpartition("/")[2] for name in clean}
    assert set(originals(collection)) == clean
    assert len(collection.photos) == len(good)
    skipped = reasons(collection)
    assert set(skipped) >= set(bad)
    assert set(skipped) - set(bad) == {"good1.png", "good2.png", "captions.txt", "metadata.jsonl", "table.csv"}
    assert all(len(reason) < 400 and "\n" not in reason and "Traceback" not in reason for reason in skipped.values())
    assert skipped["huge.png"] == "huge.png has too many pixels, at most 100 million are allowed; make it smaller first"
    assert skipped["zero0.png"] == "zero0.png is empty (0 bytes); export it again"
    assert "has an unsupported format" in skipped["vector.svg"]
    assert "the shorter side needs 64" in skipped["small.png"]
    assert "it is added without a prompt" in skipped["good1.png"]
    assert len(next(photo for photo in collection.photos if photo.original == "good0.png").description.split()) == 400
    issues = {issue.kind: issue for issue in check(project)}
    assert issues["long prompt"].ids == (next(p.id for p in collection.photos if p.original == "good0.png"),)
    assert {photo.name for photo in collection.photos if photo.original.startswith("same")} == {"Same"}
    assert "notes.docx" in " ".join(collection.notes)
    sources = tree(project.collection.folder / "sources")
    assert sorted(sources) == [photo.file for photo in collection.photos]
    assert tree(tmp_path / "in") == before
    assert not list(tmp_path.parent.glob("evil*"))
    assert peak < 100 * 2**20


def test_ten_thousand_entries(add, tmp_path):
    image = encoded(scene(1))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for number in range(9_999):
            archive.writestr(f"{number}.png", b"broken")
        archive.writestr("z.png", image)
    started = time.monotonic()
    collection = add(tmp_path / "in.zip")
    assert time.monotonic() - started < 60
    assert originals(collection) == ["z.png"]
    assert len(collection.skipped) == 9_999


def test_too_many_entries_are_refused(project, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "MAX_FILES", 2)
    with pytest.raises(StudioError, match="has more than 2 files; split it"):
        list(add_photos(project, folder_of(tmp_path / "in", photo_files("a.png", "b.png", "c.png"))))


def test_an_encrypted_member_is_reported(add, tmp_path):
    archive = zip_of(tmp_path / "in.zip", photo_files("a.png", "b.png"), zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    central = data.index(b"PK\1\2")
    data[6] |= 1
    data[central + 8] |= 1
    archive.write_bytes(data)
    collection = add(archive)
    assert originals(collection) == ["b.png"]
    assert "create the ZIP again without a password" in reasons(collection)["a.png"]


def test_a_file_without_read_permission_is_reported(add, tmp_path, monkeypatch):
    root = folder_of(tmp_path / "in", photo_files("a.png", "b.png"))
    (root / "gone.png").symlink_to(root / "a.png")

    def read(source, name):
        if name == "a.png":
            raise StudioError("a.png cannot be read (Permission denied); change its permissions, or leave it out")
        return (root / name).read_bytes()

    monkeypatch.setattr("ghibli_studio.data.file_source.FolderSource.read", read)
    reason = "a.png cannot be read (Permission denied); change its permissions, or leave it out"
    assert reasons(add(root))["a.png"] == reason


def test_the_collection_is_not_written_for_every_photo(project, tmp_path, monkeypatch):
    """It is written every so often, so that writing stays a small share of the time, however many photos there are."""
    writes = []
    original = collections.save
    monkeypatch.setattr(collections, "save", lambda *arguments: writes.append(1) or original(*arguments))
    names = [f"{number:04d}.png" for number in range(300)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, encoded(scene(number, (64, 64)), "PNG", compress_level=1))
    (tmp_path / "in.zip").write_bytes(buffer.getvalue())
    list(add_photos(project, tmp_path / "in.zip"))
    assert len(collections.load(project).photos) == 300
    assert len(writes) < 30


def test_a_caption_over_the_limit_is_reported(tmp_path, add):
    files = photo_files("a.png") | {"captions.txt": b"a.png|" + b"z" * 5000}
    collection = add(folder_of(tmp_path / "in", files))
    assert "at most 4000 are allowed; it is added without a prompt" in reasons(collection)["a.png"]
    assert caption_files.is_caption_list("captions.txt")
