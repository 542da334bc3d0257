"""`evaluate` and `report` on the command line: what they tell, and what they refuse."""

import json
import re
import shutil

import pytest

from ghibli_studio.cli.app import main
from ghibli_studio.evaluation.evaluator import evaluations, load

QUICK = ["--steps", "2", "--tasks", "txt2img", "--landmarks", "Big Ben, Colosseum"]


@pytest.fixture
def run(trained, capsys):
    """Run a verb on the project; returns (exit code, output, errors)."""

    def printed(verb, *words):
        code = main([verb, "sample", "--workspace", str(trained.workspace.root), *words])
        out, err = capsys.readouterr()
        return code, out, err

    return printed


def test_evaluate_prints_the_comparisons_and_report_writes_the_page(run, trained):
    code, out, err = run("evaluate", *QUICK)
    assert (code, err) == (0, "")
    heads = re.findall(r"^(\S.*) minus (.*), (txt2img|img2img)$", out, re.MULTILINE)
    assert heads == [
        ("LoRA", "Textual Inversion", "txt2img"),
        ("LoRA", "Base model", "txt2img"),
        ("Textual Inversion", "Base model", "txt2img"),
    ]
    result = load(evaluations(trained)[0])
    for one in result["comparisons"]:
        assert f"{result['metrics'][one['metric']]['label']} " in out
    assert out.count("inconclusive") == len(result["comparisons"]) == 15
    assert "note: miniature CLIP is a proxy for the published network" in out
    assert out.splitlines()[-1] == str(evaluations(trained)[0] / "result.json")

    code, out, err = run("report")
    assert (code, out.strip(), err) == (0, str(trained.folder / "report.html"), "")
    values = json.loads((trained.folder / "report.json").read_text())
    assert values["evaluation"]["folder"] == evaluations(trained)[0].name
    page = (trained.folder / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)  # one file, no network
    assert "miniature CLIP" in page


def test_json_is_one_object_a_line(run):
    code, out, _ = run("evaluate", *QUICK, "--no-base", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    kinds = [event["event"] for event in events if event["event"] != "progress"]
    assert kinds == ["scored"] * 4 + ["comparison"] * 5 + ["note"] * kinds.count("note") + ["done"]
    assert {event["variant"] for event in events if event["event"] == "scored"} == {"LoRA", "Textual Inversion"}


def test_runs_adapters_and_sweeps_are_chosen(run, trained, tmp_path):
    file = tmp_path / "mine.safetensors"
    shutil.copy(trained.runs("lora")[0].adapter_file, file)
    code, _, _ = run(
        "evaluate",
        *QUICK[:4],
        "--landmarks",
        "Big Ben",
        "--runs",
        trained.runs("ti")[0].id,
        "--no-base",
        "--adapter",
        f"Mine={file}",
        "--sweep",
        "epoch",
    )
    assert code == 0
    named = [(one["name"], one["group"]) for one in load(evaluations(trained)[0])["variants"]]
    assert named[:2] == [("Textual Inversion", "compare"), ("Mine", "compare")]
    assert all(group == "epoch" and name.startswith("Textual Inversion epoch ") for name, group in named[2:])


def test_an_evaluation_resumes_by_its_name(run, trained):
    run("evaluate", *QUICK)
    folder = evaluations(trained)[0]
    (folder / "result.json").unlink()
    next((folder / "images").iterdir()).unlink()
    assert run("evaluate", "--resume", folder.name)[0] == 0
    assert len(load(folder)["rows"]) == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("evaluate", "--landmarks", "Atlantis"),
            "error: landmark 'Atlantis' was not held out; the held-out landmarks",
        ),
        (("evaluate", "--runs", "x"), "error: project 'sample' has no run 'x'; it has "),
        (("evaluate", "--adapter", "x"), "error: --adapter 'x' has no '='; write it as "),
        (("evaluate", "--resume", "x"), "is not an evaluation; start one first"),
        (("evaluate", "--resume", "../../.."), "is not an evaluation; start one first"),
        (("evaluate", "--tasks", "dream"), "tasks"),
        (("evaluate", "--clip-model", "nowhere/at-all"), "clip_model 'nowhere/at-all' is not on this machine"),
        (("report", "--evaluation", "x"), "error: project 'sample' has no evaluation 'x'; it has none yet"),
    ],
)
def test_what_is_wrong_is_one_sentence(run, words, sentence):
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_without_an_evaluation_a_report_covers_the_training(run, trained):
    assert run("report")[0] == 0
    assert json.loads((trained.folder / "report.json").read_text())["evaluation"] is None
