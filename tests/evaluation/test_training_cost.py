"""The cost of training, from runs written by hand."""

import json

import pytest

from ghibli_studio.config.training import preset
from ghibli_studio.evaluation import training_cost
from ghibli_studio.workspace.files import write_atomic
from tests.support.written_runs import write_run


@pytest.fixture
def project(workspace):
    return workspace.project("p", new=True)


def test_all_values_of_a_run(project):
    run = write_run(project, [[0.5], [0.4], [0.2]], step_seconds=[0.5, 1.5], joules=7200.0, energy_source="RAPL")
    cost = training_cost.describe([run])
    assert json.loads(json.dumps(cost)) == cost
    assert (cost["target"], cost["target_description"], cost["warnings"]) == (
        0.2,
        "the best loss that every run reaches",
        [],
    )
    assert cost["runs"] == [
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


def test_the_target_is_interpolated_between_two_epochs(project):
    run = write_run(project, [[0.5], [0.4], [0.2]], step_seconds=[0.5, 1.5])
    cost = training_cost.describe([run], 0.35)["runs"][0]
    assert [cost[f"{key}_to_target"] for key in ("epochs", "steps", "seconds")] == pytest.approx([1.25, 5.0, 3.5])


@pytest.mark.parametrize(("target", "expected"), [(0.6, 0.0), (0.5, 0.0), (0.45, 0.5), (0.2, 3.0), (0.19, None)])
def test_the_first_time_below_the_target_counts(project, target, expected):
    run = write_run(project, [[0.5], [0.4], [0.45], [0.2]])
    cost = training_cost.describe([run], target)["runs"][0]
    assert cost["epochs_to_target"] == (expected if expected is None else pytest.approx(expected))
    assert (cost["seconds_to_target"] is None) == (expected is None)


def test_the_default_target_is_the_best_loss_that_all_runs_reach(project):
    fast = [write_run(project, [[0.5], [best], [best]], config={"seed": s}) for s, best in enumerate((0.1, 0.2, 0.3))]
    slow = write_run(project, [[0.5], [0.48], [0.4]], "ti", step_seconds=0.25, trainable_parameters=64, joules=36.0)
    cost = training_cost.describe([*fast, slow])
    assert cost["target"] == 0.4
    assert [run["epochs_to_target"] for run in cost["runs"]] == pytest.approx([0.25, 1 / 3, 0.5, 2.0])
    lora, ti = cost["methods"]
    assert (lora["name"], lora["runs"], ti["name"], ti["runs"]) == ("LoRA", 3, "TI", 1)
    assert lora["seconds_to_target"] == pytest.approx({"median": 2 / 3, "low": 0.5, "high": 1.0})
    assert ti["seconds_to_target"] == pytest.approx({"median": 2.0, "low": 2.0, "high": 2.0})
    assert ti["trainable_parameters"] == {"median": 64, "low": 64, "high": 64}
    assert (lora["energy_wh"], ti["energy_wh"]) == (None, {"median": 0.01, "low": 0.01, "high": 0.01})
    assert cost["warnings"] == ["Energy is not known for every run: not every device reports it."]


def test_a_run_without_improvement_is_reported(project):
    runs = [write_run(project, [[0.5], [0.3]]), write_run(project, [[0.5], [0.55]], "ti")]
    cost = training_cost.describe(runs)
    assert cost["target"] == 0.55
    assert cost["warnings"][0] == (
        "The target loss, 0.5500, is no better than the base model's: at least one run did not improve the validation "
        "loss."
    )


def test_incomparable_runs_are_reported(project):
    known = {"joules": 1.0}
    runs = [
        write_run(project, [[0.5], [0.4]], **known),
        write_run(
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
    cannot = "their times, and perhaps losses, cannot be compared."
    assert training_cost.describe(runs)["warnings"] == [
        f"The runs were made on different machines or precisions: {cannot}",
        f"The runs were made with different versions: {cannot}",
        f"The runs were made on different datasets: {cannot}",
        f"The runs were made on different base models: {cannot}",
        "The runs differ in settings that should be the same for all methods: train_batch_size.",
    ]
    older = write_run(project, [[0.5], [0.4]], "ti", machine=None, versions=None, **known)
    assert training_cost.describe([runs[0], older])["warnings"] == []


def test_step_times_of_an_older_run_are_computed_from_its_speed(project):
    run = write_run(project, [[0.5], [0.4]], step_seconds=0.25)
    lines = [{k: v for k, v in event.items() if k != "step_seconds"} for event in run.progress()]
    write_atomic(run.progress_file, "".join(json.dumps(line) + "\n" for line in lines))
    cost = training_cost.describe([run])["runs"][0]
    assert (cost["seconds_per_step"], cost["seconds_per_epoch"]) == (0.25, 1.0)


def test_without_runs_there_is_no_cost(project):
    project.new_run(preset("quick", "lora"))
    nothing = {"target": None, "target_description": None, "runs": [], "methods": [], "warnings": []}
    assert training_cost.describe(project.runs()) == training_cost.describe([]) == nothing
