"""The tests, intervals and measures of the study: pure functions of numbers, seeded where they draw at random.

Nothing here knows rows, questions or participants' ids (`answers`, `preregistered`). A value that cannot be computed is
None, never nan and never an exception.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from study import StudyError

CONFIDENCE = 0.95
"""Level of every interval, each by itself; only the p values of the three questions are corrected."""
RESAMPLES = 9_999
"""Draws of a bootstrap and of a Monte Carlo test."""
MIN_PARTICIPANTS = 6
"""Fewer participants get no bootstrap: even if all agree, a sign test cannot reach .05 (2 * 2**-5 = .0625)."""

Interval = list[float]


def sign_flip(values: ArrayLike) -> float | None:
    """Return the two-sided p of the sign-flip permutation test on the sum of integers, one per participant.

    Exact for any number of participants. Under the null hypothesis each participant's difference is as likely with the
    other sign (Fisher 1935, The Design of Experiments, section 21). All 2**n sign patterns are counted by convolving
    the participants' two-point distributions, so nothing is drawn at random. None if no value differs from zero.
    """
    steps = np.abs(np.asarray(values, dtype=np.int64))
    observed = abs(int(np.sum(values)))
    steps = steps[steps > 0]
    if not steps.size:
        return None
    divisor = int(np.gcd.reduce(steps))
    steps, observed = steps // divisor, observed // divisor
    total = int(steps.sum())
    chance = np.zeros(total + 1)  # of each sum of the positive ones; the sum of all is twice it, minus the total
    chance[0], end = 1.0, 1
    for step in np.sort(steps):  # small steps first: the nonzero part grows slowly
        half = chance[:end] / 2
        chance[:end] = half
        chance[step : end + step] += half
        end += int(step)
    return min(1.0, 2 * float(chance[(total + observed) // 2 :].sum())) if observed else 1.0


def min_attainable_p(participants: int) -> float | None:
    """Return the smallest two-sided p that this many nonzero differences can give: all of one sign."""
    return 2.0 ** (1 - participants) if participants else None


def wilcoxon(values: ArrayLike) -> tuple[float | None, float | None]:
    """Return (p, rank-biserial correlation) of Wilcoxon's signed ranks; zeros dropped, ties share ranks, p exact.

    Rank-biserial: sum of signed ranks over sum of ranks, -1..1 (Kerby 2014).
    """
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[numbers != 0]
    if not numbers.size:
        return None, None
    doubled = np.rint(2 * stats.rankdata(np.abs(numbers))).astype(np.int64) * np.sign(numbers).astype(np.int64)
    return sign_flip(doubled), float(doubled.sum() / np.abs(doubled).sum())


def bootstrap_mean(values: ArrayLike, seed: int) -> Interval | None:
    """Return the BCa interval of the mean, resampling participants (Efron 1987).

    None with fewer than MIN_PARTICIPANTS values, or if all are alike: then there is nothing to resample.
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.size < MIN_PARTICIPANTS or np.ptp(numbers) == 0:
        return None
    levels, counts = np.unique(numbers, return_counts=True)  # drawing participants is drawing how often a value occurs
    random = np.random.default_rng(seed)
    means = random.multinomial(numbers.size, counts / numbers.size, size=RESAMPLES) @ levels / numbers.size
    mean = numbers.mean()
    tied = np.isclose(means, mean, rtol=0, atol=1e-12)
    bias = special.ndtri(((means < mean) & ~tied).mean() + tied.mean() / 2)
    deviations = numbers - mean  # the jackknife of a mean is the values themselves
    skewness = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    ends = bias + special.ndtri([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = np.quantile(means, special.ndtr(bias + ends / (1 - skewness * ends)))
    return [float(low), float(high)]


def proportion(count: int, n: int) -> dict[str, Any]:
    """Return `{count, n, share, clopper_pearson, wilson}` of independent yes/no answers.

    Clopper & Pearson 1934 is exact, Wilson 1927 shorter.
    """
    if not n:
        return {"count": count, "n": 0, "share": None, "clopper_pearson": None, "wilson": None}
    tail = (1 - CONFIDENCE) / 2
    low = special.betaincinv(count, n - count + 1, tail) if count else 0.0
    high = special.betaincinv(count + 1, n - count, 1 - tail) if count < n else 1.0
    share, squared = count / n, float(special.ndtri(tail)) ** 2
    center = (share + squared / (2 * n)) / (1 + squared / n)
    margin = math.sqrt(squared * (share * (1 - share) / n + squared / (4 * n * n))) / (1 + squared / n)
    return {
        "count": count,
        "n": n,
        "share": share,
        "clopper_pearson": [float(low), float(high)],
        "wilson": [max(0.0, center - margin), min(1.0, center + margin)],
    }


def binomial_test(first: int, second: int) -> float | None:
    """Return the exact two-sided p of two counts at equal chances; with discordant pairs this is McNemar's test."""
    return float(stats.binomtest(first, first + second).pvalue) if first + second else None


def cohens_h(share: float | None, against: float = 0.5) -> float | None:
    """Return Cohen's h: difference of the arcsine-transformed shares (Cohen 1988); .2 small, .5 medium, .8 large."""
    return None if share is None else 2 * math.asin(math.sqrt(share)) - 2 * math.asin(math.sqrt(against))


def chi_square(counts: Sequence[int], weights: Sequence[float]) -> dict[str, Any]:
    """Return `{statistic, df, p, min_expected}` of independent counts against shares in proportion to `weights`."""
    total = sum(counts)
    if not total or len(counts) < 2:
        return {"statistic": None, "df": max(len(counts) - 1, 0), "p": None, "min_expected": None}
    expected = np.asarray(weights, dtype=float) * total / sum(weights)
    statistic = float(((np.asarray(counts) - expected) ** 2 / expected).sum())
    return {
        "statistic": statistic,
        "df": len(counts) - 1,
        "p": float(stats.chi2.sf(statistic, len(counts) - 1)),
        "min_expected": float(expected.min()),
    }


def rotation_test(counts: ArrayLike, seed: int) -> dict[str, Any]:
    """Return `{statistic, p}`: chi-square of positions (participants x positions) against equal shares.

    Several answers of one participant are not independent, so p does not come from the chi-square distribution: each
    participant's positions are rotated at random, which is the sign flip for more than two. p has the +1 correction
    (Phipson & Smyth 2010).
    """
    table = np.asarray(counts, dtype=np.int64)
    if table.size == 0 or table.sum() == 0:
        return {"statistic": None, "p": None}
    participants, positions = table.shape
    shifts = np.random.default_rng(seed).integers(positions, size=(RESAMPLES, participants))
    drawn = sum((shifts == shift).astype(float) @ np.roll(table, shift, axis=1) for shift in range(positions))
    observed = table.sum(axis=0)
    # the total is the same in every draw, so chi-square is ordered like the sum of squares, which is an integer
    as_extreme = int(((np.rint(drawn) ** 2).sum(axis=1) >= (observed**2).sum()).sum())
    expected = observed.sum() / positions
    return {"statistic": float(((observed - expected) ** 2 / expected).sum()), "p": (1 + as_extreme) / (1 + RESAMPLES)}


def cochrans_q(table: ArrayLike) -> dict[str, Any]:
    """Return `{statistic, df, p, participants}` of Cochran's Q (Cochran 1950).

    The table is participants x conditions of 0 and 1, without gaps.
    """
    yes = np.asarray(table, dtype=float)
    participants, conditions = yes.shape if yes.ndim == 2 else (0, 0)
    rows, columns = (yes.sum(axis=1), yes.sum(axis=0)) if participants else (np.zeros(0), np.zeros(0))
    spread = float((rows * (conditions - rows)).sum())
    if conditions < 2 or spread == 0:  # every participant answered the same for all conditions
        return {"statistic": None, "df": max(conditions - 1, 0), "p": None, "participants": participants}
    statistic = float(conditions * (conditions - 1) * ((columns - columns.mean()) ** 2).sum() / spread)
    return {
        "statistic": statistic,
        "df": conditions - 1,
        "p": float(stats.chi2.sf(statistic, conditions - 1)),
        "participants": participants,
    }


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values (Holm 1979). A missing p still counts as one of the family."""
    order = sorted((value, index) for index, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (value, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * value))
        adjusted[index] = highest
    return adjusted


def cohens_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Return the agreement of first and second answers beyond chance; 1 is perfect (Cohen 1960).

    None if chance always agrees.
    """
    if not pairs:
        return None
    firsts, seconds = [first for first, _ in pairs], [second for _, second in pairs]
    agreed = sum(first == second for first, second in pairs) / len(pairs)
    chance = sum(firsts.count(name) * seconds.count(name) for name in set(firsts)) / len(pairs) ** 2
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def krippendorff_alpha(counts: ArrayLike) -> float | None:
    """Return the nominal alpha of a table (units x categories) of how many raters chose each category.

    After Krippendorff 2011. Units with fewer than two raters are skipped. None if all ratings are of one category: then
    raters have nothing to disagree on.
    """
    table = np.asarray(counts, dtype=float)
    table = table[table.sum(axis=1) > 1] if table.ndim == 2 else np.zeros((0, 1))
    raters = table.sum(axis=1)
    total, by_category = raters.sum(), table.sum(axis=0)
    expected = total**2 - (by_category**2).sum()
    if expected == 0:
        return None
    observed = ((raters**2 - (table**2).sum(axis=1)) / (raters - 1)).sum()
    return float(1 - (total - 1) * observed / expected)


def power(n: int, share: float, alpha: float) -> float:
    """Return the chance that n participants detect a true `share` : 1 - `share`, by the exact two-sided binomial test.

    One verdict per participant, at the level `alpha`. For the `triad` this is the floor, reached when a participant's
    five answers always agree: with less agreement the mean of five is steadier and the power higher.
    """
    if n < 1 or not 0 <= share <= 1 or not 0 < alpha < 1:
        raise StudyError(
            f"power was called with n={n}, share={share:g}, alpha={alpha:g}; give n > 0 and shares from 0 to 1"
        )
    rejected = 2 * stats.binom.cdf(np.arange((n + 1) // 2), n, 0.5) <= alpha * (1 + 1e-9)  # .0625 counts as .0625
    most = int(rejected.sum()) - 1  # this many on the smaller side, or fewer, reject
    return float(stats.binom.cdf(most, n, share) + stats.binom.sf(n - most - 1, n, share))


def quartiles(values: Sequence[float]) -> dict[str, Any]:
    """Return `{n, median, quartiles}`, by linear interpolation between neighbors."""
    if not values:
        return {"n": 0, "median": None, "quartiles": None}
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"n": len(values), "median": float(middle), "quartiles": [float(low), float(high)]}
