"""From photographs to an exported data set on the command line; exit codes, lines, and one sentence for wrong input."""

import json
from pathlib import Path

import pytest
from PIL import Image

from ghibli_studio.curation import collection as collections
from ghibli_studio.data.dataset import load
from ghibli_studio.generation.metadata import read_recipe
from ghibli_studio.imaging.image_io import png_bytes
from tests.generation.test_stylization import photograph

FAST = ("--style-words", "pastel", "--steps", "2", "--denoising-strength", "1")


def of(lines, event):
    return [line for line in lines if line["event"] == event]


def test_styled_accepted_finished_surveyed_and_exported(call, gathered, tmp_path):
    code, lines = call("stylize", "p", "--ids", "0001, 0002", "--accept", *FAST)
    assert (code, lines[-1]) == (0, {"event": "done", "styled": 2, "failed": 0})
    pictures = of(lines, "picture")
    assert [(one["photo"], Path(one["file"]).name, one["source"]) for one in pictures] == [
        ("0001", "0001-1.png", "prompt"),
        ("0002", "0002-1.png", "prompt"),
    ]
    assert read_recipe(Path(pictures[0]["file"]))["caption"] == "Big Ben, somewhere, pastel"
    code, lines = call("stylize", "p", "--accept")  # goes on, with the settings that it had
    assert ([one["photo"] for one in of(lines, "picture")], lines[-1]["styled"]) == (["0003"], 1)
    assert [one.state for one in collections.load(gathered).photos] == ["accepted"] * 3
    assert call("finish", "p", "--share", "0.4")[0] == 0
    assert len(load(gathered).items) == 3
    code, lines = call("survey", "p", "--sheet", str(tmp_path / "sheet.png"))
    assert (code, of(lines, "survey")[0]["value"]) == (0, "3: 2 to train on, 1 to validate on")
    assert [one["of"] for one in of(lines, "bars")] == ["sizes", "tokens", "brightness", "landmarks"]
    assert Image.open(tmp_path / "sheet.png").size[0] > 3 * 256
    code, lines = call("export-data", "p", "--layout", "kohya", "--trigger", "gvis", "--repeats", "2", "--zip")
    assert (code, lines[-1]) == (
        0,
        {"event": "done", "place": str(gathered.folder / "exports/p-kohya.zip"), "pictures": 3},
    )
    code, lines = call("export-data", "p", "--out", str(tmp_path / "out"), "--no-manifest")
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".png"] * 3 + [".txt"] * 5


def test_one_that_fails_is_told_and_the_exit_code_says_so(call, gathered):
    gathered.collection.source("0002.png").unlink()
    code, lines = call("stylize", "p", *FAST)
    assert (code, lines[-1]) == (1, {"event": "done", "styled": 2, "failed": 1})
    assert [(one["photo"], one["reason"][:44]) for one in of(lines, "left_out")] == [
        ("0002", "photograph 0002: Petra.png cannot be read (N")
    ]


def test_pictures_that_look_alike_across_the_split_give_exit_code_one(call, project):
    held_out, learned = (load(project).part(side)[0] for side in ("validation", "train"))
    (project.sources / learned.source).write_bytes((project.sources / held_out.source).read_bytes())
    code, lines = call("survey", "sample")
    assert (code, of(lines, "leak")) == (
        1,
        [{"event": "leak", "train": learned.id, "validation": held_out.id, "bits": 0}],
    )


def test_the_gathered_ones_are_surveyed_too(tell, gathered, tmp_path):
    code, out, _ = tell("survey", "p", "--gathered", "--sheet", str(tmp_path / "s.png"))
    assert (code, out.splitlines()[:2]) == (
        0,
        ["Pictures: 3: 0 to train on, 0 to validate on, 3 not decided", "Landmarks: 3; pictures of each: 1"],
    )
    assert (tmp_path / "s.png").is_file()


def test_a_single_photograph_without_a_project(call, tiny_folder, tmp_path):
    (tmp_path / "mine.png").write_bytes(png_bytes(photograph(1)))
    out = tmp_path / "styled.png"
    code, lines = call(
        "style-photo",
        str(tmp_path / "mine.png"),
        "--prompt",
        "a red rose",
        "--out",
        str(out),
        "--base-model",
        str(tiny_folder),
        *FAST,
    )
    assert (code, lines[-1]) == (0, {"event": "picture", "file": str(out)})
    assert read_recipe(out)["caption"] == "a red rose, pastel"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("stylize", "p", "--ids", "0009"), "there is no photograph '0009'; they go from 0001 to 0003"),
        (
            ("stylize", "p", "--denoising-strength", "2"),
            "denoising_strength is 2.0; it must be less than or equal to 1",
        ),
        (
            ("stylize", "p", "--adapter-file", "no.safetensors"),
            "there is no adapter file no.safetensors; train one first",
        ),
        (("export-data", "p", "--sources", "--no-manifest"), "sources need the manifest, which says whose they are"),
        (("export-data", "p"), "project 'p' has no data set yet"),
        (("survey", "p"), "project 'p' has no data set yet"),
        (
            ("style-photo", "no.png", "--prompt", "x", "--out", "x.png"),
            "no.png cannot be read (No such file or directory)",
        ),
        (("style-photo", "no.png", "--prompt", "x", "--out", "x.jpg"), "--out is 'x.jpg'; it must end in .png"),
    ],
)
def test_wrong_input_gets_one_sentence(call, gathered, words, reason):
    code, lines = call(*words)
    assert code == 1
    assert json.dumps(lines[-1]).find("Traceback") == -1
    assert lines[-1]["message"].startswith(reason)
