"""Import of images with captions and lists: what is imported, what is skipped and why, and unsafe names."""

import errno
import io
import os
from pathlib import Path

import pytest
from PIL import Image, features

from adapters.settings import StudioError
from ghibli_studio.data import file_source, importer
from ghibli_studio.data.dataset import load
from ghibli_studio.data.importer import import_images
from ghibli_studio.imaging.image_io import HEIF
from ghibli_studio.runtime.progress import Progress
from tests.support.dataset_files import CAPTIONS, folder_of, image_bytes, patched, tree, with_captions, zip_of


@pytest.fixture
def imported(workspace, tiny_folder):
    """A function that imports a source into project `p` and returns its dataset."""

    def make(source, **options):
        project = workspace.project("p", new=True)
        list(import_images(project, source, str(tiny_folder), **options))
        return load(project)

    return make


@pytest.fixture
def refusal(imported, workspace):
    """A function that returns the error message for a source and checks that nothing is left of it."""

    def message_for(source, **options):
        with pytest.raises(StudioError) as caught:
            imported(source, **options)
        assert (workspace.projects(), tree(workspace.root)) == ([], {})
        return str(caught.value)

    return message_for


def brief(dataset):
    return {item.original: (item.landmark, item.caption) for item in dataset.items}


def skipped(dataset):
    return {file["file"]: file["reason"] for file in dataset.skipped}


def splits_of(dataset):
    return {item.original: item.split for item in dataset.items}


def test_a_folder_with_caption_files(imported, workspace, tmp_path, tiny_folder):
    files = with_captions({**CAPTIONS, "more/F (1).JPG": "  Big Ben,\tLondon \n by night\n"})
    root = folder_of(tmp_path / "in", files)
    dataset = imported(root, seed=3)
    assert (dataset.base_model, dataset.resolution, dataset.seed) == (str(tiny_folder), 64, 3)
    assert brief(dataset) == {
        **{name: (caption.split(",")[0], caption) for name, caption in CAPTIONS.items()},
        "more/F (1).JPG": ("Big Ben", "Big Ben, London by night"),
    }
    assert dataset.skipped == ()
    assert splits_of(dataset)["a.png"] == splits_of(dataset)["more/F (1).JPG"]
    assert len(dataset.part("validation")) == 1
    sources = workspace.project("p").sources
    assert {item.original: (sources / item.source).read_bytes() for item in dataset.items} == {
        name: data for name, data in files.items() if not name.endswith(".txt")
    }
    assert sorted(item.source for item in dataset.items) == [
        "0001.png",
        "0002.png",
        "0003.png",
        "0004.png",
        "0005.png",
        "0006.jpg",
    ]
    assert tree(root) == files, "the source is unchanged"


def test_every_image_is_reported_as_progress(workspace, tiny_folder, tmp_path):
    root = folder_of(tmp_path / "in", {**with_captions(CAPTIONS), "broken.png": b"x"})
    project = workspace.project("p", new=True)
    names = ["a", "b", "broken", "c", "d", "e"]
    assert list(import_images(project, root, str(tiny_folder))) == [
        Progress(done, 6, f"reading {name}.png") for done, name in enumerate(names, 1)
    ]


def test_a_zip_and_uploads_give_the_same_as_the_folder(imported, workspace, tmp_path):
    files = with_captions(CAPTIONS)
    root = folder_of(tmp_path / "in", files)
    dataset = imported(root)
    made = tree(workspace.project("p").dataset)
    for source in (zip_of(tmp_path / "in.zip", files), [zip_of(tmp_path / "in.zip", files)], [root / n for n in files]):
        assert imported(source, replace=True) == dataset
        assert tree(workspace.project("p").dataset) == made


def test_the_split_is_by_landmark_and_seeded(imported, tmp_path):
    captions = {f"{n:02d}.png": f"Landmark {n % 10}, view {n}" for n in range(40)}
    root = folder_of(tmp_path / "in", with_captions(captions))
    dataset = imported(root, seed=1)
    validation = {item.landmark for item in dataset.part("validation")}
    assert (len(validation), len(dataset.part("validation"))) == (2, 8)
    assert not validation & {item.landmark for item in dataset.part("train")}
    assert splits_of(imported(root, seed=1, replace=True)) == splits_of(dataset)
    assert any(splits_of(imported(root, seed=seed, replace=True)) != splits_of(dataset) for seed in range(2, 6))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_formats_of_phones_and_browsers_are_read(imported, workspace, tmp_path):
    files = {
        "a.AVIF": image_bytes(1, kind="AVIF"),
        "b.jfif": image_bytes(2, kind="JPEG"),
        "c.webp": image_bytes(3, kind="WEBP"),
    }
    root = folder_of(tmp_path / "in", files | {f"{name}.txt": f"L{name}, x".encode() for name in "abc"})
    dataset = imported(root)
    assert [(item.original, item.source) for item in dataset.items] == [
        ("a.AVIF", "0001.avif"),
        ("b.jfif", "0002.jfif"),
        ("c.webp", "0003.webp"),
    ]
    assert tree(workspace.project("p").sources) == dict(zip(["0001.avif", "0002.jfif", "0003.webp"], files.values()))
    assert dataset.skipped == ()


# captions


def test_captions_can_be_in_one_list(imported, tmp_path):
    lines = ["\ufeffa.png|Big Ben, London", "", " b.png | Petra | Jordan", "more/c.png|Colosseum, Rome", "absent.png|x"]
    files = {name: image_bytes() for name in ("a.png", "b.png", "more/c.png")}
    files["captions.txt"] = "\r\n".join(lines).encode()
    assert brief(imported(folder_of(tmp_path / "in", files))) == {
        "a.png": ("Big Ben", "Big Ben, London"),
        "b.png": ("b", "Petra | Jordan"),
        "more/c.png": ("Colosseum", "Colosseum, Rome"),
    }


def test_a_list_takes_precedence_over_files_and_names_images_below_it(imported, tmp_path):
    files = with_captions({"x/a.png": "file a, x", "x/b.png": "file b, x"}) | {"captions.txt": b"a.png|list a, x"}
    assert brief(imported(folder_of(tmp_path / "in", files))) == {
        "x/a.png": ("list a", "list a, x"),
        "x/b.png": ("file b", "file b, x"),
    }


def test_each_folder_has_its_own_list(imported, tmp_path):
    files = {
        "x/1.png": image_bytes(),
        "y/1.png": image_bytes(),
        "z/1.png": image_bytes(),
        "captions.txt": b"1.png|Z, top",
        "x/captions.txt": b"1.png|X, own",
        "y/captions.txt": b"1.png|Y, own",
    }
    assert brief(imported(folder_of(tmp_path / "in", files))) == {
        "x/1.png": ("X", "X, own"),
        "y/1.png": ("Y", "Y, own"),
        "z/1.png": ("Z", "Z, top"),
    }


def test_an_invalid_list_is_reported_with_the_line(refusal, tmp_path):
    files = with_captions(CAPTIONS) | {"captions.txt": b"a.png|Big Ben\n\nb.png, Petra, Jordan\n"}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        "line 3 of captions.txt is 'b.png, Petra, Jordan'; it must be file|caption"
    )


def test_images_with_unusable_captions_are_skipped(imported, tmp_path):
    files = with_captions({**CAPTIONS, "empty.png": "", "blank.png": " \r\n\t", "long.png": "x " * 3000})
    files |= {name: image_bytes() for name in ("latin.png", "utf16.png", "sub/none.png")}
    files |= {"latin.txt": "Café, Paris".encode("latin-1"), "utf16.txt": "Petra".encode("utf-16")}
    dataset = imported(folder_of(tmp_path / "in", files))
    assert list(brief(dataset)) == list(CAPTIONS)
    example = "describe the image, such as 'Big Ben, London, a stone clock tower'"
    assert skipped(dataset) == {
        "blank.png": f"blank.png has no caption; {example}",
        "empty.png": f"empty.png has no caption; {example}",
        "latin.png": "latin.txt is not UTF-8 text; save it as UTF-8",
        "long.png": "the caption of long.png has 5999 characters, at most 4000 are allowed; shorten it",
        "sub/none.png": "sub/none.png has no caption; add none.txt beside it",
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
def test_captions_in_any_language(imported, workspace, tmp_path, text, caption):
    files = with_captions({"a.png": "Petra, Jordan", "b.png": text})
    dataset = imported(folder_of(tmp_path / "in", files))
    assert dataset.items[1].caption == caption
    assert (workspace.project("p").dataset / "0002.txt").read_bytes() == f"{caption}\n".encode()


def test_a_caption_over_the_token_limit_is_kept_and_listed(imported, workspace, tmp_path):
    long = "Big Ben, " + " ".join(f"word{n % 10}" for n in range(400))
    dataset = imported(folder_of(tmp_path / "in", with_captions({"a.png": long, "b.png": "Petra, Jordan"})))
    assert [item.caption for item in dataset.too_long()] == [long]
    assert dataset.items[0].tokens > 400 > dataset.token_limit == 77
    assert (workspace.project("p").dataset / "0001.txt").read_text() == f"{long}\n"


# train.txt and val.txt


def test_lists_set_the_split(imported, tmp_path):
    files = with_captions(CAPTIONS) | {"train.txt": b"\xef\xbb\xbfa.png\r\nb.png\r\n", "val.txt": b" c.png \n\nd.png\n"}
    dataset = imported(folder_of(tmp_path / "in", files))
    assert splits_of(dataset) == {"a.png": "train", "b.png": "train", "c.png": "validation", "d.png": "validation"}
    assert skipped(dataset) == {"e.png": "e.png is listed in neither train.txt nor val.txt; add it to one of them"}


@pytest.mark.parametrize(("name", "other"), [("train.txt", "validation"), ("val.txt", "train")])
def test_one_list_is_enough(imported, tmp_path, name, other):
    dataset = imported(folder_of(tmp_path / "in", with_captions(CAPTIONS) | {name: b"a.png\nb.png\n"}))
    assert [item.original for item in dataset.part(other)] == ["c.png", "d.png", "e.png"]


def test_lists_can_name_images_in_folders(imported, tmp_path):
    files = with_captions({"x/1.png": "A, x", "y/1.png": "B, y", "y/2.png": "C, y", "z/3.png": "D, z"})
    files |= {"train.txt": b"y/2.png\n3.png", "val.txt": b"x/1.png\n./y/1.png\n"}
    assert splits_of(imported(folder_of(tmp_path / "in", files))) == {
        "x/1.png": "validation",
        "y/1.png": "validation",
        "y/2.png": "train",
        "z/3.png": "train",
    }


def test_an_image_in_both_lists_is_refused(refusal, tmp_path):
    files = with_captions(CAPTIONS) | {"train.txt": b"a.png\nb.png\n", "val.txt": b"c.png\na.png\n"}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        "a.png is listed in both train.txt and val.txt; keep it in one"
    )


@pytest.mark.parametrize("line", ["f.png", "a", "A.png", "a.txt", "images/a.png"])
def test_a_line_that_names_no_image_is_refused(refusal, tmp_path, line):
    files = with_captions(CAPTIONS) | {"val.txt": f"b.png\n{line}\n".encode()}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        f"{line} is listed in val.txt but does not exist; list one file name per line, with its extension"
    )


@pytest.mark.parametrize("caption", ["Big Ben, at night", "big ben, at night"])
def test_a_landmark_in_both_splits_is_refused(refusal, tmp_path, caption):
    files = with_captions({**CAPTIONS, "f.png": caption}) | {"val.txt": b"c.png\nf.png"}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        f"{caption.split(',')[0]} is in training (a.png) and in validation (f.png), so validation would measure "
        "memorization; put all its images into one split"
    )


def test_lists_that_leave_a_split_empty_are_refused(refusal, tmp_path):
    files = with_captions(CAPTIONS) | {"train.txt": "\n".join(CAPTIONS).encode(), "val.txt": b""}
    assert refusal(folder_of(tmp_path / "in", files)) == (
        "all 5 usable images are in the train split; list images of one landmark in train.txt and of another in "
        "val.txt, or remove both files"
    )


# what is skipped


def test_broken_images_are_skipped_with_the_reason(imported, tmp_path):
    files = with_captions({**CAPTIONS, "half.png": "x", "text.png": "x", "zero.jpg": "x", "tiny.png": "x"})
    small = io.BytesIO()
    Image.new("RGB", (63, 64)).save(small, "PNG")
    files |= {"half.png": image_bytes()[:60], "text.png": b"Petra", "zero.jpg": b"", "tiny.png": small.getvalue()}
    dataset = imported(folder_of(tmp_path / "in", files))
    assert list(brief(dataset)) == list(CAPTIONS)
    reasons = skipped(dataset)
    assert reasons.pop("half.png").startswith("half.png is broken (")
    assert reasons == {
        "text.png": "text.png is not a readable image; save it as PNG, JPEG or WebP",
        "tiny.png": "tiny.png has 63 x 64 px, the shorter side needs 64; use a larger image",
        "zero.jpg": "zero.jpg is empty (0 bytes); export it again",
    }
    assert [item.id for item in dataset.items] == ["0001", "0002", "0003", "0004", "0005"]


def test_a_file_over_the_size_limit_is_skipped(imported, tmp_path, monkeypatch):
    monkeypatch.setattr(file_source, "MAX_BYTES", 2**20)
    files = with_captions({**CAPTIONS, "big.png": "x"}) | {"big.png": image_bytes() + bytes(2**20)}
    reason = {"big.png": "big.png is larger than 1 MB; make it smaller first"}
    assert skipped(imported(folder_of(tmp_path / "in", files))) == reason
    assert skipped(imported(zip_of(tmp_path / "in.zip", files), replace=True)) == reason
    assert skipped(imported([tmp_path / "in" / name for name in files], replace=True)) == reason


def test_an_unreadable_file_is_skipped(imported, tmp_path, monkeypatch):
    root = folder_of(tmp_path / "in", with_captions(CAPTIONS))
    read_bytes = Path.read_bytes

    def refusing(self):
        if self.name in ("a.png", "b.txt"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    for source in (root, [root / name for name in with_captions(CAPTIONS)]):
        assert skipped(imported(source, replace=True)) == {
            "a.png": "a.png cannot be read (Permission denied); change its permissions, or leave it out",
            "b.png": "b.txt cannot be read (Permission denied); change its permissions, or leave it out",
        }


def test_a_caption_linked_from_outside_is_not_read(imported, tmp_path):
    root = folder_of(tmp_path / "in", {**with_captions(CAPTIONS), "z.png": image_bytes()})
    (tmp_path / "passwords").write_text("secret, place")
    (root / "z.txt").symlink_to(tmp_path / "passwords")
    (root / "linked.png").symlink_to(folder_of(tmp_path / "out", {"secret.png": image_bytes()}) / "secret.png")
    dataset = imported(root)
    assert list(brief(dataset)) == list(CAPTIONS)
    assert skipped(dataset) == {"z.png": "z.png has no caption; add z.txt beside it"}


def test_images_of_unsupported_formats_are_listed(imported, tmp_path):
    others = ["d.svg", "e.psd", "f.pdf", "g.jxl", "h.CR2", "i.nef", "j.arw", "sub/k.dng"]
    others = [*([] if HEIF else ["b.HEIC", "c.heif"]), *others]
    files = with_captions({**CAPTIONS, "z.png": ""}) | dict.fromkeys(others, b"x") | {"l.mp4": b"x", "heic": b"x"}
    for source in (folder_of(tmp_path / "in", files), zip_of(tmp_path / "in.zip", files)):
        dataset = imported(source, replace=True)
        assert list(brief(dataset)) == list(CAPTIONS)
        example = "describe the image, such as 'Big Ben, London, a stone clock tower'"
        assert dataset.skipped == (
            *(
                {"file": name, "reason": f"{name} has an unsupported file type; save it as PNG, JPEG or WebP"}
                for name in others
            ),
            {"file": "z.png", "reason": f"z.png has no caption; {example}"},
        )


# images that nothing tells apart, and small ones: what is decided is noted


def one_landmark_note(landmark):
    return (
        f"All captions or file names start with the same words ({landmark}), so every image counts as its own "
        "landmark. If several images show the same thing, start their captions with its name and a comma."
    )


@pytest.mark.parametrize(
    ("captions", "landmark"),
    [
        ({f"{n}.png": f"my style, view {n}" for n in range(3)}, "my style"),
        ({f"IMG_{n}.png": f"a tower {n}" for n in range(3)}, "IMG"),
        ({"0.png": "my style, a tower", "1.png": "My Style, a bridge", "2.png": "MY STYLE, a hill"}, "my style"),
    ],
)
def test_if_all_images_have_the_same_landmark_each_counts_as_its_own(imported, tmp_path, captions, landmark):
    root = folder_of(tmp_path / "in", with_captions(captions))
    dataset = imported(root, seed=2)
    own = [f"{landmark} 0001", f"{landmark} 0002", f"{landmark} 0003"]
    assert [item.landmark.casefold() for item in dataset.items] == [name.casefold() for name in own]
    assert {item.original: item.caption for item in dataset.items} == captions
    assert sorted(splits_of(dataset).values()) == ["train", "train", "validation"]
    assert (dataset.notes, dataset.skipped) == ((one_landmark_note(landmark),), ())
    assert splits_of(imported(root, seed=2, replace=True)) == splits_of(dataset)


def test_images_of_one_landmark_can_be_split_by_lists(imported, tmp_path):
    files = with_captions({f"{n}.png": "my style, a tower" for n in range(3)}) | {"val.txt": b"1.png"}
    dataset = imported(folder_of(tmp_path / "in", files))
    assert splits_of(dataset) == {"0.png": "train", "1.png": "validation", "2.png": "train"}
    assert dataset.notes == (one_landmark_note("my style"),)


def test_two_landmarks_are_enough(imported, tmp_path):
    dataset = imported(folder_of(tmp_path / "in", with_captions({"a.png": "A, x", "b.png": "A, y", "c.png": "B, x"})))
    assert splits_of(dataset) == {"a.png": "train", "b.png": "train", "c.png": "validation"}
    assert ([item.landmark for item in dataset.items], dataset.notes) == (["A", "A", "B"], ())


def test_enlarged_images_are_counted(imported, workspace, tmp_path):
    files = with_captions(CAPTIONS) | {"f.png": image_bytes(9, (300, 256)), "f.txt": b"Zytglogge, Bern"}
    list(import_images(workspace.project("big", new=True), folder_of(tmp_path / "in", files)))
    dataset = load(workspace.project("big"))
    assert (dataset.resolution, dataset.notes) == (
        256,
        ("5 images are smaller than 256 px and were enlarged; larger ones would be sharper.",),
    )
    assert imported(tmp_path / "in").notes == ()


# what is refused


def test_nothing_usable(refusal, tmp_path):
    endings = ", ".join((".png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff, .gif, .avif, .jfif", *HEIF))
    empty = folder_of(tmp_path / "empty", {})
    empty.mkdir()
    assert refusal(empty) == f"{empty} has no images (0 files); images end in {endings}"
    texts = folder_of(tmp_path / "texts", {"a.txt": b"x", "b.svg": b"x", "png": b"x"})
    assert refusal(texts) == f"{texts} has no images (3 files); images end in {endings}"
    bare = zip_of(tmp_path / "bare.zip", {})
    assert refusal(bare) == f"{bare} has no images (0 files); images end in {endings}"
    assert refusal([]) == f"the selection of 0 files has no images (0 files); images end in {endings}"
    alone = folder_of(tmp_path / "alone", {"a.png": image_bytes(), "b.png": b""})
    assert refusal(alone) == (
        "only 0 usable images: training and validation need a landmark each; the landmark is the caption up to its "
        "first comma, or else the file name without its number. Skipped: 2 (a.png has no caption; add a.txt beside it; "
        "b.png has no caption; add b.txt beside it)"
    )


def test_one_usable_image_is_too_few(refusal, tmp_path):
    assert refusal(folder_of(tmp_path / "in", with_captions({"IMG_1.png": "my style, a tower"}))) == (
        "only 1 usable image of one landmark (my style): training and validation need a landmark each; the landmark is "
        "the caption up to its first comma, or else the file name without its number"
    )


def test_too_many_files_are_refused(refusal, imported, tmp_path, monkeypatch):
    files = with_captions(CAPTIONS)
    root, archive = folder_of(tmp_path / "in", files), zip_of(tmp_path / "in.zip", files)
    for bound in (8, 9):
        monkeypatch.setattr(importer, "MAX_FILES", bound)
        monkeypatch.setattr(file_source, "MAX_FILES", bound)
        assert refusal(root) == f"{root} has more than {bound} files; split it"
        assert refusal(archive) == f"{archive} has more than {bound} files; split it"
        assert refusal([root / name for name in files]) == (
            f"the selection of 10 files has more than {bound} files; split it"
        )
    monkeypatch.setattr(importer, "MAX_FILES", 10)
    monkeypatch.setattr(file_source, "MAX_FILES", 10)
    assert list(brief(imported(root))) == list(CAPTIONS)


def test_a_dataset_is_not_overwritten_by_default(imported, workspace, tmp_path):
    root = folder_of(tmp_path / "in", with_captions(CAPTIONS))
    imported(root)
    before = tree(workspace.root)
    with pytest.raises(StudioError) as caught:
        imported(root)
    assert str(caught.value) == "project 'p' has a dataset already; choose another project, or overwrite it (--replace)"
    assert tree(workspace.root) == before


def test_a_dataset_moved_away_by_a_kill_is_not_overwritten_by_default(imported, workspace, tmp_path):
    root = folder_of(tmp_path / "in", with_captions(CAPTIONS))
    imported(root)
    before = tree(workspace.root)
    project = workspace.project("p")
    project.dataset.rename(project.previous("dataset"))
    with pytest.raises(StudioError) as caught:
        imported(root)
    assert str(caught.value) == "project 'p' has a dataset already; choose another project, or overwrite it (--replace)"
    assert tree(workspace.root) == before


def test_a_dataset_created_meanwhile_is_not_overwritten_by_default(imported, workspace, tmp_path, monkeypatch):
    root, other = (folder_of(tmp_path / name, with_captions(CAPTIONS)) for name in ("in", "other"))
    made = []

    def meanwhile(source):
        monkeypatch.undo()
        imported(other)
        made.append(tree(workspace.root))
        return file_source.open_source(source)

    monkeypatch.setattr(importer, "open_source", meanwhile)
    with pytest.raises(StudioError) as caught:
        imported(root)
    assert str(caught.value) == "project 'p' has a dataset already; choose another project, or overwrite it (--replace)"
    assert made == [tree(workspace.root)]


def test_one_import_at_a_time(imported, workspace, tiny_folder, tmp_path):
    root = folder_of(tmp_path / "in", with_captions(CAPTIONS))
    first = import_images(workspace.project("p", new=True), root, str(tiny_folder))
    next(first)
    with pytest.raises(StudioError) as caught:
        imported(root)
    assert str(caught.value) == "the dataset of project 'p' is being written; wait until that is done"
    list(first)
    assert list(brief(load(workspace.project("p")))) == list(CAPTIONS)


def test_replacing_leaves_nothing_of_the_old(imported, workspace, tmp_path):
    imported(folder_of(tmp_path / "in", with_captions(CAPTIONS)))
    dataset = imported(folder_of(tmp_path / "two", with_captions({"x.png": "X, y", "z.png": "Z, y"})), replace=True)
    assert list(brief(dataset)) == ["x.png", "z.png"]
    assert list(tree(workspace.root / "p")) == [
        "dataset/0001.png",
        "dataset/0001.txt",
        "dataset/0002.png",
        "dataset/0002.txt",
        "dataset/manifest.json",
        "project.json",
        "sources/0001.png",
        "sources/0002.png",
    ]


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_a_stopped_sample_leaves_the_old_dataset(imported, workspace, tiny_folder, tmp_path, steps):
    imported(folder_of(tmp_path / "in", with_captions(CAPTIONS)))
    before = tree(workspace.root)
    new = folder_of(tmp_path / "new", with_captions({f"{n}.png": f"New {n}, x" for n in range(6)}))
    project = workspace.project("p")
    stopped = import_images(project, new, str(tiny_folder), replace=True)
    for _ in range(steps):
        next(stopped)
    during = tree(workspace.root)
    assert {name: during[name] for name in before} == before, "killed here, the old dataset is whole"
    stopped.close()
    assert tree(workspace.root) == before


def test_what_a_kill_left_behind_does_not_get_into_the_next_dataset(imported, workspace, tmp_path):
    project = workspace.project("p", new=True)
    for part in ("dataset", "sources"):
        folder_of(project.building(part), {"0009.png": b"left behind", "0001.txt": b"left behind"})
    imported(folder_of(tmp_path / "in", with_captions(CAPTIONS)))
    files = [name for name, data in tree(project.folder).items() if "0009" in name or data == b"left behind"]
    assert files == []


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_a_stopped_sample_leaves_no_new_project(workspace, tiny_folder, tmp_path, steps):
    new = folder_of(tmp_path / "new", with_captions({f"{n}.png": f"New {n}, x" for n in range(6)}))
    stopped = import_images(workspace.project("p", new=True), new, str(tiny_folder))
    for _ in range(steps):
        next(stopped)
    assert workspace.projects() == []
    stopped.close()
    assert (workspace.projects(), tree(workspace.root)) == ([], {})


def test_names_in_a_zip_lead_nowhere(imported, workspace, tmp_path):
    names = ["../../evil.png", "/abs.png", "a/../../up.png", "x\\..\\back.png", "C:\\disk.png", "ok.png"]
    before = set(tree(tmp_path))
    dataset = imported(zip_of(tmp_path / "evil.zip", with_captions({name: f"L{n}, x" for n, name in enumerate(names)})))
    assert sorted(brief(dataset)) == sorted(names)
    made = {"evil.zip", "workspace/p/project.json", "workspace/p/dataset/manifest.json"}
    for number in range(1, 7):
        made |= {
            f"workspace/p/{name}"
            for name in (f"dataset/000{number}.png", f"dataset/000{number}.txt", f"sources/000{number}.png")
        }
    assert set(tree(tmp_path)) - before == made
    assert not Path("/abs.png").exists()


def test_a_zip_bomb_and_an_encrypted_image_are_skipped(imported, tmp_path, monkeypatch):
    monkeypatch.setattr(file_source, "MAX_BYTES", 2**20)
    files = with_captions({**CAPTIONS, "bomb.png": "Bomb, x"}) | {"bomb.png": bytes(8 * 2**20)}
    dataset = imported(patched(zip_of(tmp_path / "in.zip", files), "c.png", flags=1))
    assert list(brief(dataset)) == ["a.png", "b.png", "d.png", "e.png"]
    assert skipped(dataset) == {
        "bomb.png": "bomb.png is larger than 1 MB; make it smaller first",
        "c.png": "c.png in the ZIP cannot be read (File 'c.png' is encrypted, password required for extraction); "
        "create the ZIP again without a password",
    }


def test_a_broken_zip_and_one_of_too_much_are_refused(refusal, tmp_path, monkeypatch):
    source = zip_of(tmp_path / "in.zip", with_captions(CAPTIONS))
    data = source.read_bytes()
    source.write_bytes(data.replace(b"PK\x01\x02", b"XXXX", 1))
    assert refusal(source) == f"{source} is a broken ZIP (Bad magic number for central directory); create it again"
    source.write_bytes(data)
    monkeypatch.setattr(file_source, "MAX_TOTAL_BYTES", 2**30)
    patched(source, "c.png", size=2**30 + 2**29)
    assert refusal(source) == "the ZIP has 1.5 GB unpacked, at most 1 GB are allowed; split it"
