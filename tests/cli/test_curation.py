"""The `curate` commands: exit codes, JSON lines, one sentence for wrong input."""

import pytest

from ghibli_studio.cli.app import main
from ghibli_studio.curation import collection as collections
from ghibli_studio.data import dataset as datasets
from tests.support.collection_project import encoded, scene, stylize
from tests.support.dataset_files import folder_of


@pytest.fixture
def root(tmp_path):
    names = ["Petra", "Colosseum", "Big Ben", "Moai"]
    files = {f"{n}.png": encoded(scene(n)) for n in range(1, 5)} | {"broken.png": b"x"}
    return folder_of(tmp_path / "in", files | {f"{n}.txt": f"{name}, X, y".encode() for n, name in enumerate(names, 1)})


def test_from_photos_to_a_dataset(results, root, workspace, tiny_folder, tmp_path):
    code, lines = results("curate", "add", "p", root, "--base-model", tiny_folder)
    assert code == 0
    assert lines == [
        {
            "event": "skipped",
            "file": "broken.png",
            "reason": "broken.png is not a readable image; save it as PNG, JPEG or WebP",
        },
        {"event": "done", "photos": 4, "new": 4, "skipped": 1},
    ]
    project = workspace.project("p")
    code, lines = results(
        "curate",
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
    code, lines = results("curate", "caption", "p", "--export", tmp_path / "p.csv")
    assert lines == [{"event": "done", "file": str(tmp_path / "p.csv")}]
    (tmp_path / "p.csv").write_text("file_name,name\n0002,Rome\n0009,x\n")
    code, lines = results("curate", "caption", "p", "--import", tmp_path / "p.csv")
    assert (lines[0]["event"], lines[0]["file"], lines[2]["prompt"]) == ("skipped", "0009", "Rome")
    code, lines = results("curate", "split", "p", "--seed", "3", "--share", "0.25")
    assert (code, lines) == (0, [{"event": "done", "train": 3, "validation": 1}])
    for photo in collections.load(project).photos:
        stylize(project, photo.id)
    code, lines = results("curate", "build", "p")
    assert (code, lines[-1]) == (0, {"event": "done", "train": 3, "validation": 1, "skipped": 0, "too_long": 0})
    assert [item.landmark for item in datasets.load(project).items] == ["Petra", "Rome", "Big Ben", "Moai"]
    code, lines = results("curate", "build", "p")
    assert (code, lines[0]["event"]) == (1, "error")
    assert results("curate", "build", "p", "--overwrite")[0] == 0


def test_issues_and_their_exit_code(results, root):
    results("curate", "add", "p", root)
    code, lines = results("curate", "check", "p")
    assert (code, [line["kind"] for line in lines]) == (0, ["small", "few", "skipped files"])
    assert lines[0]["ids"] == ["0001", "0002", "0003", "0004"]
    results(
        "curate",
        "caption",
        "p",
        "--ids",
        "0002",
        *[word for part in ("name", "location", "description") for word in ("--set", f"{part}=")],
    )
    code, lines = results("curate", "check", "p")
    assert (code, lines[0]["kind"]) == (1, "no prompt")


def test_bundled_and_painted_photos_are_added(results, root):
    assert results("curate", "add", "p", root)[1][-1]["photos"] == 4
    assert results("curate", "add", "p", "--bundled")[1][-1] == {"event": "done", "photos": 49, "new": 45, "skipped": 1}
    assert results("curate", "add", "p", "--landmarks", "2")[1][-1]["new"] == 2
    assert (
        results("curate", "add", "p", root / "1.png", root / "2.png")[1][0]["message"]
        == "2 photos already in the collection."
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["curate", "add", "p"], "choose one source"),
        (["curate", "add", "p", "x", "--bundled"], "choose one source"),
        (["curate", "add", "p", "no-such-folder"], "no-such-folder does not exist"),
        (["curate", "add", "p", "--landmarks", "500"], "it must be 2 to 115"),
        (["curate", "check", "p"], "there is no project 'p'"),
    ],
)
def test_wrong_words_get_one_sentence(results, words, sentence):
    code, lines = results(*words)
    assert (code, len(lines), lines[0]["event"]) == (1, 1, "error")
    assert sentence in lines[0]["message"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "title=x"], "--set 'title=x' is not PART=WORDS; PART is name"),
        (["--append", "name"], "--append 'name' is not PART=WORDS"),
        (["--ids", "0001,77"], "there is no photo '77'"),
        (["--export", "x.pdf"], "use .csv, .jsonl, .zip, or a folder"),
        (["--import", "no-such.zip"], "no-such.zip does not exist"),
        (["--import", "no-such.csv"], "no-such.csv does not exist"),
        (["--model", "no-such-folder"], "has no image-to-text model"),
        (["--find", ""], "the text to find is empty"),
    ],
)
def test_wrong_words_for_prompts_get_one_sentence(results, root, words, sentence):
    results("curate", "add", "p", root)
    code, lines = results("curate", "caption", "p", *words)
    assert (code, lines[-1]["event"]) == (1, "error")
    assert sentence in lines[-1]["message"]


def test_what_a_user_reads(root, workspace, capsys):
    assert main(["curate", "add", "p", str(root), "--workspace", str(workspace.root)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "skipped: broken.png is not a readable image; save it as PNG, JPEG or WebP",
        f"{workspace.root / 'p/collection'}: 4 photos, 4 of them new",
    ]
    main(["curate", "caption", "p", "--ids", "0001", "--workspace", str(workspace.root)])
    assert capsys.readouterr().out == "0001   12 of 77 tokens  Petra, X, y\n"
