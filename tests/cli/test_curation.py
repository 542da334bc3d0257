"""The verbs gather, caption, check, split and finish: exit codes, JSON lines, one sentence for wrong input."""

import json

import pytest

from ghibli_studio.cli.app import main
from ghibli_studio.curation import collection as collections
from ghibli_studio.data import dataset as datasets
from tests.data.test_file_source import folder_of
from tests.support.collection_project import encoded, scene, style


@pytest.fixture
def call(workspace, capsys):
    """Run a command in the test's workspace; returns (exit code, JSON objects on stdout without progress)."""

    def called(*words):
        code = main([*map(str, words), "--workspace", str(workspace.root), "--json"])
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return code, [line for line in lines if line.get("event") != "progress"]

    return called


@pytest.fixture
def root(tmp_path):
    names = ["Petra", "Colosseum", "Big Ben", "Moai"]
    files = {f"{n}.png": encoded(scene(n)) for n in range(1, 5)} | {"broken.png": b"x"}
    return folder_of(tmp_path / "in", files | {f"{n}.txt": f"{name}, X, y".encode() for n, name in enumerate(names, 1)})


def test_from_photographs_to_a_data_set(call, root, workspace, tiny_folder, tmp_path):
    code, lines = call("gather", "p", root, "--base-model", tiny_folder)
    assert code == 0
    assert lines == [
        {
            "event": "left_out",
            "file": "broken.png",
            "reason": "broken.png is not a picture that can be read; save it as PNG, JPEG or WebP",
        },
        {"event": "done", "photographs": 4, "new": 4, "left_out": 1},
    ]
    project = workspace.project("p")
    code, lines = call(
        "caption",
        "p",
        "--set",
        "composition=wide shot",
        "--find",
        "y",
        "--replace",
        "a sight",
        "--append",
        "description=by night",
        "--ids",
        "0001,0003",
    )
    assert (code, [line["prompt"] for line in lines]) == (
        0,
        ["Petra, X, a sight by night, wide shot", "Big Ben, X, a sight by night, wide shot"],
    )
    assert {line["limit"] for line in lines} == {77}
    code, lines = call("caption", "p", "--write", tmp_path / "p.csv")
    assert lines == [{"event": "done", "file": str(tmp_path / "p.csv")}]
    (tmp_path / "p.csv").write_text("file_name,name\n0002,Rome\n0009,x\n")
    code, lines = call("caption", "p", "--read", tmp_path / "p.csv")
    assert (lines[0]["event"], lines[0]["file"], lines[2]["prompt"]) == ("left_out", "0009", "Rome")
    code, lines = call("split", "p", "--seed", "3", "--share", "0.25")
    assert (code, lines) == (0, [{"event": "done", "train": 3, "validation": 1}])
    for photo in collections.load(project).photos:
        style(project, photo.id)
    code, lines = call("finish", "p")
    assert (code, lines[-1]) == (0, {"event": "done", "train": 3, "validation": 1, "left_out": 0})
    assert [item.landmark for item in datasets.load(project).items] == ["Petra", "Rome", "Big Ben", "Moai"]
    code, lines = call("finish", "p")
    assert (code, lines[0]["event"]) == (1, "error")
    assert call("finish", "p", "--replace")[0] == 0


def test_findings_and_their_exit_code(call, root):
    call("gather", "p", root)
    code, lines = call("check", "p")
    assert (code, [line["kind"] for line in lines]) == (0, ["small", "few", "left out"])
    assert lines[0]["ids"] == ["0001", "0002", "0003", "0004"]
    call(
        "caption",
        "p",
        "--ids",
        "0002",
        *[word for part in ("name", "location", "description") for word in ("--set", f"{part}=")],
    )
    code, lines = call("check", "p")
    assert (code, lines[0]["kind"]) == (1, "no prompt")


def test_bundled_and_drawn_photographs_are_added(call, root):
    assert call("gather", "p", root)[1][-1]["photographs"] == 4
    assert call("gather", "p", "--photographs")[1][-1] == {"event": "done", "photographs": 49, "new": 45, "left_out": 1}
    assert call("gather", "p", "--landmarks", "2")[1][-1]["new"] == 2
    assert call("gather", "p", root / "1.png", root / "2.png")[1][0]["message"] == "2 photographs were there already."


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gather", "p"], "say one source"),
        (["gather", "p", "x", "--photographs"], "say one source"),
        (["gather", "p", "no-such-folder"], "no-such-folder does not exist"),
        (["gather", "p", "--landmarks", "500"], "it must be 2 to 115"),
        (["check", "p"], "there is no project 'p'"),
    ],
)
def test_wrong_words_get_one_sentence(call, words, sentence):
    code, lines = call(*words)
    assert (code, len(lines), lines[0]["event"]) == (1, 1, "error")
    assert sentence in lines[0]["message"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "title=x"], "--set 'title=x' does not say PART=WORDS; PART is name"),
        (["--append", "name"], "--append 'name' does not say PART=WORDS"),
        (["--ids", "0001,77"], "there is no photograph '77'"),
        (["--write", "x.pdf"], "give .csv, .jsonl, .zip, or a folder"),
        (["--read", "no-such.zip"], "no-such.zip does not exist"),
        (["--read", "no-such.csv"], "no-such.csv does not exist"),
        (["--model", "no-such-folder"], "holds no image-to-text model"),
        (["--find", ""], "the words to find are empty"),
    ],
)
def test_wrong_words_for_prompts_get_one_sentence(call, root, words, sentence):
    call("gather", "p", root)
    code, lines = call("caption", "p", *words)
    assert (code, lines[-1]["event"]) == (1, "error")
    assert sentence in lines[-1]["message"]


def test_what_people_read(root, workspace, capsys):
    assert main(["gather", "p", str(root), "--workspace", str(workspace.root)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "left out: broken.png is not a picture that can be read; save it as PNG, JPEG or WebP",
        f"{workspace.root / 'p/collection'}: 4 photographs, 4 of them new",
    ]
    main(["caption", "p", "--ids", "0001", "--workspace", str(workspace.root)])
    assert capsys.readouterr().out == "0001   12 of 77 tokens  Petra, X, y\n"
