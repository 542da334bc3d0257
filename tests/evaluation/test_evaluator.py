"""A comparison: same noise for every variant, nothing drawn twice, refusals before a model is loaded."""

import json
import shutil

import pytest

from adapters.registry import methods
from adapters.settings import StudioError
from ghibli_studio.config.evaluation import EvaluationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation import evaluator
from ghibli_studio.evaluation.metrics import METRICS
from ghibli_studio.evaluation.variants import Variant, epoch_sweep, strength_sweep, variant_of_file, variants_of_runs
from ghibli_studio.generation import model_cache
from ghibli_studio.generation.metadata import read_recipe
from ghibli_studio.runtime import environment
from ghibli_studio.training.runs import execute
from ghibli_studio.workspace.project import Workspace

FEW = EvaluationSettings(num_inference_steps=4, strength=0.5, seeds=2, seed=7, landmarks=("Colosseum", "Big Ben"))
BOTH = ("prompt", "photo")


@pytest.fixture(scope="module")
def trained_once(sample_workspace, tmp_path_factory):
    """A workspace with a finished run of each method, of two epochs. Not to be written to."""
    root = tmp_path_factory.mktemp("trained") / "workspace"
    shutil.copytree(sample_workspace.root, root)
    project = Workspace(root).project("sample")
    base = datasets.load(project).base_model
    for name in methods():
        small = {"rank": 2} if name == "lora" else {"num_vectors": 2}
        list(execute(project.new_run(preset("quick", name, base_model=base, num_train_epochs=2, **small))))
    return root


@pytest.fixture
def trained(trained_once, workspace):
    shutil.copytree(trained_once, workspace.root)
    return workspace.project("sample")


def every(project, **named):
    return variants_of_runs(project, [run.id for run in project.runs()], **named)


def done(project, variants, settings=FEW):
    """Evaluate; returns (events, result)."""
    events = list(evaluator.evaluate(project, variants, settings))
    return events, evaluator.load(evaluator.evaluations(project)[0])


def test_every_variant_draws_the_same_from_the_same_noise(trained):
    events, result = done(trained, every(trained))
    names = ["Base model", "LoRA", "Textual Inversion"]
    rows = result["rows"]
    assert [(row["variant"], row["task"], row["landmark"], row["seed"]) for row in rows] == [
        (variant, task, landmark, seed)
        for variant in names
        for task in BOTH
        for landmark in ("Colosseum", "Big Ben")
        for seed in (7, 8)
    ]
    folder = evaluator.evaluations(trained)[0]
    recipes = {
        (row["variant"], row["task"], row["landmark"], row["seed"]): read_recipe(folder / row["file"]) for row in rows
    }
    for (variant, task, landmark, seed), recipe in recipes.items():
        assert recipe["settings"]["seed"] == recipes["Base model", "prompt", landmark, seed]["settings"]["seed"]
        assert ("photograph" in recipe) == (task == "photo")
        assert recipe["method"] == {"Base model": "base", "LoRA": "lora", "Textual Inversion": "ti"}[variant]
    assert len({recipe["settings"]["seed"] for recipe in recipes.values()}) == 4  # each landmark has noise of its own
    assert [event.row for event in events if event.row] == rows
    assert events[-1].done == events[-1].total == 3 * (4 + 2) * 4


def test_a_result_says_everything(trained):
    _, result = done(trained, every(trained))
    assert json.loads(json.dumps(result)) == result
    assert EvaluationSettings.checked(result["settings"]) == FEW
    first = result["variants"][0]
    assert (first["name"], first["method"], first["epoch"], first["group"]) == ("Base model", "base", None, "compare")
    assert all((one["sha256"] is None) == (one["method"] == "base") for one in result["variants"])
    assert result["networks"]["clip"]["stand_in"] is True
    for key, metric in result["metrics"].items():
        of_task = [set(row["scores"]) for row in result["rows"] if row["task"] == "prompt"]
        assert all((key in scores) == ("prompt" in METRICS[key].tasks) for scores in of_task)
        assert metric["label"]
    assert {(one["a"], one["b"]) for one in result["comparisons"]} == {
        ("LoRA", "Textual Inversion"),
        ("LoRA", "Base model"),
        ("Textual Inversion", "Base model"),
    }
    assert all(one["verdict"].startswith("cannot be said: 2 landmarks") for one in result["comparisons"])
    assert result["dataset"] == {"digest": datasets.digest(datasets.load(trained)), "pictures": 8}
    assert result["truth"]["prompt"]["lpips"] == result["truth"]["photo"]["lpips"] == 0
    assert result["truth"]["photo"]["truth_psnr"] == 100
    assert result["truth"]["photo"]["truth_distance"] == pytest.approx(0, abs=1e-6)
    assert 0 < result["truth"]["photo"]["ssim"] < 1
    assert "The style is known from 6 originals only; 20 or more tell it reliably." in result["warnings"]
    assert result["versions"] == environment.versions()
    assert result["machine"]["device"] == "cpu"


def test_what_clip_does_not_read_of_a_prompt_is_told(trained):
    item = datasets.load(trained).by_landmark("Big Ben")
    datasets.set_captions(trained, {item.id: "Big Ben, " + "a tall tower, " * 20})
    small = FEW.changed(landmarks=("Big Ben",), tasks=("prompt",), seeds=1, num_inference_steps=1)
    with pytest.raises(StudioError, match="tokens"):  # the base model does not read it either
        done(trained, every(trained)[:1], small)
    datasets.set_captions(trained, {item.id: "Big Ben"})
    assert not any("read" in warning for warning in done(trained, every(trained)[:1], small)[1]["warnings"])


def test_a_stopped_comparison_goes_on_and_draws_nothing_twice(trained, monkeypatch):
    whole = done(trained, every(trained))[1]
    going = evaluator.evaluate(trained, every(trained), FEW)
    for _ in range(30):
        next(going)
    going.close()
    folder = evaluator.evaluations(trained)[0]
    there = {file.name: file.stat().st_mtime_ns for file in (folder / evaluator.PICTURES).iterdir()}
    assert 0 < len(there) < len(whole["rows"])
    with pytest.raises(StudioError, match="is not finished"):
        evaluator.load(folder)
    list(evaluator.resume(trained, folder))
    assert all((folder / evaluator.PICTURES / name).stat().st_mtime_ns == when for name, when in there.items())
    assert evaluator.load(folder)["rows"] == whole["rows"]

    def refuse(*arguments):
        raise AssertionError("a finished comparison loads no base model")

    monkeypatch.setattr(model_cache, "loaded_base", refuse)
    list(evaluator.resume(trained, folder))
    assert evaluator.load(folder)["comparisons"] == whole["comparisons"]


def test_sweeps_are_drawn_and_not_compared(trained):
    lora = trained.runs("lora")[0]
    compared = variants_of_runs(trained, [lora.id], base=False)
    strengths, epochs = strength_sweep(trained, compared), epoch_sweep(trained, compared)
    assert [one.name for one in strengths] == ["LoRA x 0.25", "LoRA x 0.5", "LoRA x 0.75", "LoRA x 1.25"]
    assert [one.adapter_scale for one in strengths] == [0.25, 0.5, 0.75, 1.25]
    assert [(one.name, one.epoch) for one in epochs] == [(f"LoRA epoch {3 - compared[0].epoch}", 3 - compared[0].epoch)]
    small = FEW.changed(landmarks=("Colosseum",), tasks=("photo",), seeds=1)
    _, result = done(trained, [*compared, *strengths, *epochs], small)
    assert result["comparisons"] == []
    assert {one["variant"] for one in result["means"]} == {one.name for one in [*compared, *strengths, *epochs]}
    recipes = [read_recipe(evaluator.evaluations(trained)[0] / row["file"]) for row in result["rows"]]
    assert [recipe["settings"]["adapter_scale"] for recipe in recipes] == [1.0, 0.25, 0.5, 0.75, 1.25, 1.0]
    assert len({recipe["adapter"]["sha256"] for recipe in recipes}) == 2


def test_epochs_are_spread_evenly_with_the_last_among_them(workspace):
    project = workspace.project("p", new=True)
    run = project.new_run(preset("quick", "lora"))
    for epoch in range(1, 13):
        run.epoch_adapter_file(epoch).parent.mkdir(exist_ok=True)
        run.epoch_adapter_file(epoch).write_bytes(b"")
    best = Variant("LoRA", "lora", run.epoch_adapter_file(9), run=run.id, epoch=9)
    assert [one.epoch for one in epoch_sweep(project, [best])] == [2, 4, 7, 10, 12]


def test_two_runs_of_one_method_have_names_of_their_own(trained):
    first = trained.runs("lora")[0]
    second = trained.folder / "runs" / "20990101-000000-lora"
    shutil.copytree(first.folder, second)
    names = [one.name for one in every(trained)]
    assert names == ["Base model", f"LoRA {first.id[:15]}", "Textual Inversion", "LoRA 20990101-000000"]


def test_an_adapter_of_any_place_can_be_compared(trained, tmp_path):
    file = tmp_path / "mine.safetensors"
    shutil.copy(trained.runs("ti")[0].adapter_file, file)
    variant = variant_of_file("Mine", file)
    assert (variant.name, variant.method, variant.file) == ("Mine", "ti", file)
    with pytest.raises(StudioError):
        variant_of_file("x", tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"landmarks": ("Atlantis",)}, "landmark 'Atlantis' was not held out; held out are "),
        ({"seeds": 0}, "seeds"),
        ({"tasks": ("photo", "dream")}, "tasks"),
        ({"tasks": ()}, "tasks"),
        ({"strength": 0}, "strength"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_drawn(trained, change, told):
    with pytest.raises(StudioError, match=told):
        next(evaluator.evaluate(trained, every(trained), EvaluationSettings.checked({**FEW.model_dump(), **change})))
    assert evaluator.evaluations(trained) == []


def test_what_cannot_be_compared_is_told(trained):
    run = trained.runs("lora")[0]
    for wanted, told in (([run.id, run.id], "named twice"), (["x"], "has no run 'x'")):
        with pytest.raises(StudioError, match=told):
            variants_of_runs(trained, wanted)
    with pytest.raises(StudioError, match="nothing to compare"):
        next(evaluator.evaluate(trained, [], FEW))
    twice = [Variant("Base model", "base"), Variant("Base model", "base")]
    with pytest.raises(StudioError, match="two variants have one name"):
        next(evaluator.evaluate(trained, twice, FEW))
    run.adapter_file.unlink()
    with pytest.raises(StudioError, match="has no adapter yet"):
        variants_of_runs(trained, [run.id])


def test_pictures_without_a_photograph_are_drawn_from_the_prompt_alone(trained):
    item = datasets.load(trained).by_landmark("Colosseum")
    shutil.copy(trained.dataset / f"{item.id}.png", trained.sources / item.source)
    assert datasets.photograph(trained, item) is None
    with pytest.raises(StudioError, match=r"no photograph behind 1 of 2 pictures \(Colosseum\)"):
        next(evaluator.evaluate(trained, every(trained), FEW))
    _, result = done(trained, every(trained)[:1], FEW.changed(tasks=("prompt",), seeds=1))
    assert "landmark_similarity" not in result["rows"][0]["scores"]
    assert "landmark_similarity" in result["rows"][1]["scores"]


@pytest.mark.parametrize("change", ["adapter", "gone", "captions"])
def test_what_has_changed_since_is_not_mixed_with_what_was(trained, change):
    going = evaluator.evaluate(trained, every(trained, base=False), FEW)
    next(going)
    going.close()
    run = trained.runs("lora")[0]
    if change == "adapter":
        other = next(
            file for file in run.epoch_adapter_files().values() if file.read_bytes() != run.adapter_file.read_bytes()
        )
        shutil.copy(other, run.adapter_file)
    elif change == "gone":
        run.adapter_file.unlink()
    else:
        datasets.set_captions(trained, {datasets.load(trained).items[0].id: "another caption"})
    with pytest.raises(StudioError, match="begin another"):
        list(evaluator.resume(trained, evaluator.evaluations(trained)[0]))
