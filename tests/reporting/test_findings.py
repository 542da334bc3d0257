"""Findings in words: never more than p and interval carry, stand-ins named, what cannot be said said to be so."""

import copy

import pytest

from ghibli_studio.plotting import formatting
from ghibli_studio.reporting import findings, training_findings
from ghibli_studio.reporting.findings import of_pictures, standing
from tests.support.evaluation_sample import (
    BASE,
    CLIP,
    LORA,
    NO_RISE,
    RISE,
    TI,
    TOO_FEW,
    dynamics,
    efficiency,
    learned,
    result,
    study_outcome,
)


def by_question(told):
    return {one.question: one for one in of_pictures(told)}


def changed(told, *, metrics=None, **values):
    """The result with the comparisons of LoRA and TI (of some measures) set to these values."""
    told = copy.deepcopy(told)
    for one in told["comparisons"]:
        if (one["a"], one["b"]) == (LORA, TI) and (metrics is None or one["metric"] in metrics):
            one.update(values)
    return told


BETTER = {
    "difference": 0.1,
    "interval": [0.05, 0.15],
    "p": 0.001,
    "p_holm": 0.01,
    "verdict": f"{LORA} better",
    "favors": LORA,
}
NONE = {
    "difference": 0.02,
    "interval": [-0.05, 0.09],
    "p": 0.5,
    "p_holm": 0.9,
    "favors": None,
    "verdict": "no evidence of a difference",
}
UNSAID = {
    "difference": 0.1,
    "interval": None,
    "p": 0.5,
    "p_holm": 1.0,
    "favors": None,
    "verdict": "cannot be said: 2 landmarks are too few",
    "landmarks": 2,
}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (BETTER, "better"),
        (NONE, "none"),
        (UNSAID, "unsaid"),
        ({**BETTER, "interval": [-0.01, 0.2]}, "none"),  # the test and the interval disagree
        ({**BETTER, "interval": [0.0, 0.2]}, "none"),
        ({**BETTER, "interval": None}, "none"),
        ({**BETTER, "p_holm": 0.05}, "none"),
        ({**BETTER, "p_holm": None}, "none"),
        ({**BETTER, "difference": -0.1, "interval": [-0.15, -0.05]}, "better"),
    ],
)
def test_a_difference_needs_p_and_interval(values, kind):
    assert standing(values) == kind


def test_without_an_evaluation_nothing_is_said():
    for one in of_pictures(None):
        assert (one.verdict, one.answer) == ("unsaid", "Nothing can be said: no pictures have been evaluated yet.")


def test_all_measures_for_one_is_a_difference_of_these_files_only():
    style = by_question(changed(result(), **BETTER))["style"]
    assert (style.verdict, style.ahead) == ("better", LORA)
    assert style.answer == "LoRA is nearer to the style by all 8 measurements."
    assert style.not_shown[0] == (
        "That a method is better in general: these are the files of these runs, trained on one data set."
    )
    assert style.found[0] == (
        f"Style similarity ({CLIP}), from the prompt: LoRA ahead of Textual Inversion by 0.100 [0.050 to 0.150], "
        "p = .010."
    )
    assert style.sure[0] == "8 landmarks, 2 pictures of each by every method from the same noise."


def test_a_lower_measure_tells_who_is_ahead_and_by_how_much():
    values = {**BETTER, "difference": -0.36, "interval": [-0.41, -0.31]}
    style = by_question(changed(result(), metrics=("style_distance",), **values))["style"]
    assert (
        f"Style distance ({CLIP}), from the prompt: LoRA ahead of Textual Inversion by 0.360 [0.310 to 0.410], "
        "p = .010."
    ) in style.found


def test_some_measures_for_one_and_none_for_the_other():
    told = changed(changed(result(), **NONE), metrics=("style_similarity",), **BETTER)
    style = by_question(told)["style"]
    assert style.answer == (
        "LoRA is nearer to the style by 2 of 8 measurements; for the others no difference was found."
    )
    assert any(
        "no evidence of a difference (LoRA − Textual Inversion: +0.020 [−0.050 to +0.090])" in text
        for text in style.found
    )


def test_measures_that_disagree_name_nobody():
    told = changed(changed(result(), **BETTER), metrics=("lpips",), **{**BETTER, "favors": TI})
    style = by_question(told)["style"]
    assert (style.verdict, style.ahead) == ("mixed", None)
    assert style.answer == "The measurements disagree: of 8, 6 favor LoRA and 2 favor Textual Inversion."


def test_no_difference_is_not_equality():
    style = by_question(changed(result(), **NONE))["style"]
    assert style.verdict == "none"
    assert style.answer == "No evidence of a difference between LoRA and Textual Inversion was found."
    assert "That the two are equally good." in style.not_shown
    assert any("not shown to be absent" in text for text in style.sure)


def test_too_few_landmarks_say_nothing_even_of_whole_sets():
    told = changed(result(landmarks=("a", "b"), sweeps=False), **UNSAID)
    style = by_question(told)["style"]
    assert (style.verdict, style.answer) == ("unsaid", "This cannot be said: no test can tell from 2 landmarks.")
    assert (
        f"Style similarity ({CLIP}), from the prompt: too few landmarks to say (LoRA − Textual Inversion: +0.100)."
        in style.found
    )
    assert not any("nearer to the originals" in text for text in style.found)
    assert f"LoRA against {BASE}, 8 measurements: 8 that cannot be said." in style.found


def test_a_whole_set_is_nearer_only_where_its_interval_leaves_out_zero():
    told = result()
    text = next(text for text in by_question(told)["style"].found if text.startswith("As whole sets"))
    assert text == (
        "As whole sets, drawn from the prompt, LoRA minus Textual Inversion: KD (miniature CLIP), a "
        "stand-in for KID −0.041 (95 % interval −0.066 to −0.016): LoRA's set is nearer to the originals. "
        "Described, not tested."
    )
    for one in told["set_comparisons"]:
        one["interval"] = [-0.1, 0.01]
    text = next(text for text in by_question(told)["style"].found if text.startswith("As whole sets"))
    assert "no clear difference" in text


def test_stand_ins_are_named_where_a_measure_rests_on_one():
    told = by_question(result())
    for question in ("style", "landmark", "prompt"):
        assert any("miniature CLIP took their place" in text for text in told[question].not_shown)
    true = by_question(result(stand_in=False))
    assert "miniature CLIP took" not in " ".join(text for one in true.values() for text in one.not_shown)


def test_with_one_seed_luck_and_landmark_are_one():
    style = by_question(result(seeds=1))["style"]
    assert style.sure[0] == "8 landmarks, one picture of each by every method from the same noise."
    assert any("With one seed" in text for text in style.sure)


def test_the_base_model_takes_the_place_of_a_missing_adapter():
    told = result(sweeps=False)
    told["variants"] = [one for one in told["variants"] if one["name"] != TI]
    told["comparisons"] = [one for one in told["comparisons"] if TI not in (one["a"], one["b"])]
    style = by_question(told)["style"]
    assert style.ahead == LORA
    assert "LoRA ahead of Base model by" in style.found[0]


def test_a_single_variant_has_nothing_to_be_compared_with():
    told = result(sweeps=False)
    told["comparisons"] = []
    assert by_question(told)["style"].answer == (
        "Nothing can be said: there was nothing to compare. Choose two or more to compare."
    )


def test_many_pairs_are_counted():
    told = result(sweeps=False)
    extra = [
        {**one, "a": f"{LORA} {turn}"}
        for turn in range(4)
        for one in told["comparisons"]
        if (one["a"], one["b"]) == (LORA, TI)
    ]
    told["comparisons"] += extra
    told["variants"] += [{**told["variants"][1], "name": f"{LORA} {turn}"} for turn in range(4)]
    landmark = by_question(told)["landmark"]
    assert "2 more pairs are in the table of all comparisons." in landmark.found


# what trainings say


def test_sooner_in_every_run_is_a_difference():
    one = training_findings.speed(efficiency(seeds=4))
    assert (one.verdict, one.ahead) == ("better", "LoRA")
    assert one.answer == (
        "LoRA reached the common validation loss sooner than Textual Inversion in every one of its runs."
    )
    assert training_findings.speed(efficiency(seeds=2)).found[0] == (
        "LoRA reached a validation loss of 0.0512 after 37 s to 42 s (120 to 128 steps); it took 0.31 s to 0.32 s a "
        "step and 2 min 22 s to 2 min 23 s in all; it trains 797,184 numbers, a file of 3.21 MB; it needed 812 MB of "
        "memory."
    )
    assert "Energy is not known of every run: not every device tells it." in one.not_shown


FEW_RUNS = [(1, "one run of each is"), (2, "2 and 2 runs are"), (3, "3 and 3 runs are")]


@pytest.mark.parametrize(("seeds", "told"), FEW_RUNS)
def test_few_runs_claim_nothing(seeds, told):
    """Even three against three are parted so neatly by luck alone one time in ten."""
    one = training_findings.speed(efficiency(seeds=seeds))
    assert (one.verdict, one.ahead) == ("unsaid", None)
    assert one.answer.endswith(f"here, but {told} too few to count on it.")


def spoilt(**values):
    told = efficiency()
    told["runs"][2].update(values)
    return told


@pytest.mark.parametrize(
    ("told", "verdict", "answer"),
    [
        (spoilt(seconds_to_target=40.0), "none", "No method was sooner in all of its runs: their times overlap."),
        (
            spoilt(seconds_to_target=None, steps_to_target=None),
            "unsaid",
            "This cannot be said: not every run reached a common validation loss.",
        ),
        (
            efficiency(machines=({"device": "cpu"}, {"device": "cuda"})),
            "unsaid",
            "This cannot be said: the runs were made on different machines or precisions.",
        ),
        (
            spoilt(seconds_to_target=0.0, steps_to_target=0.0),
            "unsaid",
            "This cannot be said: the loss that every run reaches needs no training of some.",
        ),
        (efficiency(methods=("ti",)), "unsaid", "Nothing can be compared: only Textual Inversion has been trained."),
        (None, "unsaid", "Nothing can be said: no run has finished an epoch yet."),
        ({**efficiency(), "runs": []}, "unsaid", "Nothing can be said: no run has finished an epoch yet."),
    ],
)
def test_who_is_sooner_is_not_said_where_it_cannot(told, verdict, answer):
    one = training_findings.speed(told)
    assert (one.verdict, one.answer, one.ahead) == (verdict, answer, None)


def test_over_fitting_needs_an_interval_above_zero():
    one = training_findings.overfitting(dynamics())
    assert one.answer == "Textual Inversion over-fits from epoch 8; no evidence of over-fitting for LoRA."
    assert one.found == (
        "LoRA: the best epoch lies between 6 and 10 of 10; the lowest loss was in epoch 8. From there to the last "
        "epoch the loss on other landmarks changes by +0.0001 [−0.0003 to +0.0005]: no evidence of a rise.",
        "Textual Inversion: the best epoch lies between 7 and 8 of 10; the lowest loss was in epoch 8. From there to "
        "the last epoch the loss on other landmarks changes by +0.0026 [+0.0011 to +0.0041]: it rises.",
    )


@pytest.mark.parametrize(
    ("rise", "answer"),
    [
        ({**RISE, "interval": [-0.0001, 0.005]}, "No evidence of over-fitting for Textual Inversion."),
        ({**RISE, "p": 0.05}, "No evidence of over-fitting for Textual Inversion."),
        ({**RISE, "epoch": None}, "No evidence of over-fitting for Textual Inversion."),
        (NO_RISE, "No evidence of over-fitting for Textual Inversion."),
        (TOO_FEW, "For Textual Inversion it cannot be said."),
        (RISE, "Textual Inversion over-fits from epoch 8."),
    ],
)
def test_over_fitting_is_claimed_only_where_everything_carries_it(rise, answer):
    told = learned("ti", [0.07, 0.05], None, None, 16, {"epoch": 1, "interval": None, "share": None}, rise)
    assert training_findings.overfitting([told]).answer == answer


def test_a_best_epoch_that_is_not_sure_is_not_named_as_such():
    best = {"epoch": 3, "interval": None, "share": None}
    told = learned("ti", [0.07] * 6, None, None, 16, best, TOO_FEW)
    assert training_findings.overfitting([told]).found == (
        "Textual Inversion: the lowest validation loss was in epoch 3 of 5; how sure that is cannot be said. Whether "
        "the loss rises after it cannot be said: 4 validation landmarks, 6 are the least.",
    )


def test_without_a_study_nobody_was_asked():
    assert training_findings.people(None).answer == "Nobody has been asked: there is no closed study."


def test_a_studys_own_words_are_kept():
    study = study_outcome()
    one = training_findings.people(study)
    assert one.verdict == "better"
    assert one.answer.split(". ")[0] == (
        "People would buy LoRA pictures as artwork more often than Textual Inversion pictures"
    )
    assert [text.split(": ", 1)[1] for text in one.found] == [told["may"] for told in study["findings"]]
    assert [text.split(": ", 1)[1] for text in one.not_shown] == [told["may_not"] for told in study["findings"]]


def test_invented_answers_are_no_peoples():
    study = study_outcome()
    study["values"]["simulated"] = True
    one = training_findings.people(study)
    assert (one.verdict, one.answer) == ("unsaid", "Nobody has been asked: all answers of this study are simulated.")


def test_limits_name_what_is_missing():
    told = training_findings.limits({"evaluation": None, "study": None})
    assert told.found == (
        "No pictures have been evaluated; do it in the Evaluate tab.",
        "No closed study: what people see is not in here.",
    )
    full = training_findings.limits({"evaluation": result(), "study": study_outcome()})
    assert full.found == tuple(result()["warnings"])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (formatting.duration(7512), "2 h 5 min"),
        (formatting.size(640), "640 B"),
        (formatting.size(4336), "4.34 KB"),
        (formatting.size(999_600), "1 MB"),
        (formatting.size(812e6), "812 MB"),
        (formatting.size(3.21e9), "3.21 GB"),
        (formatting.listed([]), ""),
        (formatting.listed(["a"]), "a"),
        (formatting.listed("abc"), "a, b and c"),
        (formatting.signed(-0.0001, 3), "0.000"),
        (formatting.signed(-0.12, 2), "−0.12"),
        (formatting.signed(0.5, 1), "+0.5"),
        (formatting.p_value(0.0004), "p < .001"),
        (formatting.p_value(0.031), "p = .031"),
        (formatting.p_value(1.0), "p = 1.000"),
    ],
)
def test_numbers_are_written_as_people_read_them(call, text):
    assert call == text


def test_how_to_read_names_the_unit():
    assert "The unit of every test is the landmark." in findings.HOW_TO_READ
