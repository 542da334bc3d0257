"""What may be claimed of made-up results, sentence by sentence, and what lies near but may not."""

import pytest

from study.analysis.findings import Finding, findings, page, verdict
from study.analysis.paper import paper_counts
from study.analysis.preregistered import analyze
from tests.support.study_answers import board, catch, person, study


def crowd(count=12, **answers):
    """People who all answer the same."""
    return [one for number in range(count) for one in person(f"p{number:02}", **answers)]


def told(rows, **values):
    return {finding.question: finding for finding in findings(analyze(study(**values), rows))}


SPREAD = ["lllll", "llllt", "llltt", "lllll", "llllt", "llllt", "lllll", "llltt", "lllll", "lltt ", "llttt", "lllll"]
CHANCE = ["lllll", "ttttt", "llltt", "lltt ", "ltttt", "llltt", "ltttt", "lllt ", "lttt ", "lltt ", "llltt", "llttt"]


def twelve(question, letters, **more):
    return [one for number, given in enumerate(letters) for one in person(f"p{number:02}", **{question: given}, **more)]


def test_a_difference_may_be_claimed_of_these_pictures_only():
    assert told(twelve("style", SPREAD))["style"] == Finding(
        "style",
        "lora",
        "People call LoRA pictures closer in style to the originals more often than Textual Inversion pictures: "
        "LoRA 79%, Textual Inversion 21% of a person's answers, difference +58 points (95% interval +33 to +80), "
        "p = .012 after Holm, 12 people.",
        "That LoRA is better in general: only these pictures of these five landmarks were shown; that everybody thinks "
        "so: 1 of 12 leaned the other way; that the style was learned well: only the two methods were compared.",
    )


def test_the_other_method_may_be_ahead():
    swapped = [letters.translate(str.maketrans("lt", "tl")) for letters in SPREAD]
    finding = told(twelve("landmark", swapped))["landmark"]
    assert finding.verdict == "ti"
    assert finding.may.startswith(
        "People recognize the landmark in Textual Inversion pictures more often than in LoRA pictures: LoRA 21%, "
        "Textual Inversion 79% of a person's answers, difference -58 points"
    )
    assert "that the landmarks are well preserved" in finding.may_not


def test_what_was_not_found_is_not_shown_to_be_absent():
    finding = told(twelve("buy", CHANCE))["buy"]
    assert finding.verdict == "none"
    assert finding.may.startswith("No difference between LoRA and Textual Inversion was found: LoRA 47%, ")
    assert finding.may_not == (
        "That the two are equally good: what was not found is not shown to be absent (so many people find 70:30 with a "
        "chance of 9%)."
    )


NOTHING = "That there is a difference, or that there is none."


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "Nothing: nobody answered this question."),
        (person("a", buy="oo---"), "Nothing: none of 1 person preferred one of the two methods."),
        (crowd(9, buy="olt--"), "Nothing: none of 9 people preferred one of the two methods."),
        (
            crowd(2, buy="lllll"),
            "Nothing: only 2 people preferred one of the two methods, and even if all were of one mind the smallest p "
            "would be .500.",
        ),
        (
            crowd(5, buy="lllll") + person("x", buy="olt--"),
            "Nothing: only 5 people preferred one of the two methods, and even if all were of one mind the smallest p "
            "would be .062.",
        ),
    ],
)
def test_where_nothing_can_be_said_it_is_said_why(rows, sentence):
    assert told(rows)["buy"] == Finding("buy", "unsaid", sentence, NOTHING)


def test_a_result_that_hangs_on_the_excluded_is_no_result():
    rows = crowd(12, style="lllll") + [catch(f"p{number:02}", 40, False) for number in range(9)]
    finding = told(rows)["style"]
    assert finding == Finding(
        "style",
        "depends",
        "The result depends on 9 excluded people: with everybody LoRA 100%, Textual Inversion 0% of a person's "
        "answers, difference +100 points (no interval: too few people, or all alike), p = .001 after Holm, 12 people; "
        "without them LoRA 100%, Textual Inversion 0% of a person's answers, difference +100 points (no interval: too "
        "few people, or all alike), p = .750 after Holm, 3 people.",
        "That one method is ahead, or that there is no difference: a result has to stand both ways.",
    )


def test_a_result_of_which_all_were_excluded_is_told_without_numbers():
    rows = crowd(8, style="lllll") + [catch(f"p{number:02}", 40, False) for number in range(8)]
    finding = told(rows)["style"]
    assert finding.verdict == "depends"
    assert finding.may.endswith("8 people; without them nobody preferred one of the two.")


@pytest.mark.parametrize(
    ("guesses", "kind", "sentence"),
    [
        (["uuuuu"] * 12, "unsaid", "Nothing: 0 people leaned to right or wrong guesses, too few for a test."),
        (
            ["llltt", "ltltt"] * 6,
            "none",
            "Nothing shows that people knew which picture was LoRA's: of the guesses that named a picture 50% were "
            "right (95% interval 45% to 55%), chance is 50%, p = 1.000, 12 people.",
        ),
        (
            ["lllll", "lluu "] * 6,
            "told",
            "People knew which picture was LoRA's more often than by chance: of the guesses that named a picture 100% "
            "were right (no interval: too few people, or all alike), chance is 50%, p < .001, 12 people.",
        ),
        (
            ["ttttt", "ttttl"] * 6,
            "told",
            "People told the methods apart, but took one for the other, more often than by chance: of the guesses that "
            "named a picture 10% were right (95% interval 5% to 15%), chance is 50%, p < .001, 12 people.",
        ),
    ],
)
def test_how_blind_it_was(guesses, kind, sentence):
    rows = [one for number, guess in enumerate(guesses) for one in person(f"p{number:02}", style="lllll", guess=guess)]
    found = told(rows)
    assert found["guess"].verdict == kind
    assert found["guess"].may == sentence
    assert ("that nobody knew which picture was whose" in found["style"].may_not) == (kind == "told")


def test_the_verdict_follows_holm_and_not_the_single_p():
    question = {"p": 0.03, "p_holm": 0.06, "smallest_p": 0.001, "lora_minus_ti": {"mean": 0.4}}
    assert verdict(question, 0.05) == "none"
    assert verdict({**question, "p_holm": 0.05}, 0.05) == "lora"
    assert verdict({**question, "p_holm": 0.05, "lora_minus_ti": {"mean": -0.4}}, 0.05) == "ti"
    assert verdict({**question, "smallest_p": 0.25}, 0.05) == "unsaid"
    assert verdict({**question, "p": None, "p_holm": None, "smallest_p": None}, 0.05) == "unsaid"


def test_of_the_published_study_less_may_be_claimed_than_was():
    buy, landmark, style = findings(paper_counts())
    assert [finding.verdict for finding in (buy, landmark, style)] == ["lora", "lora", "lora"]
    assert landmark == Finding(
        "landmark",
        "lora",
        "People name a LoRA picture as the best preserved landmark more often than a Textual Inversion picture: LoRA "
        "20 of the 25 who chose either (95% interval 59% to 93%), p = .004 after Holm, 50 asked.",
        "That LoRA is better in general: only these pictures of these five landmarks were shown; that everybody thinks "
        "so: 5 of the 25 chose Textual Inversion; that more people chose LoRA than neither: 20 against 25, p = .551; "
        "that the landmarks are well preserved: only the two methods were compared.",
    )
    assert style.may.endswith(
        "LoRA 40 of the 50 who chose either (95% interval 66% to 90%), p < .001 after Holm, 50 asked."
    )
    assert "neither" not in buy.may_not, "45 against 5 is more than neither"
    assert "everybody" not in buy.may_not, "nobody chose the other"


def test_boards_are_told_in_people():
    rows = [one for number in range(9) for one in board(f"p{number}", buy="l", landmark="-", style="t")]
    found = told(rows, instrument="paper")
    assert found["buy"].may.startswith("People would buy LoRA pictures as artwork more often than Textual Inversion")
    assert found["landmark"].may == "Nothing: none of 9 people preferred one of the two methods."
    assert found["style"].may.endswith(
        "LoRA 0 of the 9 who chose either (95% interval 0% to 34%), p = .012 after Holm, 9 asked."
    )


def test_the_page_says_it_all():
    rows = twelve("buy", [letters.replace("ll", "lo", 1) for letters in SPREAD], guess="lltuu")
    rows += [catch("p03", 40, False), catch("p03", 41, False)]
    text = page(analyze(study(), rows))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# What may be said",
        "## Would be bought as artwork",
        "## Landmark recognized",
        "## Closer in style",
        "## How blind it was",
        "## Who was left out",
        "## How to read it",
    ]
    assert text.count("**May be claimed:**") == text.count("**May not be claimed:**") == 4
    assert "1 of 12, by rules fixed before the first answer." in text
    assert "- p03: 2 of 2 questions with a known answer wrong; 0 may be\n" in text
    assert "Beside it, LoRA minus the original: +" in text
    assert "Beside it, Textual Inversion minus the original: +0 points (95% interval " in text
    assert "None" not in text
    assert "nan" not in text


def test_a_page_of_nobody_and_of_counts_alone():
    assert "Nobody: the rules that were fixed before the first answer exclude no one." in page(analyze(study(), []))
    text = page(paper_counts())
    assert "How blind it was" not in text
    assert "minus the original" not in text
