"""An evaluation: the same noise for every variant, no image generated twice, early rejection of invalid requests."""

import json
import shutil

import pytest

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import EvaluationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation import evaluator
from ghibli_studio.evaluation.metrics import METRICS
from ghibli_studio.evaluation.variants import (
    Variant,
    adapter_scale_sweep,
    epoch_sweep,
    variant_of_file,
    variants_of_runs,
)
from ghibli_studio.generation import model_cache
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.runtime import environment

FEW = EvaluationSettings(num_inference_steps=4, strength=0.5, seeds=2, seed=7, landmarks=("Colosseum", "Big Ben"))
BOTH = ("txt2img", "img2img")


def all_variants(project, **named):
    return variants_of_runs(project, [run.id for run in project.runs()], **named)


def evaluated(project, variants, settings=FEW):
    """Evaluate; returns (events, result)."""
    events = list(evaluator.evaluate(project, variants, settings))
    return events, evaluator.load(evaluator.evaluations(project)[0])


def test_every_variant_generates_the_same_subjects_from_the_same_noise(trained):
    events, result = evaluated(trained, all_variants(trained))
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
    metadata = {
        (row["variant"], row["task"], row["landmark"], row["seed"]): read_metadata(folder / row["file"]) for row in rows
    }
    for (variant, task, landmark, seed), values in metadata.items():
        assert values["settings"]["seed"] == metadata["Base model", "txt2img", landmark, seed]["settings"]["seed"]
        assert ("init_image" in values) == (task == "img2img")
        assert values["method"] == {"Base model": "base", "LoRA": "lora", "Textual Inversion": "ti"}[variant]
    assert len({values["settings"]["seed"] for values in metadata.values()}) == 4  # each landmark has its own noise
    assert [event.row for event in events if event.row] == rows
    assert events[-1].done == events[-1].total == 3 * (4 + 2) * 4


def test_a_result_is_complete(trained):
    _, result = evaluated(trained, all_variants(trained))
    assert json.loads(json.dumps(result)) == result
    assert EvaluationSettings.checked(result["settings"]) == FEW
    first = result["variants"][0]
    assert (first["name"], first["method"], first["epoch"], first["group"]) == ("Base model", "base", None, "compare")
    assert all((one["sha256"] is None) == (one["method"] == "base") for one in result["variants"])
    assert result["networks"]["clip"]["proxy"] is True
    for key, metric in result["metrics"].items():
        of_task = [set(row["scores"]) for row in result["rows"] if row["task"] == "txt2img"]
        assert all((key in scores) == ("txt2img" in METRICS[key].tasks) for scores in of_task)
        assert metric["label"]
    assert {(one["a"], one["b"]) for one in result["comparisons"]} == {
        ("LoRA", "Textual Inversion"),
        ("LoRA", "Base model"),
        ("Textual Inversion", "Base model"),
    }
    assert all(one["verdict"].startswith("inconclusive: 2 landmarks") for one in result["comparisons"])
    assert result["dataset"] == {"digest": datasets.digest(datasets.load(trained)), "images": 8}
    assert result["ground_truth"]["txt2img"]["lpips"] == result["ground_truth"]["img2img"]["lpips"] == 0
    assert result["ground_truth"]["img2img"]["psnr"] == 100
    assert result["ground_truth"]["img2img"]["clip_distance"] == pytest.approx(0, abs=1e-6)
    assert 0 < result["ground_truth"]["img2img"]["ssim"] < 1
    assert (
        "The style is estimated from only 6 originals; use at least 20 for reliable style metrics."
        in result["warnings"]
    )
    assert result["versions"] == environment.versions()
    assert result["machine"]["device"] == "cpu"


def test_a_prompt_that_clip_truncates_is_reported(trained):
    item = datasets.load(trained).by_landmark("Big Ben")
    datasets.set_captions(trained, {item.id: "Big Ben, " + "a tall tower, " * 20})
    small = FEW.changed(landmarks=("Big Ben",), tasks=("txt2img",), seeds=1, num_inference_steps=1)
    with pytest.raises(StudioError, match="tokens"):  # the base model would truncate it as well
        evaluated(trained, all_variants(trained)[:1], small)
    datasets.set_captions(trained, {item.id: "Big Ben"})
    assert not any(
        "truncates" in warning for warning in evaluated(trained, all_variants(trained)[:1], small)[1]["warnings"]
    )


def test_a_stopped_evaluation_resumes_and_generates_no_image_twice(trained, monkeypatch):
    full = evaluated(trained, all_variants(trained))[1]
    events = evaluator.evaluate(trained, all_variants(trained), FEW)
    for _ in range(30):
        next(events)
    events.close()
    folder = evaluator.evaluations(trained)[0]
    times = {file.name: file.stat().st_mtime_ns for file in (folder / evaluator.IMAGES_FOLDER).iterdir()}
    assert 0 < len(times) < len(full["rows"])
    with pytest.raises(StudioError, match="is not finished"):
        evaluator.load(folder)
    list(evaluator.resume(trained, folder))
    assert all((folder / evaluator.IMAGES_FOLDER / name).stat().st_mtime_ns == when for name, when in times.items())
    assert evaluator.load(folder)["rows"] == full["rows"]

    def refuse(*arguments):
        raise AssertionError("a finished evaluation loads no base model")

    monkeypatch.setattr(model_cache, "load_base_model", refuse)
    list(evaluator.resume(trained, folder))
    assert evaluator.load(folder)["comparisons"] == full["comparisons"]


def test_sweeps_are_generated_but_not_compared(trained):
    lora = trained.runs("lora")[0]
    compared = variants_of_runs(trained, [lora.id], base=False)
    scales, epochs = adapter_scale_sweep(trained, compared), epoch_sweep(trained, compared)
    assert [one.name for one in scales] == ["LoRA x 0.25", "LoRA x 0.5", "LoRA x 0.75", "LoRA x 1.25"]
    assert [one.adapter_scale for one in scales] == [0.25, 0.5, 0.75, 1.25]
    assert [(one.name, one.epoch) for one in epochs] == [(f"LoRA epoch {3 - compared[0].epoch}", 3 - compared[0].epoch)]
    small = FEW.changed(landmarks=("Colosseum",), tasks=("img2img",), seeds=1)
    _, result = evaluated(trained, [*compared, *scales, *epochs], small)
    assert result["comparisons"] == []
    assert {one["variant"] for one in result["means"]} == {one.name for one in [*compared, *scales, *epochs]}
    metadata = [read_metadata(evaluator.evaluations(trained)[0] / row["file"]) for row in result["rows"]]
    assert [values["settings"]["adapter_scale"] for values in metadata] == [1.0, 0.25, 0.5, 0.75, 1.25, 1.0]
    assert len({values["adapter"]["sha256"] for values in metadata}) == 2


def test_a_sweep_spreads_epochs_evenly_and_includes_the_last(workspace):
    project = workspace.project("p", new=True)
    run = project.new_run(preset("quick", "lora"))
    for epoch in range(1, 13):
        run.epoch_adapter_file(epoch).parent.mkdir(exist_ok=True)
        run.epoch_adapter_file(epoch).write_bytes(b"")
    best = Variant("LoRA", "lora", run.epoch_adapter_file(9), run=run.id, epoch=9)
    assert [one.epoch for one in epoch_sweep(project, [best])] == [2, 4, 7, 10, 12]


def test_two_runs_of_one_method_get_different_names(trained):
    first = trained.runs("lora")[0]
    second = trained.folder / "runs" / "20990101-000000-lora"
    shutil.copytree(first.folder, second)
    names = [one.name for one in all_variants(trained)]
    assert names == ["Base model", f"LoRA {first.id[:15]}", "Textual Inversion", "LoRA 20990101-000000"]


def test_an_adapter_file_at_any_path_can_be_compared(trained, tmp_path):
    file = tmp_path / "mine.safetensors"
    shutil.copy(trained.runs("ti")[0].adapter_file, file)
    variant = variant_of_file("Mine", file)
    assert (variant.name, variant.method, variant.file) == ("Mine", "ti", file)
    with pytest.raises(StudioError):
        variant_of_file("x", tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"landmarks": ("Atlantis",)}, "landmark 'Atlantis' was not held out; the held-out landmarks are "),
        ({"seeds": 0}, "seeds"),
        ({"tasks": ("img2img", "dream")}, "tasks"),
        ({"tasks": ()}, "tasks"),
        ({"strength": 0}, "strength"),
    ],
)
def test_invalid_settings_are_rejected_before_anything_is_generated(trained, change, message):
    with pytest.raises(StudioError, match=message):
        next(
            evaluator.evaluate(
                trained, all_variants(trained), EvaluationSettings.checked({**FEW.model_dump(), **change})
            )
        )
    assert evaluator.evaluations(trained) == []


def test_invalid_variants_are_rejected(trained):
    run = trained.runs("lora")[0]
    for run_ids, message in (([run.id, run.id], "named twice"), (["x"], "has no run 'x'")):
        with pytest.raises(StudioError, match=message):
            variants_of_runs(trained, run_ids)
    with pytest.raises(StudioError, match="nothing to compare"):
        next(evaluator.evaluate(trained, [], FEW))
    twice = [Variant("Base model", "base"), Variant("Base model", "base")]
    with pytest.raises(StudioError, match="two variants have the same name"):
        next(evaluator.evaluate(trained, twice, FEW))
    run.adapter_file.unlink()
    with pytest.raises(StudioError, match="has no adapter yet"):
        variants_of_runs(trained, [run.id])


def test_landmarks_without_a_photo_allow_txt2img_only(trained):
    item = datasets.load(trained).by_landmark("Colosseum")
    shutil.copy(trained.dataset / f"{item.id}.png", trained.sources / item.source)
    assert datasets.source_photo(trained, item) is None
    with pytest.raises(StudioError, match=r"1 of 2 landmarks have no photo \(Colosseum\)"):
        next(evaluator.evaluate(trained, all_variants(trained), FEW))
    _, result = evaluated(trained, all_variants(trained)[:1], FEW.changed(tasks=("txt2img",), seeds=1))
    assert "landmark_similarity" not in result["rows"][0]["scores"]
    assert "landmark_similarity" in result["rows"][1]["scores"]


@pytest.mark.parametrize("change", ["adapter", "deleted", "captions"])
def test_an_evaluation_is_not_resumed_after_its_inputs_changed(trained, change):
    events = evaluator.evaluate(trained, all_variants(trained, base=False), FEW)
    next(events)
    events.close()
    run = trained.runs("lora")[0]
    if change == "adapter":
        other = next(
            file for file in run.epoch_adapter_files().values() if file.read_bytes() != run.adapter_file.read_bytes()
        )
        shutil.copy(other, run.adapter_file)
    elif change == "deleted":
        run.adapter_file.unlink()
    else:
        datasets.set_captions(trained, {datasets.load(trained).items[0].id: "another caption"})
    with pytest.raises(StudioError, match="start a new"):
        list(evaluator.resume(trained, evaluator.evaluations(trained)[0]))
