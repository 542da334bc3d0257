"""Statistics with the landmark as the unit: compared with scipy, by hand, and by counting coverage."""

import numpy as np
import pytest
from scipy import special, stats

from ghibli_studio.evaluation import bootstrap
from study.analysis import statistics


def test_the_minimum_of_landmarks_equals_the_studys_minimum():
    assert bootstrap.MIN_LANDMARKS == statistics.MIN_PARTICIPANTS == 6
    assert bootstrap.smallest_p(5) == 0.0625
    assert bootstrap.smallest_p(6) == 0.03125


def test_resamples_weight_landmarks_equally_and_the_seeds_within_them():
    weights = bootstrap.resample_weights((1, 2, 4))
    assert weights.shape == (10_000, 7)
    assert weights.sum(axis=1) == pytest.approx(np.ones(10_000))
    assert weights.mean(axis=0) == pytest.approx([1 / 3, *[1 / 6] * 2, *[1 / 12] * 4], abs=0.005)
    counts = weights[:, 1:3].sum(axis=1) * 3  # how often the second landmark was resampled
    assert set(np.rint(counts)) == {0, 1, 2, 3}
    assert counts == pytest.approx(np.rint(counts))
    assert np.array_equal(weights, bootstrap.resample_weights.__wrapped__((1, 2, 4), 0))
    assert not np.array_equal(weights, bootstrap.resample_weights((1, 2, 4), 1))


def test_with_one_seed_the_interval_is_scipys_percentile_bootstrap_at_the_expanded_level():
    values = np.random.default_rng(3).gamma(2, size=23)
    level = 1 - 2 * special.ndtr(bootstrap.expanded_quantiles(23)[0])
    scipys = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=10_000,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert bootstrap.mean_interval(values) == pytest.approx(list(scipys), abs=0.04 * values.std())


def test_the_expanded_level_is_students_t_with_the_biased_variance():
    ends = bootstrap.expanded_quantiles(10)
    assert ends == pytest.approx([-np.sqrt(10 / 9) * stats.t.ppf(0.975, 9), np.sqrt(10 / 9) * stats.t.ppf(0.975, 9)])
    assert bootstrap.expanded_quantiles(10**6) == pytest.approx([-1.96, 1.96], abs=0.001)


def test_an_interval_needs_six_landmarks_for_any_number_of_seeds():
    assert bootstrap.mean_interval([[1.0, 2.0, 3.0]] * 5) is None
    assert bootstrap.mean_interval([[2.0]] * 6) == pytest.approx([2.0, 2.0])
    assert bootstrap.jackknife_interval(1.0, [1.0, 2.0, 3.0, 4.0, 5.0]) is None


@pytest.mark.parametrize(("landmarks", "seeds"), [(6, 1), (10, 2), (23, 2)])
def test_intervals_cover_the_true_value_often_enough(landmarks, seeds):
    random, trials = np.random.default_rng(landmarks), 300
    covered = 0
    for _ in range(trials):
        values = random.normal(size=(landmarks, 1)) + random.normal(size=(landmarks, seeds))
        low, high = bootstrap.mean_interval(values)
        covered += low <= 0 <= high
    # at least 93 in 100 except for the chance of 300 trials, and not always
    assert stats.binom.ppf(0.01, trials, 0.93) <= covered < trials


def test_the_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).normal(size=12)
    leave_one_out = (values.sum() - values) / 11
    students = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert bootstrap.jackknife_interval(values.mean(), leave_one_out) == pytest.approx(list(students))


def test_the_sign_flip_test_equals_scipys_over_all_patterns():
    random = np.random.default_rng(1)
    for shift in (0.0, 0.3, 0.8):
        values = random.normal(shift, 1, size=12)
        exact = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        assert bootstrap.sign_flip(values) == pytest.approx(exact, abs=2e-3)


def test_the_sign_flip_test_by_hand():
    assert bootstrap.sign_flip([0.1, 0.2, 0.3]) == 0.25
    assert bootstrap.sign_flip([0.1, 0.2, -0.3]) == 1.0  # .1 + .2 is not .3 in floats, but it is treated as equal
    assert bootstrap.sign_flip([1e-9, 3e-9, -2e-9]) == bootstrap.sign_flip([1.0, 3.0, -2.0])
    assert bootstrap.sign_flip([0.0, 0.0]) == 1.0
    assert bootstrap.sign_flip([5.0] * 23) == pytest.approx(bootstrap.smallest_p(23))


def test_the_effect_size_is_corrected_for_few_landmarks():
    assert bootstrap.effect_size([1.0, 2.0, 3.0]) == pytest.approx(2.0 * (1 - 3 / 7))
    assert bootstrap.effect_size([0.1] * 10) is None
    assert bootstrap.effect_size([0.1, 0.3]) is None
