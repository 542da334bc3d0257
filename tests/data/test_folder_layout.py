"""Manifests, metadata files and folder names of a file source; all untrusted input."""

import json

import pytest

from adapters.settings import StudioError
from ghibli_studio.data.folder_layout import ImageInfo, read_layout, strip_trigger


class MemorySource:
    """Files in memory."""

    def __init__(self, files):
        self.files = files

    def names(self):
        return sorted(self.files)

    def read(self, name):
        return self.files[name]


def layout_of(*images, **files):
    """Read the layout of images; keyword arguments are other files, with __ for / and _dot_ for a dot."""
    named = {name.replace("__", "/").replace("_dot_", "."): data for name, data in files.items()}
    source = MemorySource(dict.fromkeys(images, b"") | named)
    return read_layout(source, source.names(), [name for name in source.names() if name.endswith(".png")])


def manifest(**changes):
    return json.dumps(
        {
            "items": [
                {
                    "id": "0001",
                    "landmark": "Petra",
                    "split": "train",
                    "source": "0001.jpg",
                    "original": "DSC 1.jpg",
                    **changes,
                }
            ]
        }
    ).encode()


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_images_without_a_layout_have_no_info():
    assert layout_of("a.png", "more/b.png") == {"a.png": ImageInfo(), "more/b.png": ImageInfo()}


def test_a_manifest_gives_landmark_source_and_original_name():
    found = layout_of("x/0001.png", "x/sources/0001.jpg", "x/0002.png", "0001.png", x__manifest_dot_json=manifest())
    petra = ImageInfo(landmark="Petra", source="x/sources/0001.jpg", original="DSC 1.jpg")
    assert found == {"0001.png": ImageInfo(), "x/0001.png": petra, "x/0002.png": ImageInfo()}


def test_source_photos_are_not_imported_as_images():
    found = layout_of("0001.png", "sources/0001.png", "sources/0002.png", manifest_dot_json=manifest(source="0001.png"))
    assert found["0001.png"].source == "sources/0001.png"
    assert list(found) == ["0001.png", "sources/0002.png"]  # no image's source, so it is listed and skipped later


@pytest.mark.parametrize("source", ["../0001.jpg", "/etc/passwd", "", None, 7, ["x"], "missing.jpg", "a\x00.jpg"])
def test_a_source_that_does_not_exist_is_none(source):
    assert layout_of("0001.png", manifest_dot_json=manifest(source=source))["0001.png"].source is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"items": 1}',
        b'{"items": [1]}',
        b'{"items": [{"landmark": "x"}]}',
        b'{"items": [{"id": []}]}',
        b"[" * 100_000,
    ],
)
def test_a_manifest_of_another_program_is_ignored(data):
    assert layout_of("0001.png", manifest_dot_json=data) == {"0001.png": ImageInfo()}


def test_manifest_values_become_one_line_of_bounded_length():
    found = layout_of(
        "0001.png", manifest_dot_json=manifest(landmark="Big\n\x07 Ben" + "x" * 900, original=3, split="no")
    )
    assert found == {"0001.png": ImageInfo(landmark="Big Ben" + "x" * 293)}


def test_the_metadata_of_imagefolder():
    found = layout_of(
        "train/a.png",
        "train/more/b.png",
        "validation/a.png",
        train__metadata_dot_jsonl=lines(
            {"file_name": "a.png", "text": " Petra,  rocks, gvis ", "landmark": "Petra", "trigger": "gvis"},
            {"file_name": "more/b.png", "text": "Big Ben, gvis"},
            {"file_name": "gone.png", "text": "x"},
            {"file_name": "../../etc/passwd.png", "text": "x"},
        ),
    )
    assert found == {
        "train/a.png": ImageInfo("Petra, rocks", "Petra", "train"),
        "train/more/b.png": ImageInfo("Big Ben, gvis", None, "train"),
        "validation/a.png": ImageInfo(split="validation"),
    }


@pytest.mark.parametrize("line", [b"not json", b'{"text": "x"}', b'{"file_name": 1}', b"[]", b"[" * 100_000])
def test_an_invalid_line_is_reported(line):
    with pytest.raises(StudioError, match=r"^line 2 of metadata\.jsonl is .*it must be a JSON object with file_name"):
        layout_of("a.png", metadata_dot_jsonl=b'{"file_name": "a.png", "text": "x"}\n' + line)


def test_metadata_that_is_not_utf8_is_reported():
    with pytest.raises(StudioError, match=r"^metadata\.jsonl is not UTF-8 text"):
        layout_of("a.png", metadata_dot_jsonl=b"\xff\xfe")


@pytest.mark.parametrize(
    ("images", "splits"),
    [
        (("train/a.png", "val/b.png"), ["train", "validation"]),
        (("x/Training/1/a.png", "x/VALID/b.png"), ["train", "validation"]),
        (("train/a.png", "train/b.png"), [None, None]),  # one split alone is ignored
        (("train/a.png", "val/b.png", "z.png"), [None, None, None]),  # and so is one that misses images
        (("train.png", "val.png"), [None, None]),
    ],
)
def test_folders_named_after_the_splits(images, splits):
    assert [one.split for one in layout_of(*images).values()] == splits


@pytest.mark.parametrize(
    ("image", "caption", "bare"),
    [
        ("10_gvis house/a.png", "Petra, rocks, gvis", "Petra, rocks"),
        ("10_ghibli style/a.png", "Petra, ghibli style", "Petra"),
        ("10_a, b house/a.png", "Petra, a, b", "Petra"),
        ("10_gvis house/a.png", "Petra, rocks", "Petra, rocks"),
        ("10_gvisual house/a.png", "Petra, gvis", "Petra, gvis"),
        ("10_gvis/a.png", "gvis", "gvis"),
        ("gvis/a.png", "Petra, gvis", "Petra, gvis"),
    ],
)
def test_the_trigger_of_kohyas_folder_is_removed_from_the_caption(image, caption, bare):
    assert strip_trigger(image, caption) == bare
