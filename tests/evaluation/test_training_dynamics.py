"""Curves, the best epoch and overfitting: by hand, and by counting false positives."""

import json

import numpy as np
import pytest
from scipy import stats

from ghibli_studio.evaluation import training_dynamics
from tests.support.written_runs import TIMESTEPS, write_run

EPOCHS = range(1, 11)


def curves(random, shape, images=23, noise=0.1, seeds=1):
    """Random losses, (seeds, epochs, images): a common curve, images of varying difficulty, each with its own noise."""
    course = np.asarray(shape, dtype=float)[:, None]
    return 1 + random.normal(size=images) + course + random.normal(0, noise, size=(seeds, len(course), images))


def one_landmark_per_image(images=23):
    return np.eye(images)


def described(project, *losses, **settings):
    (entry,) = training_dynamics.describe(
        [write_run(project, values, config={"seed": seed}, **settings) for seed, values in enumerate(losses)]
    )
    return entry


@pytest.fixture
def project(workspace):
    return workspace.project("p", new=True)


def test_all_values_of_one_seed(project):
    entry = described(project, [[0.5] * 3, [0.3, 0.4, 0.5], [0.2, 0.3, 0.4]])
    assert json.loads(json.dumps(entry)) == entry
    assert entry["name"] == "LoRA"
    assert (entry["seeds"], entry["images"], entry["landmarks"], entry["epochs"]) == ([0], 3, 3, [0, 1, 2])
    assert entry["loss"] == pytest.approx([0.5, 0.4, 0.3])
    assert (entry["low"], entry["high"], entry["band"]) == (
        None,
        None,
        None,
    )  # three landmarks are too few for an interval
    assert entry["best"] == {"epoch": 2, "interval": None, "share": None, "by_seed": [2]}
    assert entry["overfitting"] == {
        "verdict": "inconclusive: 3 validation landmarks, but the minimum is 6",
        "epoch": None,
        "rise": None,
        "interval": None,
        "p": None,
        "by_seed": None,
    }
    profile = entry["per_timestep"]
    assert profile["timesteps"] == list(TIMESTEPS)
    assert profile["best"] == profile["last"] == pytest.approx([0.3 * (1 + n / 10) for n in range(8)])
    assert profile["change"] == pytest.approx([-40.0] * 8)


def test_the_band_of_several_seeds_is_their_range(project):
    one, two = [[0.5] * 8, [0.4] * 8, [0.3] * 8, [0.35] * 8], [[0.5] * 8, [0.2] * 8, [0.3] * 8, [0.1] * 8]
    entry = described(project, one, two)
    assert entry["loss"] == pytest.approx([0.5, 0.3, 0.3, 0.225])
    assert entry["low"] == pytest.approx([0.5, 0.2, 0.3, 0.1])
    assert entry["high"] == pytest.approx([0.5, 0.4, 0.3, 0.35])
    assert entry["band"] == "range of 2 seeds"
    assert entry["best"] == {"epoch": 3, "interval": [3, 3], "share": 1.0, "by_seed": [2, 3]}


def test_epochs_that_not_all_seeds_finished_are_omitted(project):
    complete, cancelled = [[0.5] * 6, [0.4] * 6, [0.3] * 6], [[0.5] * 6, [0.4] * 6]
    first, second = (
        write_run(project, complete),
        write_run(project, cancelled, config={"num_train_epochs": 2, "seed": 1}),
    )
    (entry,) = training_dynamics.describe([first, second])
    assert (entry["epochs"], entry["best"]["epoch"]) == ([0, 1], 1)


def test_the_band_of_one_seed_is_over_landmarks(project):
    random = np.random.default_rng(0)
    (losses,) = curves(random, [0.5, 0.2, 0.1], images=16)
    single = described(project, losses)
    assert single["band"] == "95 % interval over 16 landmarks, one seed"
    assert all(low < loss < high for low, loss, high in zip(single["low"], single["loss"], single["high"]))
    twice = np.repeat(losses, 2, axis=1)
    grouped = described(project, twice, validation_landmarks=[n // 2 for n in range(32)])
    assert (grouped["images"], grouped["landmarks"]) == (32, 16)
    assert grouped["low"] == pytest.approx(single["low"])
    ungrouped = described(project, twice, validation_landmarks=None)  # an older run: one landmark per image
    assert ungrouped["high"][0] - ungrouped["low"][0] < 0.8 * (grouped["high"][0] - grouped["low"][0])


def test_the_interval_of_the_best_epoch_shows_how_much_the_landmarks_agree():
    clear = curves(np.random.default_rng(0), [0.9, 0.5, 0.0, 0.5, 0.9], noise=0.05)[0]
    assert training_dynamics.best_epoch(clear, one_landmark_per_image(), range(1, 6)) == {
        "epoch": 3,
        "interval": [3, 3],
        "share": 1.0,
    }
    flat = curves(np.random.default_rng(1), [0.0] * 10, noise=0.3)[0]
    entry = training_dynamics.best_epoch(flat, one_landmark_per_image(), EPOCHS)
    low, high = entry["interval"]
    assert low < entry["epoch"] < high
    assert high - low >= 4
    assert entry["share"] < 0.7


def test_real_overfitting_is_found():
    random, found = np.random.default_rng(2), 0
    shape = [0.4, 0.2, 0.0, 0.1, 0.2, 0.3]
    for _ in range(30):
        entry = training_dynamics.overfitting(curves(random, shape), one_landmark_per_image(), range(1, 7))
        found += entry["verdict"] == "overfits from epoch 3" and entry["epoch"] == 3
        assert entry["rise"] == pytest.approx(0.3, abs=0.15)
    assert found == 30


@pytest.mark.parametrize("shape", [[0.0] * 10, [-0.05 * np.log(n) for n in EPOCHS]], ids=["flat", "still falling"])
def test_overfitting_has_few_false_positives(shape):
    random, trials, reported = np.random.default_rng(3), 200, 0
    naive = 0
    for _ in range(trials):
        losses = curves(random, shape)
        reported += training_dynamics.overfitting(losses, one_landmark_per_image(), EPOCHS)["epoch"] is not None
        mean = losses[0].mean(axis=1)
        lowest = mean.argmin()
        naive += lowest < 9 and stats.ttest_rel(losses[0, 9], losses[0, lowest]).pvalue < 0.05
    assert reported <= stats.binom.ppf(0.975, trials, 0.05)
    if not any(shape):  # choosing and measuring on the same landmarks has too many
        assert naive > stats.binom.ppf(0.975, trials, 0.05)


def test_a_rise_in_only_one_seed_is_not_overfitting():
    random = np.random.default_rng(4)
    rising, falling = curves(random, [0.4, 0.0, 0.9]), curves(random, [0.4, 0.0, -0.1])
    entry = training_dynamics.overfitting(np.concatenate([rising, falling]), one_landmark_per_image(), (1, 2, 3))
    assert entry["verdict"] == training_dynamics.NO_EVIDENCE
    assert entry["p"] < 0.05
    assert entry["interval"][0] > 0
    assert entry["by_seed"][0] > 0 > entry["by_seed"][1]
    both = training_dynamics.overfitting(np.concatenate([rising, rising]), one_landmark_per_image(), (1, 2, 3))
    assert both["verdict"] == "overfits from epoch 2"


def test_a_loss_that_falls_to_the_end_does_not_rise(project):
    entry = described(project, curves(np.random.default_rng(5), [0.5, 0.4, 0.2, 0.1, 0.0], noise=0.01)[0])[
        "overfitting"
    ]
    assert (entry["verdict"], entry["epoch"]) == (training_dynamics.NO_EVIDENCE, None)
    assert entry["rise"] == pytest.approx(0.0, abs=1e-12)
    assert entry["p"] == 1.0


def test_a_landmark_does_not_influence_the_choice_of_its_own_epoch():
    losses = np.tile([[0.2], [0.1], [0.3]], 12)
    losses[0, 4] = -1e6  # would win every choice
    chosen = training_dynamics._cross_fitted_epochs(losses)
    assert chosen.shape == (training_dynamics.SPLITS, 12)
    assert set(chosen[:, 4]) == {1}
    assert set(chosen[:, 5]) == {0, 1}


def test_without_runs_there_are_no_entries(project):
    assert training_dynamics.describe([]) == []
