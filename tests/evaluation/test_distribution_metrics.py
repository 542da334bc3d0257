"""Distances of sets against torchmetrics' and torch-fidelity's own, and what is said of them."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from ghibli_studio.evaluation import distribution_metrics

ENOUGH = "A covariance of 128 numbers cannot be known from 46 pictures and 92 originals: most of its directions are "


def vectors(count, width, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, size=(count, width))


@pytest.mark.parametrize(("count", "others", "width"), [(60, 80, 16), (46, 92, 128), (30, 40, 512)])
def test_the_frechet_distance_is_that_of_torchmetrics_and_torch_fidelity(count, others, width):
    ours, theirs = vectors(count, width, 0, 0.3), vectors(others, width, 1)
    value = distribution_metrics.frechet(ours, theirs)
    metric = FrechetInceptionDistance(feature=identity(width))
    metric.update(torch.from_numpy(theirs), real=True)
    metric.update(torch.from_numpy(ours), real=False)
    assert value == pytest.approx(float(metric.compute()), rel=1e-4)
    fidelity = fid_statistics_to_metric(
        *(fid_features_to_statistics(torch.from_numpy(one)) for one in (ours, theirs)), False
    )["frechet_inception_distance"]
    assert value == pytest.approx(fidelity, rel=1e-4)


def identity(width):
    module = torch.nn.Identity()
    module.num_features = width
    return module


def test_the_frechet_distance_of_gaussians_by_formula():
    wide = vectors(200_000, 2, 0) * [3.0, 1.0] + [1.0, 2.0]
    # ||(1, 2)||^2 + (3 - 1)^2 + (1 - 1)^2
    assert distribution_metrics.frechet(wide, vectors(200_000, 2, 1)) == pytest.approx(9.0, abs=0.15)
    same = vectors(40, 8, 2)
    assert distribution_metrics.frechet(same, same) == pytest.approx(0.0, abs=1e-6)


def test_the_kernel_distance_is_that_of_torchmetrics_and_torch_fidelity():
    ours, theirs = vectors(46, 128, 0, 0.2), vectors(46, 128, 1)
    value = distribution_metrics.kernel(ours, theirs)
    metric = KernelInceptionDistance(feature=identity(128), subsets=1, subset_size=46)
    metric.update(torch.from_numpy(theirs), real=True)
    metric.update(torch.from_numpy(ours), real=False)
    assert value == pytest.approx(float(metric.compute()[0]), abs=1e-6)
    fidelity = kid_features_to_metric(
        torch.from_numpy(ours), torch.from_numpy(theirs), kid_subsets=1, kid_subset_size=46, verbose=False
    )["kernel_inception_distance_mean"]
    assert value == pytest.approx(fidelity, abs=1e-6)


def test_the_kernel_distance_of_unequal_sets_is_the_mean_over_torchmetrics_subsets():
    ours, theirs = vectors(30, 16, 0, 0.5), vectors(90, 16, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        metric = KernelInceptionDistance(feature=identity(16), subsets=2000, subset_size=30)
        metric.update(torch.from_numpy(theirs), real=True)
        metric.update(torch.from_numpy(ours), real=False)
        mean, deviation = map(float, metric.compute())
    assert distribution_metrics.kernel(ours, theirs) == pytest.approx(mean, abs=4 * deviation / np.sqrt(2000))


def test_leaving_a_landmark_out_is_the_distance_without_its_pictures():
    ours, theirs, landmarks = vectors(9, 4, 0), vectors(12, 4, 1), list("aabbbcddd")
    value, without = distribution_metrics.kernel_without(ours, landmarks, theirs)
    assert value == pytest.approx(distribution_metrics.kernel(ours, theirs))
    for name, left in zip("abcd", without, strict=True):
        kept = [place for place, shown in enumerate(landmarks) if shown != name]
        assert left == pytest.approx(distribution_metrics.kernel(ours[kept], theirs))


def test_the_kernel_distance_is_no_further_for_fewer_pictures_of_one_kind_but_the_frechet_distance_is():
    theirs = vectors(100, 8, 0)
    few = [vectors(12, 8, seed) for seed in range(1, 200)]
    kernels = [distribution_metrics.kernel(one, theirs) for one in few]
    against = distribution_metrics.kernel(vectors(2000, 8, 500), theirs)
    assert np.mean(kernels) == pytest.approx(against, abs=4 * stats.sem(kernels))
    assert np.mean([distribution_metrics.frechet(one, theirs) for one in few[:20]]) > 3 * distribution_metrics.frechet(
        vectors(2000, 8, 500), theirs
    )


def test_extrapolation_takes_most_of_the_bias_of_few_pictures_away():
    theirs = vectors(20_000, 8, 0)
    sets = [vectors(100, 8, seed) for seed in range(1, 9)]
    plain = np.mean([distribution_metrics.frechet(one, theirs) for one in sets])
    infinite = np.mean([distribution_metrics.frechet_infinity(one, theirs) for one in sets])
    assert plain > 0.15  # the truth is 0
    assert abs(infinite) < plain / 3
    assert distribution_metrics.frechet_infinity(sets[0], theirs) == distribution_metrics.frechet_infinity(
        sets[0], theirs
    )


def test_diversity_of_seeds_of_one_landmark_by_hand():
    a, b, turned = [1.0, 0.0], [0.0, 5.0], [1.0, 1.0]
    value, interval, pairs = distribution_metrics.diversity(np.array([a, b, a, turned, b]), ["x", "x", "y", "y", "z"])
    assert value == pytest.approx((1 + 1 - np.sqrt(0.5)) / 2)  # z has one picture, thus no pair
    assert (interval, pairs) == (None, "seeds of one landmark")


def test_diversity_of_landmarks_where_there_is_one_seed():
    given = vectors(8, 5, 0)
    value, interval, pairs = distribution_metrics.diversity(given, range(8))
    apart = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(given) for b in given[:i]]
    assert value == pytest.approx(np.mean(apart))
    without = [distribution_metrics.diversity(np.delete(given, place, 0), range(7))[0] for place in range(8)]
    error = np.sqrt(7 / 8 * ((np.array(without) - np.mean(without)) ** 2).sum()) * stats.t.ppf(0.975, 7)
    assert interval == pytest.approx([value - error, value + error])
    assert pairs == "different landmarks"
    assert distribution_metrics.diversity(np.ones((6, 3)), range(6))[0] == pytest.approx(0)
    with pytest.raises(ValueError, match="diversity asked of 1 pictures; give two or more"):
        distribution_metrics.diversity(given[:1], ["x"])


def test_no_stand_in_bears_anothers_name():
    assert distribution_metrics.labels("Inception v3", True) == {
        "fid": "FID",
        "fid_infinity": "FID, extrapolated to infinitely many pictures",
        "kid": "KID",
        "diversity": "Diversity (Inception v3)",
    }
    stand_in = distribution_metrics.labels("miniature CLIP", False)
    assert stand_in["fid"] == "FD (miniature CLIP), a stand-in for FID"
    assert all("miniature CLIP" in label for label in stand_in.values())


def test_what_is_said_of_a_small_set():
    landmarks = [name for name in range(23) for _ in range(2)]
    numbers = distribution_metrics.describe(
        vectors(46, 128, 0), landmarks, vectors(92, 128, 1), distribution_metrics.labels("miniature CLIP", False)
    )
    assert [(told["metric"], told["pictures"], told["interval"] is None) for told in numbers] == [
        ("fid", 46, True),
        ("kid", 46, False),
        ("diversity", 46, False),
    ]
    assert numbers[0]["warning"].startswith("46 pictures are too few for a Fréchet distance (50 is the least")
    assert ENOUGH in numbers[0]["warning"]
    assert [told["warning"] for told in numbers[1:]] == ["", ""]
    assert numbers[2]["label"] == "Diversity (miniature CLIP), between seeds of one landmark"


def test_what_is_said_of_a_larger_set_and_of_too_few_landmarks():
    names = distribution_metrics.labels("Inception v3", True)
    larger = distribution_metrics.describe(
        vectors(60, 8, 0), [place // 12 for place in range(60)], vectors(92, 8, 1), names
    )
    assert [(told["metric"], told["warning"]) for told in larger] == [
        ("fid", ""),
        ("fid_infinity", ""),
        ("kid", "5 landmarks are too few for an interval; 6 are the least."),
        ("diversity", "5 landmarks are too few for an interval; 6 are the least."),
    ]
    assert distribution_metrics.describe(vectors(1, 8, 0), ["x"], vectors(92, 8, 1), names) == []
