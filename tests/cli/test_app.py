"""The command line: every verb, its exit codes, its JSON lines, and one sentence for wrong input."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ghibli_studio.cli.app import main

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
def test_from_nothing_to_images(call, tiny_folder, workspace):
    code, lines = call("dataset", "sample", "p", "--count", "8", "--base-model", str(tiny_folder))
    assert code == 0
    assert {key: lines[-1][key] for key in ("event", "train", "validation", "skipped", "too_long")} == {
        "event": "done",
        "train": 6,
        "validation": 2,
        "skipped": 0,
        "too_long": 0,
    }
    for method, extra in (("lora", "rank=2"), ("ti", "num_vectors=2")):
        code, lines = call(
            "train", "p", "--method", method, "--preset", "quick", "--epochs", "2", "--seed", "3", "--set", extra
        )
        assert code == 0
        assert [e["epoch"] for e in lines if e["event"] == "epoch"] == [0, 1, 2]
        assert lines[-1]["event"] == "done"
        assert lines[-1]["best_validation_loss"] > 0
        config = workspace.project("p").runs(method)[0].config()
        assert (config.training.seed, config.adapter.num_train_epochs) == (3, 2)
    code, lines = call("runs", "list", "p")
    assert [(line["state"], line["method"]) for line in lines] == [("done", "lora"), ("done", "ti")]
    code, lines = call("generate", "images", "p", "--landmarks", "Big Ben,petra", "--steps", "2", "--seed", "5")
    assert code == 0
    drawn = [line for line in lines if line["event"] == "image"]
    assert [(line["title"], line["method"]) for line in drawn] == [
        (title, method) for method in ("base", "lora", "ti") for title in ("Big Ben", "Petra")
    ]
    assert all(Path(line["file"]).is_file() for line in drawn)
    code, lines = call("images", "reproduce", "p", drawn[-1]["file"])
    assert (code, lines[-1]["same"]) == (0, True)


def test_prompts_from_a_file_with_an_adapter_from_anywhere(call, tiny_folder, tmp_path, project, workspace):
    from safetensors.torch import save_file
    from torch import randn

    save_file({"<monet>": randn(1, 32)}, tmp_path / "monet.safetensors")
    (tmp_path / "prompts.txt").write_text("Petra, a temple\n\nBig Ben, a tower\n")
    monet = f"ti={tmp_path / 'monet.safetensors'}"
    code, lines = call(
        "generate",
        "images",
        project.name,
        "--models",
        "base",
        "--adapter",
        monet,
        "--prompts",
        str(tmp_path / "prompts.txt"),
        "--steps",
        "2",
    )
    assert code == 0
    assert [(e["title"], e["method"]) for e in lines if e["event"] == "image"] == [
        ("Petra", "base"),
        ("Big Ben", "base"),
        ("Petra", "ti"),
        ("Big Ben", "ti"),
    ]


def test_import_lists_what_was_skipped(tell, tiny_folder, tmp_path):
    from PIL import Image

    for index, caption in enumerate(["Petra, a temple", "Big Ben, a tower", None]):
        Image.new("RGB", (80, 80), (index * 40, 90, 90)).save(tmp_path / f"{index}.png")
        if caption:
            (tmp_path / f"{index}.txt").write_text(caption)
    code, out, _ = tell("dataset", "import", "own", str(tmp_path), "--base-model", str(tiny_folder))
    assert code == 0
    assert "skipped: 2.png has no caption; add 2.txt beside it" in out
    assert "1 images to train on, 1 of other landmarks to validate on" in out


def test_an_import_that_fails_leaves_no_project(tell, workspace, tiny_folder, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    code, out, err = tell("dataset", "import", "own", str(tmp_path), "--base-model", str(tiny_folder))
    assert (code, out) == (1, "")
    assert err.startswith("error: only 0 usable images: ")
    assert workspace.projects() == []
    assert tell("runs", "list", "own") == (
        1,
        "",
        f"error: there is no project 'own' in {workspace.root} (projects: none yet); create one with: "
        "ghibli-studio dataset sample 'own'\n",
    )


def test_import_prints_what_it_decided(tell, call, tiny_folder, tmp_path):
    from PIL import Image

    source = tmp_path / "in"  # beside the workspace: the manifest of a dataset there would name the landmarks
    source.mkdir()
    for index in range(2):
        Image.new("RGB", (80, 80), (index * 40, 90, 90)).save(source / f"{index}.png")
        (source / f"{index}.txt").write_text("my style, a tower")
    note = (
        "All captions or file names start with the same words (my style), so every image counts as its own landmark. "
        "If several images show the same thing, start their captions with its name and a comma."
    )
    words = ["dataset", "import", "own", str(source), "--base-model", str(tiny_folder)]
    code, out, _ = tell(*words)
    assert (code, out.splitlines()[0]) == (0, note)
    code, lines = call(*words, "--overwrite")
    assert (code, [line for line in lines if line["event"] == "note"]) == (0, [{"event": "note", "message": note}])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["train", "nobody", "--method", "lora"],
            "there is no project 'nobody' in {root} (projects: none yet); create one with: "
            "ghibli-studio dataset sample 'nobody'",
        ),
        (
            ["dataset", "sample", "../out"],
            "'../out' cannot be a project's name; use 1 to 64 letters, digits, spaces, '-', '_' or '.', "
            "with a letter or digit first and no space or '.' last",
        ),
        (
            ["dataset", "sample", "p", "--count", "1"],
            "count is 1; it must be 2 to 115, the number of painted landmarks",
        ),
        (
            ["dataset", "import", "p", "/nowhere/at/all"],
            "/nowhere/at/all does not exist; give a folder or a ZIP of images with .txt captions",
        ),
        (
            ["dataset", "sample", "p", "--base-model", "/nowhere/model"],
            "base_model '/nowhere/model' is neither 'miniature', a folder, a .safetensors file nor a Hub id such as "
            "stable-diffusion-v1-5/stable-diffusion-v1-5; check the spelling of the path",
        ),
    ],
)
def test_wrong_input_gets_one_sentence(tell, workspace, words, sentence):
    code, out, err = tell(*words)
    assert (code, out) == (1, "")
    assert err == f"error: {sentence.format(root=workspace.root)}\n"
    assert workspace.projects() == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "rank=0"], "rank is 0; it must be greater than or equal to 1"),
        (["--set", "rnk=4"], "there is no setting 'rnk'"),
        (["--set", "rank"], "--set 'rank' has no '='; write it like --set rank=16"),
        (["--epochs", "0"], "num_train_epochs is 0; it must be greater than or equal to 1"),
        (["--resume", "20990101-000000-lora"], "has no run '20990101-000000-lora'; it has none yet"),
        (["--base-model", "miniature"], "the dataset has images of 64 px, base model 'miniature' needs 256 px"),
    ],
)
def test_wrong_training_input_gets_one_sentence(tell, project, words, sentence):
    code, _, err = tell("train", project.name, "--method", "lora", *words)
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--models", "base,hyper"], "project 'sample' has no model 'hyper'; choose one of: base"),
        (["--models", "lora"], "has no trained LoRA yet"),
        (["--models", "base", "--landmarks", "Eifel Tower"], "the dataset has no landmark 'Eifel Tower'"),
        (["--models", "base", "--steps", "0"], "num_inference_steps is 0; it must be greater than or equal to 1"),
        (["--models", "base", "--prompts", "/nowhere"], "/nowhere cannot be read"),
        (["--models", "base", "--adapter", "lora=/no.safetensors"], "there is no adapter file /no.safetensors"),
        (["--models", "base", "--adapter", f"lora={__file__}"], "is not a safetensors file"),
    ],
)
def test_wrong_generation_input_gets_one_sentence(tell, project, words, sentence):
    code, _, err = tell("generate", "images", project.name, *words)
    assert code == 1
    assert sentence in err


def test_a_dataset_is_not_overwritten_unless_asked(tell, project, tiny_folder):
    sample = ["dataset", "sample", project.name, "--count", "2", "--base-model", str(tiny_folder)]
    code, _, err = tell(*sample)
    assert code == 1
    assert "has a dataset already; choose another project, or overwrite it (--replace)" in err
    assert tell(*sample, "--overwrite")[0] == 0


def test_reproducing_needs_an_image_of_this_program(tell, project):
    code, _, err = tell("images", "reproduce", project.name, __file__)
    assert code == 1
    assert "is not a readable PNG" in err


def test_an_error_is_a_json_object_too(call):
    code, lines = call("runs", "list", "nobody")
    assert code == 1
    assert (len(lines), lines[0]["event"], lines[0]["message"][:28]) == (1, "error", "there is no project 'nobody'")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["dataset"],
        ["dataset", "sample"],
        ["train", "p", "--method", "hyper"],
        ["train", "p", "--method", "lora", "--preset", "slow"],
        ["train", "p", "--method", "lora", "--epochs", "many"],
        ["generate", "images", "p", "--landmarks", "Petra", "--prompts", "p.txt"],
        ["space", "create", "s", "--hardware", "abacus"],
    ],
)
def test_wrong_usage_exits_with_2(words, capsys):
    assert main(words) == 2


def test_training_needs_a_method_unless_it_resumes(tell, project):
    code, _, err = tell("train", project.name)
    assert code == 2
    assert "choose one of lora, ti, all" in err


def test_a_workspace_that_cannot_be_written(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["dataset", "sample", "p", "--count", "2", "--workspace", str(blocked / "w")]) == 1
    err = capsys.readouterr().err
    assert "cannot be used (Not a directory); choose another folder with --workspace" in err


@pytest.mark.integration
def test_cancelling_from_the_command_line(call, project):
    from ghibli_studio.config.training import preset
    from ghibli_studio.data import dataset as datasets
    from ghibli_studio.jobs import queue

    base = datasets.load(project).base_model
    run = queue.submit(project, preset("quick", "lora", base_model=base, num_train_epochs=5000, rank=2))
    assert call("runs", "cancel", project.name, run.id) == (0, [{"event": "cancelled", "run": run.id}])


@pytest.mark.integration
def test_several_seeds_are_runs_that_differ_in_nothing_else(call, project):
    code, lines = call(
        "train",
        project.name,
        "--method",
        "lora",
        "--preset",
        "quick",
        "--epochs",
        "1",
        "--seed",
        "3",
        "--seeds",
        "2",
        "--set",
        "rank=2",
    )
    assert code == 0
    assert [line["event"] for line in lines if line["event"] in ("run", "done")] == ["run", "done"] * 2
    configs = [run.config() for run in project.runs()]
    assert [config.training.seed for config in configs] == [3, 4]
    assert configs[0].model_dump()["adapter"] == configs[1].model_dump()["adapter"]


def test_a_grid_is_queued_for_both_methods(call, project, monkeypatch):
    from ghibli_studio.jobs import queue
    from ghibli_studio.workspace.files import write_json

    monkeypatch.setattr(queue, "start", lambda run: write_json(run.done_file, {"state": "done"}))
    code, lines = call(
        "train",
        project.name,
        "--method",
        "all",
        "--preset",
        "quick",
        "--grid",
        "rank=2,4",
        "--grid",
        "snr_gamma=1,5",
        "--seeds",
        "3,1",
        "--set",
        "num_vectors=2",
    )
    assert code == 0
    configs = [project.run(line["run"]).config() for line in lines if line["event"] == "run"]
    assert [(c.training.seed, c.method, c.training.snr_gamma, getattr(c.adapter, "rank", None)) for c in configs] == [
        (seed, *one)
        for seed in (3, 1)
        for one in (("lora", 1, 2), ("ti", 1, None), ("lora", 5, 2), ("ti", 5, None), ("lora", 1, 4), ("lora", 5, 4))
    ]
    assert {c.adapter.num_vectors for c in configs if c.method == "ti"} == {2}


def test_a_learning_rate_and_a_batch_size_are_found(call, tell, project, tmp_path):
    page = tmp_path / "rate.html"
    code, lines = call(
        "tune", "lr", project.name, "--steps", "10", "--from", "1e-4", "--to", "0.1", "--plot", str(page)
    )
    found = [line for line in lines if line["event"] == "found"]
    rows = [line for line in lines if line["event"] == "rate"]
    assert [line["method"] for line in found] == ["lora", "ti"]
    assert code == int(any(line["learning_rate"] is None for line in found))
    assert (rows[0]["learning_rate"], rows[0]["change"]) == (1e-4, 0)
    assert {row["method"] for row in rows} == {"lora", "ti"}
    assert lines[-1] == {"event": "plot", "file": str(page)}
    assert page.read_text().count("<svg role") == 1
    code, lines = call("tune", "batch-size", project.name, "--method", "ti", "--set", "num_vectors=2")
    assert (code, lines[-1]["event"], lines[-1]["largest"]) == (0, "found", 4)
    assert [line["batch"] for line in lines if line["event"] == "batch"] == [1, 2, 4]
    assert project.runs() == []
    code, _, err = tell("tune", "lr", project.name, "--from", "1", "--to", "0.1")
    assert (code, err) == (1, "error: min_lr is 1; it must be less than max_lr, 0.1\n")


def test_a_failed_seed_does_not_stop_the_others(call, project, monkeypatch):
    from ghibli_studio.jobs import queue
    from ghibli_studio.workspace.files import write_json

    def end(run):
        first = run.config().training.seed == 0
        write_json(run.done_file, {"state": "failed", "message": "it did not work"} if first else {"state": "done"})

    monkeypatch.setattr(queue, "start", end)
    code, lines = call("train", project.name, "--method", "lora", "--preset", "quick", "--seeds", "2")
    assert (code, lines[-1]) == (1, {"event": "error", "message": "it did not work"})
    assert [line["event"] for line in lines] == ["run", "run", "done", "error"]


def test_an_interrupt_cancels_every_seed(call, project, monkeypatch):
    from ghibli_studio.jobs import queue, status

    def interrupted(run):
        raise KeyboardInterrupt
        yield

    cancelled = []
    monkeypatch.setattr(queue, "start", lambda run: None)
    monkeypatch.setattr(status, "watch", interrupted)
    monkeypatch.setattr(queue, "cancel", lambda run: cancelled.append(run.config().training.seed))
    code, _ = call("train", project.name, "--method", "lora", "--preset", "quick", "--seeds", "3")
    assert (code, cancelled) == (130, [2, 1, 0])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--seeds", "0"],
            "seeds is 0; it must be the number of runs to queue, from 1 to 100, or a list of seeds like 1,5,9",
        ),
        (["--grid", "rank=2,4", "--resume", "x"], "--resume continues one run; omit --grid"),
        (["--grid", "rnk=4"], "lora has no setting 'rnk'; did you mean 'rank'?"),
        (["--grid", "rank=0,4"], "rank is 0; it must be greater than or equal to 1"),
        (["--grid", "rank"], "grid 'rank' is not NAME=VALUES; write it like rank=4,8,16"),
        (["--seeds", "2", "--resume", "x"], "--resume continues one run; omit --seeds"),
    ],
)
def test_seeds_out_of_bounds_are_refused(tell, project, words, sentence):
    assert tell("train", project.name, "--method", "lora", *words) == (1, "", f"error: {sentence}\n")
    assert project.runs() == []


def test_doctor(call):
    code, lines = call("doctor")
    names = [line["name"] for line in lines]
    assert names == [
        "versions",
        "packages",
        "hardware",
        "device",
        "attention",
        "memory",
        "miniature",
        "base model",
        "workspace",
        "disk",
        "runs",
        "port",
        "storage",
        "replica",
        "login",
        "hub",
        "evaluation",
    ]
    assert lines[-1]["ok"] is True
    assert code == (0 if all(line["ok"] for line in lines) else 1)


@pytest.mark.integration
def test_it_runs_as_a_module_and_helps_without_heavy_imports():
    code = (
        "import sys\n"
        "from ghibli_studio.__main__ import main\n"
        "main(['train', '--help'])\n"
        "assert not {'torch', 'gradio', 'diffusers', 'transformers', 'numpy', 'PIL'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Train an adapter" in done.stdout


@pytest.mark.integration
def test_a_taken_port_is_reported():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: port {port} is taken or not allowed; choose another with --port, or leave it out"
    )
