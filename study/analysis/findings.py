"""The result in plain words: for each question the sentence that may be claimed and the one that may not.

No number is computed here; the numbers come from `preregistered`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from study import QUESTIONS

VERDICTS = ("lora", "ti", "no_difference", "inconclusive", "depends_on_exclusions")
"""LoRA ahead; TI ahead; no difference found; too few answers for a test; differs with and without the exclusions."""
METHOD_NAMES = {"lora": "LoRA", "ti": "Textual Inversion"}
TITLES = {"buy": "Would be bought as artwork", "landmark": "Landmark recognized", "style": "Closer in style"}
BLINDING_TITLE = "Blinding check"
CLAIMS = {
    "buy": "Participants would buy {ahead} images as artwork more often than {behind} images",
    "landmark": "Participants recognize the landmark in {ahead} images more often than in {behind} images",
    "style": "Participants call {ahead} images closer in style to the originals more often than {behind} images",
}
BOARD_CLAIMS = {
    **CLAIMS,
    "landmark": "Participants name a {ahead} image as the best preserved landmark more often than a {behind} image",
}
CAVEATS = {
    "buy": "that anybody would pay for it: the question was asked, but nothing was sold",
    "landmark": "that the landmarks are well preserved: only the two methods were compared",
    "style": "that the style was learned well: only the two methods were compared",
}


@dataclass(frozen=True)
class Finding:
    """What the answers to one question support."""

    question: str
    """buy | landmark | style | blinding_check."""
    verdict: str
    """One of VERDICTS; of the blinding check: "unblinded", "no_difference" or "inconclusive"."""
    claim: str
    """The sentence that may be claimed."""
    not_claimed: str
    """A tempting sentence that may not be claimed."""


def verdict(question: dict[str, Any], alpha: float) -> str:
    """Return lora | ti | no_difference | inconclusive for one question of one part of the result."""
    if question["p_holm"] is None or question["min_attainable_p"] > alpha:
        return "inconclusive"
    if question["p_holm"] > alpha:
        return "no_difference"
    return "lora" if _lead(question) > 0 else "ti"


def findings(result: dict[str, Any]) -> tuple[Finding, ...]:
    """Return one finding per question, and one for the blinding check if the study had one."""
    found = [_finding(result, question) for question in QUESTIONS]
    check = result["all"]["blinding_check"]
    return tuple(found) if check is None else (*found, _blinding(check, result["alpha"]))


def to_markdown(result: dict[str, Any]) -> str:
    """Return all findings, the exclusions and how to read them, as Markdown."""
    return "\n".join(_lines(result))


def _lines(result: dict[str, Any]) -> Iterator[str]:
    count, excluded = result["all"]["participants"], result["excluded"]
    yield "# What may be claimed\n"
    yield f"{_participants(count)} answered. The unit of every test is the participant, not the answer.\n"
    for finding in findings(result):
        yield f"## {TITLES.get(finding.question, BLINDING_TITLE)}\n"
        yield f"**May be claimed:** {finding.claim}\n"
        yield f"**May not be claimed:** {finding.not_claimed}\n"
        if finding.question == "buy":
            yield from _against_originals(result["all"]["questions"]["buy"])
    yield "## Exclusions\n"
    if not excluded:
        yield "None: the rules that were fixed before the first answer exclude nobody.\n"
    else:
        yield (
            f"{len(excluded)} of {count}, by rules fixed before the first answer. A difference is claimed only if it "
            "is found with and without them.\n"
        )
        for entry in excluded:
            yield f"- {entry['participant']}: {'; '.join(entry['reasons'])}"
        yield ""
    yield "## How to read this\n"
    yield (
        "The three questions are one family: their p values are corrected by Holm's method, at the level "
        f"{result['alpha']:g}. Each interval is a 95% interval by itself. Every other p value is uncorrected: it "
        "describes the data and supports no claim."
    )


def _against_originals(question: dict[str, Any]) -> Iterator[str]:
    """Compare both methods with the original, which is an option of this question in the `triad`."""
    for method, name in METHOD_NAMES.items():
        difference = question.get(f"{method}_minus_original")
        if difference and difference["p"] is not None:
            yield f"In addition, {name} minus original: {_points(difference)}, {_p(difference['p'])}, uncorrected.\n"


def _finding(result: dict[str, Any], name: str) -> Finding:
    alpha, everyone = result["alpha"], result["all"]["questions"][name]
    remaining = result["after_exclusions"]["questions"][name]
    overall, after_exclusions = verdict(everyone, alpha), verdict(remaining, alpha)
    if overall == "inconclusive":
        claim, not_claimed = _inconclusive(everyone), "That there is a difference, or that there is none."
    elif overall != after_exclusions:
        overall = "depends_on_exclusions"
        claim = (
            f"The result depends on {_participants(len(result['excluded']), 'excluded ')}: with all participants "
            f"{_numbers(everyone)}; after the exclusions {_numbers(remaining)}."
        )
        not_claimed = "That one method is ahead, or that there is no difference: a result has to hold both ways."
    elif overall == "no_difference":
        claim = f"No difference between LoRA and Textual Inversion was found: {_numbers(everyone)}."
        not_claimed = (
            f"That the two are equally good: no evidence of a difference is not evidence of none{_power(result)}."
        )
    else:
        other = "ti" if overall == "lora" else "lora"
        claims = BOARD_CLAIMS if result["instrument"] == "paper" else CLAIMS
        sentence = claims[name].format(ahead=METHOD_NAMES[overall], behind=METHOD_NAMES[other])
        claim = f"{sentence}: {_numbers(everyone)}."
        not_claimed = _overclaims(everyone, name, overall, result)
    return Finding(name, overall, claim, not_claimed)


def _inconclusive(question: dict[str, Any]) -> str:
    """Say why the answers support no statement."""
    if not question["participants"]:
        return "Nothing: nobody answered this question."
    if question["p"] is None:
        return f"Nothing: none of {_participants(question['participants'])} preferred either method."
    nonzero = question["chose_either"] if "chose_either" in question else question["lora_minus_ti"]["nonzero"]
    return (
        f"Nothing: only {_participants(nonzero)} preferred one of the two methods; even if all agreed, the smallest "
        f"possible p would be {_p(question['min_attainable_p'])[4:]}."
    )


def _overclaims(question: dict[str, Any], name: str, ahead: str, result: dict[str, Any]) -> str:
    """Say what a difference does not show."""
    method, behind = METHOD_NAMES[ahead], "ti" if ahead == "lora" else "lora"
    parts = [f"That {method} is better in general: only these images of these five landmarks were shown"]
    if "chose_either" in question:
        against = question["counts"][behind]
        described = f"of the {question['chose_either']} chose {METHOD_NAMES[behind]}"
    else:
        against = question["lora_minus_ti"]["sign_test"]["negative" if ahead == "lora" else "positive"]
        described = f"of {question['participants']} leaned the other way"
    if against:
        parts.append(f"that everybody thinks so: {against} {described}")
    none, chosen = question["counts"].get("none", 0), question["counts"][ahead]
    if "chose_either" in question and none and (chosen <= none or question[f"{ahead}_vs_none"]["p"] > result["alpha"]):
        p = _p(question[f"{ahead}_vs_none"]["p"])
        parts.append(f"that more participants chose {method} than neither: {chosen} against {none}, {p}")
    parts.append(CAVEATS[name])
    check = result["all"]["blinding_check"]
    if check and check["p"] is not None and check["p"] <= result["alpha"]:
        parts.append("that participants were blind to the method: they could tell the methods apart")
    return "; ".join(parts) + "."


def _blinding(check: dict[str, Any], alpha: float) -> Finding:
    mean = check["correct"]["mean"]
    if check["p"] is None or check["min_attainable_p"] > alpha:
        claim = f"Nothing: {_participants(check['nonzero'])} guessed more right or more wrong, too few for a test."
        return Finding("blinding_check", "inconclusive", claim, "That the study was blind, or that it was not.")
    numbers = (
        f"of the guesses that named an image {mean:.0%} were correct{_interval(check['correct']['interval'])}, "
        f"chance is 50%, {_p(check['p'])}, {_participants(check['participants'])}"
    )
    if check["p"] > alpha:
        return Finding(
            "blinding_check",
            "no_difference",
            f"No evidence that participants knew which image was LoRA's: {numbers}.",
            "That nobody knew, or that nobody saw a difference.",
        )
    right, wrong = "knew which image was LoRA's", "told the methods apart, but mistook one for the other,"
    return Finding(
        "blinding_check",
        "unblinded",
        f"Participants {right if mean > 0.5 else wrong} more often than by chance: {numbers}.",
        "That the participants had no idea of the methods when they chose.",
    )


def _lead(question: dict[str, Any]) -> float:
    """Return LoRA's lead over TI: above zero if LoRA is ahead."""
    if "chose_either" in question:
        return question["lora"]["share"] - 0.5
    return question["lora_minus_ti"]["mean"]


def _numbers(question: dict[str, Any]) -> str:
    """Return the numbers of one question as a part of a sentence."""
    if question["p_holm"] is None:
        return "nobody preferred one of the two"
    p = f"{_p(question['p_holm'])} after Holm's correction"
    if "chose_either" in question:
        lora = question["lora"]
        interval = _interval(lora["clopper_pearson"])
        return (
            f"LoRA {lora['count']} of the {question['chose_either']} who chose either{interval}, {p}, "
            f"{question['participants']} asked"
        )
    difference, shares = question["lora_minus_ti"], question.get("recognizable", question["shares"])
    lora, ti = (f"{shares[name]['mean']:.0%}" for name in ("lora", "ti"))
    return (
        f"LoRA {lora}, Textual Inversion {ti} of a participant's answers, difference {_points(difference)}, {p}, "
        f"{_participants(question['participants'])}"
    )


def _points(difference: dict[str, Any]) -> str:
    return f"{_signed(difference['mean'])} points{_interval(difference['interval'], _signed)}"


def _signed(share: float) -> str:
    return f"{round(100 * share):+d}"  # an integer has no minus zero


def _power(result: dict[str, Any]) -> str:
    """Return the power that the study had, where it is known."""
    achieved = result.get("power", {}).get("achieved")
    return f" (the power to find 70:30 with this many participants is {achieved['70:30']:.0%})" if achieved else ""


def _interval(interval: list[float] | None, form: Callable[[float], str] = "{:.0%}".format) -> str:
    if interval is None:
        return " (no interval: too few participants, or all alike)"
    low, high = map(form, interval)
    return f" (95% interval {low} to {high})"


def _p(value: float) -> str:
    if value < 0.001:
        return "p < .001"
    return f"p = {value:.3f}".replace("0.", ".")


def _participants(count: int, adjective: str = "") -> str:
    return f"{count} {adjective}{'participant' if count == 1 else 'participants'}"
