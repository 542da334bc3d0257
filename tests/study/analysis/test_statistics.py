"""Every formula against another implementation, and error rates in 1,000 invented studies."""

import itertools
import statistics as stdlib
import warnings
from math import comb

import krippendorff
import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q as statsmodels_q
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa as statsmodels_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import binom_test, proportion_confint, proportion_effectsize

from study import StudyError
from study.analysis import statistics
from study.analysis.statistics import (
    MIN_PARTICIPANTS,
    binomial_test,
    bootstrap_mean,
    chi_square,
    cochrans_q,
    cohens_h,
    cohens_kappa,
    holm,
    krippendorff_alpha,
    min_attainable_p,
    power,
    proportion,
    quartiles,
    rotation_test,
    sign_flip,
    wilcoxon,
)

RANDOM = np.random.default_rng(1)
DIFFERENCES = [
    [3],
    [1, -1],
    [5, 5, 5],
    [5, 3, -1, 0, 1],
    [-5, -3, -3, -1, 2, 4, 0, 0],
    [60, -20, 36, 12, -15, 40],
    *RANDOM.integers(-5, 6, size=(6, 11)).tolist(),
]
TABLES = [(1, 0), (0, 7), (3, 3), (20, 5), (40, 10), (17, 42)]


def by_enumeration(values):
    signs = np.array(list(itertools.product((-1, 1), repeat=len(values))))
    return float((np.abs(signs @ values) >= abs(sum(values))).mean())


@pytest.mark.parametrize("values", DIFFERENCES)
def test_the_sign_flip_counts_every_pattern(values):
    assert sign_flip(values) == pytest.approx(by_enumeration(values), rel=1e-12)
    assert sign_flip([-value for value in values]) == sign_flip(values)
    assert sign_flip([12 * value for value in values]) == sign_flip(values)
    assert sign_flip([*values, 0, 0, 0]) == sign_flip(values)


def test_the_sign_flip_agrees_with_scipy_on_many_values():
    values = np.random.default_rng(3).integers(-4, 6, size=50)
    result = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=99_999, rng=np.random.default_rng(0)
    )
    assert 0.01 < sign_flip(values) < 0.99
    assert sign_flip(values) == pytest.approx(result.pvalue, abs=4 * (0.25 / 99_999) ** 0.5)


def test_the_sign_flip_of_one_verdict_per_participant_is_the_binomial_test():
    for more, fewer in TABLES:
        assert sign_flip([5] * more + [-5] * fewer) == pytest.approx(stats.binomtest(more, more + fewer).pvalue)


def test_the_min_attainable_p_is_that_of_unanimous_participants():
    assert [min_attainable_p(count) for count in (0, 1, 2, 6)] == [None, 1.0, 0.5, 0.03125]
    for count in (1, 2, 6, 30, 1000):
        assert sign_flip([2] * count) == pytest.approx(min_attainable_p(count), rel=1e-9)


@pytest.mark.parametrize("values", [[], [0], [0, 0, 0]])
def test_without_any_difference_there_is_no_p(values):
    assert sign_flip(values) is None
    assert wilcoxon(values) == (None, None)


@pytest.mark.parametrize("values", DIFFERENCES[1:])
def test_wilcoxon_is_exact_with_ties(values):
    kept = [value for value in values if value]
    result = stats.wilcoxon(kept, method=stats.PermutationMethod(n_resamples=np.inf))
    p, rank_biserial = wilcoxon(values)
    assert p == pytest.approx(result.pvalue, rel=1e-12)
    positive = stats.wilcoxon(kept, alternative="greater", method="asymptotic").statistic
    ranks = len(kept) * (len(kept) + 1) / 2
    assert rank_biserial == pytest.approx((positive - (ranks - positive)) / ranks, abs=1e-12)


def test_wilcoxon_without_ties_matches_the_exact_table():
    values = [1, -2, 3, 4, -5, 6, 7, 8, 9, 10, 11, -12]
    assert wilcoxon(values)[0] == pytest.approx(stats.wilcoxon(values, method="exact").pvalue, rel=1e-12)


def test_the_bootstrap_is_scipys_bca(monkeypatch):
    """On skewed values, where a percentile interval differs; with many draws, so that chance is small."""
    monkeypatch.setattr(statistics, "RESAMPLES", 200_000)
    values = np.random.default_rng(30).lognormal(size=30)
    error = values.std() / 30**0.5
    theirs = {
        method: stats.bootstrap((values,), np.mean, n_resamples=200_000, method=method, batch=20_000, rng=rng)
        for method, rng in (("BCa", np.random.default_rng(1)), ("percentile", np.random.default_rng(2)))
    }
    ours = np.array(bootstrap_mean(values, 0))
    assert ours == pytest.approx(np.array(theirs["BCa"].confidence_interval), abs=0.05 * error)
    assert (np.abs(ours - theirs["percentile"].confidence_interval) > 0.15 * error).all()


@pytest.mark.parametrize("size", [17, 50])
def test_the_bootstrap_of_few_values_is_scipys_within_one_step(size):
    values = np.random.default_rng(size).choice([-5, -1, 1, 1, 3, 5], size=size)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    result = bootstrap_mean(values, 0)
    assert result == pytest.approx(list(theirs), abs=2 / size + 1e-9), "sums of these values are two apart"
    assert bootstrap_mean(values / 5, 0) == pytest.approx([end / 5 for end in result]), (
        "fractions tie like whole numbers"
    )
    assert bootstrap_mean(values[::-1], 0) == result, "the order of participants does not matter"


def test_the_bootstrap_of_many_is_the_normal_interval():
    values = np.random.default_rng(0).integers(-5, 6, size=1000) / 5
    spread = 1.96 * values.std() / 1000**0.5
    assert bootstrap_mean(values, 0) == pytest.approx([values.mean() - spread, values.mean() + spread], abs=0.003)


@pytest.mark.parametrize("values", [[], [1], [1, 0], [0, 1, 0, 1, 1], [0.2] * 50])
def test_too_few_or_equal_values_have_no_bootstrap(values):
    assert len(set(values)) == 1 or len(values) < MIN_PARTICIPANTS
    assert bootstrap_mean(values, 0) is None


@pytest.mark.parametrize(("one", "other"), TABLES)
def test_shares_and_mcnemar_against_statsmodels(one, other):
    of = one + other
    result = proportion(one, of)
    assert result == {"count": one, "n": of, "share": one / of} | {
        "clopper_pearson": pytest.approx(proportion_confint(one, of, method="beta"), abs=1e-9),
        "wilson": pytest.approx(proportion_confint(one, of, method="wilson"), abs=1e-9),
    }
    assert binomial_test(one, other) == pytest.approx(binom_test(one, of), rel=1e-9)
    assert binomial_test(one, other) == pytest.approx(mcnemar([[9, one], [other, 4]], exact=True).pvalue, rel=1e-9)
    assert cohens_h(result["share"]) == pytest.approx(proportion_effectsize(one / of, 0.5), abs=1e-12)


def test_without_participants_there_is_no_share():
    assert proportion(0, 0) == {"count": 0, "n": 0, "share": None, "clopper_pearson": None, "wilson": None}
    assert binomial_test(0, 0) is None
    assert cohens_h(None) is None


@pytest.mark.parametrize(
    ("counts", "weights"), [([40, 10], [1, 1]), ([4, 45, 0, 1], [5, 5, 5, 1]), ([1, 2, 3], [2, 2, 2])]
)
def test_chi_square_against_scipy(counts, weights):
    expected = np.array(weights) * sum(counts) / sum(weights)
    statistic, p = stats.chisquare(counts, expected)
    assert chi_square(counts, weights) == {
        "statistic": pytest.approx(statistic),
        "df": len(counts) - 1,
        "p": pytest.approx(p),
        "min_expected": expected.min(),
    }


@pytest.mark.parametrize(("counts", "df"), [([], 0), ([7], 0), ([0, 0, 0], 2)])
def test_chi_square_of_nothing(counts, df):
    assert chi_square(counts, [1] * len(counts)) == {"statistic": None, "df": df, "p": None, "min_expected": None}


@pytest.mark.parametrize("positions", [2, 3, 15])
def test_positions_with_one_answer_per_participant_are_an_ordinary_chi_square(positions):
    chosen = np.random.default_rng(positions).integers(positions, size=300)
    chosen[:20] = 0  # some participants always choose the first
    counts = np.bincount(chosen, minlength=positions)
    result = rotation_test(np.eye(positions, dtype=int)[chosen], 0)
    statistic, p = stats.chisquare(counts)
    if positions == 2:  # the distribution's own p is rough where there are few steps
        p = stats.binomtest(counts[0], 300).pvalue
    assert result["statistic"] == pytest.approx(statistic)
    assert result["p"] == pytest.approx(p, abs=0.02)


def test_two_positions_are_a_sign_flip():
    table = np.random.default_rng(2).multinomial(5, [0.55, 0.45], size=40)
    assert rotation_test(table, 7)["p"] == pytest.approx(sign_flip(table[:, 0] - table[:, 1]), abs=0.02)
    assert rotation_test(table, 7) == rotation_test(table, 7)


def test_five_answers_of_a_participant_are_not_five_participants():
    """Ten participants, of whom seven always choose the left side: 35 to 15 answers prove little."""
    result = rotation_test([[5, 0]] * 7 + [[0, 5]] * 3, 0)
    assert result["statistic"] == 8.0
    assert stats.chi2.sf(8.0, 1) < 0.005
    assert result["p"] == pytest.approx(stats.binomtest(7, 10).pvalue, abs=0.02)


@pytest.mark.parametrize("table", [[], [[]], [[0, 0, 0], [0, 0, 0]]])
def test_positions_that_nobody_chose(table):
    assert rotation_test(table, 0) == {"statistic": None, "p": None}


def test_cochrans_q_against_scipy_and_statsmodels():
    for seed, conditions in enumerate((2, 3, 5)):
        table = (np.random.default_rng(seed).random((30, conditions)) < np.linspace(0.3, 0.8, conditions)).astype(int)
        theirs = statsmodels_q(table)
        assert cochrans_q(table) == {
            "statistic": pytest.approx(theirs.statistic),
            "df": conditions - 1,
            "p": pytest.approx(theirs.pvalue),
            "participants": 30,
        }
        if conditions > 2:
            assert cochrans_q(table)["p"] == pytest.approx(stats.friedmanchisquare(*table.T).pvalue)
        else:
            square = [[int((table == (one, two)).all(axis=1).sum()) for two in (0, 1)] for one in (0, 1)]
            theirs = mcnemar(square, exact=False, correction=False)
            assert cochrans_q(table)["statistic"] == pytest.approx(theirs.statistic)


@pytest.mark.parametrize(
    ("table", "df", "participants"), [([], 0, 0), ([[1, 1, 1], [0, 0, 0]], 2, 2), ([[1], [0]], 0, 2)]
)
def test_cochrans_q_without_any_variation(table, df, participants):
    assert cochrans_q(table) == {"statistic": None, "df": df, "p": None, "participants": participants}


def test_holm_against_statsmodels():
    for values in ([0.01, 0.04, 0.03], [0.5, 0.9, 0.7], [0.001, 0.001, 0.2], [0.04]):
        assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())


def test_a_question_without_an_answer_still_counts_in_holm():
    assert holm([0.01, None, 0.02]) == [pytest.approx(0.03), None, pytest.approx(0.04)]
    assert holm([None, None, None]) == [None, None, None]


def test_kappa_against_statsmodels():
    names = ("lora", "ti", "none")
    for seed in range(4):
        table = np.random.default_rng(seed).integers(0, 6, size=(3, 3)) + 4 * np.eye(3, dtype=int)
        pairs = [(names[one], names[two]) for one in range(3) for two in range(3) for _ in range(table[one, two])]
        assert cohens_kappa(pairs) == pytest.approx(statsmodels_kappa(table).kappa)


def test_kappa_without_pairs_and_of_one_category():
    assert cohens_kappa([]) is None
    assert cohens_kappa([("lora", "lora")] * 9) is None
    assert cohens_kappa([("lora", "ti"), ("ti", "lora")]) == -1.0


def test_alpha_against_krippendorff():
    for seed in range(6):
        ratings = np.random.default_rng(seed).integers(0, 4, size=(12, 5)).astype(float)
        ratings[:, 0] = 1.0
        ratings[np.random.default_rng(seed + 90).random(ratings.shape) < 0.2] = np.nan  # participants x units
        counts = [[int((unit == category).sum()) for category in range(4)] for unit in ratings.T]
        theirs = krippendorff.alpha(reliability_data=ratings, level_of_measurement="nominal")
        assert krippendorff_alpha(counts) == pytest.approx(theirs)
        assert krippendorff_alpha([*counts, [1, 0, 0, 0], [0, 0, 0, 0]]) == pytest.approx(theirs)


@pytest.mark.parametrize("counts", [[], [[]], [[5, 0], [7, 0]], [[1, 0], [0, 1]], [[0, 0]]])
def test_alpha_without_possible_disagreement(counts):
    assert krippendorff_alpha(counts) is None


def test_alpha_of_unanimous_raters_is_one():
    assert krippendorff_alpha([[9, 0], [0, 9], [9, 0]]) == 1.0


def test_quartiles_against_the_standard_library():
    values = [9.5, 1.0, 3.25, 4.0, 4.5, 7.0, 30.0]
    low, middle, high = stdlib.quantiles(values, n=4, method="inclusive")
    assert quartiles(values) == {"n": 7, "median": middle, "quartiles": [low, high]}
    assert quartiles([2.0]) == {"n": 1, "median": 2.0, "quartiles": [2.0, 2.0]}
    assert quartiles([]) == {"n": 0, "median": None, "quartiles": None}


def test_the_power_is_that_of_the_protocol():
    assert round(power(50, 0.75, 0.0167), 2) == 0.90
    assert round(power(50, 0.70, 0.0167), 2) == 0.68
    assert power(50, 0.25, 0.0167) == pytest.approx(power(50, 0.75, 0.0167))


@pytest.mark.parametrize(
    ("n", "share", "alpha"), [(50, 0.75, 0.05 / 3), (48, 0.6, 0.05), (7, 0.9, 0.05), (5, 0.8, 0.0625)]
)
def test_the_power_is_the_sum_over_all_rejecting_counts(n, share, alpha):
    rejecting = [count for count in range(n + 1) if stats.binomtest(count, n).pvalue <= alpha]
    expected = sum(comb(n, count) * share**count * (1 - share) ** (n - count) for count in rejecting)
    assert power(n, share, alpha) == pytest.approx(expected)


def test_too_few_participants_have_no_power_and_invalid_input_is_refused():
    assert power(2, 0.99, 0.05) == 0.0
    assert power(5, 1.0, 0.05) == 0.0
    assert power(6, 1.0, 0.05) == 1.0
    for n, share, alpha in ((0, 0.7, 0.05), (50, 1.2, 0.05), (50, 0.7, 0.0)):
        with pytest.raises(StudyError) as caught:
            power(n, share, alpha)
        assert str(caught.value) == (
            f"power was called with n={n}, share={share:g}, alpha={alpha:g}; give n > 0 and shares from 0 to 1"
        )


def test_no_formula_raises_a_warning():
    """A warning of numpy or scipy is an unhandled division by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in ([], [0], [1], [0] * 9, [60] * 9, [1, -1]):
            sign_flip(values), wilcoxon(values), bootstrap_mean(values, 0)
        for count in (0, 1, 50):
            proportion(count, 50), chi_square([count, 50 - count], [1, 1])


STUDIES, PARTICIPANTS, ANSWERS = 1000, 50, 5


def simulated_counts(random, shares, correlation):
    """Counts of five correlated answers with these true shares: studies x participants x categories."""
    shares = np.broadcast_to(np.asarray(shares, dtype=float), (STUDIES, PARTICIPANTS, len(shares)))
    if correlation:
        gamma = random.gamma(shares * (1 - correlation) / correlation)
        shares = gamma / gamma.sum(axis=-1, keepdims=True)
    return random.multinomial(ANSWERS, shares)


def max_rejections(rate):
    """The number of rejections in 1,000 studies that a true rate exceeds once in a thousand times."""
    return int(stats.binom.ppf(0.999, STUDIES, rate))


NULLS = {"style": [0.5, 0.5], "buy": [0.3, 0.3, 0.3, 0.1], "landmark": [0.15, 0.15, 0.4, 0.3]}


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_studies_without_a_difference_rarely_find_one(correlation):
    random = np.random.default_rng(int(10 * correlation))
    p = []
    for shares in NULLS.values():
        counts = simulated_counts(random, shares, correlation)
        p.append([1.0 if (result := sign_flip(study)) is None else result for study in counts[..., 0] - counts[..., 1]])
    for question in p:
        rejected = sum(value <= 0.05 for value in question)
        assert STUDIES * 0.02 < rejected <= max_rejections(0.05)
    assert sum(min(holm(study)) <= 0.05 for study in zip(*p)) <= max_rejections(0.05)


def test_pooled_answers_would_find_a_difference_in_every_fourth_study():
    """Why the unit is the participant: 26 % false positives at a correlation of .5 on the same answers."""
    pooled = simulated_counts(np.random.default_rng(5), [0.5, 0.5], 0.5)[..., 0].sum(axis=1)
    rejected = sum(stats.binomtest(int(count), PARTICIPANTS * ANSWERS).pvalue <= 0.05 for count in pooled)
    assert 0.20 < rejected / STUDIES < 0.30


def test_studies_with_a_difference_find_it_as_often_as_predicted():
    random, alpha = np.random.default_rng(9), 0.05 / 3
    for share in (0.75, 0.70):
        verdicts = 5 * random.choice([1, -1], p=[share, 1 - share], size=(STUDIES, PARTICIPANTS))  # a correlation of 1
        found = sum(sign_flip(study) <= alpha for study in verdicts)
        assert stats.binomtest(found, STUDIES, power(PARTICIPANTS, share, alpha)).pvalue > 0.001
        counts = simulated_counts(random, [share, 1 - share], 0.5)
        steadier = sum(sign_flip(study) <= alpha for study in counts[..., 0] - counts[..., 1])
        assert steadier > max_rejections(power(PARTICIPANTS, share, alpha))


def test_the_bootstrap_covers_the_truth_in_95_percent_of_studies():
    counts = simulated_counts(np.random.default_rng(4), [0.7, 0.3], 0.5)[:300]
    intervals = [bootstrap_mean((study[:, 0] - study[:, 1]) / ANSWERS, 0) for study in counts]
    covered = sum(low <= 0.4 <= high for low, high in intervals)
    assert stats.binom.ppf(0.001, 300, 0.93) <= covered <= 299
