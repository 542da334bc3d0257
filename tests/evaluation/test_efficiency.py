"""What learning costs, from runs written by hand."""

import json

import pytest

from ghibli_studio.config.training import preset
from ghibli_studio.evaluation import efficiency
from ghibli_studio.workspace.files import write_atomic
from tests.support.written_runs import written


@pytest.fixture
def project(workspace):
    return workspace.project("p", new=True)


def test_a_run_in_whole_values(project):
    run = written(project, [[0.5], [0.4], [0.2]], step_seconds=[0.5, 1.5], joules=7200.0, energy_source="RAPL")
    told = efficiency.describe([run])
    assert json.loads(json.dumps(told)) == told
    assert (told["target"], told["target_words"], told["warnings"]) == (0.2, "the best loss that every run reaches", [])
    assert told["runs"] == [
        {
            "name": "LoRA",
            "run": run.id,
            "method": "lora",
            "seed": 0,
            "epochs": 2,
            "steps": 8,
            "seconds_per_step": 1.0,
            "seconds_per_epoch": 4.0,
            "images_per_second": 8.0,
            "seconds_to_target": 8.0,
            "steps_to_target": 8.0,
            "epochs_to_target": 2.0,
            "seconds": 100.0,
            "peak_memory_bytes": 2**30,
            "trainable_parameters": 1000,
            "adapter_bytes": 4096,
            "energy_wh": 2.0,
            "energy_source": "RAPL",
            "machine": {"device": "cpu", "name": "a processor"},
            "versions": {"torch": "2"},
        }
    ]


def test_the_target_is_met_between_two_epochs(project):
    run = written(project, [[0.5], [0.4], [0.2]], step_seconds=[0.5, 1.5])
    told = efficiency.describe([run], 0.35)["runs"][0]
    assert [told[f"{key}_to_target"] for key in ("epochs", "steps", "seconds")] == pytest.approx([1.25, 5.0, 3.5])


@pytest.mark.parametrize(("target", "expected"), [(0.6, 0.0), (0.5, 0.0), (0.45, 0.5), (0.2, 3.0), (0.19, None)])
def test_the_first_time_counts(project, target, expected):
    run = written(project, [[0.5], [0.4], [0.45], [0.2]])
    told = efficiency.describe([run], target)["runs"][0]
    assert told["epochs_to_target"] == (expected if expected is None else pytest.approx(expected))
    assert (told["seconds_to_target"] is None) == (expected is None)


def test_all_are_compared_at_the_best_that_all_reach(project):
    fast = [written(project, [[0.5], [best], [best]], config={"seed": s}) for s, best in enumerate((0.1, 0.2, 0.3))]
    slow = written(project, [[0.5], [0.48], [0.4]], "ti", step_seconds=0.25, trainable_parameters=64, joules=36.0)
    told = efficiency.describe([*fast, slow])
    assert told["target"] == 0.4
    assert [one["epochs_to_target"] for one in told["runs"]] == pytest.approx([0.25, 1 / 3, 0.5, 2.0])
    lora, ti = told["methods"]
    assert (lora["name"], lora["runs"], ti["name"], ti["runs"]) == ("LoRA", 3, "TI", 1)
    assert lora["seconds_to_target"] == pytest.approx({"median": 2 / 3, "low": 0.5, "high": 1.0})
    assert ti["seconds_to_target"] == pytest.approx({"median": 2.0, "low": 2.0, "high": 2.0})
    assert ti["trainable_parameters"] == {"median": 64, "low": 64, "high": 64}
    assert (lora["energy_wh"], ti["energy_wh"]) == (None, {"median": 0.01, "low": 0.01, "high": 0.01})
    assert told["warnings"] == ["Energy is not known of every run: not every device tells it."]


def test_a_run_that_learned_nothing_is_said(project):
    runs = [written(project, [[0.5], [0.3]]), written(project, [[0.5], [0.55]], "ti")]
    told = efficiency.describe(runs)
    assert told["target"] == 0.55
    assert told["warnings"][0] == (
        "The loss to reach, 0.5500, is no better than the base model's own: at least one run learned nothing that the "
        "validation shows."
    )


def test_what_makes_runs_incomparable_is_said(project):
    known = {"joules": 1.0}
    runs = [
        written(project, [[0.5], [0.4]], **known),
        written(
            project,
            [[0.5], [0.4]],
            "ti",
            config={"train_batch_size": 1},
            machine={"device": "cuda"},
            versions={"torch": "3"},
            dataset="another",
            base_model="other",
            **known,
        ),
    ]
    cannot = "their times, and perhaps their losses, cannot be compared."
    assert efficiency.describe(runs)["warnings"] == [
        f"The runs were made on different machines or precisions: {cannot}",
        f"The runs were made with different versions: {cannot}",
        f"The runs were made on different data sets: {cannot}",
        f"The runs were made on different base models: {cannot}",
        "The runs differ in settings that should be alike for all methods: train_batch_size.",
    ]
    older = written(project, [[0.5], [0.4]], "ti", machine=None, versions=None, **known)
    assert efficiency.describe([runs[0], older])["warnings"] == []


def test_an_older_run_without_step_times_is_reckoned_from_its_speed(project):
    run = written(project, [[0.5], [0.4]], step_seconds=0.25)
    lines = [{k: v for k, v in event.items() if k != "step_seconds"} for event in run.progress()]
    write_atomic(run.progress_file, "".join(json.dumps(line) + "\n" for line in lines))
    told = efficiency.describe([run])["runs"][0]
    assert (told["seconds_per_step"], told["seconds_per_epoch"]) == (0.25, 1.0)


def test_nothing_trained_costs_nothing(project):
    project.new_run(preset("quick", "lora"))
    nothing = {"target": None, "target_words": None, "runs": [], "methods": [], "warnings": []}
    assert efficiency.describe(project.runs()) == efficiency.describe([]) == nothing
