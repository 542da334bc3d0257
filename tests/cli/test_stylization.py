"""From photographs to an exported data set on the command line; exit codes, lines, and one sentence for wrong input."""

import json
from pathlib import Path

import pytest
from PIL import Image

from ghibli_studio.curation import collection as collections
from ghibli_studio.data.dataset import load
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.imaging.image_io import png_bytes
from tests.support.photo_project import noise_image

FAST = ("--style-words", "pastel", "--steps", "2", "--strength", "1")


def of(lines, event):
    return [line for line in lines if line["event"] == event]


def test_styled_accepted_finished_surveyed_and_exported(call, with_photos, tmp_path):
    code, lines = call("curate", "stylize", "p", "--ids", "0001, 0002", "--accept", *FAST)
    assert (code, lines[-1]) == (0, {"event": "done", "stylized": 2, "failed": 0})
    pictures = of(lines, "image")
    assert [(one["photo"], Path(one["file"]).name, one["source"]) for one in pictures] == [
        ("0001", "0001-1.png", "prompt"),
        ("0002", "0002-1.png", "prompt"),
    ]
    assert read_metadata(Path(pictures[0]["file"]))["caption"] == "Big Ben, somewhere, pastel"
    code, lines = call("curate", "stylize", "p", "--accept")  # goes on, with the settings that it had
    assert ([one["photo"] for one in of(lines, "image")], lines[-1]["stylized"]) == (["0003"], 1)
    assert [one.state for one in collections.load(with_photos).photos] == ["accepted"] * 3
    assert call("curate", "build", "p", "--share", "0.4")[0] == 0
    assert len(load(with_photos).items) == 3
    code, lines = call("dataset", "stats", "p", "--sheet", str(tmp_path / "sheet.png"))
    assert (code, of(lines, "statistic")[0]["value"]) == (0, "3: 2 training, 1 validation")
    assert [one["of"] for one in of(lines, "histogram")] == ["sizes", "tokens", "brightness", "landmarks"]
    assert Image.open(tmp_path / "sheet.png").size[0] > 3 * 256
    code, lines = call("dataset", "export", "p", "--layout", "kohya", "--trigger", "gvis", "--repeats", "2", "--zip")
    assert (code, lines[-1]) == (
        0,
        {"event": "done", "path": str(with_photos.folder / "exports/p-kohya.zip"), "images": 3},
    )
    code, lines = call("dataset", "export", "p", "--out", str(tmp_path / "out"), "--no-manifest")
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".png"] * 3 + [".txt"] * 5


def test_a_failure_is_reported_and_the_exit_code_says_so(call, with_photos):
    with_photos.collection.source("0002.png").unlink()
    code, lines = call("curate", "stylize", "p", *FAST)
    assert (code, lines[-1]) == (1, {"event": "done", "stylized": 2, "failed": 1})
    assert [(one["photo"], one["reason"][:44]) for one in of(lines, "skipped")] == [
        ("0002", "photo 0002: Petra.png cannot be read (No suc")
    ]


def test_pictures_that_look_alike_across_the_split_give_exit_code_one(call, project):
    held_out, learned = (load(project).part(side)[0] for side in ("validation", "train"))
    (project.sources / learned.source).write_bytes((project.sources / held_out.source).read_bytes())
    code, lines = call("dataset", "stats", "sample")
    assert (code, of(lines, "leak")) == (
        1,
        [{"event": "leak", "train": learned.id, "validation": held_out.id, "bits": 0}],
    )


def test_the_gathered_ones_are_surveyed_too(tell, with_photos, tmp_path):
    code, out, _ = tell("curate", "stats", "p", "--sheet", str(tmp_path / "s.png"))
    assert (code, out.splitlines()[:2]) == (
        0,
        ["Images: 3: 0 training, 0 validation, 3 undecided", "Landmarks: 3; images per landmark: 1"],
    )
    assert (tmp_path / "s.png").is_file()


def test_a_single_photograph_without_a_project(call, tiny_folder, tmp_path):
    (tmp_path / "mine.png").write_bytes(png_bytes(noise_image(1)))
    out = tmp_path / "styled.png"
    code, lines = call(
        "generate",
        "stylize",
        str(tmp_path / "mine.png"),
        "--prompt",
        "a red rose",
        "--out",
        str(out),
        "--base-model",
        str(tiny_folder),
        *FAST,
    )
    assert (code, lines[-1]) == (0, {"event": "image", "file": str(out)})
    assert read_metadata(out)["caption"] == "a red rose, pastel"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("curate", "stylize", "p", "--ids", "0009"), "there is no photo '0009'; the ids go from 0001 to 0003"),
        (("curate", "stylize", "p", "--strength", "2"), "strength is 2.0; it must be less than or equal to 1"),
        (
            ("curate", "stylize", "p", "--adapter-file", "no.safetensors"),
            "there is no adapter file no.safetensors; train one first",
        ),
        (
            ("dataset", "export", "p", "--sources", "--no-manifest"),
            "sources is on and manifest is off, but sources need it",
        ),
        (("dataset", "export", "p"), "project 'p' has no dataset yet"),
        (("dataset", "stats", "p"), "project 'p' has no dataset yet"),
        (
            ("generate", "stylize", "no.png", "--prompt", "x", "--out", "x.png"),
            "no.png cannot be read (No such file or directory)",
        ),
        (("generate", "stylize", "no.png", "--prompt", "x", "--out", "x.jpg"), "--out is 'x.jpg'; it must end in .png"),
    ],
)
def test_wrong_input_gets_one_sentence(call, with_photos, words, reason):
    code, lines = call(*words)
    assert code == 1
    assert json.dumps(lines[-1]).find("Traceback") == -1
    assert lines[-1]["message"].startswith(reason)
