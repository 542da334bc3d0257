"""What a shelf tells besides captions; all of it comes from outside, and none of it is believed blindly."""

import json

import pytest

from adapters.settings import StudioError
from ghibli_studio.data.folder_layout import Told, told, without_trigger


class Shelf:
    """Files in memory."""

    def __init__(self, files):
        self.files = files

    def names(self):
        return sorted(self.files)

    def read(self, name):
        return self.files[name]


def tell(*pictures, **files):
    """What is told of the pictures; keyword arguments are other files, with __ for / and _dot_ for a dot."""
    named = {name.replace("__", "/").replace("_dot_", "."): data for name, data in files.items()}
    shelf = Shelf(dict.fromkeys(pictures, b"") | named)
    return told(shelf, shelf.names(), [name for name in shelf.names() if name.endswith(".png")])


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


def test_nothing_is_told_of_plain_pictures():
    assert tell("a.png", "more/b.png") == {"a.png": Told(), "more/b.png": Told()}


def test_a_manifest_tells_landmark_source_and_origin():
    found = tell("x/0001.png", "x/sources/0001.jpg", "x/0002.png", "0001.png", x__manifest_dot_json=manifest())
    petra = Told(landmark="Petra", source="x/sources/0001.jpg", original="DSC 1.jpg")
    assert found == {"0001.png": Told(), "x/0001.png": petra, "x/0002.png": Told()}


def test_the_photographs_behind_the_pictures_are_no_pictures_themselves():
    found = tell("0001.png", "sources/0001.png", "sources/0002.png", manifest_dot_json=manifest(source="0001.png"))
    assert found["0001.png"].source == "sources/0001.png"
    assert list(found) == ["0001.png", "sources/0002.png"]  # nobody's: it is told why it cannot be used


@pytest.mark.parametrize("source", ["../0001.jpg", "/etc/passwd", "", None, 7, ["x"], "missing.jpg", "a\x00.jpg"])
def test_a_source_that_is_not_in_the_shelf_is_none(source):
    assert tell("0001.png", manifest_dot_json=manifest(source=source))["0001.png"].source is None


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
def test_a_manifest_of_another_kind_tells_nothing(data):
    assert tell("0001.png", manifest_dot_json=data) == {"0001.png": Told()}


def test_what_a_manifest_says_is_one_bounded_line():
    found = tell("0001.png", manifest_dot_json=manifest(landmark="Big\n\x07 Ben" + "x" * 900, original=3, split="no"))
    assert found == {"0001.png": Told(landmark="Big Ben" + "x" * 293)}


def test_the_list_of_imagefolder():
    found = tell(
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
        "train/a.png": Told("Petra, rocks", "Petra", "train"),
        "train/more/b.png": Told("Big Ben, gvis", None, "train"),
        "validation/a.png": Told(split="validation"),
    }


@pytest.mark.parametrize("line", [b"not json", b'{"text": "x"}', b'{"file_name": 1}', b"[]", b"[" * 100_000])
def test_a_line_that_is_none_is_told(line):
    with pytest.raises(StudioError, match=r"^line 2 of metadata\.jsonl is .*it must be a JSON object with file_name"):
        tell("a.png", metadata_dot_jsonl=b'{"file_name": "a.png", "text": "x"}\n' + line)


def test_a_list_that_is_no_text_is_told():
    with pytest.raises(StudioError, match=r"^metadata\.jsonl is not UTF-8 text"):
        tell("a.png", metadata_dot_jsonl=b"\xff\xfe")


@pytest.mark.parametrize(
    ("pictures", "sides"),
    [
        (("train/a.png", "val/b.png"), ["train", "validation"]),
        (("x/Training/1/a.png", "x/VALID/b.png"), ["train", "validation"]),
        (("train/a.png", "train/b.png"), [None, None]),  # one side alone is no split
        (("train/a.png", "val/b.png", "z.png"), [None, None, None]),  # nor is one that leaves pictures out
        (("train.png", "val.png"), [None, None]),
    ],
)
def test_folders_called_after_the_sides(pictures, sides):
    assert [one.split for one in tell(*pictures).values()] == sides


@pytest.mark.parametrize(
    ("picture", "caption", "bare"),
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
def test_the_trigger_in_the_name_of_kohyas_folder_is_no_part_of_the_prompt(picture, caption, bare):
    assert without_trigger(picture, caption) == bare
