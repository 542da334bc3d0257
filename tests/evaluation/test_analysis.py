"""Means, paired comparisons and verdicts: by hand, against other libraries, and by counting false positives."""

import json
import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ghibli_studio.evaluation import analysis, bootstrap
from ghibli_studio.evaluation.analysis import NO_EVIDENCE, Row, analyze, compare, compared_pairs, means

HIGHER, LOWER = SimpleNamespace(better="higher"), SimpleNamespace(better="lower")
CLIP = {"clip": {"name": "miniature CLIP", "proxy": True, "digest": "0"}, "inception": None, "lpips": None}


@dataclass(frozen=True)
class Variant:
    name: str
    method: str
    group: str = "compare"


BASE, LORA, TI = Variant("Base", "base"), Variant("LoRA", "lora"), Variant("TI", "ti")


def rows_of(scores, task="txt2img"):
    """Rows from {variant: array (landmarks, seeds, metrics)}; metrics are called a, b, ..."""
    return [
        Row(task, f"landmark {number:03}", seed, variant, dict(zip("abcdefghi", map(float, image))))
        for variant, table in scores.items()
        for number, seeds in enumerate(table)
        for seed, image in enumerate(seeds)
    ]


def random_scores(random, landmarks=23, seeds=2, metrics=9):
    """Scores of one variant: landmarks differ, and so do seeds; the metrics agree in part, as real ones do."""
    common = random.normal(size=(landmarks, seeds, 1))
    return common + random.normal(size=(landmarks, seeds, metrics))


def test_means_by_hand():
    rows = [
        Row("txt2img", "Petra", 0, "LoRA", {"clip": 1.0, "lpips": 0.5}),
        Row("txt2img", "Petra", 1, "LoRA", {"clip": 2.0}),
        Row("txt2img", "Big Ben", 0, "LoRA", {"clip": 6.0, "lpips": math.inf}),
        Row("img2img", "Petra", 0, "TI", {"clip": 3.0}),
    ]
    common = {"interval": None}
    assert means(rows) == [
        {"task": "txt2img", "metric": "clip", "variant": "LoRA", "mean": 3.75, "landmarks": 2, "images": 3, **common},
        {"task": "txt2img", "metric": "lpips", "variant": "LoRA", "mean": 0.5, "landmarks": 1, "images": 1, **common},
        {"task": "img2img", "metric": "clip", "variant": "TI", "mean": 3.0, "landmarks": 1, "images": 1, **common},
    ]


def test_a_mean_has_the_interval_of_its_landmarks():
    table = random_scores(np.random.default_rng(0), metrics=1)
    (mean,) = means(rows_of({"LoRA": table}))
    assert mean["interval"] == bootstrap.mean_interval(table[:, :, 0])
    assert mean["mean"] == pytest.approx(table.mean())
    assert mean["interval"][0] < mean["mean"] < mean["interval"][1]


def test_a_comparison_by_hand():
    better = {f"landmark {number}": 1.0 + number / 10 for number in range(8)}
    rows = [
        Row("txt2img", name, seed, "LoRA", {"clip": 5 + gain, "lpips": 0.2})
        for name, gain in better.items()
        for seed in (0, 1)
    ]
    rows += [
        Row("txt2img", name, seed, "TI", {"clip": 5.0 + seed, "lpips": 0.2}) for name in better for seed in (0, 1, 2)
    ]
    clip, lpips = compare(rows, "LoRA", "TI", {"clip": HIGHER, "lpips": LOWER})
    assert {key: clip[key] for key in ("task", "metric", "a", "b", "landmarks", "verdict", "favors")} == {
        "task": "txt2img",
        "metric": "clip",
        "a": "LoRA",
        "b": "TI",
        "landmarks": 8,
        "verdict": "LoRA better",
        "favors": "LoRA",
    }
    gains = np.array(list(better.values())) - 0.5  # seed 2 has no partner
    assert clip["difference"] == pytest.approx(gains.mean())
    assert (clip["p"], clip["p_holm"]) == pytest.approx((2 * 0.5**8, 4 * 0.5**8))
    assert clip["effect_size"] == pytest.approx(gains.mean() / gains.std(ddof=1) * (1 - 3 / 27))
    assert clip["interval"] == bootstrap.mean_interval([[gain + 0.5, gain - 0.5] for gain in gains])
    assert (lpips["difference"], lpips["p"], lpips["p_holm"], lpips["effect_size"]) == (0.0, 1.0, 1.0, None)
    assert (lpips["verdict"], lpips["favors"]) == (NO_EVIDENCE, None)


def test_the_favored_variant_depends_on_which_direction_is_better():
    random = np.random.default_rng(5)
    table = random_scores(random, metrics=2)
    rows = rows_of({"LoRA": table + 3, "TI": table + random.normal(size=table.shape)})
    comparisons = compare(rows, "LoRA", "TI", {"a": HIGHER, "b": LOWER})
    assert [one["favors"] for one in comparisons] == ["LoRA", "TI"]
    turned = compare(rows, "TI", "LoRA", {"a": HIGHER, "b": LOWER})
    assert [one["favors"] for one in turned] == ["LoRA", "TI"]
    assert [one["p"] for one in turned] == [one["p"] for one in comparisons]
    assert [one["difference"] for one in turned] == pytest.approx([-one["difference"] for one in comparisons])


def test_each_task_is_its_own_family_of_metrics():
    random = np.random.default_rng(1)
    rows = rows_of({"LoRA": random_scores(random, metrics=3), "TI": random_scores(random, metrics=3)})
    rows += rows_of({"LoRA": random_scores(random, metrics=5), "TI": random_scores(random, metrics=5)}, "img2img")
    comparisons = compare(rows, "LoRA", "TI", dict.fromkeys("abcdefghi", HIGHER))
    assert [(one["task"], one["metric"]) for one in comparisons] == [
        *(("txt2img", name) for name in "abc"),
        *(("img2img", name) for name in "abcde"),
    ]
    for family in (comparisons[:3], comparisons[3:]):
        adjusted = multipletests([one["p"] for one in family], method="holm")[1]
        assert [one["p_holm"] for one in family] == pytest.approx(list(adjusted))


def test_a_method_compared_with_itself_has_few_false_positives():
    """200 A/A comparisons of nine metrics of the same method, so that every difference found is a false positive."""
    random, trials = np.random.default_rng(2024), 200
    metrics = dict.fromkeys("abcdefghi", HIGHER)
    false_positives = uncorrected = 0
    for _ in range(trials):
        hard = random.normal(size=(23, 1, 1))  # a landmark that is hard for one is hard for both
        rows = rows_of({"one": hard + random_scores(random), "other": hard + random_scores(random)})
        comparisons = compare(rows, "one", "other", metrics)
        false_positives += any(one["favors"] for one in comparisons)
        uncorrected += any(one["p"] < analysis.ALPHA for one in comparisons)
    assert false_positives <= stats.binom.ppf(0.975, trials, analysis.ALPHA)
    assert uncorrected > stats.binom.ppf(0.975, trials, analysis.ALPHA)  # without Holm there are too many


def test_a_real_difference_is_found():
    random, trials, found = np.random.default_rng(7), 50, 0
    for _ in range(trials):
        ours, theirs = random_scores(random), random_scores(random)
        ours[:, :, 0] += 2.0  # landmarks' mean differences have a standard deviation of 1.41: an effect of 1.4
        comparisons = compare(rows_of({"LoRA": ours, "TI": theirs}), "LoRA", "TI", dict.fromkeys("abcdefghi", HIGHER))
        found += comparisons[0]["favors"] == "LoRA" and comparisons[0]["interval"][0] > 0
    assert found >= 49


def test_p_is_scipys_permutation_test_of_paired_samples():
    random = np.random.default_rng(11)
    ours, theirs = random.normal(size=(12, 1, 1)), random.normal(size=(12, 1, 1)) + 0.5
    (comparison,) = compare(rows_of({"LoRA": ours, "TI": theirs}), "LoRA", "TI", {"a": HIGHER})
    exact = stats.permutation_test(
        (ours.ravel(), theirs.ravel()), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert comparison["p"] == pytest.approx(exact.pvalue, abs=2e-3)


@pytest.mark.parametrize(
    ("lora", "ti", "t", "better"), [(0.272, 0.265, 0.44, HIGHER), (0.715, 0.730, 0.36, LOWER)], ids=["CLIP", "LPIPS"]
)
def test_the_published_difference_of_five_images_per_method_is_no_evidence(lora, ti, t, better):
    """The paper's comparison: means of five images per method, and the t of the differences, as published.

    The values of the single images are not available. These five pairs have exactly the published means and |t|; the
    result of the test for five pairs with such a t depends little on their values.
    """
    shape = np.array([-1.3, -0.4, 0.1, 0.5, 1.1])
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    differences = (lora - ti) + shape * abs(lora - ti) * np.sqrt(5) / t
    theirs = ti + np.array([-0.02, 0.01, 0.0, 0.02, -0.01])
    assert abs(stats.ttest_1samp(differences, 0).statistic) == pytest.approx(t)
    rows = rows_of({"LoRA": (theirs + differences)[:, None, None], "TI": theirs[:, None, None]})
    comparisons = {one["variant"]: one["mean"] for one in means(rows)}
    assert comparisons == pytest.approx({"LoRA": lora, "TI": ti})
    (one,) = compare(rows, "LoRA", "TI", {"a": better})
    assert one["difference"] == pytest.approx(lora - ti)
    assert one["p"] > 0.5
    assert (one["interval"], one["favors"]) == (None, None)
    assert one["verdict"] == (
        "inconclusive: 5 landmarks are too few, because even if all agreed, p would be 0.062 after Holm's correction "
        "for 1 metric"
    )
    # the same t from six landmarks can be tested, and is no evidence
    six = np.append(shape, 0.0) * abs(lora - ti) * np.sqrt(6) / t + (lora - ti)
    rows = rows_of({"LoRA": (0.3 + six)[:, None, None], "TI": np.full((6, 1, 1), 0.3)})
    (one,) = compare(rows, "LoRA", "TI", {"a": better})
    assert (one["verdict"], one["favors"]) == (NO_EVIDENCE, None)
    assert one["interval"][0] < 0 < one["interval"][1]


def test_more_metrics_need_more_landmarks():
    table = np.arange(8.0)[:, None, None] / 10 + np.ones((8, 1, 9))
    rows = rows_of({"LoRA": table, "TI": np.zeros((8, 1, 9))})
    assert compare(rows, "LoRA", "TI", dict.fromkeys("abcde", HIGHER))[0]["verdict"] == "LoRA better"
    nine = compare(rows, "LoRA", "TI", dict.fromkeys("abcdefghi", HIGHER))
    assert {one["verdict"] for one in nine} == {
        "inconclusive: 8 landmarks are too few, because even if all agreed, p would be 0.07 after Holm's correction "
        "for 9 metrics"
    }
    (one,) = compare([row for row in rows if row.landmark.endswith("0")], "LoRA", "TI", {"a": HIGHER})
    assert one["verdict"].startswith("inconclusive: 1 landmark is too few, because even if all agreed, p would be 1 ")


def test_without_pairs_there_is_no_comparison():
    rows = [Row("txt2img", "Petra", 0, "LoRA", {"clip": 1.0}), Row("txt2img", "Big Ben", 0, "TI", {"clip": 1.0})]
    assert compare(rows, "LoRA", "TI", {"clip": HIGHER}) == []
    assert compare(rows, "LoRA", "nobody", {"clip": HIGHER}) == []
    assert compare([], "LoRA", "TI", {"clip": HIGHER}) == means([]) == []


def test_methods_are_compared_first_and_sweeps_not_at_all():
    sweep = Variant("LoRA at .5", "lora", "adapter_scale")
    assert compared_pairs([BASE, LORA, sweep, TI]) == [("LoRA", "TI"), ("LoRA", "Base"), ("TI", "Base")]
    assert compared_pairs([BASE]) == []


def analyzed(landmarks=8, seeds=2, shift=2.0, variants=(BASE, LORA, TI)):
    """An analysis where LoRA is closer to the originals in scores and vectors."""
    random = np.random.default_rng(0)
    rows = rows_of(
        {
            variant.name: random_scores(random, landmarks, seeds, 2) + (shift if variant is LORA else 0)
            for variant in variants
        }
    )
    vectors = [random.normal(0.0 if row.variant == "LoRA" else shift / 2, 1, size=16) for row in rows]
    originals = random.normal(size=(92, 16))
    return rows, vectors, analyze(rows, vectors, originals, variants, {"a": HIGHER, "b": HIGHER}, CLIP)


def test_an_analysis_is_complete():
    rows, _, result = analyzed()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result) == ["means", "comparisons", "sets", "set_comparisons", "warnings"]
    assert result["means"] == means(rows)
    assert [(one["a"], one["b"], one["metric"]) for one in result["comparisons"]] == [
        (a, b, metric) for a, b in (("LoRA", "TI"), ("LoRA", "Base"), ("TI", "Base")) for metric in "ab"
    ]
    assert [(one["variant"], one["metric"], one["images"]) for one in result["sets"]] == [
        (name, metric, 16) for name in ("Base", "LoRA", "TI") for metric in ("fid", "kid", "diversity")
    ]
    assert all("miniature CLIP" in one["label"] for one in result["sets"])
    assert [(one["a"], one["b"], one["metric"], one["favors"]) for one in result["set_comparisons"]] == [
        ("LoRA", "TI", "kid", "LoRA"),
        ("LoRA", "Base", "kid", "LoRA"),
        ("TI", "Base", "kid", None),
    ]
    assert result["warnings"][0] == (
        "miniature CLIP is a proxy for the published network: use its numbers to compare the variants here, and not "
        "with numbers from elsewhere."
    )
    assert result["warnings"][1].startswith("16 images are too few for a Fréchet distance")
    assert len(result["warnings"]) == 2


def test_sweeps_have_means_only():
    sweep = Variant("TI at 2", "ti", "adapter_scale")
    _, _, result = analyzed(variants=(BASE, LORA, sweep))
    assert {one["variant"] for one in result["means"]} == {"Base", "LoRA", "TI at 2"}
    for part in ("comparisons", "sets", "set_comparisons"):
        assert "TI at 2" not in json.dumps(result[part])


def test_missing_data_is_reported():
    rows, vectors, _ = analyzed(seeds=1, landmarks=5)
    rows[0] = Row("txt2img", rows[0].landmark, 0, "Base", {"a": math.inf, "b": 1.0})
    result = analyze(rows[:-1], vectors[:-1], vectors, [BASE, LORA, TI], {"a": HIGHER, "b": HIGHER}, CLIP)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    warnings = result["warnings"]
    assert "TI has 4 of 5 txt2img images; it is compared on those only." in warnings
    assert "Scores that are not finite numbers were omitted from: a." in warnings
    assert "5 landmarks are too few to show anything about a method in general; evaluate more." in warnings
    assert "There is one seed per landmark, so the intervals do not include the variation over seeds." in warnings


def test_features_and_rows_must_match():
    rows, vectors, _ = analyzed()
    with pytest.raises(ValueError, match="47 vectors for 48 rows; give one per row"):
        analyze(rows, vectors[1:], vectors, [BASE, LORA, TI], {"a": HIGHER}, CLIP)


def test_the_kernel_distance_of_a_method_to_itself_has_few_false_positives():
    random, trials, false_positives = np.random.default_rng(3), 200, 0
    originals = random.normal(size=(92, 16))
    for _ in range(trials):
        rows, vectors = [], []
        for number in range(23):
            landmark = random.normal(size=16)
            for name in ("LoRA", "TI"):
                for seed in range(2):
                    rows.append(Row("txt2img", str(number), seed, name, {}))
                    vectors.append(landmark + random.normal(size=16))
        cells = analysis._features_by_cell(rows, np.array(vectors), {"LoRA", "TI"})
        (one,) = analysis._set_comparisons(cells, [("LoRA", "TI")], originals)
        false_positives += one["favors"] is not None
    assert 0 < false_positives <= stats.binom.ppf(0.975, trials, 0.05)
