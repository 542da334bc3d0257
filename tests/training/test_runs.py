"""A run's folder: what is kept after each epoch, in which order, and that a kill anywhere loses no finished epoch."""

import json

import pytest
import torch

from adapters.formats.safetensors_file import recipe_of
from adapters.registry import methods
from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation import efficiency, training_dynamics
from ghibli_studio.generation.metadata import read_recipe
from ghibli_studio.training import recorder, runs
from ghibli_studio.training.checkpoints import read_checkpoint
from ghibli_studio.training.runs import execute

SMALL = {"lora": {"rank": 2}, "ti": {"num_vectors": 2}}


def new_run(project, method="lora", **changes):
    base = datasets.load(project).base_model
    chosen = preset("quick", method, base_model=base, **{"num_train_epochs": 2, **SMALL[method], **changes})
    return project.new_run(chosen)


def of(kind, events):
    return [event for event in events if event["event"] == kind]


def numbers(events):
    """What must be equal in two runs: no clocks, no memory."""
    told = ("event", "epoch", "step", "epochs", "loss", "grad_norm", "validation_loss", "per_timestep")
    return [
        {key: e[key] for key in told if key in e}
        for e in json.loads(json.dumps(events))
        if e["event"] in ("step", "epoch")
    ]


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_whole_run(project, method):
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
    assert read_recipe(run.samples()[2])["adapter"] == {"method": method, "run": run.id, "epoch": 2}

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
    pictures = [4, train - 4] * 2
    speeds = [count / e["step_seconds"] for count, e in zip(pictures, of("step", events), strict=True)]
    assert [e["images_per_second"] for e in of("step", events)] == pytest.approx(speeds)
    assert metrics["trainable_parameters"] == sum(t.numel() for t in read_checkpoint(run).adapter.values())
    recipe = recipe_of(run.adapter_file)
    assert (recipe["run"], recipe["epoch"]) == (run.id, best["epoch"])
    assert recipe["dataset"]["digest"] == datasets.digest(datasets.load(project))
    files = run.epoch_adapter_files()
    assert {epoch: recipe_of(file)["epoch"] for epoch, file in files.items()} == {1: 1, 2: 2}
    assert files[best["epoch"]].read_bytes() == run.adapter_file.read_bytes()


def stop_after_an_epoch(run):
    """Iterate until the first trained epoch is told, and close."""
    going = execute(run)
    next(event for event in going if event["event"] == "epoch" and event["epoch"])
    going.close()


def test_what_runs_keep_is_enough_to_say_what_learning_cost_and_how_it_went(project):
    done = [new_run(project, method, seed=seed) for seed in (0, 1) for method in ("lora", "ti")]
    for run in done:
        list(execute(run))
    lora, ti = training_dynamics.describe(project.runs())
    assert [one["seeds"] for one in (lora, ti)] == [[0, 1], [0, 1]]
    assert (lora["pictures"], lora["landmarks"], lora["epochs"]) == (2, 2, [0, 1, 2])
    assert lora["best"]["by_seed"] == [run.metrics()["best_epoch"] for run in (done[0], done[2])]
    assert lora["overfitting"]["verdict"] == "cannot be said: 2 validation landmarks, 6 are the least"
    cost = efficiency.describe(project.runs())
    assert json.loads(json.dumps([lora, ti, cost], allow_nan=False)) == [lora, ti, cost]
    assert len(cost["runs"]) == 4
    assert all(one["seconds_per_step"] > 0 and one["machine"]["device"] == "cpu" for one in cost["runs"])
    assert cost["target"] == max(run.metrics()["best_validation_loss"] for run in done)
    assert not any("different" in warning or "differ" in warning for warning in cost["warnings"])


class Ticking:
    """A meter that has spent a joule more whenever it is asked."""

    source = "a test's meter"

    def __init__(self):
        self.asked = 0

    def joules(self):
        self.asked += 1
        return float(self.asked)


def test_joules_are_in_events_and_metrics_and_go_on_after_a_kill(project, monkeypatch):
    monkeypatch.setattr(runs, "meter", lambda device: Ticking())
    run = new_run(project)
    stop_after_an_epoch(run)
    half = run.progress()[-1]["joules"]
    list(execute(run))
    told = [e["joules"] for e in run.progress() if "joules" in e]
    assert told == sorted(told)
    assert of("step", run.progress())[-1]["joules"] > half > 1.0
    assert (run.metrics()["joules"], run.metrics()["energy_source"]) == (
        of("epoch", run.progress())[-1]["joules"],
        "a test's meter",
    )


def test_without_a_meter_in_any_part_of_a_run_its_joules_are_not_known(project, monkeypatch):
    monkeypatch.setattr(runs, "meter", lambda device: None)
    run = new_run(project)
    stop_after_an_epoch(run)
    monkeypatch.setattr(runs, "meter", lambda device: Ticking())
    list(execute(run))
    assert {e["joules"] for e in run.progress() if "joules" in e} == {None}
    assert run.metrics()["joules"] is None


def test_the_base_models_validation_is_measured_once_for_all_methods(project):
    first = list(execute(new_run(project, "lora")))
    second = list(execute(new_run(project, "ti")))
    assert any(e["what"] == "measuring the base model" for e in of("stage", first))
    assert not any(e["what"] == "measuring the base model" for e in of("stage", second))
    assert not any(e["what"] == "encoding pictures" for e in of("stage", second))
    assert of("epoch", first)[0]["base_validation_loss"] == of("epoch", second)[0]["base_validation_loss"]


def stop_after(run, count):
    """Iterate `count` events and close, as a kill between two events."""
    going = execute(run)
    for _ in range(count):
        next(going)
    going.close()


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_run_killed_between_any_two_events_ends_with_the_same_numbers(project, method):
    list(execute(new_run(project, method, num_train_epochs=1)))  # what is cached from now on is no event later
    whole = new_run(project, method)
    expected = list(execute(whole))
    epoch_1 = next(i for i, e in enumerate(expected) if e["event"] == "epoch" and e["epoch"] == 1)
    step_2 = next(i for i, e in enumerate(expected) if e["event"] == "step" and e["epoch"] == 2)
    for place in (3, epoch_1, epoch_1 + 1, step_2 + 1, len(expected) - 1):
        run = new_run(project, method)
        stop_after(run, place)
        list(execute(run))
        assert numbers(run.progress()) == numbers(expected), place
        for left, right in zip(run.samples(), whole.samples(), strict=True):
            assert left.stat().st_size > 0
            assert read_recipe(left)["settings"] == read_recipe(right)["settings"]
        same = read_checkpoint(run).adapter, read_checkpoint(whole).adapter
        assert all(torch.equal(same[0][name], same[1][name]) for name in same[1])
        assert run.metrics()["best_epoch"] == whole.metrics()["best_epoch"]


def test_a_kill_between_a_checkpoint_and_what_follows_from_it_is_mended(project, monkeypatch):
    whole = new_run(project)
    expected = list(execute(whole))
    run = new_run(project)

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(recorder._Keeper, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        list(execute(run))
    monkeypatch.undo()
    assert read_checkpoint(run).epoch == 1
    assert not run.adapter_file.exists()
    list(execute(run))
    assert numbers(run.progress()) == numbers(expected)
    assert recipe_of(run.adapter_file)["epoch"] == whole.metrics()["best_epoch"]
    assert run.metrics()["steps"] == whole.metrics()["steps"]


def test_a_finished_run_done_again_trains_nothing_more(project):
    run = new_run(project)
    before = list(execute(run))
    again = list(execute(run))
    assert not of("step", again)
    assert numbers(run.progress()) == numbers(before)


def test_captions_over_the_limit_are_listed_before_anything_is_loaded(project):
    long = "Big Ben, " + "tower " * 80
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: long})
    tokens = datasets.load(project).items[0].tokens
    with pytest.raises(StudioError) as caught:
        runs.check(new_run(project, "ti"))
    assert str(caught.value) == (
        f"1 of 8 captions are longer than the 77 tokens that the model reads ({item.id}: {tokens + 3}; trigger "
        "included); shorten them in the Data set tab, or choose long_captions = cut"
    )


@pytest.mark.parametrize("method", sorted(methods()))
def test_captions_that_may_be_cut_keep_their_trigger(project, method):
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: "Big Ben, " + "tower " * 80})
    run = new_run(project, method, long_captions="cut", num_train_epochs=1)
    assert list(execute(run))[-1]["event"] == "epoch"


def test_a_data_set_for_another_size_is_refused(project):
    config = preset("quick", "lora", base_model="miniature")
    with pytest.raises(StudioError) as caught:
        runs.check(project.new_run(config))
    assert str(caught.value) == (
        "the data set has 64 px pictures, base model 'miniature' wants 256; make the data set again for this base model"
    )


def test_a_picture_changed_behind_our_back_stops_the_run(project):
    item = datasets.load(project).items[0]
    (project.dataset / f"{item.id}.png").write_bytes(b"something else")
    with pytest.raises(StudioError, match="was changed after it was checked"):
        list(execute(new_run(project)))


def test_the_sample_prompt_can_be_chosen(project):
    run = new_run(project, sample_prompt="Petra, a temple", num_train_epochs=1)
    list(execute(run))
    assert read_recipe(run.sample_file(1))["prompt"] == "Petra, a temple"


def test_counters_are_right_after_the_second_resumption(project):
    whole = new_run(project, num_train_epochs=3)
    expected = list(execute(whole))
    run = new_run(project, num_train_epochs=3)
    for _ in range(2):
        going = execute(run)
        for event in going:
            if event["event"] == "step" and event["epoch"] == (
                read_checkpoint(run).epoch + 1 if read_checkpoint(run) else 2
            ):
                break
        going.close()
    assert read_checkpoint(run).epoch in (1, 2)
    list(execute(run))
    assert numbers(run.progress()) == numbers(expected)
    told, wanted = run.metrics(), whole.metrics()
    assert {name: told[name] for name in ("steps", "epochs", "best_epoch", "last_validation_loss")} == {
        name: wanted[name] for name in ("steps", "epochs", "best_epoch", "last_validation_loss")
    }
    assert of("epoch", run.progress())[-1]["fraction"] == pytest.approx(1.0)
    assert len(list(run.checkpoints.iterdir())) == 1


@pytest.mark.parametrize(("every", "drawn"), [(0, []), (1, [0, 1, 2, 3]), (2, [0, 2, 3])])
def test_samples_are_drawn_every_so_many_epochs_and_last(project, every, drawn):
    run = new_run(project, num_train_epochs=3, sample_every=every)
    events = list(execute(run))
    assert [event["epoch"] for event in of("sample", events)] == drawn
    assert [file.name for file in run.samples()] == [f"epoch-{epoch:03d}.png" for epoch in drawn]
    assert of("epoch", events)[-1]["fraction"] == pytest.approx(1.0)


def test_a_run_that_stops_early_is_done_and_says_so(project, monkeypatch):
    from ghibli_studio.training import validation

    monkeypatch.setattr(validation, "better", lambda new, before: False)
    run = new_run(project, num_train_epochs=9, early_stopping_patience=1)
    events = list(execute(run))
    assert events[-1] == {"event": "stopped_early", "epoch": 1, "patience": 1}
    assert run.metrics()["epochs"] == 1
    assert not of("step", list(execute(run)))


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_run_with_every_option_is_kept_whole(project, method):
    run = new_run(project, method, random_flip=True, caption_dropout=0.3, ema_decay=0.5, aspect_buckets=True)
    list(execute(run))
    assert run.metrics()["epochs"] == 2
    names = {path.name.split("-")[0] for path in project.cache_file("").iterdir()}
    assert names == {"latents", "base"} | ({"text"} if method == "lora" else set())
