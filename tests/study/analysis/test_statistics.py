"""Every formula against another's implementation, and what 1,000 made-up studies without a difference give."""

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
    FEWEST,
    binomial,
    bootstrap_mean,
    chi_square,
    cochrans_q,
    cohens_h,
    cohens_kappa,
    holm,
    krippendorff_alpha,
    power,
    proportion,
    quartiles,
    rotation,
    sign_flip,
    smallest_p,
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


def test_the_sign_flip_agrees_with_scipy_where_nothing_can_be_enumerated():
    values = np.random.default_rng(3).integers(-4, 6, size=50)
    told = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=99_999, rng=np.random.default_rng(0)
    )
    assert 0.01 < sign_flip(values) < 0.99
    assert sign_flip(values) == pytest.approx(told.pvalue, abs=4 * (0.25 / 99_999) ** 0.5)


def test_the_sign_flip_of_one_verdict_a_person_is_the_binomial_test():
    for more, fewer in TABLES:
        assert sign_flip([5] * more + [-5] * fewer) == pytest.approx(stats.binomtest(more, more + fewer).pvalue)


def test_the_smallest_p_is_that_of_people_of_one_mind():
    assert [smallest_p(people) for people in (0, 1, 2, 6)] == [None, 1.0, 0.5, 0.03125]
    for people in (1, 2, 6, 30, 1000):
        assert sign_flip([2] * people) == pytest.approx(smallest_p(people), rel=1e-9)


@pytest.mark.parametrize("values", [[], [0], [0, 0, 0]])
def test_without_any_difference_no_p_is_told(values):
    assert sign_flip(values) is None
    assert wilcoxon(values) == (None, None)


@pytest.mark.parametrize("values", DIFFERENCES[1:])
def test_wilcoxon_is_exact_with_ties_too(values):
    kept = [value for value in values if value]
    told = stats.wilcoxon(kept, method=stats.PermutationMethod(n_resamples=np.inf))
    p, rank_biserial = wilcoxon(values)
    assert p == pytest.approx(told.pvalue, rel=1e-12)
    positive = stats.wilcoxon(kept, alternative="greater", method="asymptotic").statistic
    ranks = len(kept) * (len(kept) + 1) / 2
    assert rank_biserial == pytest.approx((positive - (ranks - positive)) / ranks, abs=1e-12)


def test_wilcoxon_without_ties_is_the_tabled_one():
    values = [1, -2, 3, 4, -5, 6, 7, 8, 9, 10, 11, -12]
    assert wilcoxon(values)[0] == pytest.approx(stats.wilcoxon(values, method="exact").pvalue, rel=1e-12)


def test_the_bootstrap_is_scipys_bca(monkeypatch):
    """On skewed values, where a percentile interval lies elsewhere; with so many draws that chance is small."""
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
def test_the_bootstrap_of_few_values_is_scipys_to_a_step(size):
    values = np.random.default_rng(size).choice([-5, -1, 1, 1, 3, 5], size=size)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    told = bootstrap_mean(values, 0)
    assert told == pytest.approx(list(theirs), abs=2 / size + 1e-9), "sums of these values are two apart"
    assert bootstrap_mean(values / 5, 0) == pytest.approx([end / 5 for end in told]), "fractions tie like whole numbers"
    assert bootstrap_mean(values[::-1], 0) == told, "the order of people does not matter"


def test_the_bootstrap_of_many_is_the_normal_interval():
    values = np.random.default_rng(0).integers(-5, 6, size=1000) / 5
    spread = 1.96 * values.std() / 1000**0.5
    assert bootstrap_mean(values, 0) == pytest.approx([values.mean() - spread, values.mean() + spread], abs=0.003)


@pytest.mark.parametrize("values", [[], [1], [1, 0], [0, 1, 0, 1, 1], [0.2] * 50])
def test_a_few_people_or_all_alike_have_no_bootstrap(values):
    assert len(set(values)) == 1 or len(values) < FEWEST
    assert bootstrap_mean(values, 0) is None


@pytest.mark.parametrize(("one", "other"), TABLES)
def test_shares_and_mcnemar_against_statsmodels(one, other):
    of = one + other
    told = proportion(one, of)
    assert told == {"count": one, "of": of, "share": one / of} | {
        "clopper_pearson": pytest.approx(proportion_confint(one, of, method="beta"), abs=1e-9),
        "wilson": pytest.approx(proportion_confint(one, of, method="wilson"), abs=1e-9),
    }
    assert binomial(one, other) == pytest.approx(binom_test(one, of), rel=1e-9)
    assert binomial(one, other) == pytest.approx(mcnemar([[9, one], [other, 4]], exact=True).pvalue, rel=1e-9)
    assert cohens_h(told["share"]) == pytest.approx(proportion_effectsize(one / of, 0.5), abs=1e-12)


def test_of_nobody_no_share_is_told():
    assert proportion(0, 0) == {"count": 0, "of": 0, "share": None, "clopper_pearson": None, "wilson": None}
    assert binomial(0, 0) is None
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
        "smallest_expected": expected.min(),
    }


@pytest.mark.parametrize(("counts", "df"), [([], 0), ([7], 0), ([0, 0, 0], 2)])
def test_chi_square_of_nothing(counts, df):
    assert chi_square(counts, [1] * len(counts)) == {"statistic": None, "df": df, "p": None, "smallest_expected": None}


@pytest.mark.parametrize("places", [2, 3, 15])
def test_positions_with_one_answer_a_person_are_an_ordinary_chi_square(places):
    chosen = np.random.default_rng(places).integers(places, size=300)
    chosen[:20] = 0  # a few who always take the first
    counts = np.bincount(chosen, minlength=places)
    told = rotation(np.eye(places, dtype=int)[chosen], 0)
    statistic, p = stats.chisquare(counts)
    if places == 2:  # the distribution's own p is rough where there are few steps
        p = stats.binomtest(counts[0], 300).pvalue
    assert told["statistic"] == pytest.approx(statistic)
    assert told["p"] == pytest.approx(p, abs=0.02)


def test_positions_of_two_places_are_a_sign_flip():
    table = np.random.default_rng(2).multinomial(5, [0.55, 0.45], size=40)
    assert rotation(table, 7)["p"] == pytest.approx(sign_flip(table[:, 0] - table[:, 1]), abs=0.02)
    assert rotation(table, 7) == rotation(table, 7)


def test_positions_know_that_five_answers_of_a_person_are_not_five_people():
    """Ten people, of whom seven always take the left side: 35 to 15 answers prove little."""
    told = rotation([[5, 0]] * 7 + [[0, 5]] * 3, 0)
    assert told["statistic"] == 8.0
    assert stats.chi2.sf(8.0, 1) < 0.005
    assert told["p"] == pytest.approx(stats.binomtest(7, 10).pvalue, abs=0.02)


@pytest.mark.parametrize("table", [[], [[]], [[0, 0, 0], [0, 0, 0]]])
def test_positions_that_nobody_chose(table):
    assert rotation(table, 0) == {"statistic": None, "p": None}


def test_cochrans_q_against_scipy_and_statsmodels():
    for seed, conditions in enumerate((2, 3, 5)):
        table = (np.random.default_rng(seed).random((30, conditions)) < np.linspace(0.3, 0.8, conditions)).astype(int)
        theirs = statsmodels_q(table)
        assert cochrans_q(table) == {
            "statistic": pytest.approx(theirs.statistic),
            "df": conditions - 1,
            "p": pytest.approx(theirs.pvalue),
            "people": 30,
        }
        if conditions > 2:
            assert cochrans_q(table)["p"] == pytest.approx(stats.friedmanchisquare(*table.T).pvalue)
        else:
            square = [[int((table == (one, two)).all(axis=1).sum()) for two in (0, 1)] for one in (0, 1)]
            theirs = mcnemar(square, exact=False, correction=False)
            assert cochrans_q(table)["statistic"] == pytest.approx(theirs.statistic)


@pytest.mark.parametrize(("table", "df", "people"), [([], 0, 0), ([[1, 1, 1], [0, 0, 0]], 2, 2), ([[1], [0]], 0, 2)])
def test_cochrans_q_where_everybody_says_the_same_of_all(table, df, people):
    assert cochrans_q(table) == {"statistic": None, "df": df, "p": None, "people": people}


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


def test_kappa_of_nothing_and_of_one_category():
    assert cohens_kappa([]) is None
    assert cohens_kappa([("lora", "lora")] * 9) is None
    assert cohens_kappa([("lora", "ti"), ("ti", "lora")]) == -1.0


def test_alpha_against_krippendorff():
    for seed in range(6):
        ratings = np.random.default_rng(seed).integers(0, 4, size=(12, 5)).astype(float)
        ratings[:, 0] = 1.0
        ratings[np.random.default_rng(seed + 90).random(ratings.shape) < 0.2] = np.nan  # people x units
        counts = [[int((unit == category).sum()) for category in range(4)] for unit in ratings.T]
        theirs = krippendorff.alpha(reliability_data=ratings, level_of_measurement="nominal")
        assert krippendorff_alpha(counts) == pytest.approx(theirs)
        assert krippendorff_alpha([*counts, [1, 0, 0, 0], [0, 0, 0, 0]]) == pytest.approx(theirs)


@pytest.mark.parametrize("counts", [[], [[]], [[5, 0], [7, 0]], [[1, 0], [0, 1]], [[0, 0]]])
def test_alpha_where_nobody_could_disagree(counts):
    assert krippendorff_alpha(counts) is None


def test_alpha_of_people_of_one_mind_is_one():
    assert krippendorff_alpha([[9, 0], [0, 9], [9, 0]]) == 1.0


def test_quartiles_against_the_standard_library():
    values = [9.5, 1.0, 3.25, 4.0, 4.5, 7.0, 30.0]
    low, middle, high = stdlib.quantiles(values, n=4, method="inclusive")
    assert quartiles(values) == {"n": 7, "median": middle, "quartiles": [low, high]}
    assert quartiles([2.0]) == {"n": 1, "median": 2.0, "quartiles": [2.0, 2.0]}
    assert quartiles([]) == {"n": 0, "median": None, "quartiles": None}


def test_the_power_is_the_protocols():
    assert round(power(50, 0.75, 0.0167), 2) == 0.90
    assert round(power(50, 0.70, 0.0167), 2) == 0.68
    assert power(50, 0.25, 0.0167) == pytest.approx(power(50, 0.75, 0.0167))


@pytest.mark.parametrize(
    ("n", "share", "alpha"), [(50, 0.75, 0.05 / 3), (48, 0.6, 0.05), (7, 0.9, 0.05), (5, 0.8, 0.0625)]
)
def test_the_power_is_the_sum_over_all_that_reject(n, share, alpha):
    rejecting = [count for count in range(n + 1) if stats.binomtest(count, n).pvalue <= alpha]
    expected = sum(comb(n, count) * share**count * (1 - share) ** (n - count) for count in rejecting)
    assert power(n, share, alpha) == pytest.approx(expected)


def test_too_few_people_have_no_power_and_nonsense_is_told():
    assert power(2, 0.99, 0.05) == 0.0
    assert power(5, 1.0, 0.05) == 0.0
    assert power(6, 1.0, 0.05) == 1.0
    for n, share, alpha in ((0, 0.7, 0.05), (50, 1.2, 0.05), (50, 0.7, 0.0)):
        with pytest.raises(StudyError) as told:
            power(n, share, alpha)
        assert str(told.value) == (
            f"power asked for n={n}, share={share:g}, alpha={alpha:g}; give n > 0 and shares from 0 to 1"
        )


def test_nothing_warns():
    """A warning of numpy or scipy is a division by zero that somebody forgot."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in ([], [0], [1], [0] * 9, [60] * 9, [1, -1]):
            sign_flip(values), wilcoxon(values), bootstrap_mean(values, 0)
        for count in (0, 1, 50):
            proportion(count, 50), chi_square([count, 50 - count], [1, 1])


STUDIES, PEOPLE, ANSWERS = 1000, 50, 5


def people_of(random, shares, correlation):
    """Studies x people x categories: counts of five answers, correlated within a person, of those true shares."""
    shares = np.broadcast_to(np.asarray(shares, dtype=float), (STUDIES, PEOPLE, len(shares)))
    if correlation:
        gamma = random.gamma(shares * (1 - correlation) / correlation)
        shares = gamma / gamma.sum(axis=-1, keepdims=True)
    return random.multinomial(ANSWERS, shares)


def highest(rate):
    """The most rejections in 1,000 studies that a true rate explains, but for one time in a thousand."""
    return int(stats.binom.ppf(0.999, STUDIES, rate))


NULLS = {"style": [0.5, 0.5], "buy": [0.3, 0.3, 0.3, 0.1], "landmark": [0.15, 0.15, 0.4, 0.3]}


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_studies_without_a_difference_seldom_find_one(correlation):
    random = np.random.default_rng(int(10 * correlation))
    p = []
    for shares in NULLS.values():
        counts = people_of(random, shares, correlation)
        p.append([1.0 if (told := sign_flip(study)) is None else told for study in counts[..., 0] - counts[..., 1]])
    for question in p:
        rejected = sum(value <= 0.05 for value in question)
        assert STUDIES * 0.02 < rejected <= highest(0.05)
    assert sum(min(holm(study)) <= 0.05 for study in zip(*p)) <= highest(0.05)


@pytest.mark.slow
def test_pooled_answers_would_find_one_in_every_fourth_study():
    """Why the unit is the person: 26 % false positives at a correlation of .5, of the very same answers."""
    pooled = people_of(np.random.default_rng(5), [0.5, 0.5], 0.5)[..., 0].sum(axis=1)
    rejected = sum(stats.binomtest(int(count), PEOPLE * ANSWERS).pvalue <= 0.05 for count in pooled)
    assert 0.20 < rejected / STUDIES < 0.30


@pytest.mark.slow
def test_studies_with_a_difference_find_it_as_often_as_was_predicted():
    random, alpha = np.random.default_rng(9), 0.05 / 3
    for share in (0.75, 0.70):
        verdicts = 5 * random.choice([1, -1], p=[share, 1 - share], size=(STUDIES, PEOPLE))  # a correlation of 1
        found = sum(sign_flip(study) <= alpha for study in verdicts)
        assert stats.binomtest(found, STUDIES, power(PEOPLE, share, alpha)).pvalue > 0.001
        counts = people_of(random, [share, 1 - share], 0.5)
        steadier = sum(sign_flip(study) <= alpha for study in counts[..., 0] - counts[..., 1])
        assert steadier > highest(power(PEOPLE, share, alpha))


@pytest.mark.slow
def test_the_bootstrap_covers_the_truth_nineteen_times_of_twenty():
    counts = people_of(np.random.default_rng(4), [0.7, 0.3], 0.5)[:300]
    intervals = [bootstrap_mean((study[:, 0] - study[:, 1]) / ANSWERS, 0) for study in counts]
    covered = sum(low <= 0.4 <= high for low, high in intervals)
    assert stats.binom.ppf(0.001, 300, 0.93) <= covered <= 299
