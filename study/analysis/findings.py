"""The result in plain words: for each question the sentence that may be claimed and the one that may not.

No number is computed here; they come from `analysis`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from study import QUESTIONS

VERDICTS = ("lora", "ti", "none", "unsaid", "depends")
"""LoRA ahead; TI ahead; no difference found; cannot be said; only with or only without the excluded people."""
NAMES = {"lora": "LoRA", "ti": "Textual Inversion"}
TITLES = {"buy": "Would be bought as artwork", "landmark": "Landmark recognized", "style": "Closer in style"}
DEEDS = {
    "buy": "People would buy {ahead} pictures as artwork more often than {behind} pictures",
    "landmark": "People recognize the landmark in {ahead} pictures more often than in {behind} pictures",
    "style": "People call {ahead} pictures closer in style to the originals more often than {behind} pictures",
}
BOARD_DEEDS = {
    **DEEDS,
    "landmark": "People name a {ahead} picture as the best preserved landmark more often than a {behind} picture",
}
LIMITS = {
    "buy": "that anybody would pay for it: the question was asked, nothing was sold",
    "landmark": "that the landmarks are well preserved: only the two methods were compared",
    "style": "that the style was learned well: only the two methods were compared",
}


@dataclass(frozen=True)
class Finding:
    """What one question allows to say."""

    question: str
    """buy | landmark | style | guess."""
    verdict: str
    """One of VERDICTS; of guess: "told", "none" or "unsaid"."""
    may: str
    """The sentence that may be claimed."""
    may_not: str
    """The sentence that may not, though it lies near."""


def verdict(told: dict[str, Any], alpha: float) -> str:
    """lora | ti | none | unsaid, of one question of one part of the result."""
    if told["p_holm"] is None or told["smallest_p"] > alpha:
        return "unsaid"
    if told["p_holm"] > alpha:
        return "none"
    return "lora" if _ahead(told) > 0 else "ti"


def findings(result: dict[str, Any]) -> tuple[Finding, ...]:
    """One finding a question, and one on how blind the study was where people were asked."""
    found = [_finding(result, question) for question in QUESTIONS]
    guess = result["all"]["guess"]
    return tuple(found) if guess is None else (*found, _blindness(guess, result["alpha"]))


def page(result: dict[str, Any]) -> str:
    """All findings, who was left out and what was fixed beforehand, as Markdown."""
    return "\n".join(_lines(result))


def _lines(result: dict[str, Any]) -> Iterator[str]:
    people, left = result["all"]["people"], result["excluded"]
    yield "# What may be said\n"
    yield f"{people} {_people(people)} answered; the unit of every test is the person, not the answer.\n"
    for finding in findings(result):
        yield f"## {TITLES.get(finding.question, 'How blind it was')}\n"
        yield f"**May be claimed:** {finding.may}\n"
        yield f"**May not be claimed:** {finding.may_not}\n"
        if finding.question == "buy":
            yield from _originals(result["all"]["questions"]["buy"])
    yield "## Who was left out\n"
    if not left:
        yield "Nobody: the rules that were fixed before the first answer exclude no one.\n"
    else:
        yield (
            f"{len(left)} of {people}, by rules fixed before the first answer. A difference is claimed only if it is "
            "found with and without them.\n"
        )
        for one in left:
            yield f"- {one['participant']}: {'; '.join(one['why'])}"
        yield ""
    yield "## How to read it\n"
    yield (
        "The three questions are one family: their p values are adjusted after Holm, and the level is "
        f"{result['alpha']:g}. Intervals are 95%, each by itself. Every other p value is not adjusted: it describes "
        "and supports no claim."
    )


def _originals(told: dict[str, Any]) -> Iterator[str]:
    """Both methods against the original, which takes part in this question of the `triad`."""
    for method, name in NAMES.items():
        against = told.get(f"{method}_minus_original")
        if against and against["p"] is not None:
            yield f"Beside it, {name} minus the original: {_points(against)}, {_p(against['p'])}, not adjusted.\n"


def _finding(result: dict[str, Any], question: str) -> Finding:
    alpha, told = result["alpha"], result["all"]["questions"][question]
    kept = result["kept"]["questions"][question]
    whole, part = verdict(told, alpha), verdict(kept, alpha)
    if whole == "unsaid":
        may, may_not = _unsaid(told), "That there is a difference, or that there is none."
    elif whole != part:
        whole = "depends"
        left = len(result["excluded"])
        may = (
            f"The result depends on {left} excluded {_people(left)}: with everybody {_numbers(told)}; "
            f"without them {_numbers(kept)}."
        )
        may_not = "That one method is ahead, or that there is no difference: a result has to stand both ways."
    elif whole == "none":
        may = f"No difference between LoRA and Textual Inversion was found: {_numbers(told)}."
        may_not = f"That the two are equally good: what was not found is not shown to be absent{_chance(result)}."
    else:
        other = "ti" if whole == "lora" else "lora"
        deeds = BOARD_DEEDS if result["instrument"] == "paper" else DEEDS
        may = f"{deeds[question].format(ahead=NAMES[whole], behind=NAMES[other])}: {_numbers(told)}."
        may_not = _too_much(told, question, whole, result)
    return Finding(question, whole, may, may_not)


def _unsaid(told: dict[str, Any]) -> str:
    """Why nothing can be said."""
    if not told["people"]:
        return "Nothing: nobody answered this question."
    if told["p"] is None:
        return f"Nothing: none of {told['people']} {_people(told['people'])} preferred one of the two methods."
    opinions = told["either"] if "either" in told else told["lora_minus_ti"]["opinions"]
    return (
        f"Nothing: only {opinions} {_people(opinions)} preferred one of the two methods, and even if all were of one "
        f"mind the smallest p would be {_p(told['smallest_p'])[4:]}."
    )


def _too_much(told: dict[str, Any], question: str, ahead: str, result: dict[str, Any]) -> str:
    """What a difference does not show."""
    name, behind = NAMES[ahead], "ti" if ahead == "lora" else "lora"
    parts = [f"That {name} is better in general: only these pictures of these five landmarks were shown"]
    if "either" in told:
        against, of = told["counts"][behind], f"of the {told['either']} chose {NAMES[behind]}"
    else:
        leaning = told["lora_minus_ti"]["leaning"]
        against, of = leaning["second" if ahead == "lora" else "first"], f"of {told['people']} leaned the other way"
    if against:
        parts.append(f"that everybody thinks so: {against} {of}")
    none, chosen = told["counts"].get("none", 0), told["counts"][ahead]
    if "either" in told and none and (chosen <= none or told[f"{ahead}_vs_none"]["p"] > result["alpha"]):
        p = _p(told[f"{ahead}_vs_none"]["p"])
        parts.append(f"that more people chose {name} than neither: {chosen} against {none}, {p}")
    parts.append(LIMITS[question])
    guess = result["all"]["guess"]
    if guess and guess["p"] is not None and guess["p"] <= result["alpha"]:
        parts.append("that nobody knew which picture was whose: people could tell them apart")
    return "; ".join(parts) + "."


def _blindness(guess: dict[str, Any], alpha: float) -> Finding:
    mean = guess["right"]["mean"]
    if guess["p"] is None or guess["smallest_p"] > alpha:
        leaned = f"{guess['opinions']} {_people(guess['opinions'])} leaned to right or wrong guesses"
        may = f"Nothing: {leaned}, too few for a test."
        return Finding("guess", "unsaid", may, "That the study was blind, or that it was not.")
    numbers = (
        f"of the guesses that named a picture {mean:.0%} were right{_interval(guess['right']['interval'])}, "
        f"chance is 50%, {_p(guess['p'])}, {guess['people']} {_people(guess['people'])}"
    )
    if guess["p"] > alpha:
        return Finding(
            "guess",
            "none",
            f"Nothing shows that people knew which picture was LoRA's: {numbers}.",
            "That nobody knew it, or that nobody saw a difference.",
        )
    right, wrong = "knew which picture was LoRA's", "told the methods apart, but took one for the other,"
    return Finding(
        "guess",
        "told",
        f"People {right if mean > 0.5 else wrong} more often than by chance: {numbers}.",
        "That the choices were made without any idea of the methods.",
    )


def _ahead(told: dict[str, Any]) -> float:
    """Above zero if LoRA is ahead of TI."""
    return told["lora"]["share"] - 0.5 if "either" in told else told["lora_minus_ti"]["mean"]


def _numbers(told: dict[str, Any]) -> str:
    """The numbers of one question, for the middle of a sentence."""
    if told["p_holm"] is None:
        return "nobody preferred one of the two"
    p = f"{_p(told['p_holm'])} after Holm"
    if "either" in told:
        lora = told["lora"]
        interval = _interval(lora["clopper_pearson"])
        return f"LoRA {lora['count']} of the {told['either']} who chose either{interval}, {p}, {told['people']} asked"
    difference, shares = told["lora_minus_ti"], told.get("recognizable", told["shares"])
    lora, ti = (f"{shares[name]['mean']:.0%}" for name in ("lora", "ti"))
    people = f"{told['people']} {_people(told['people'])}"
    return f"LoRA {lora}, Textual Inversion {ti} of a person's answers, difference {_points(difference)}, {p}, {people}"


def _points(difference: dict[str, Any]) -> str:
    return f"{_signed(difference['mean'])} points{_interval(difference['interval'], _signed)}"


def _signed(share: float) -> str:
    return f"{round(100 * share):+d}"  # an integer knows no minus zero


def _chance(result: dict[str, Any]) -> str:
    """The power that the study had, where it is known."""
    reached = result.get("power", {}).get("reached")
    return f" (so many people find 70:30 with a chance of {reached['70:30']:.0%})" if reached else ""


def _interval(interval: list[float] | None, form: Callable[[float], str] = "{:.0%}".format) -> str:
    if interval is None:
        return " (no interval: too few people, or all alike)"
    low, high = map(form, interval)
    return f" (95% interval {low} to {high})"


def _p(value: float) -> str:
    if value < 0.001:
        return "p < .001"
    return f"p = {value:.3f}".replace("0.", ".")


def _people(count: int) -> str:
    return "person" if count == 1 else "people"
