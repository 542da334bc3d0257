"""Means, paired comparisons and verdicts: by hand, against other libraries, and by counting false alarms."""

import json
import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ghibli_studio.evaluation import analysis, bootstrap
from ghibli_studio.evaluation.analysis import NO_EVIDENCE, Row, analyze, compare, means, pairs_of

HIGHER, LOWER = SimpleNamespace(better="higher"), SimpleNamespace(better="lower")
CLIP = {"clip": {"name": "miniature CLIP", "stand_in": True, "digest": "0"}, "inception": None, "perceptual": None}


@dataclass(frozen=True)
class Variant:
    name: str
    method: str
    group: str = "compare"


BASE, LORA, TI = Variant("Base", "base"), Variant("LoRA", "lora"), Variant("TI", "ti")


def rows_of(scores, task="prompt"):
    """Rows from {variant: array (landmarks, seeds, metrics)}; metrics are called a, b, ..."""
    return [
        Row(task, f"landmark {place:03}", seed, variant, dict(zip("abcdefghi", map(float, picture))))
        for variant, table in scores.items()
        for place, seeds in enumerate(table)
        for seed, picture in enumerate(seeds)
    ]


def drawn(random, landmarks=23, seeds=2, metrics=9):
    """Scores of one variant: landmarks differ, and so do seeds; the metrics agree in part, as real ones do."""
    common = random.normal(size=(landmarks, seeds, 1))
    return common + random.normal(size=(landmarks, seeds, metrics))


def test_means_by_hand():
    rows = [
        Row("prompt", "Petra", 0, "LoRA", {"clip": 1.0, "lpips": 0.5}),
        Row("prompt", "Petra", 1, "LoRA", {"clip": 2.0}),
        Row("prompt", "Big Ben", 0, "LoRA", {"clip": 6.0, "lpips": math.inf}),
        Row("photo", "Petra", 0, "TI", {"clip": 3.0}),
    ]
    common = {"interval": None}
    assert means(rows) == [
        {"task": "prompt", "metric": "clip", "variant": "LoRA", "mean": 3.75, "landmarks": 2, "pictures": 3, **common},
        {"task": "prompt", "metric": "lpips", "variant": "LoRA", "mean": 0.5, "landmarks": 1, "pictures": 1, **common},
        {"task": "photo", "metric": "clip", "variant": "TI", "mean": 3.0, "landmarks": 1, "pictures": 1, **common},
    ]


def test_a_mean_has_the_interval_of_its_landmarks():
    table = drawn(np.random.default_rng(0), metrics=1)
    (told,) = means(rows_of({"LoRA": table}))
    assert told["interval"] == bootstrap.mean_interval(table[:, :, 0])
    assert told["mean"] == pytest.approx(table.mean())
    assert told["interval"][0] < told["mean"] < told["interval"][1]


def test_a_comparison_by_hand():
    better = {f"landmark {place}": 1.0 + place / 10 for place in range(8)}
    rows = [
        Row("prompt", name, seed, "LoRA", {"clip": 5 + gain, "lpips": 0.2})
        for name, gain in better.items()
        for seed in (0, 1)
    ]
    rows += [
        Row("prompt", name, seed, "TI", {"clip": 5.0 + seed, "lpips": 0.2}) for name in better for seed in (0, 1, 2)
    ]
    clip, lpips = compare(rows, "LoRA", "TI", {"clip": HIGHER, "lpips": LOWER})
    assert {key: clip[key] for key in ("task", "metric", "a", "b", "landmarks", "verdict", "favors")} == {
        "task": "prompt",
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
    assert clip["effect"] == pytest.approx(gains.mean() / gains.std(ddof=1) * (1 - 3 / 27))
    assert clip["interval"] == bootstrap.mean_interval([[gain + 0.5, gain - 0.5] for gain in gains])
    assert (lpips["difference"], lpips["p"], lpips["p_holm"], lpips["effect"]) == (0.0, 1.0, 1.0, None)
    assert (lpips["verdict"], lpips["favors"]) == (NO_EVIDENCE, None)


def test_whom_a_difference_favours_depends_on_which_way_is_better():
    random = np.random.default_rng(5)
    table = drawn(random, metrics=2)
    rows = rows_of({"LoRA": table + 3, "TI": table + random.normal(size=table.shape)})
    told = compare(rows, "LoRA", "TI", {"a": HIGHER, "b": LOWER})
    assert [one["favors"] for one in told] == ["LoRA", "TI"]
    turned = compare(rows, "TI", "LoRA", {"a": HIGHER, "b": LOWER})
    assert [one["favors"] for one in turned] == ["LoRA", "TI"]
    assert [one["p"] for one in turned] == [one["p"] for one in told]
    assert [one["difference"] for one in turned] == pytest.approx([-one["difference"] for one in told])


def test_tasks_are_families_of_their_own_and_metrics_of_one_task_stay_there():
    random = np.random.default_rng(1)
    rows = rows_of({"LoRA": drawn(random, metrics=3), "TI": drawn(random, metrics=3)})
    rows += rows_of({"LoRA": drawn(random, metrics=5), "TI": drawn(random, metrics=5)}, "photo")
    told = compare(rows, "LoRA", "TI", dict.fromkeys("abcdefghi", HIGHER))
    assert [(one["task"], one["metric"]) for one in told] == [
        *(("prompt", name) for name in "abc"),
        *(("photo", name) for name in "abcde"),
    ]
    for family in (told[:3], told[3:]):
        adjusted = multipletests([one["p"] for one in family], method="holm")[1]
        assert [one["p_holm"] for one in family] == pytest.approx(list(adjusted))


def test_a_method_against_itself_is_found_different_no_more_often_than_promised():
    """200 A/A comparisons of nine metrics: two draws of the same method, so that every alarm is false."""
    random, trials = np.random.default_rng(2024), 200
    metrics = dict.fromkeys("abcdefghi", HIGHER)
    alarms = uncorrected = 0
    for _ in range(trials):
        hard = random.normal(size=(23, 1, 1))  # a landmark that is hard for one is hard for the other
        rows = rows_of({"one": hard + drawn(random), "other": hard + drawn(random)})
        told = compare(rows, "one", "other", metrics)
        alarms += any(one["favors"] for one in told)
        uncorrected += any(one["p"] < analysis.ALPHA for one in told)
    assert alarms <= stats.binom.ppf(0.975, trials, analysis.ALPHA)
    assert uncorrected > stats.binom.ppf(0.975, trials, analysis.ALPHA)  # without Holm the promise is broken


def test_a_real_difference_is_found():
    random, trials, found = np.random.default_rng(7), 50, 0
    for _ in range(trials):
        ours, theirs = drawn(random), drawn(random)
        ours[:, :, 0] += 2.0  # landmarks' mean differences have a standard deviation of 1.41: an effect of 1.4
        told = compare(rows_of({"LoRA": ours, "TI": theirs}), "LoRA", "TI", dict.fromkeys("abcdefghi", HIGHER))
        found += told[0]["favors"] == "LoRA" and told[0]["interval"][0] > 0
    assert found >= 49


def test_p_is_scipys_permutation_test_of_paired_samples():
    random = np.random.default_rng(11)
    ours, theirs = random.normal(size=(12, 1, 1)), random.normal(size=(12, 1, 1)) + 0.5
    (told,) = compare(rows_of({"LoRA": ours, "TI": theirs}), "LoRA", "TI", {"a": HIGHER})
    exact = stats.permutation_test(
        (ours.ravel(), theirs.ravel()), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert told["p"] == pytest.approx(exact.pvalue, abs=2e-3)


@pytest.mark.parametrize(
    ("lora", "ti", "t", "better"), [(0.272, 0.265, 0.44, HIGHER), (0.715, 0.730, 0.36, LOWER)], ids=["CLIP", "LPIPS"]
)
def test_the_published_difference_of_five_images_a_method_is_no_evidence(lora, ti, t, better):
    """The paper's check: means of five images a method, and the differences' t, as published.

    The single images' values are not in our hands. These five pairs are made to have exactly the published means and
    |t|; what the test says of five pairs with such a t depends little on which five they are.
    """
    shape = np.array([-1.3, -0.4, 0.1, 0.5, 1.1])
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    differences = (lora - ti) + shape * abs(lora - ti) * np.sqrt(5) / t
    theirs = ti + np.array([-0.02, 0.01, 0.0, 0.02, -0.01])
    assert abs(stats.ttest_1samp(differences, 0).statistic) == pytest.approx(t)
    rows = rows_of({"LoRA": (theirs + differences)[:, None, None], "TI": theirs[:, None, None]})
    told = {one["variant"]: one["mean"] for one in means(rows)}
    assert told == pytest.approx({"LoRA": lora, "TI": ti})
    (one,) = compare(rows, "LoRA", "TI", {"a": better})
    assert one["difference"] == pytest.approx(lora - ti)
    assert one["p"] > 0.5
    assert (one["interval"], one["favors"]) == (None, None)
    assert one["verdict"] == (
        "cannot be said: 5 landmarks are too few, since even if all agreed, p would be 0.062 after its correction for "
        "1 metric"
    )
    # the same t from six landmarks may be judged, and is no evidence
    six = np.append(shape, 0.0) * abs(lora - ti) * np.sqrt(6) / t + (lora - ti)
    rows = rows_of({"LoRA": (0.3 + six)[:, None, None], "TI": np.full((6, 1, 1), 0.3)})
    (one,) = compare(rows, "LoRA", "TI", {"a": better})
    assert (one["verdict"], one["favors"]) == (NO_EVIDENCE, None)
    assert one["interval"][0] < 0 < one["interval"][1]


def test_more_metrics_need_more_landmarks_to_say_anything():
    table = np.arange(8.0)[:, None, None] / 10 + np.ones((8, 1, 9))
    rows = rows_of({"LoRA": table, "TI": np.zeros((8, 1, 9))})
    assert compare(rows, "LoRA", "TI", dict.fromkeys("abcde", HIGHER))[0]["verdict"] == "LoRA better"
    nine = compare(rows, "LoRA", "TI", dict.fromkeys("abcdefghi", HIGHER))
    assert {one["verdict"] for one in nine} == {
        "cannot be said: 8 landmarks are too few, since even if all agreed, p would be 0.07 after its correction for "
        "9 metrics"
    }
    (one,) = compare([row for row in rows if row.landmark.endswith("0")], "LoRA", "TI", {"a": HIGHER})
    assert one["verdict"].startswith("cannot be said: 1 landmark is too few, since even if all agreed, p would be 1 ")


def test_nothing_to_compare_makes_no_comparison():
    rows = [Row("prompt", "Petra", 0, "LoRA", {"clip": 1.0}), Row("prompt", "Big Ben", 0, "TI", {"clip": 1.0})]
    assert compare(rows, "LoRA", "TI", {"clip": HIGHER}) == []
    assert compare(rows, "LoRA", "nobody", {"clip": HIGHER}) == []
    assert compare([], "LoRA", "TI", {"clip": HIGHER}) == means([]) == []


def test_methods_are_compared_with_each_other_first_and_sweeps_not_at_all():
    sweep = Variant("LoRA at .5", "lora", "adapter_scale")
    assert pairs_of([BASE, LORA, sweep, TI]) == [("LoRA", "TI"), ("LoRA", "Base"), ("TI", "Base")]
    assert pairs_of([BASE]) == []


def analyzed(landmarks=8, seeds=2, shift=2.0, variants=(BASE, LORA, TI)):
    """An analysis where LoRA is nearer to the originals in scores and vectors."""
    random = np.random.default_rng(0)
    rows = rows_of(
        {variant.name: drawn(random, landmarks, seeds, 2) + (shift if variant is LORA else 0) for variant in variants}
    )
    vectors = [random.normal(0.0 if row.variant == "LoRA" else shift / 2, 1, size=16) for row in rows]
    originals = random.normal(size=(92, 16))
    return rows, vectors, analyze(rows, vectors, originals, variants, {"a": HIGHER, "b": HIGHER}, CLIP)


def test_an_analysis_has_everything_that_the_report_shows():
    rows, _, result = analyzed()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result) == ["means", "comparisons", "sets", "set_comparisons", "warnings"]
    assert result["means"] == means(rows)
    assert [(one["a"], one["b"], one["metric"]) for one in result["comparisons"]] == [
        (a, b, metric) for a, b in (("LoRA", "TI"), ("LoRA", "Base"), ("TI", "Base")) for metric in "ab"
    ]
    assert [(one["variant"], one["metric"], one["pictures"]) for one in result["sets"]] == [
        (name, metric, 16) for name in ("Base", "LoRA", "TI") for metric in ("fid", "kid", "diversity")
    ]
    assert all("miniature CLIP" in one["label"] for one in result["sets"])
    assert [(one["a"], one["b"], one["metric"], one["favors"]) for one in result["set_comparisons"]] == [
        ("LoRA", "TI", "kid", "LoRA"),
        ("LoRA", "Base", "kid", "LoRA"),
        ("TI", "Base", "kid", None),
    ]
    assert result["warnings"][0] == (
        "miniature CLIP stands in for the published network: its numbers compare the variants here, and cannot be set "
        "beside numbers from elsewhere."
    )
    assert result["warnings"][1].startswith("16 pictures are too few for a Fréchet distance")
    assert len(result["warnings"]) == 2


def test_sweeps_have_means_and_nothing_else():
    sweep = Variant("TI at 2", "ti", "adapter_scale")
    _, _, result = analyzed(variants=(BASE, LORA, sweep))
    assert {one["variant"] for one in result["means"]} == {"Base", "LoRA", "TI at 2"}
    for part in ("comparisons", "sets", "set_comparisons"):
        assert "TI at 2" not in json.dumps(result[part])


def test_what_is_missing_is_said():
    rows, vectors, _ = analyzed(seeds=1, landmarks=5)
    rows[0] = Row("prompt", rows[0].landmark, 0, "Base", {"a": math.inf, "b": 1.0})
    result = analyze(rows[:-1], vectors[:-1], vectors, [BASE, LORA, TI], {"a": HIGHER, "b": HIGHER}, CLIP)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    warnings = result["warnings"]
    assert "TI has 4 of 5 pictures in the task prompt; it is compared on those only." in warnings
    assert "Scores that are no finite number were left out, of: a." in warnings
    assert "With 5 landmarks nothing can be shown about a method in general; draw more of them." in warnings
    assert "There is one seed a landmark: what another seed would have drawn is not in the intervals." in warnings


def test_a_vector_a_row():
    rows, vectors, _ = analyzed()
    with pytest.raises(ValueError, match="47 vectors for 48 rows; give one a row"):
        analyze(rows, vectors[1:], vectors, [BASE, LORA, TI], {"a": HIGHER}, CLIP)


def test_a_method_against_itself_has_the_same_kernel_distance_as_often_as_promised():
    random, trials, alarms = np.random.default_rng(3), 200, 0
    originals = random.normal(size=(92, 16))
    for _ in range(trials):
        rows, vectors = [], []
        for place in range(23):
            landmark = random.normal(size=16)
            for name in ("LoRA", "TI"):
                for seed in range(2):
                    rows.append(Row("prompt", str(place), seed, name, {}))
                    vectors.append(landmark + random.normal(size=16))
        cells = analysis._by_cell(rows, np.array(vectors), {"LoRA", "TI"})
        (one,) = analysis._set_comparisons(cells, [("LoRA", "TI")], originals)
        alarms += one["favors"] is not None
    assert 0 < alarms <= stats.binom.ppf(0.975, trials, 0.05)
