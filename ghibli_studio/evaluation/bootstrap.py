"""Statistics with the landmark as the unit: bootstrap and jackknife intervals, a sign-flip test, and effect size.

Pure functions of numbers, seeded where they draw random numbers. The numbers themselves come from `analysis`,
`distribution_metrics` and `training_dynamics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
"""Confidence of every single interval; only p values are adjusted for multiple comparisons."""
RESAMPLES = 10_000
MIN_LANDMARKS = 6
"""Fewest landmarks for an interval: with five, a sign test cannot reach .05 even if all agree (2 * 2**-5 = .0625)."""
SIGN_FLIP_STEPS = 2**17
"""Sum of all differences in the whole numbers that the sign-flip test counts with."""

Interval = list[float]


@lru_cache(maxsize=4)  # all metrics and variants use the same resamples
def resample_weights(images: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return the weight of each image in the mean over landmarks of each resample, (RESAMPLES, sum(images)).

    `images` holds the number of images (seeds) of each landmark. Landmarks are drawn with replacement, then the seeds
    within each drawn landmark (Davison & Hinkley 1997, Bootstrap Methods, section 3.8: drawing both makes the interval
    slightly too wide rather than too narrow). The counts of the images are drawn instead of the images themselves. A
    landmark has the same weight however many seeds it has. Every row sums to 1.
    """
    random = np.random.default_rng(seed)
    landmarks = len(images)
    counts = random.multinomial(landmarks, np.full(landmarks, 1 / landmarks), size=RESAMPLES)
    weights = [
        random.multinomial(counts[:, index] * seeds, np.full(seeds, 1 / seeds)) / (landmarks * seeds)
        for index, seeds in enumerate(images)
    ]
    return np.concatenate(weights, axis=1)


def percentile_interval(resampled: np.ndarray, landmarks: int, *, discrete: bool = False) -> Interval | None:
    """Return the 95 % interval of resampled values, (resamples,); None with fewer than MIN_LANDMARKS landmarks.

    The expanded percentile interval (Hesterberg 2015, arXiv:1411.5279): its percentiles lie outside 2.5 and 97.5, to
    correct for Student's t being wider than the normal distribution and for the biased variance. In simulation (6 to 46
    landmarks, 1 to 4 seeds, normal and skewed) it covered the true value 91 to 98 times in 100; plain percentiles did
    83 to 97 times and BCa 85 to 97. `discrete` returns only values that occur in `resampled`, without interpolation.
    """
    from scipy import special

    if landmarks < MIN_LANDMARKS:
        return None
    method: Literal["inverted_cdf", "linear"] = "inverted_cdf" if discrete else "linear"
    return np.quantile(resampled, special.ndtr(expanded_quantiles(landmarks)), method=method).tolist()


def expanded_quantiles(landmarks: int) -> np.ndarray:
    """Return the two normal quantiles of the expanded percentile interval, (2,)."""
    from scipy import special

    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    return np.sqrt(landmarks / (landmarks - 1)) * special.stdtrit(landmarks - 1, tails)


def mean_interval(values: Sequence[ArrayLike], seed: int = 0) -> Interval | None:
    """Return the interval of the mean over landmarks of each landmark's mean; `values` has one row per landmark."""
    if len(values) < MIN_LANDMARKS:
        return None
    rows = [np.atleast_1d(np.asarray(row, dtype=float)) for row in values]
    return percentile_interval(
        resample_weights(tuple(row.size for row in rows), seed) @ np.concatenate(rows), len(rows)
    )


def jackknife_interval(value: float, leave_one_out: ArrayLike) -> Interval | None:
    """Return the 95 % interval of a value from its values without each landmark (Tukey 1958, with Student's t).

    For values of a whole set: a bootstrap resample would contain the same image twice and look less diverse.
    """
    from scipy import special

    estimates = np.asarray(leave_one_out, dtype=float)
    landmarks = estimates.size
    if landmarks < MIN_LANDMARKS:
        return None
    error = np.sqrt((landmarks - 1) / landmarks * ((estimates - estimates.mean()) ** 2).sum())
    margin = float(special.stdtrit(landmarks - 1, (1 + CONFIDENCE) / 2) * error)
    return [value - margin, value + margin]


def sign_flip(differences: ArrayLike) -> float:
    """Return the two-sided p of the sign-flip permutation test on the mean; 1 where all differences are 0.

    `differences` has one value per landmark. The test is the study's (`study.analysis.statistics.sign_flip`), which
    counts all 2**n sign patterns of whole numbers exactly: the differences are rounded to about SIGN_FLIP_STEPS / n
    steps of the largest one. Rounding keeps the signs' symmetry, so the test stays exact for the rounded values, and
    no permutation is random.
    """
    from study.analysis.statistics import sign_flip as integer_sign_flip

    values = np.asarray(differences, dtype=float)
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return 1.0
    p = integer_sign_flip(np.rint(values / largest * max(SIGN_FLIP_STEPS // values.size, 1)).astype(np.int64))
    return 1.0 if p is None else p


def smallest_p(landmarks: int) -> float:
    """Return the smallest possible two-sided p with so many landmarks, reached when all have the same sign."""
    return 2.0 ** (1 - landmarks)


def effect_size(differences: ArrayLike) -> float | None:
    """Return the mean difference in standard deviations of the differences (Cohen's d_z), with Hedges' correction.

    The correction (Hedges 1981) is the factor 1 - 3 / (4 (n - 1) - 1), because few landmarks make the effect size too
    large. None with fewer than three landmarks, or where the differences do not vary.
    """
    values = np.asarray(differences, dtype=float)
    if values.size < 3 or np.ptp(values) <= 1e-9 * np.abs(values).max():
        return None
    return float(values.mean() / values.std(ddof=1) * (1 - 3 / (4 * (values.size - 1) - 1)))
