"""Distribution metrics compared with torchmetrics and torch-fidelity, and their labels and warnings."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from ghibli_studio.evaluation import distribution_metrics

RANK_WARNING = "A 128-dimensional covariance cannot be estimated from 46 images and 92 originals: "


def vectors(count, width, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, size=(count, width))


@pytest.mark.parametrize(("count", "others", "width"), [(60, 80, 16), (46, 92, 128), (30, 40, 512)])
def test_the_frechet_distance_equals_that_of_torchmetrics_and_torch_fidelity(count, others, width):
    ours, theirs = vectors(count, width, 0, 0.3), vectors(others, width, 1)
    value = distribution_metrics.frechet_distance(ours, theirs)
    metric = FrechetInceptionDistance(feature=identity(width))
    metric.update(torch.from_numpy(theirs), real=True)
    metric.update(torch.from_numpy(ours), real=False)
    assert value == pytest.approx(float(metric.compute()), rel=1e-4)
    fidelity = fid_statistics_to_metric(
        *(fid_features_to_statistics(torch.from_numpy(features)) for features in (ours, theirs)), False
    )["frechet_inception_distance"]
    assert value == pytest.approx(fidelity, rel=1e-4)


def identity(width):
    module = torch.nn.Identity()
    module.num_features = width
    return module


def test_the_frechet_distance_of_gaussians_by_formula():
    wide = vectors(200_000, 2, 0) * [3.0, 1.0] + [1.0, 2.0]
    # ||(1, 2)||^2 + (3 - 1)^2 + (1 - 1)^2
    assert distribution_metrics.frechet_distance(wide, vectors(200_000, 2, 1)) == pytest.approx(9.0, abs=0.15)
    same = vectors(40, 8, 2)
    assert distribution_metrics.frechet_distance(same, same) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")  # of torchmetrics
def test_the_kernel_distance_equals_that_of_torchmetrics_and_torch_fidelity():
    ours, theirs = vectors(46, 128, 0, 0.2), vectors(46, 128, 1)
    value = distribution_metrics.kernel_distance(ours, theirs)
    metric = KernelInceptionDistance(feature=identity(128), subsets=1, subset_size=46)
    metric.update(torch.from_numpy(theirs), real=True)
    metric.update(torch.from_numpy(ours), real=False)
    assert value == pytest.approx(float(metric.compute()[0]), abs=1e-6)
    fidelity = kid_features_to_metric(
        torch.from_numpy(ours), torch.from_numpy(theirs), kid_subsets=1, kid_subset_size=46, verbose=False
    )["kernel_inception_distance_mean"]
    assert value == pytest.approx(fidelity, abs=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")  # of torchmetrics
def test_the_kernel_distance_of_unequal_sets_is_the_mean_over_torchmetrics_subsets():
    ours, theirs = vectors(30, 16, 0, 0.5), vectors(90, 16, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        metric = KernelInceptionDistance(feature=identity(16), subsets=2000, subset_size=30)
        metric.update(torch.from_numpy(theirs), real=True)
        metric.update(torch.from_numpy(ours), real=False)
        mean, deviation = map(float, metric.compute())
    assert distribution_metrics.kernel_distance(ours, theirs) == pytest.approx(mean, abs=4 * deviation / np.sqrt(2000))


def test_the_jackknife_equals_the_distance_without_each_landmarks_images():
    ours, theirs, landmarks = vectors(9, 4, 0), vectors(12, 4, 1), list("aabbbcddd")
    value, leave_one_out = distribution_metrics.kernel_distance_jackknife(ours, landmarks, theirs)
    assert value == pytest.approx(distribution_metrics.kernel_distance(ours, theirs))
    for name, distance in zip("abcd", leave_one_out, strict=True):
        kept = [index for index, landmark in enumerate(landmarks) if landmark != name]
        assert distance == pytest.approx(distribution_metrics.kernel_distance(ours[kept], theirs))


def test_only_the_frechet_distance_grows_with_fewer_images():
    theirs = vectors(100, 8, 0)
    few = [vectors(12, 8, seed) for seed in range(1, 200)]
    kernels = [distribution_metrics.kernel_distance(ours, theirs) for ours in few]
    reference = distribution_metrics.kernel_distance(vectors(2000, 8, 500), theirs)
    assert np.mean(kernels) == pytest.approx(reference, abs=4 * stats.sem(kernels))
    frechet = [distribution_metrics.frechet_distance(ours, theirs) for ours in few[:20]]
    assert np.mean(frechet) > 3 * distribution_metrics.frechet_distance(vectors(2000, 8, 500), theirs)


def test_extrapolation_removes_most_of_the_bias_of_few_images():
    theirs = vectors(20_000, 8, 0)
    sets = [vectors(100, 8, seed) for seed in range(1, 9)]
    plain = np.mean([distribution_metrics.frechet_distance(ours, theirs) for ours in sets])
    infinite = np.mean([distribution_metrics.frechet_distance_infinity(ours, theirs) for ours in sets])
    assert plain > 0.15  # the true value is 0
    assert abs(infinite) < plain / 3
    first, second = (distribution_metrics.frechet_distance_infinity(sets[0], theirs) for _ in range(2))
    assert first == second


def test_diversity_of_seeds_of_one_landmark_by_hand():
    a, b, turned = [1.0, 0.0], [0.0, 5.0], [1.0, 1.0]
    value, interval, pairs = distribution_metrics.diversity(np.array([a, b, a, turned, b]), ["x", "x", "y", "y", "z"])
    assert value == pytest.approx((1 + 1 - np.sqrt(0.5)) / 2)  # z has one image and thus no pair
    assert (interval, pairs) == (None, "seeds of the same landmark")


def test_diversity_of_landmarks_with_one_seed():
    features = vectors(8, 5, 0)
    value, interval, pairs = distribution_metrics.diversity(features, range(8))
    distances = [
        1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(features) for b in features[:i]
    ]
    assert value == pytest.approx(np.mean(distances))
    leave_one_out = [distribution_metrics.diversity(np.delete(features, index, 0), range(7))[0] for index in range(8)]
    error = np.sqrt(7 / 8 * ((np.array(leave_one_out) - np.mean(leave_one_out)) ** 2).sum()) * stats.t.ppf(0.975, 7)
    assert interval == pytest.approx([value - error, value + error])
    assert pairs == "different landmarks"
    assert distribution_metrics.diversity(np.ones((6, 3)), range(6))[0] == pytest.approx(0)
    with pytest.raises(ValueError, match="diversity needs at least two images, but got 1"):
        distribution_metrics.diversity(features[:1], ["x"])


def test_a_proxy_is_labeled_as_one():
    assert distribution_metrics.labels("Inception v3", True) == {
        "fid": "FID",
        "fid_infinity": "FID, extrapolated to infinitely many images",
        "kid": "KID",
        "diversity": "Diversity (Inception v3)",
    }
    proxy = distribution_metrics.labels("miniature CLIP", False)
    assert proxy["fid"] == "FD (miniature CLIP), a proxy for FID"
    assert all("miniature CLIP" in label for label in proxy.values())


def test_a_small_set_gets_warnings():
    landmarks = [name for name in range(23) for _ in range(2)]
    entries = distribution_metrics.describe(
        vectors(46, 128, 0), landmarks, vectors(92, 128, 1), distribution_metrics.labels("miniature CLIP", False)
    )
    assert [(entry["metric"], entry["images"], entry["interval"] is None) for entry in entries] == [
        ("fid", 46, True),
        ("kid", 46, False),
        ("diversity", 46, False),
    ]
    assert entries[0]["warning"].startswith("46 images are too few for a Fréchet distance (the minimum is 50")
    assert RANK_WARNING in entries[0]["warning"]
    assert [entry["warning"] for entry in entries[1:]] == ["", ""]
    assert entries[2]["label"] == "Diversity (miniature CLIP), between seeds of the same landmark"


def test_a_larger_set_with_too_few_landmarks_gets_no_interval():
    names = distribution_metrics.labels("Inception v3", True)
    larger = distribution_metrics.describe(
        vectors(60, 8, 0), [index // 12 for index in range(60)], vectors(92, 8, 1), names
    )
    assert [(entry["metric"], entry["warning"]) for entry in larger] == [
        ("fid", ""),
        ("fid_infinity", ""),
        ("kid", "5 landmarks are too few for an interval; the minimum is 6."),
        ("diversity", "5 landmarks are too few for an interval; the minimum is 6."),
    ]
    assert distribution_metrics.describe(vectors(1, 8, 0), ["x"], vectors(92, 8, 1), names) == []
