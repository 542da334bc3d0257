"""Curves, the best epoch and over-fitting: by hand, and by counting how often a false one is said."""

import json

import numpy as np
import pytest
from scipy import stats

from ghibli_studio.evaluation import training_dynamics
from tests.support.written_runs import TIMESTEPS, written

EPOCHS = range(1, 11)


def curves(random, shape, pictures=23, noise=0.1, seeds=1):
    """(seeds, epochs, pictures): a common course, pictures of different difficulty, each with noise of its own."""
    course = np.asarray(shape, dtype=float)[:, None]
    return 1 + random.normal(size=pictures) + course + random.normal(0, noise, size=(seeds, len(course), pictures))


def each_its_own(pictures=23):
    return np.eye(pictures)


def described(project, *losses, **settings):
    (told,) = training_dynamics.describe(
        [written(project, one, config={"seed": s}, **settings) for s, one in enumerate(losses)]
    )
    return told


@pytest.fixture
def project(workspace):
    return workspace.project("p", new=True)


def test_one_seed_in_whole_values(project):
    told = described(project, [[0.5] * 3, [0.3, 0.4, 0.5], [0.2, 0.3, 0.4]])
    assert json.loads(json.dumps(told)) == told
    assert told["name"] == "LoRA"
    assert (told["seeds"], told["pictures"], told["landmarks"], told["epochs"]) == ([0], 3, 3, [0, 1, 2])
    assert told["loss"] == pytest.approx([0.5, 0.4, 0.3])
    assert (told["low"], told["high"], told["band"]) == (None, None, None)  # three landmarks make no interval
    assert told["best"] == {"epoch": 2, "interval": None, "share": None, "by_seed": [2]}
    assert told["overfitting"] == {
        "verdict": "cannot be said: 3 validation landmarks, 6 are the least",
        "epoch": None,
        "rise": None,
        "interval": None,
        "p": None,
        "by_seed": None,
    }
    profile = told["per_timestep"]
    assert profile["timesteps"] == list(TIMESTEPS)
    assert profile["best"] == profile["last"] == pytest.approx([0.3 * (1 + n / 10) for n in range(8)])
    assert profile["change"] == pytest.approx([-40.0] * 8)


def test_several_seeds_have_a_band_from_smallest_to_largest(project):
    one, two = [[0.5] * 8, [0.4] * 8, [0.3] * 8, [0.35] * 8], [[0.5] * 8, [0.2] * 8, [0.3] * 8, [0.1] * 8]
    told = described(project, one, two)
    assert told["loss"] == pytest.approx([0.5, 0.3, 0.3, 0.225])
    assert told["low"] == pytest.approx([0.5, 0.2, 0.3, 0.1])
    assert told["high"] == pytest.approx([0.5, 0.4, 0.3, 0.35])
    assert told["band"] == "smallest to largest of 2 seeds"
    assert told["best"] == {"epoch": 3, "interval": [3, 3], "share": 1.0, "by_seed": [2, 3]}


def test_epochs_that_not_all_seeds_finished_are_left_out(project):
    whole, cancelled = [[0.5] * 6, [0.4] * 6, [0.3] * 6], [[0.5] * 6, [0.4] * 6]
    first, second = written(project, whole), written(project, cancelled, config={"num_train_epochs": 2, "seed": 1})
    (told,) = training_dynamics.describe([first, second])
    assert (told["epochs"], told["best"]["epoch"]) == ([0, 1], 1)


def test_one_seed_has_a_band_over_landmarks_and_pictures_of_one_landmark_stay_together(project):
    random = np.random.default_rng(0)
    (losses,) = curves(random, [0.5, 0.2, 0.1], pictures=16)
    apart = described(project, losses)
    assert apart["band"] == "95 % interval over 16 landmarks, one seed"
    assert all(low < loss < high for low, loss, high in zip(apart["low"], apart["loss"], apart["high"]))
    twice = np.repeat(losses, 2, axis=1)
    together = described(project, twice, validation_landmarks=[n // 2 for n in range(32)])
    assert (together["pictures"], together["landmarks"]) == (32, 16)
    assert together["low"] == pytest.approx(apart["low"])
    believed = described(project, twice, validation_landmarks=None)  # an older run: each picture for itself
    assert believed["high"][0] - believed["low"][0] < 0.8 * (together["high"][0] - together["low"][0])


def test_the_best_epoch_is_as_sure_as_the_landmarks_agree():
    clear = curves(np.random.default_rng(0), [0.9, 0.5, 0.0, 0.5, 0.9], noise=0.05)[0]
    assert training_dynamics.best_epoch(clear, each_its_own(), range(1, 6)) == {
        "epoch": 3,
        "interval": [3, 3],
        "share": 1.0,
    }
    flat = curves(np.random.default_rng(1), [0.0] * 10, noise=0.3)[0]
    told = training_dynamics.best_epoch(flat, each_its_own(), EPOCHS)
    low, high = told["interval"]
    assert low < told["epoch"] < high
    assert high - low >= 4
    assert told["share"] < 0.7


def test_over_fitting_that_is_there_is_found():
    random, found = np.random.default_rng(2), 0
    shape = [0.4, 0.2, 0.0, 0.1, 0.2, 0.3]
    for _ in range(30):
        told = training_dynamics.over_fitting(curves(random, shape), each_its_own(), range(1, 7))
        found += told["verdict"] == "over-fits from epoch 3" and told["epoch"] == 3
        assert told["rise"] == pytest.approx(0.3, abs=0.15)
    assert found == 30


@pytest.mark.parametrize("shape", [[0.0] * 10, [-0.05 * np.log(n) for n in EPOCHS]], ids=["flat", "still falling"])
def test_over_fitting_that_is_not_there_is_said_no_more_often_than_promised(shape):
    random, trials, said = np.random.default_rng(3), 200, 0
    naive = 0
    for _ in range(trials):
        losses = curves(random, shape)
        said += training_dynamics.over_fitting(losses, each_its_own(), EPOCHS)["epoch"] is not None
        mean = losses[0].mean(axis=1)
        lowest = mean.argmin()
        naive += lowest < 9 and stats.ttest_rel(losses[0, 9], losses[0, lowest]).pvalue < 0.05
    assert said <= stats.binom.ppf(0.975, trials, 0.05)
    if not any(shape):  # choosing and measuring on the same landmarks would break the promise
        assert naive > stats.binom.ppf(0.975, trials, 0.05)


def test_a_rise_in_one_seed_alone_is_no_over_fitting():
    random = np.random.default_rng(4)
    rising, falling = curves(random, [0.4, 0.0, 0.9]), curves(random, [0.4, 0.0, -0.1])
    told = training_dynamics.over_fitting(np.concatenate([rising, falling]), each_its_own(), (1, 2, 3))
    assert told["verdict"] == training_dynamics.NO_EVIDENCE
    assert told["p"] < 0.05
    assert told["interval"][0] > 0
    assert told["by_seed"][0] > 0 > told["by_seed"][1]
    both = training_dynamics.over_fitting(np.concatenate([rising, rising]), each_its_own(), (1, 2, 3))
    assert both["verdict"] == "over-fits from epoch 2"


def test_a_loss_that_falls_to_the_end_does_not_rise(project):
    told = described(project, curves(np.random.default_rng(5), [0.5, 0.4, 0.2, 0.1, 0.0], noise=0.01)[0])["overfitting"]
    assert (told["verdict"], told["epoch"]) == (training_dynamics.NO_EVIDENCE, None)
    assert told["rise"] == pytest.approx(0.0, abs=1e-12)
    assert told["p"] == 1.0


def test_a_landmark_has_no_part_in_the_choice_of_its_epoch():
    losses = np.tile([[0.2], [0.1], [0.3]], 12)
    losses[0, 4] = -1e6  # would win every choice
    chosen = training_dynamics._chosen_without(losses)
    assert chosen.shape == (training_dynamics.SPLITS, 12)
    assert set(chosen[:, 4]) == {1}
    assert set(chosen[:, 5]) == {0, 1}


def test_nothing_trained_is_nothing_described(project):
    assert training_dynamics.describe([]) == []
