"""Chance, with the landmark as the unit: intervals from resampling, a sign-flip test, a standardised effect.

Pure functions of numbers, seeded where they draw. What the numbers mean, `evaluation`, `set_distances` and `dynamics`
know.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
"""Of every interval, each by itself; only p values are adjusted for being several."""
RESAMPLES = 10_000
FEWEST = 6
"""With fewer landmarks no interval: even if all agree, a sign test cannot reach .05 (2 * 2**-5 = .0625)."""
STEPS = 2**17
"""All differences together, in the whole numbers that the sign-flip test counts with."""

Interval = list[float]


@lru_cache(maxsize=4)  # all metrics and variants are resampled alike, so that one drawing serves them all
def weights(pictures: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """(RESAMPLES, sum(pictures)): each resample as the weight of each picture in the mean over landmarks.

    `pictures` says how many (seeds) each landmark has, one after the other. Landmarks are drawn with replacement, then
    within each drawn one its seeds (Davison & Hinkley 1997, Bootstrap Methods, section 3.8: with both drawn so, the
    interval errs to the wide side). To draw pictures is to draw how often each comes; a landmark weighs the same
    however many seeds it has. Every row sums to 1.
    """
    random = np.random.default_rng(seed)
    landmarks = len(pictures)
    times = random.multinomial(landmarks, np.full(landmarks, 1 / landmarks), size=RESAMPLES)
    drawn = [
        random.multinomial(times[:, place] * seeds, np.full(seeds, 1 / seeds)) / (landmarks * seeds)
        for place, seeds in enumerate(pictures)
    ]
    return np.concatenate(drawn, axis=1)


def percentiles(draws: np.ndarray, landmarks: int, *, whole: bool = False) -> Interval | None:
    """The 95 % interval from resampled values, (resamples,); None with fewer than FEWEST landmarks.

    Percentiles further out than 2.5 and 97.5, by as much as Student's t is wider than the normal distribution and the
    plain variance narrower than the unbiased one: the expanded percentile interval (Hesterberg 2015,
    arXiv:1411.5279). In simulation (6 to 46 landmarks, 1 to 4 seeds, normal and skewed) it held the truth 91 to 98
    times in 100, where the plain percentiles did 83 to 97 times and BCa 85 to 97. `whole` keeps to values that were
    drawn, for numbers that have nothing between them.
    """
    from scipy import special

    if landmarks < FEWEST:
        return None
    ends = np.quantile(draws, special.ndtr(expanded(landmarks)), method="inverted_cdf" if whole else "linear")
    return ends.tolist()


def expanded(landmarks: int) -> np.ndarray:
    """The two normal quantiles at which the expanded percentile interval is read."""
    from scipy import special

    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    return np.sqrt(landmarks / (landmarks - 1)) * special.stdtrit(landmarks - 1, tails)


def mean_interval(values: Sequence[ArrayLike], seed: int = 0) -> Interval | None:
    """Interval of the mean over landmarks of each landmark's mean; `values` holds one row of pictures a landmark."""
    if len(values) < FEWEST:
        return None
    rows = [np.atleast_1d(np.asarray(row, dtype=float)) for row in values]
    return percentiles(weights(tuple(row.size for row in rows), seed) @ np.concatenate(rows), len(rows))


def jackknife(value: float, without: ArrayLike) -> Interval | None:
    """95 % interval of a value from what it is without each landmark in turn (Tukey 1958, with Student's t).

    For values of a whole set, where a resample would hold the same picture twice and call the set less various.
    """
    from scipy import special

    left_out = np.asarray(without, dtype=float)
    landmarks = left_out.size
    if landmarks < FEWEST:
        return None
    error = np.sqrt((landmarks - 1) / landmarks * ((left_out - left_out.mean()) ** 2).sum())
    reach = float(special.stdtrit(landmarks - 1, (1 + CONFIDENCE) / 2) * error)
    return [value - reach, value + reach]


def sign_flip(differences: ArrayLike) -> float:
    """Two-sided p of the sign-flip permutation test on the mean, one difference a landmark; 1 where none differs.

    The study's test (`study.statistics.sign_flip`), which counts all 2**n sign patterns of whole numbers exactly: the
    differences are rounded to about STEPS / n steps of the largest one. Rounding keeps the signs' symmetry, so the
    test stays exact for the rounded values, and no permutation is drawn at random.
    """
    from study.analysis.statistics import sign_flip as of_whole_numbers

    values = np.asarray(differences, dtype=float)
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return 1.0
    return of_whole_numbers(np.rint(values / largest * max(STEPS // values.size, 1)).astype(np.int64))


def smallest_p(landmarks: int) -> float:
    """The smallest two-sided p that so many landmarks can give: all of one mind."""
    return 2.0 ** (1 - landmarks)


def standardised(differences: ArrayLike) -> float | None:
    """Mean difference in standard deviations of the landmarks' differences (Cohen's d_z), with Hedges' correction.

    Hedges 1981: times 1 - 3 / (4 (n - 1) - 1), since few landmarks make it too large. None where they do not vary.
    """
    values = np.asarray(differences, dtype=float)
    if values.size < 3 or np.ptp(values) <= 1e-9 * np.abs(values).max():
        return None
    return float(values.mean() / values.std(ddof=1) * (1 - 3 / (4 * (values.size - 1) - 1)))
