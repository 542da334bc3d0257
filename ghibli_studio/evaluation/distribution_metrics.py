"""How far a set of pictures is from the originals, and how various it is: vectors -> numbers and intervals.

The vectors come from whatever network the caller used; it is named in every label, since a Fréchet distance is "FID"
only with Inception's vectors. No network and no file in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ghibli_studio.evaluation import bootstrap
from ghibli_studio.evaluation.bootstrap import Interval

if TYPE_CHECKING:
    from torch import Tensor


ENOUGH_PICTURES = 50
"""Below, a Fréchet distance says more of the number of pictures than of the pictures, and is not extrapolated."""
POINTS, REPEATS = 15, 5  # sizes of FID-infinity's line (Chong & Forsyth's 15), and random subsets of each size


def frechet(features: np.ndarray, originals: np.ndarray) -> float:
    """Fréchet distance of two sets of vectors, (pictures, width) each (Heusel et al. 2017, arXiv:1706.08500).

    The arithmetic is torchmetrics', in float64. Where the vectors are wider than there are pictures, both sets are
    turned into the space that they span, which changes no distance and saves the roots of a large matrix.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    ours, theirs = _tensor(features), _tensor(originals)
    together = torch.cat([ours, theirs])
    if together.shape[1] > len(together):
        basis = torch.linalg.qr(together.T).Q
        ours, theirs = ours @ basis, theirs @ basis
    as_they_are = torch.nn.Identity()
    as_they_are.num_features = ours.shape[1]
    metric = FrechetInceptionDistance(feature=as_they_are)
    metric.update(theirs, real=True)
    metric.update(ours, real=False)
    return float(metric.compute())


def frechet_infinity(features: np.ndarray, originals: np.ndarray, seed: int = 0) -> float:
    """The Fréchet distance that infinitely many pictures would have: FID-infinity.

    A straight line through the distances of subsets against 1 / size, read at 0 (Chong & Forsyth 2020,
    arXiv:1911.07023). Theirs are one subset a size; with so few pictures five are averaged, of half to all pictures.
    The number of originals stays as it is, so that their share of the bias stays too.
    """
    random = np.random.default_rng(seed)
    count = len(features)
    sizes = np.unique(np.linspace(count / 2, count, POINTS).round().astype(int))
    distances = [
        np.mean(
            [
                frechet(features[random.permutation(count)[:size]], originals)
                for _ in range(1 if size == count else REPEATS)
            ]
        )
        for size in sizes
    ]
    _, at_zero = np.polyfit(1 / sizes, distances, 1)
    return float(at_zero)


def kernel(features: np.ndarray, originals: np.ndarray) -> float:
    """Kernel distance, unbiased: 0 on average for two sets of one kind (Bińkowski et al. 2018, arXiv:1801.01401).

    With torchmetrics' cubic kernel in float64, but of all pictures at once: the averages over random subsets of equal
    size, which its class takes, add chance where there are only some dozens.
    """
    return kernel_without(features, range(len(features)), originals)[0]


def kernel_without(features: np.ndarray, landmarks: Sequence[Any], originals: np.ndarray) -> tuple[float, np.ndarray]:
    """(kernel distance, the same without each landmark's pictures, in order of first appearance); `kernel` squared.

    `landmarks` says what each picture shows.
    """
    from torchmetrics.image.kid import poly_kernel

    ours, theirs = _tensor(features), _tensor(originals)
    names = list(dict.fromkeys(landmarks))
    member = np.array([[shown == name for shown in landmarks] for name in names], dtype=float)
    among_ours = poly_kernel(ours, ours).fill_diagonal_(0).numpy()
    to_theirs = poly_kernel(ours, theirs).numpy().sum(axis=1)
    others = len(theirs)
    among_theirs = float(poly_kernel(theirs, theirs).fill_diagonal_(0).sum()) / (others * (others - 1))

    def distance(count: Any, inner: Any, outer: Any) -> Any:
        return inner / (count * (count - 1)) + among_theirs - 2 * outer / (count * others)

    blocks = member @ among_ours @ member.T
    inner = blocks.sum() - 2 * blocks.sum(axis=1) + blocks.diagonal()
    outer = to_theirs.sum() - member @ to_theirs
    count = len(ours) - member.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # with one picture left there is no pair
        without = distance(count, inner, outer)
    return float(distance(len(ours), blocks.sum(), to_theirs.sum())), without


def diversity(features: np.ndarray, landmarks: Sequence[Any]) -> tuple[float, Interval | None, str]:
    """(mean cosine distance of pairs, its interval, which pairs): 0 means that all pictures are the same.

    Pairs of seeds of one landmark where there are any; else pairs of landmarks. ValueError with fewer than two
    pictures.
    """
    if len(features) < 2:
        raise ValueError(f"diversity asked of {len(features)} pictures; give two or more")
    directions = np.asarray(features, dtype=float)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    apart = 1 - directions @ directions.T
    names = list(dict.fromkeys(landmarks))
    within = []
    for name in names:
        places = [place for place, shown in enumerate(landmarks) if shown == name]
        if len(places) > 1:
            within.append(_mean_of_pairs(apart[np.ix_(places, places)]))
    if within:
        return float(np.mean(within)), bootstrap.mean_interval(within), "seeds of one landmark"
    value, total, count = _mean_of_pairs(apart), apart.sum(), len(apart)
    without = (total - 2 * apart.sum(axis=1)) / max((count - 1) * (count - 2), 1)
    return value, bootstrap.jackknife(value, without), "different landmarks"


def _mean_of_pairs(apart: np.ndarray) -> float:
    """Mean off the diagonal, which holds zeros but for rounding."""
    count = len(apart)
    return float((apart.sum() - np.trace(apart)) / (count * (count - 1)))


def labels(network: str, is_inception: bool) -> dict[str, str]:
    """What each number of a set may be called with this network's vectors; no stand-in bears another's name."""
    if is_inception:
        return {
            "fid": "FID",
            "fid_infinity": "FID, extrapolated to infinitely many pictures",
            "kid": "KID",
            "diversity": f"Diversity ({network})",
        }
    return {
        "fid": f"FD ({network}), a stand-in for FID",
        "fid_infinity": f"FD ({network}), extrapolated to infinitely many pictures, a stand-in for FID-infinity",
        "kid": f"KD ({network}), a stand-in for KID",
        "diversity": f"Diversity ({network})",
    }


def describe(
    features: np.ndarray, landmarks: Sequence[Any], originals: np.ndarray, names: dict[str, str]
) -> list[dict[str, Any]]:
    """Every number of one set, as in `result.json` without task and variant; empty with fewer than two pictures."""
    pictures = len(features)
    if pictures < 2 or len(originals) < 2:
        return []

    def told(metric: str, value: float, interval: Interval | None, warning: str, label: str = "") -> dict[str, Any]:
        return {
            "metric": metric,
            "label": label or names[metric],
            "value": value,
            "interval": interval,
            "pictures": pictures,
            "warning": warning,
        }

    few = rank_warning(pictures, len(originals), np.shape(features)[1])
    numbers = [told("fid", frechet(features, originals), None, " ".join([*_few(pictures), *few]))]
    if pictures >= ENOUGH_PICTURES:
        numbers.append(told("fid_infinity", frechet_infinity(features, originals), None, " ".join(few)))
    value, without = kernel_without(features, landmarks, originals)
    interval = bootstrap.jackknife(value, without)
    numbers.append(told("kid", value, interval, "" if interval else _no_interval(len(without))))
    spread, interval, pairs = diversity(features, landmarks)
    label = f"{names['diversity']}, between {pairs}"
    numbers.append(told("diversity", spread, interval, "" if interval else _no_interval(len(without)), label))
    return numbers


def _few(pictures: int) -> list[str]:
    if pictures >= ENOUGH_PICTURES:
        return []
    return [
        f"{pictures} pictures are too few for a Fréchet distance ({ENOUGH_PICTURES} is the least, 2,048 and more are "
        "usual): the number of pictures itself makes it larger, so compare only sets of equal size, and look at the "
        "kernel distance beside it."
    ]


def rank_warning(pictures: int, originals: int, width: int) -> list[str]:
    """A sentence where a covariance cannot have full rank: fewer pictures than the vectors have numbers."""
    short = [f"{count} {what}" for count, what in ((pictures, "pictures"), (originals, "originals")) if count <= width]
    if not short:
        return []
    return [
        f"A covariance of {width} numbers cannot be known from {' and '.join(short)}: most of its directions are "
        "empty, and the Fréchet distance leaves out what happens there."
    ]


def _no_interval(landmarks: int) -> str:
    are = "landmark is" if landmarks == 1 else "landmarks are"
    return f"{landmarks} {are} too few for an interval; {bootstrap.FEWEST} are the least."


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.as_tensor(np.asarray(values), dtype=torch.float64)
