"""A run's folder: what is kept after each epoch, in which order, and that a kill never loses a finished epoch."""

import json

import pytest
import torch

from adapters.formats.safetensors_file import read_adapter_metadata
from adapters.registry import methods
from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation import training_cost, training_dynamics
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.training import recorder, runs, validation
from ghibli_studio.training.checkpoints import read_checkpoint
from ghibli_studio.training.runs import execute

SMALL = {"lora": {"rank": 2}, "ti": {"num_vectors": 2}}


@pytest.fixture(autouse=True)
def few_sample_steps(monkeypatch):
    """Sample images in two steps: their quality is not tested."""
    for module in (recorder, runs):
        monkeypatch.setattr(module, "SAMPLE_STEPS", 2)


def new_run(project, method="lora", **changes):
    base = datasets.load(project).base_model
    chosen = preset("quick", method, base_model=base, **{"num_train_epochs": 2, **SMALL[method], **changes})
    return project.new_run(chosen)


def of(kind, events):
    return [event for event in events if event["event"] == kind]


def numbers(events):
    """What must be equal in two runs: no times, no memory."""
    names = ("event", "epoch", "step", "epochs", "loss", "grad_norm", "validation_loss", "per_timestep")
    return [
        {key: e[key] for key in names if key in e}
        for e in json.loads(json.dumps(events))
        if e["event"] in ("step", "epoch")
    ]


def stop_after_an_epoch(run):
    """Iterate until the first trained epoch is reported, and close."""
    events = execute(run)
    next(event for event in events if event["event"] == "epoch" and event["epoch"])
    events.close()


def stop_after(run, count):
    """Iterate `count` events and close, like a kill between two events."""
    events = execute(run)
    for _ in range(count):
        next(events)
    events.close()


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_complete_run(project, method):
    run = new_run(project, method)
    events = list(execute(run))
    assert run.progress() == json.loads(json.dumps(events))
    assert [e["epoch"] for e in of("epoch", events)] == [0, 1, 2]
    train = len(datasets.load(project).part("train"))
    per_epoch = -(-train // 4)
    assert [e["step"] for e in of("step", events)] == list(range(1, 2 * per_epoch + 1))
    assert [e["epochs"] for e in of("step", events)] == [(n + 1) / per_epoch for n in range(2 * per_epoch)]
    assert of("epoch", events)[-1]["fraction"] == pytest.approx(1.0)
    assert [file.name for file in run.samples()] == ["epoch-000.png", "epoch-001.png", "epoch-002.png"]
    assert read_metadata(run.samples()[2])["adapter"] == {"method": method, "run": run.id, "epoch": 2}

    metrics, epochs = run.metrics(), of("epoch", events)
    best = min(epochs[1:], key=lambda e: e["validation_loss"])
    assert metrics["best_epoch"] == best["epoch"]
    assert metrics["best_validation_loss"] == best["validation_loss"]
    assert metrics["base_validation_loss"] == epochs[0]["base_validation_loss"]
    assert metrics["seconds"] > 0
    assert metrics["images_per_second"] > 0
    assert metrics["peak_memory_bytes"] > 2**20
    assert metrics["validation_landmarks"] == [item.landmark for item in datasets.load(project).part("validation")]
    assert metrics["dataset"] == datasets.digest(datasets.load(project))
    assert metrics["machine"]["device"] == "cpu"
    assert metrics["machine"]["dtype"] == "float32"
    assert metrics["versions"]["torch"] == torch.__version__.partition("+")[0]
    images = [4, train - 4] * 2
    speeds = [count / e["step_seconds"] for count, e in zip(images, of("step", events), strict=True)]
    assert [e["images_per_second"] for e in of("step", events)] == pytest.approx(speeds)
    assert metrics["trainable_parameters"] == sum(t.numel() for t in read_checkpoint(run).adapter.values())
    metadata = read_adapter_metadata(run.adapter_file)
    assert (metadata["run"], metadata["epoch"]) == (run.id, best["epoch"])
    assert metadata["dataset"]["digest"] == datasets.digest(datasets.load(project))
    files = run.epoch_adapter_files()
    assert {epoch: read_adapter_metadata(file)["epoch"] for epoch, file in files.items()} == {1: 1, 2: 2}
    assert files[best["epoch"]].read_bytes() == run.adapter_file.read_bytes()


def test_a_runs_files_are_enough_for_the_training_cost_and_dynamics(project):
    trained = [new_run(project, method, seed=seed, sample_every=0) for seed in (0, 1) for method in ("lora", "ti")]
    for run in trained:
        list(execute(run))
    lora, ti = training_dynamics.describe(project.runs())
    assert [curve["seeds"] for curve in (lora, ti)] == [[0, 1], [0, 1]]
    assert (lora["images"], lora["landmarks"], lora["epochs"]) == (2, 2, [0, 1, 2])
    assert lora["best"]["by_seed"] == [run.metrics()["best_epoch"] for run in (trained[0], trained[2])]
    assert lora["overfitting"]["verdict"] == "inconclusive: 2 validation landmarks, but the minimum is 6"
    cost = training_cost.describe(project.runs())
    assert json.loads(json.dumps([lora, ti, cost], allow_nan=False)) == [lora, ti, cost]
    assert len(cost["runs"]) == 4
    assert all(run["seconds_per_step"] > 0 and run["machine"]["device"] == "cpu" for run in cost["runs"])
    assert cost["target"] == max(run.metrics()["best_validation_loss"] for run in trained)
    assert not any("different" in warning or "differ" in warning for warning in cost["warnings"])


class CountingMeter:
    """A meter that has spent one more joule at every reading."""

    source = "a test's meter"

    def __init__(self):
        self.readings = 0

    def joules(self):
        self.readings += 1
        return float(self.readings)


def test_joules_are_in_events_and_metrics_and_continue_after_a_kill(project, monkeypatch):
    monkeypatch.setattr(runs, "meter", lambda device: CountingMeter())
    run = new_run(project)
    stop_after_an_epoch(run)
    half = run.progress()[-1]["joules"]
    list(execute(run))
    joules = [e["joules"] for e in run.progress() if "joules" in e]
    assert joules == sorted(joules)
    assert of("step", run.progress())[-1]["joules"] > half > 1.0
    assert (run.metrics()["joules"], run.metrics()["energy_source"]) == (
        of("epoch", run.progress())[-1]["joules"],
        "a test's meter",
    )


def test_without_a_meter_in_any_part_of_a_run_its_joules_are_unknown(project, monkeypatch):
    monkeypatch.setattr(runs, "meter", lambda device: None)
    run = new_run(project)
    stop_after_an_epoch(run)
    monkeypatch.setattr(runs, "meter", lambda device: CountingMeter())
    list(execute(run))
    assert {e["joules"] for e in run.progress() if "joules" in e} == {None}
    assert run.metrics()["joules"] is None


def test_the_base_model_is_validated_once_for_all_methods(project):
    short = {"num_train_epochs": 1, "sample_every": 0}
    first = list(execute(new_run(project, "lora", **short)))
    second = list(execute(new_run(project, "ti", **short)))
    assert any(e["what"] == "validating the base model" for e in of("stage", first))
    assert any(e["what"] == "encoding images" for e in of("stage", first))
    assert not any(e["what"] == "validating the base model" for e in of("stage", second))
    assert not any(e["what"] == "encoding images" for e in of("stage", second))
    assert of("epoch", first)[0]["base_validation_loss"] == of("epoch", second)[0]["base_validation_loss"]


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_run_killed_between_any_two_events_ends_with_the_same_numbers(project, method):
    # fill the cache, so that every later run has the same events
    list(execute(new_run(project, method, num_train_epochs=1, sample_every=0)))
    complete = new_run(project, method)
    expected = list(execute(complete))
    epoch_1 = next(i for i, e in enumerate(expected) if e["event"] == "epoch" and e["epoch"] == 1)
    step_2 = next(i for i, e in enumerate(expected) if e["event"] == "step" and e["epoch"] == 2)
    for count in (3, epoch_1, epoch_1 + 1, step_2 + 1, len(expected) - 1):
        run = new_run(project, method)
        stop_after(run, count)
        list(execute(run))
        assert numbers(run.progress()) == numbers(expected), count
        for left, right in zip(run.samples(), complete.samples(), strict=True):
            assert left.stat().st_size > 0
            assert read_metadata(left)["settings"] == read_metadata(right)["settings"]
        same = read_checkpoint(run).adapter, read_checkpoint(complete).adapter
        assert all(torch.equal(same[0][name], same[1][name]) for name in same[1])
        assert run.metrics()["best_epoch"] == complete.metrics()["best_epoch"]


def test_a_kill_between_a_checkpoint_and_the_files_of_its_epoch_is_repaired(project, monkeypatch):
    complete = new_run(project)
    expected = list(execute(complete))
    run = new_run(project)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recorder.RunRecorder, "save_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            list(execute(run))
    assert read_checkpoint(run).epoch == 1
    assert not run.adapter_file.exists()
    list(execute(run))
    assert numbers(run.progress()) == numbers(expected)
    assert read_adapter_metadata(run.adapter_file)["epoch"] == complete.metrics()["best_epoch"]
    assert run.metrics()["steps"] == complete.metrics()["steps"]


def test_a_finished_run_that_is_executed_again_trains_no_more_steps(project):
    run = new_run(project, sample_every=0)
    before = list(execute(run))
    again = list(execute(run))
    assert not of("step", again)
    assert numbers(run.progress()) == numbers(before)


def test_captions_over_the_token_limit_are_listed_before_anything_is_loaded(project):
    long = "Big Ben, " + "tower " * 80
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: long})
    tokens = datasets.load(project).items[0].tokens
    with pytest.raises(StudioError) as caught:
        runs.check(new_run(project, "ti"))
    assert str(caught.value) == (
        f"1 of 8 captions are over the token limit of 77 ({item.id}: {tokens + 3}; trigger included); "
        "shorten them in the Dataset tab, or set long_captions to cut"
    )


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_caption_that_may_be_cut_keeps_its_trigger(project, method):
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: "Big Ben, " + "tower " * 80})
    run = new_run(project, method, long_captions="cut", num_train_epochs=1, sample_every=0)
    assert list(execute(run))[-1]["event"] == "epoch"


def test_a_dataset_of_another_resolution_is_refused(project):
    config = preset("quick", "lora", base_model="miniature")
    with pytest.raises(StudioError) as caught:
        runs.check(project.new_run(config))
    assert str(caught.value) == (
        "the dataset has images of 64 px, base model 'miniature' needs 256 px; create the dataset again for this base "
        "model"
    )


def test_an_image_that_was_changed_by_another_program_stops_the_run(project):
    item = datasets.load(project).items[0]
    (project.dataset / f"{item.id}.png").write_bytes(b"something else")
    with pytest.raises(StudioError, match="was changed after the import"):
        list(execute(new_run(project)))


def test_the_sample_prompt_can_be_chosen(project):
    run = new_run(project, sample_prompt="Petra, a temple", num_train_epochs=1)
    list(execute(run))
    assert read_metadata(run.sample_file(1))["prompt"] == "Petra, a temple"


def test_counters_are_right_after_a_run_was_resumed_twice(project):
    complete = new_run(project, num_train_epochs=3)
    expected = list(execute(complete))
    run = new_run(project, num_train_epochs=3)
    for _ in range(2):
        events = execute(run)
        for event in events:
            if event["event"] == "step" and event["epoch"] == (
                read_checkpoint(run).epoch + 1 if read_checkpoint(run) else 2
            ):
                break
        events.close()
    assert read_checkpoint(run).epoch in (1, 2)
    list(execute(run))
    assert numbers(run.progress()) == numbers(expected)
    names = ("steps", "epochs", "best_epoch", "last_validation_loss")
    assert {name: run.metrics()[name] for name in names} == {name: complete.metrics()[name] for name in names}
    assert of("epoch", run.progress())[-1]["fraction"] == pytest.approx(1.0)
    assert len(list(run.checkpoints.iterdir())) == 1


@pytest.mark.parametrize(("every", "epochs"), [(0, []), (1, [0, 1, 2, 3]), (2, [0, 2, 3])])
def test_samples_are_generated_every_few_epochs_and_after_the_last_one(project, every, epochs):
    run = new_run(project, num_train_epochs=3, sample_every=every)
    events = list(execute(run))
    assert [event["epoch"] for event in of("sample", events)] == epochs
    assert [file.name for file in run.samples()] == [f"epoch-{epoch:03d}.png" for epoch in epochs]
    assert of("epoch", events)[-1]["fraction"] == pytest.approx(1.0)


def test_a_run_that_stops_early_is_finished_and_reports_it(project, monkeypatch):
    monkeypatch.setattr(validation, "is_improvement", lambda new, before: False)
    run = new_run(project, num_train_epochs=9, early_stopping_patience=1, sample_every=0)
    events = list(execute(run))
    assert events[-1] == {"event": "stopped_early", "epoch": 1, "patience": 1}
    assert run.metrics()["epochs"] == 1
    assert not of("step", list(execute(run)))


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_run_with_every_option_caches_what_it_needs(project, method):
    options = {"random_flip": True, "caption_dropout": 0.3, "ema_decay": 0.5, "aspect_buckets": True}
    run = new_run(project, method, **options, sample_every=0)
    list(execute(run))
    assert run.metrics()["epochs"] == 2
    names = {path.name.split("-")[0] for path in project.cache_file("").iterdir()}
    assert names == {"latents", "base"} | ({"text"} if method == "lora" else set())
