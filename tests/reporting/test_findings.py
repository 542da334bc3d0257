"""Findings in words: no claim beyond p and interval, proxies are named, and inconclusive results are called that."""

import copy

import pytest

from ghibli_studio.plotting import formatting
from ghibli_studio.reporting import findings, training_findings
from ghibli_studio.reporting.findings import classify, image_findings
from tests.support.evaluation_sample import (
    BASE,
    CLIP,
    LORA,
    NO_RISE,
    RISE,
    TI,
    TOO_FEW,
    dynamics_entry,
    result,
    sample_study_result,
    sample_training_cost,
    sample_training_dynamics,
)


def by_question(evaluation):
    return {finding.question: finding for finding in image_findings(evaluation)}


def changed(evaluation, *, metrics=None, **values):
    """Return the result with the comparisons of LoRA and TI (of some metrics) set to these values."""
    evaluation = copy.deepcopy(evaluation)
    for comparison in evaluation["comparisons"]:
        if (comparison["a"], comparison["b"]) == (LORA, TI) and (metrics is None or comparison["metric"] in metrics):
            comparison.update(values)
    return evaluation


DIFFERENCE = {
    "difference": 0.1,
    "interval": [0.05, 0.15],
    "p": 0.001,
    "p_holm": 0.01,
    "verdict": f"{LORA} better",
    "favors": LORA,
}
NO_DIFFERENCE = {
    "difference": 0.02,
    "interval": [-0.05, 0.09],
    "p": 0.5,
    "p_holm": 0.9,
    "favors": None,
    "verdict": "no evidence of a difference",
}
TOO_FEW_LANDMARKS = {
    "difference": 0.1,
    "interval": None,
    "p": 0.5,
    "p_holm": 1.0,
    "favors": None,
    "verdict": "inconclusive: 2 landmarks are too few",
    "landmarks": 2,
}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (DIFFERENCE, "difference"),
        (NO_DIFFERENCE, "no_difference"),
        (TOO_FEW_LANDMARKS, "inconclusive"),
        ({**DIFFERENCE, "interval": [-0.01, 0.2]}, "no_difference"),  # the test and the interval disagree
        ({**DIFFERENCE, "interval": [0.0, 0.2]}, "no_difference"),
        ({**DIFFERENCE, "interval": None}, "no_difference"),
        ({**DIFFERENCE, "p_holm": 0.05}, "no_difference"),
        ({**DIFFERENCE, "p_holm": None}, "no_difference"),
        ({**DIFFERENCE, "difference": -0.1, "interval": [-0.15, -0.05]}, "difference"),
    ],
)
def test_a_difference_needs_p_and_interval(values, kind):
    assert classify(values) == kind


def test_without_an_evaluation_nothing_is_claimed():
    for finding in image_findings(None):
        assert (finding.verdict, finding.answer) == ("inconclusive", "Unknown: no images have been evaluated yet.")


def test_a_clear_difference_holds_for_these_files_only():
    style = by_question(changed(result(), **DIFFERENCE))["style"]
    assert (style.verdict, style.favors) == ("difference", LORA)
    assert style.answer == "LoRA is closer to the style by all 8 comparisons."
    assert style.not_claimed[0] == (
        "That a method is better in general: these are the files of these runs, trained on one dataset."
    )
    assert style.results[0] == (
        f"Style similarity ({CLIP}), txt2img: LoRA is better than Textual Inversion by 0.100 [0.050 to 0.150], "
        "p = .010."
    )
    assert style.certainty[0] == "8 landmarks, 2 images of each by every method from the same noise."


def test_a_lower_is_better_metric_names_the_better_variant():
    values = {**DIFFERENCE, "difference": -0.36, "interval": [-0.41, -0.31]}
    style = by_question(changed(result(), metrics=("style_distance",), **values))["style"]
    assert (
        f"Style distance ({CLIP}), txt2img: LoRA is better than Textual Inversion by 0.360 [0.310 to 0.410], p = .010."
    ) in style.results


def test_some_metrics_favor_one_variant_and_none_the_other():
    evaluation = changed(changed(result(), **NO_DIFFERENCE), metrics=("style_similarity",), **DIFFERENCE)
    style = by_question(evaluation)["style"]
    assert style.answer == (
        "LoRA is closer to the style by 2 of 8 comparisons; the others show no evidence of a difference."
    )
    assert any(
        "no evidence of a difference (LoRA − Textual Inversion: +0.020 [−0.050 to +0.090])" in text
        for text in style.results
    )


def test_metrics_that_disagree_favor_no_variant():
    evaluation = changed(changed(result(), **DIFFERENCE), metrics=("lpips",), **{**DIFFERENCE, "favors": TI})
    style = by_question(evaluation)["style"]
    assert (style.verdict, style.favors) == ("mixed", None)
    assert style.answer == "The comparisons disagree: of 8, 6 favor LoRA and 2 favor Textual Inversion."


def test_no_difference_is_not_equality():
    style = by_question(changed(result(), **NO_DIFFERENCE))["style"]
    assert style.verdict == "no_difference"
    assert style.answer == "No evidence of a difference between LoRA and Textual Inversion."
    assert "That the two are equally good." in style.not_claimed
    assert any("is not evidence of no difference" in text for text in style.certainty)


def test_too_few_landmarks_are_inconclusive_even_for_sets():
    evaluation = changed(result(landmarks=("a", "b"), sweeps=False), **TOO_FEW_LANDMARKS)
    style = by_question(evaluation)["style"]
    assert (style.verdict, style.answer) == ("inconclusive", "Inconclusive: 2 landmarks are too few for any test.")
    assert f"Style similarity ({CLIP}), txt2img: too few landmarks (LoRA − Textual Inversion: +0.100)." in style.results
    assert not any("closer to the originals" in text for text in style.results)
    assert f"LoRA vs. {BASE}: of 8 comparisons, 8 are inconclusive." in style.results


def test_a_set_is_closer_only_if_its_interval_excludes_zero():
    evaluation = result()
    text = next(text for text in by_question(evaluation)["style"].results if text.startswith("As sets"))
    assert text == (
        "As sets, txt2img, LoRA minus Textual Inversion: KD (miniature CLIP), a proxy for KID −0.041 (95 % interval "
        "−0.066 to −0.016): LoRA's set is closer to the originals. This is descriptive, without a test."
    )
    for one in evaluation["set_comparisons"]:
        one["interval"] = [-0.1, 0.01]
    text = next(text for text in by_question(evaluation)["style"].results if text.startswith("As sets"))
    assert "no clear difference" in text


def test_proxies_are_named_where_a_metric_uses_one():
    evaluation = by_question(result())
    for question in ("style", "landmark", "prompt"):
        assert any("miniature CLIP is used as a proxy" in text for text in evaluation[question].not_claimed)
    published = by_question(result(proxy=False))
    assert "miniature CLIP is used" not in " ".join(
        text for finding in published.values() for text in finding.not_claimed
    )


def test_one_seed_is_reported():
    style = by_question(result(seeds=1))["style"]
    assert style.certainty[0] == "8 landmarks, 1 image of each by every method from the same noise."
    assert any("With one seed" in text for text in style.certainty)


def test_a_single_adapter_is_compared_with_the_base_model():
    evaluation = result(sweeps=False)
    evaluation["variants"] = [one for one in evaluation["variants"] if one["name"] != TI]
    evaluation["comparisons"] = [one for one in evaluation["comparisons"] if TI not in (one["a"], one["b"])]
    style = by_question(evaluation)["style"]
    assert style.favors == LORA
    assert "LoRA is better than Base model by" in style.results[0]


def test_a_single_variant_has_no_comparison():
    evaluation = result(sweeps=False)
    evaluation["comparisons"] = []
    assert by_question(evaluation)["style"].answer == (
        "Unknown: there was nothing to compare. Choose at least two variants."
    )


def test_many_pairs_are_counted():
    evaluation = result(sweeps=False)
    extra = [
        {**one, "a": f"{LORA} {number}"}
        for number in range(4)
        for one in evaluation["comparisons"]
        if (one["a"], one["b"]) == (LORA, TI)
    ]
    evaluation["comparisons"] += extra
    evaluation["variants"] += [{**evaluation["variants"][1], "name": f"{LORA} {number}"} for number in range(4)]
    landmark = by_question(evaluation)["landmark"]
    assert "The table of all comparisons lists 2 more pairs." in landmark.results


# findings about training


def test_faster_in_every_run_is_a_difference():
    finding = training_findings.training_cost_finding(sample_training_cost(seeds=4))
    assert (finding.verdict, finding.favors) == ("difference", "LoRA")
    assert finding.answer == ("LoRA reached the common validation loss sooner than Textual Inversion in every run.")
    assert training_findings.training_cost_finding(sample_training_cost(seeds=2)).results[0] == (
        "LoRA reached a validation loss of 0.0512 after 37 s to 42 s (120 to 128 steps); it took 0.31 s to 0.32 s per "
        "step and 2 min 22 s to 2 min 23 s in total; it trains 797,184 parameters in a file of 3.21 MB; it needed "
        "812 MB of memory."
    )
    assert "Energy is not known for every run: not every device reports it." in finding.not_claimed


FEW_RUNS = [(1, "one run of each is"), (2, "2 and 2 runs are"), (3, "3 and 3 runs are")]


@pytest.mark.parametrize(("seeds", "few"), FEW_RUNS)
def test_few_runs_claim_nothing(seeds, few):
    """Even three runs vs. three are separated by chance alone one time in ten."""
    finding = training_findings.training_cost_finding(sample_training_cost(seeds=seeds))
    assert (finding.verdict, finding.favors) == ("inconclusive", None)
    assert finding.answer.endswith(f"here, but {few} too few for a claim.")


def changed_cost(**values):
    cost = sample_training_cost()
    cost["runs"][2].update(values)
    return cost


@pytest.mark.parametrize(
    ("cost", "verdict", "answer"),
    [
        (
            changed_cost(seconds_to_target=40.0),
            "no_difference",
            "No method was faster in all of its runs: their times overlap.",
        ),
        (
            changed_cost(seconds_to_target=None, steps_to_target=None),
            "inconclusive",
            "Inconclusive: not every run reached a common validation loss.",
        ),
        (
            sample_training_cost(machines=({"device": "cpu"}, {"device": "cuda"})),
            "inconclusive",
            "Inconclusive: the runs were made on different machines or precisions.",
        ),
        (
            changed_cost(seconds_to_target=0.0, steps_to_target=0.0),
            "inconclusive",
            "Inconclusive: at least one run starts at the common validation loss.",
        ),
        (
            sample_training_cost(methods=("ti",)),
            "inconclusive",
            "There is nothing to compare: only Textual Inversion has been trained.",
        ),
        (None, "inconclusive", "Unknown: no run has finished an epoch yet."),
        ({**sample_training_cost(), "runs": []}, "inconclusive", "Unknown: no run has finished an epoch yet."),
    ],
)
def test_speed_is_not_claimed_without_evidence(cost, verdict, answer):
    finding = training_findings.training_cost_finding(cost)
    assert (finding.verdict, finding.answer, finding.favors) == (verdict, answer, None)


def test_overfitting_needs_an_interval_above_zero():
    finding = training_findings.overfitting_finding(sample_training_dynamics())
    assert finding.answer == "Textual Inversion overfits from epoch 8; no evidence of overfitting for LoRA."
    assert finding.results == (
        "LoRA: the best epoch is between 6 and 10 of 10; the lowest loss was in epoch 8. From there to the last "
        "epoch the loss on other landmarks changes by +0.0001 [−0.0003 to +0.0005]: no evidence of a rise.",
        "Textual Inversion: the best epoch is between 7 and 8 of 10; the lowest loss was in epoch 8. From there to "
        "the last epoch the loss on other landmarks changes by +0.0026 [+0.0011 to +0.0041]: it rises.",
    )


@pytest.mark.parametrize(
    ("rise", "answer"),
    [
        ({**RISE, "interval": [-0.0001, 0.005]}, "No evidence of overfitting for Textual Inversion."),
        ({**RISE, "p": 0.05}, "No evidence of overfitting for Textual Inversion."),
        ({**RISE, "epoch": None}, "No evidence of overfitting for Textual Inversion."),
        (NO_RISE, "No evidence of overfitting for Textual Inversion."),
        (TOO_FEW, "Inconclusive for Textual Inversion."),
        (RISE, "Textual Inversion overfits from epoch 8."),
    ],
)
def test_overfitting_is_claimed_only_with_full_evidence(rise, answer):
    entry = dynamics_entry("ti", [0.07, 0.05], None, None, 16, {"epoch": 1, "interval": None, "share": None}, rise)
    assert training_findings.overfitting_finding([entry]).answer == answer


def test_an_uncertain_best_epoch_is_reported():
    best = {"epoch": 3, "interval": None, "share": None}
    entry = dynamics_entry("ti", [0.07] * 6, None, None, 16, best, TOO_FEW)
    assert training_findings.overfitting_finding([entry]).results == (
        "Textual Inversion: the lowest validation loss was in epoch 3 of 5, with unknown certainty. Whether the loss "
        "rises after it is inconclusive: 4 validation landmarks, but the minimum is 6.",
    )


def test_a_missing_study_is_reported():
    assert training_findings.participants_finding(None).answer == "Unknown: there is no closed study."


def test_the_studys_own_sentences_are_kept():
    study = sample_study_result()
    finding = training_findings.participants_finding(study)
    assert finding.verdict == "difference"
    assert finding.answer.split(". ")[0] == (
        "Participants would buy LoRA images as artwork more often than Textual Inversion images"
    )
    assert [text.split(": ", 1)[1] for text in finding.results] == [finding["claim"] for finding in study["findings"]]
    assert [text.split(": ", 1)[1] for text in finding.not_claimed] == [
        finding["not_claimed"] for finding in study["findings"]
    ]


def test_simulated_answers_are_reported():
    study = sample_study_result()
    study["values"]["simulated"] = True
    finding = training_findings.participants_finding(study)
    assert (finding.verdict, finding.answer) == ("inconclusive", "Unknown: all answers of this study are simulated.")


def test_limitations_name_what_is_missing():
    finding = training_findings.limitations_finding({"evaluation": None, "study": None})
    assert finding.results == (
        "No images have been evaluated; evaluate them in the Evaluate tab.",
        "There is no closed study, so the report does not show what people see.",
    )
    full = training_findings.limitations_finding({"evaluation": result(), "study": sample_study_result()})
    assert full.results == tuple(result()["warnings"])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (formatting.duration(7512), "2 h 5 min"),
        (formatting.size(640), "640 B"),
        (formatting.size(4336), "4.34 KB"),
        (formatting.size(999_600), "1 MB"),
        (formatting.size(812e6), "812 MB"),
        (formatting.size(3.21e9), "3.21 GB"),
        (formatting.join_words([]), ""),
        (formatting.join_words(["a"]), "a"),
        (formatting.join_words("abc"), "a, b and c"),
        (formatting.signed(-0.0001, 3), "0.000"),
        (formatting.signed(-0.12, 2), "−0.12"),
        (formatting.signed(0.5, 1), "+0.5"),
        (formatting.p_value(0.0004), "p < .001"),
        (formatting.p_value(0.031), "p = .031"),
        (formatting.p_value(1.0), "p = 1.000"),
    ],
)
def test_numbers_are_formatted_for_reading(call, text):
    assert call == text


def test_how_to_read_names_the_unit():
    assert "The unit of every test is the landmark." in findings.HOW_TO_READ
