"""Distance of a set of images from the originals, and its diversity: feature vectors -> values and intervals.

The features may come from any network; every label names it, because a Fréchet distance is called FID only with
Inception's features. No network and no file in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ghibli_studio.evaluation import bootstrap
from ghibli_studio.evaluation.bootstrap import Interval

if TYPE_CHECKING:
    from torch import Tensor


MIN_IMAGES = 50
"""With fewer images, the Fréchet distance mainly reflects their number, and is not extrapolated."""
SUBSET_SIZES, SUBSETS_PER_SIZE = 15, 5  # for FID-infinity's line (15 as in Chong & Forsyth), random subsets per size


def frechet_distance(features: np.ndarray, originals: np.ndarray) -> float:
    """Return the Fréchet distance of two sets of features, (images, width) each (Heusel et al. 2017, arXiv:1706.08500).

    It is FID with Inception's features. The arithmetic is torchmetrics', in float64. If the width exceeds the number of
    images, both sets are projected onto the space that they span, which preserves the distance and avoids the root of
    a large matrix.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    ours, theirs = _tensor(features), _tensor(originals)
    together = torch.cat([ours, theirs])
    if together.shape[1] > len(together):
        basis = torch.linalg.qr(together.T).Q
        ours, theirs = ours @ basis, theirs @ basis
    identity: Any = torch.nn.Identity()
    identity.num_features = ours.shape[1]
    metric = FrechetInceptionDistance(feature=identity)
    metric.update(theirs, real=True)
    metric.update(ours, real=False)
    return float(metric.compute())


def frechet_distance_infinity(features: np.ndarray, originals: np.ndarray, seed: int = 0) -> float:
    """Return the Fréchet distance extrapolated to infinitely many images: FID-infinity.

    The intercept of a straight line through the distances of subsets against 1 / size (Chong & Forsyth 2020,
    arXiv:1911.07023). They use one subset per size; with so few images five subsets per size are averaged, and the
    sizes go from half to all images. The number of originals is constant, so their share of the bias remains.
    """
    random = np.random.default_rng(seed)
    count = len(features)
    sizes = np.unique(np.linspace(count / 2, count, SUBSET_SIZES).round().astype(int))
    distances = [
        np.mean(
            [
                frechet_distance(features[random.permutation(count)[:size]], originals)
                for _ in range(1 if size == count else SUBSETS_PER_SIZE)
            ]
        )
        for size in sizes
    ]
    _, at_zero = np.polyfit(1 / sizes, distances, 1)
    return float(at_zero)


def kernel_distance(features: np.ndarray, originals: np.ndarray) -> float:
    """Return the unbiased squared MMD of two sets of features, (images, width) each: KID with Inception's features.

    The expected value is 0 for two sets of one distribution (Bińkowski et al. 2018, arXiv:1801.01401). It uses
    torchmetrics' cubic kernel in float64, but on all images at once: torchmetrics' class averages over random subsets,
    which adds noise with only a few dozen images.
    """
    return kernel_distance_jackknife(features, range(len(features)), originals)[0]


def kernel_distance_jackknife(
    features: np.ndarray, landmarks: Sequence[Any], originals: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return (kernel distance, its values without each landmark's images in order of first appearance, (landmarks,)).

    `landmarks` names the landmark of each image.
    """
    from torchmetrics.image.kid import poly_kernel

    ours, theirs = _tensor(features), _tensor(originals)
    names = list(dict.fromkeys(landmarks))
    member = np.array([[landmark == name for landmark in landmarks] for name in names], dtype=float)
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
    with np.errstate(divide="ignore", invalid="ignore"):  # with one image left there is no pair
        leave_one_out = distance(count, inner, outer)
    return float(distance(len(ours), blocks.sum(), to_theirs.sum())), leave_one_out


def diversity(features: np.ndarray, landmarks: Sequence[Any]) -> tuple[float, Interval | None, str]:
    """Return (mean cosine distance of pairs, its interval, kind of pairs); 0 means that all images are identical.

    The pairs are seeds of the same landmark if there are any, else different landmarks. Raises ValueError with fewer
    than two images.
    """
    if len(features) < 2:
        raise ValueError(f"diversity needs at least two images, but got {len(features)}")
    directions = np.asarray(features, dtype=float)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    distances = 1 - directions @ directions.T
    names = list(dict.fromkeys(landmarks))
    within = []
    for name in names:
        indices = [index for index, landmark in enumerate(landmarks) if landmark == name]
        if len(indices) > 1:
            within.append(_mean_of_pairs(distances[np.ix_(indices, indices)]))
    if within:
        return float(np.mean(within)), bootstrap.mean_interval(within), "seeds of the same landmark"
    value, total, count = _mean_of_pairs(distances), distances.sum(), len(distances)
    leave_one_out = (total - 2 * distances.sum(axis=1)) / max((count - 1) * (count - 2), 1)
    return value, bootstrap.jackknife_interval(value, leave_one_out), "different landmarks"


def _mean_of_pairs(distances: np.ndarray) -> float:
    """Return the mean off the diagonal, which is zero except for rounding."""
    count = len(distances)
    return float((distances.sum() - np.trace(distances)) / (count * (count - 1)))


def labels(network: str, is_inception: bool) -> dict[str, str]:
    """Return the label of each distribution metric with this network's features; a proxy is always labeled as one."""
    if is_inception:
        return {
            "fid": "FID",
            "fid_infinity": "FID, extrapolated to infinitely many images",
            "kid": "KID",
            "diversity": f"Diversity ({network})",
        }
    return {
        "fid": f"FD ({network}), a proxy for FID",
        "fid_infinity": f"FD ({network}), extrapolated to infinitely many images, a proxy for FID-infinity",
        "kid": f"KD ({network}), a proxy for KID",
        "diversity": f"Diversity ({network})",
    }


def describe(
    features: np.ndarray, landmarks: Sequence[Any], originals: np.ndarray, names: dict[str, str]
) -> list[dict[str, Any]]:
    """Return all distribution metrics of one set, as in `result.json` without task and variant.

    Empty with fewer than two images or originals.
    """
    images = len(features)
    if images < 2 or len(originals) < 2:
        return []

    def entry(metric: str, value: float, interval: Interval | None, warning: str, label: str = "") -> dict[str, Any]:
        return {
            "metric": metric,
            "label": label or names[metric],
            "value": value,
            "interval": interval,
            "images": images,
            "warning": warning,
        }

    rank_warnings = rank_warning(images, len(originals), np.shape(features)[1])
    warning = " ".join([*_too_few_images(images), *rank_warnings])
    entries = [entry("fid", frechet_distance(features, originals), None, warning)]
    if images >= MIN_IMAGES:
        entries.append(
            entry("fid_infinity", frechet_distance_infinity(features, originals), None, " ".join(rank_warnings))
        )
    value, leave_one_out = kernel_distance_jackknife(features, landmarks, originals)
    interval = bootstrap.jackknife_interval(value, leave_one_out)
    entries.append(entry("kid", value, interval, "" if interval else _too_few_landmarks(len(leave_one_out))))
    spread, interval, pairs = diversity(features, landmarks)
    label = f"{names['diversity']}, between {pairs}"
    entries.append(
        entry("diversity", spread, interval, "" if interval else _too_few_landmarks(len(leave_one_out)), label)
    )
    return entries


def _too_few_images(images: int) -> list[str]:
    if images >= MIN_IMAGES:
        return []
    return [
        f"{images} images are too few for a Fréchet distance (the minimum is {MIN_IMAGES}, and 2,048 or more are "
        "common): fewer images increase the distance, so compare only sets of equal size, and check the kernel "
        "distance as well."
    ]


def rank_warning(images: int, originals: int, width: int) -> list[str]:
    """Return a warning if a covariance cannot have full rank: fewer images than the features have dimensions."""
    short = [f"{count} {what}" for count, what in ((images, "images"), (originals, "originals")) if count <= width]
    if not short:
        return []
    return [
        f"A {width}-dimensional covariance cannot be estimated from {' and '.join(short)}: it does not have full rank, "
        "and the Fréchet distance ignores the missing directions."
    ]


def _too_few_landmarks(landmarks: int) -> str:
    are = "landmark is" if landmarks == 1 else "landmarks are"
    return f"{landmarks} {are} too few for an interval; the minimum is {bootstrap.MIN_LANDMARKS}."


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.as_tensor(np.asarray(values), dtype=torch.float64)
