"""The tests, intervals and measures of the study: pure functions of numbers, seeded where they draw.

Knows no row, no question and no person's name (`answers`, `analysis`). Where nothing can be said, the answer is None,
never nan and never an exception.
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
"""Of every interval, each by itself; only the three p values are adjusted for being three."""
RESAMPLES = 9_999
"""Of a bootstrap and of a Monte Carlo test."""
FEWEST = 6
"""With fewer people there is no bootstrap: even if all agree, a sign test cannot reach .05 (2 * 2**-5 = .0625)."""

Interval = list[float]


def sign_flip(values: ArrayLike) -> float | None:
    """Two-sided p of the sign-flip permutation test on the sum of whole numbers, one a person, exact for any number.

    Under the null hypothesis every person's difference is as likely with the other sign (Fisher 1935, The Design of
    Experiments, section 21). All 2**n sign patterns are counted by convolving the people's two-point distributions, so
    that nothing is drawn. None if no value differs from zero.
    """
    steps = np.abs(np.asarray(values, dtype=np.int64))
    seen = abs(int(np.sum(values)))
    steps = steps[steps > 0]
    if not steps.size:
        return None
    common = int(np.gcd.reduce(steps))
    steps, seen = steps // common, seen // common
    whole = int(steps.sum())
    chance = np.zeros(whole + 1)  # of each sum of those with a plus; that of all is twice it, less the whole
    chance[0], end = 1.0, 1
    for step in np.sort(steps):  # small steps first: the part that is not zero grows slowly
        half = chance[:end] / 2
        chance[:end] = half
        chance[step : end + step] += half
        end += int(step)
    return min(1.0, 2 * float(chance[(whole + seen) // 2 :].sum())) if seen else 1.0


def smallest_p(people: int) -> float | None:
    """The smallest two-sided p that this many people with an opinion can give: all of one mind."""
    return 2.0 ** (1 - people) if people else None


def wilcoxon(values: ArrayLike) -> tuple[float | None, float | None]:
    """(p, rank-biserial correlation) of Wilcoxon's signed ranks; zeros dropped, ties share their ranks, p exact.

    Rank-biserial: sum of signed ranks over sum of ranks, -1..1 (Kerby 2014).
    """
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[numbers != 0]
    if not numbers.size:
        return None, None
    doubled = np.rint(2 * stats.rankdata(np.abs(numbers))).astype(np.int64) * np.sign(numbers).astype(np.int64)
    return sign_flip(doubled), float(doubled.sum() / np.abs(doubled).sum())


def bootstrap_mean(values: ArrayLike, seed: int) -> Interval | None:
    """BCa interval of the mean, resampling people (Efron 1987).

    None with fewer than FEWEST people, or where all are alike: then there is nothing to resample.
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.size < FEWEST or np.ptp(numbers) == 0:
        return None
    levels, holders = np.unique(numbers, return_counts=True)  # to draw people is to draw how many hold each value
    random = np.random.default_rng(seed)
    means = random.multinomial(numbers.size, holders / numbers.size, size=RESAMPLES) @ levels / numbers.size
    mean = numbers.mean()
    tied = np.isclose(means, mean, rtol=0, atol=1e-12)
    bias = special.ndtri(((means < mean) & ~tied).mean() + tied.mean() / 2)
    away = numbers - mean  # of a mean the jackknife is the values themselves
    skewness = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    ends = bias + special.ndtri([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = np.quantile(means, special.ndtr(bias + ends / (1 - skewness * ends)))
    return [float(low), float(high)]


def proportion(count: int, of: int) -> dict[str, Any]:
    """`{count, of, share, clopper_pearson, wilson}` of independent yes/no answers.

    Clopper & Pearson 1934 is exact, Wilson 1927 shorter.
    """
    if not of:
        return {"count": count, "of": 0, "share": None, "clopper_pearson": None, "wilson": None}
    tail = (1 - CONFIDENCE) / 2
    low = special.betaincinv(count, of - count + 1, tail) if count else 0.0
    high = special.betaincinv(count + 1, of - count, 1 - tail) if count < of else 1.0
    share, squared = count / of, float(special.ndtri(tail)) ** 2
    middle = (share + squared / (2 * of)) / (1 + squared / of)
    reach = math.sqrt(squared * (share * (1 - share) / of + squared / (4 * of * of))) / (1 + squared / of)
    return {
        "count": count,
        "of": of,
        "share": share,
        "clopper_pearson": [float(low), float(high)],
        "wilson": [max(0.0, middle - reach), min(1.0, middle + reach)],
    }


def binomial(one: int, other: int) -> float | None:
    """Exact two-sided p of `one` against `other` at equal chances; with discordant pairs this is McNemar's test."""
    return float(stats.binomtest(one, one + other).pvalue) if one + other else None


def cohens_h(share: float | None, against: float = 0.5) -> float | None:
    """Cohen's h: difference of the arcsine-transformed shares (Cohen 1988); .2 small, .5 medium, .8 large."""
    return None if share is None else 2 * math.asin(math.sqrt(share)) - 2 * math.asin(math.sqrt(against))


def chi_square(counts: Sequence[int], weights: Sequence[float]) -> dict[str, Any]:
    """`{statistic, df, p, smallest_expected}` of independent counts against shares in proportion to `weights`."""
    total = sum(counts)
    if not total or len(counts) < 2:
        return {"statistic": None, "df": max(len(counts) - 1, 0), "p": None, "smallest_expected": None}
    expected = np.asarray(weights, dtype=float) * total / sum(weights)
    statistic = float(((np.asarray(counts) - expected) ** 2 / expected).sum())
    return {
        "statistic": statistic,
        "df": len(counts) - 1,
        "p": float(stats.chi2.sf(statistic, len(counts) - 1)),
        "smallest_expected": float(expected.min()),
    }


def rotation(counts: ArrayLike, seed: int) -> dict[str, Any]:
    """`{statistic, p}`: chi-square of positions (people x positions) against equal shares, with people as units.

    Several answers of one person are not independent, so that p does not come from the chi-square distribution: each
    person's positions are rotated at random, which is the sign flip for more than two. p has the +1 correction
    (Phipson & Smyth 2010).
    """
    table = np.asarray(counts, dtype=np.int64)
    if table.size == 0 or table.sum() == 0:
        return {"statistic": None, "p": None}
    people, places = table.shape
    shifts = np.random.default_rng(seed).integers(places, size=(RESAMPLES, people))
    drawn = sum((shifts == shift).astype(float) @ np.roll(table, shift, axis=1) for shift in range(places))
    seen = table.sum(axis=0)
    # the total is the same in every draw, so that chi-square is ordered like the sum of squares, which is whole
    more = int(((np.rint(drawn) ** 2).sum(axis=1) >= (seen**2).sum()).sum())
    expected = seen.sum() / places
    return {"statistic": float(((seen - expected) ** 2 / expected).sum()), "p": (1 + more) / (1 + RESAMPLES)}


def cochrans_q(table: ArrayLike) -> dict[str, Any]:
    """`{statistic, df, p, people}` of Cochran's Q on a 0/1 table (people x conditions) without gaps (Cochran 1950)."""
    yes = np.asarray(table, dtype=float)
    people, conditions = yes.shape if yes.ndim == 2 else (0, 0)
    rows, columns = (yes.sum(axis=1), yes.sum(axis=0)) if people else (np.zeros(0), np.zeros(0))
    spread = float((rows * (conditions - rows)).sum())
    if conditions < 2 or spread == 0:  # everybody said the same of all conditions
        return {"statistic": None, "df": max(conditions - 1, 0), "p": None, "people": people}
    statistic = float(conditions * (conditions - 1) * ((columns - columns.mean()) ** 2).sum() / spread)
    return {
        "statistic": statistic,
        "df": conditions - 1,
        "p": float(stats.chi2.sf(statistic, conditions - 1)),
        "people": people,
    }


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values (Holm 1979). One that cannot be said still counts as one of the family."""
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (value, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * value))
        adjusted[place] = highest
    return adjusted


def cohens_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Agreement of first and second answers beyond chance, 1 is perfect (Cohen 1960). None if chance agrees always."""
    if not pairs:
        return None
    firsts, seconds = [one for one, _ in pairs], [two for _, two in pairs]
    agreed = sum(one == two for one, two in pairs) / len(pairs)
    chance = sum(firsts.count(name) * seconds.count(name) for name in set(firsts)) / len(pairs) ** 2
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def krippendorff_alpha(counts: ArrayLike) -> float | None:
    """Nominal alpha of a table (units x categories) that says how many raters put the unit there (Krippendorff 2011).

    Units with fewer than two raters are left out. None if all ratings are of one category: then there is nothing on
    which people could disagree.
    """
    table = np.asarray(counts, dtype=float)
    table = table[table.sum(axis=1) > 1] if table.ndim == 2 else np.zeros((0, 1))
    raters = table.sum(axis=1)
    total, of_each = raters.sum(), table.sum(axis=0)
    expected = total**2 - (of_each**2).sum()
    if expected == 0:
        return None
    observed = ((raters**2 - (table**2).sum(axis=1)) / (raters - 1)).sum()
    return float(1 - (total - 1) * observed / expected)


def power(n: int, share: float, alpha: float) -> float:
    """Chance that n people find a true `share` : 1 - `share`, with the exact two-sided binomial test at `alpha`.

    One verdict a person. For the `triad` this is the floor, reached when a person's five answers always agree: with
    less agreement within a person the mean of five is steadier and the power higher.
    """
    if n < 1 or not 0 <= share <= 1 or not 0 < alpha < 1:
        raise StudyError(f"power asked for n={n}, share={share:g}, alpha={alpha:g}; give n > 0 and shares from 0 to 1")
    rejected = 2 * stats.binom.cdf(np.arange((n + 1) // 2), n, 0.5) <= alpha * (1 + 1e-9)  # .0625 is no more than .0625
    most = int(rejected.sum()) - 1  # so many of the fewer side, or fewer, reject
    return float(stats.binom.cdf(most, n, share) + stats.binom.sf(n - most - 1, n, share))


def quartiles(values: Sequence[float]) -> dict[str, Any]:
    """`{n, median, quartiles}`; linear interpolation between neighbors."""
    if not values:
        return {"n": 0, "median": None, "quartiles": None}
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"n": len(values), "median": float(middle), "quartiles": [float(low), float(high)]}
