"""What may be claimed from invented answers, sentence by sentence, and what may not."""

import pytest

from study.analysis.findings import Finding, findings, to_markdown, verdict
from study.analysis.paper import paper_counts
from study.analysis.preregistered import analyze
from tests.support.study_answers import attention_check, board_rows, participant_rows, study_definition


def crowd(count=12, **answers):
    """Participants who all answer the same."""
    return [row for number in range(count) for row in participant_rows(f"p{number:02}", **answers)]


def findings_of(rows, **values):
    return {finding.question: finding for finding in findings(analyze(study_definition(**values), rows))}


SPREAD = ["lllll", "llllt", "llltt", "lllll", "llllt", "llllt", "lllll", "llltt", "lllll", "lltt ", "llttt", "lllll"]
CHANCE = ["lllll", "ttttt", "llltt", "lltt ", "ltttt", "llltt", "ltttt", "lllt ", "lttt ", "lltt ", "llltt", "llttt"]


def twelve(question, letters, **more):
    return [
        row
        for number, given in enumerate(letters)
        for row in participant_rows(f"p{number:02}", **{question: given}, **more)
    ]


def test_a_difference_is_claimed_for_these_images_only():
    assert findings_of(twelve("style", SPREAD))["style"] == Finding(
        "style",
        "lora",
        "Participants call LoRA images closer in style to the originals more often than Textual Inversion images: "
        "LoRA 79%, Textual Inversion 21% of a participant's answers, difference +58 points (95% interval +33 to +80), "
        "p = .012 after Holm's correction, 12 participants.",
        "That LoRA is better in general: only these images of these five landmarks were shown; that everybody thinks "
        "so: 1 of 12 leaned the other way; that the style was learned well: only the two methods were compared.",
    )


def test_textual_inversion_can_be_ahead():
    swapped = [letters.translate(str.maketrans("lt", "tl")) for letters in SPREAD]
    finding = findings_of(twelve("landmark", swapped))["landmark"]
    assert finding.verdict == "ti"
    assert finding.claim.startswith(
        "Participants recognize the landmark in Textual Inversion images more often than in LoRA images: LoRA 21%, "
        "Textual Inversion 79% of a participant's answers, difference -58 points"
    )
    assert "that the landmarks are well preserved" in finding.not_claimed


def test_no_evidence_of_a_difference_is_not_evidence_of_none():
    finding = findings_of(twelve("buy", CHANCE))["buy"]
    assert finding.verdict == "no_difference"
    assert finding.claim.startswith("No difference between LoRA and Textual Inversion was found: LoRA 47%, ")
    assert finding.not_claimed == (
        "That the two are equally good: no evidence of a difference is not evidence of none (the power to find 70:30 "
        "with this many participants is 9%)."
    )


NOTHING = "That there is a difference, or that there is none."


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "Nothing: nobody answered this question."),
        (participant_rows("a", buy="oo---"), "Nothing: none of 1 participant preferred either method."),
        (crowd(9, buy="olt--"), "Nothing: none of 9 participants preferred either method."),
        (
            crowd(2, buy="lllll"),
            "Nothing: only 2 participants preferred one of the two methods; even if all agreed, the smallest "
            "possible p would be .500.",
        ),
        (
            crowd(5, buy="lllll") + participant_rows("x", buy="olt--"),
            "Nothing: only 5 participants preferred one of the two methods; even if all agreed, the smallest "
            "possible p would be .062.",
        ),
    ],
)
def test_an_inconclusive_finding_says_why(rows, sentence):
    assert findings_of(rows)["buy"] == Finding("buy", "inconclusive", sentence, NOTHING)


def test_a_result_that_depends_on_the_exclusions_is_not_claimed():
    rows = crowd(12, style="lllll") + [attention_check(f"p{number:02}", 40, False) for number in range(9)]
    finding = findings_of(rows)["style"]
    assert finding == Finding(
        "style",
        "depends_on_exclusions",
        "The result depends on 9 excluded participants: with all participants LoRA 100%, Textual Inversion 0% of a "
        "participant's answers, difference +100 points (no interval: too few participants, or all alike), p = .001 "
        "after Holm's correction, 12 participants; after the exclusions LoRA 100%, Textual Inversion 0% of a "
        "participant's answers, difference +100 points (no interval: too few participants, or all alike), p = .750 "
        "after Holm's correction, 3 participants.",
        "That one method is ahead, or that there is no difference: a result has to hold both ways.",
    )


def test_a_result_without_any_remaining_participant_has_no_numbers():
    rows = crowd(8, style="lllll") + [attention_check(f"p{number:02}", 40, False) for number in range(8)]
    finding = findings_of(rows)["style"]
    assert finding.verdict == "depends_on_exclusions"
    assert finding.claim.endswith("8 participants; after the exclusions nobody preferred one of the two.")


@pytest.mark.parametrize(
    ("guesses", "kind", "sentence"),
    [
        (
            ["uuuuu"] * 12,
            "inconclusive",
            "Nothing: 0 participants guessed more right or more wrong, too few for a test.",
        ),
        (
            ["llltt", "ltltt"] * 6,
            "no_difference",
            "No evidence that participants knew which image was LoRA's: of the guesses that named an image 50% were "
            "correct (95% interval 45% to 55%), chance is 50%, p = 1.000, 12 participants.",
        ),
        (
            ["lllll", "lluu "] * 6,
            "unblinded",
            "Participants knew which image was LoRA's more often than by chance: of the guesses that named an image "
            "100% were correct (no interval: too few participants, or all alike), chance is 50%, p < .001, "
            "12 participants.",
        ),
        (
            ["ttttt", "ttttl"] * 6,
            "unblinded",
            "Participants told the methods apart, but mistook one for the other, more often than by chance: of the "
            "guesses that named an image 10% were correct (95% interval 5% to 15%), chance is 50%, p < .001, "
            "12 participants.",
        ),
    ],
)
def test_the_blinding_check_has_a_finding(guesses, kind, sentence):
    rows = [
        row
        for number, letters in enumerate(guesses)
        for row in participant_rows(f"p{number:02}", style="lllll", blinding_check=letters)
    ]
    found = findings_of(rows)
    assert found["blinding_check"].verdict == kind
    assert found["blinding_check"].claim == sentence
    assert ("that participants were blind to the method" in found["style"].not_claimed) == (kind == "unblinded")


def test_the_verdict_follows_holm_and_not_the_single_p():
    question = {"p": 0.03, "p_holm": 0.06, "min_attainable_p": 0.001, "lora_minus_ti": {"mean": 0.4}}
    assert verdict(question, 0.05) == "no_difference"
    assert verdict({**question, "p_holm": 0.05}, 0.05) == "lora"
    assert verdict({**question, "p_holm": 0.05, "lora_minus_ti": {"mean": -0.4}}, 0.05) == "ti"
    assert verdict({**question, "min_attainable_p": 0.25}, 0.05) == "inconclusive"
    assert verdict({**question, "p": None, "p_holm": None, "min_attainable_p": None}, 0.05) == "inconclusive"


def test_the_published_study_supports_less_than_it_claims():
    buy, landmark, style = findings(paper_counts())
    assert [finding.verdict for finding in (buy, landmark, style)] == ["lora", "lora", "lora"]
    assert landmark == Finding(
        "landmark",
        "lora",
        "Participants name a LoRA image as the best preserved landmark more often than a Textual Inversion image: LoRA "
        "20 of the 25 who chose either (95% interval 59% to 93%), p = .004 after Holm's correction, 50 asked.",
        "That LoRA is better in general: only these images of these five landmarks were shown; that everybody thinks "
        "so: 5 of the 25 chose Textual Inversion; that more participants chose LoRA than neither: 20 against 25, p = "
        ".551; that the landmarks are well preserved: only the two methods were compared.",
    )
    assert style.claim.endswith(
        "LoRA 40 of the 50 who chose either (95% interval 66% to 90%), p < .001 after Holm's correction, 50 asked."
    )
    assert "neither" not in buy.not_claimed, "45 against 5 is more than neither"
    assert "everybody" not in buy.not_claimed, "nobody chose the other"


def test_boards_are_described_by_participants():
    rows = [row for number in range(9) for row in board_rows(f"p{number}", buy="l", landmark="-", style="t")]
    found = findings_of(rows, instrument="paper")
    assert found["buy"].claim.startswith(
        "Participants would buy LoRA images as artwork more often than Textual Inversion"
    )
    assert found["landmark"].claim == "Nothing: none of 9 participants preferred either method."
    assert found["style"].claim.endswith(
        "LoRA 0 of the 9 who chose either (95% interval 0% to 34%), p = .012 after Holm's correction, 9 asked."
    )


def test_the_markdown_has_every_part():
    rows = twelve("buy", [letters.replace("ll", "lo", 1) for letters in SPREAD], blinding_check="lltuu")
    rows += [attention_check("p03", 40, False), attention_check("p03", 41, False)]
    text = to_markdown(analyze(study_definition(), rows))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# What may be claimed",
        "## Would be bought as artwork",
        "## Landmark recognized",
        "## Closer in style",
        "## Blinding check",
        "## Exclusions",
        "## How to read this",
    ]
    assert text.count("**May be claimed:**") == text.count("**May not be claimed:**") == 4
    assert "1 of 12, by rules fixed before the first answer." in text
    assert "- p03: 2 of 2 attention checks wrong; at most 0 allowed\n" in text
    assert "In addition, LoRA minus original: +" in text
    assert "In addition, Textual Inversion minus original: +0 points (95% interval " in text
    assert "None" not in text
    assert "nan" not in text


def test_the_markdown_without_participants_and_of_counts_alone():
    assert "None: the rules that were fixed before the first answer exclude nobody." in to_markdown(
        analyze(study_definition(), [])
    )
    text = to_markdown(paper_counts())
    assert "Blinding check" not in text
    assert "minus original" not in text
