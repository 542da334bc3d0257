"""What an evaluation's numbers allow to say about the pictures, question by question, in plain words.

No number is computed here: they come from `evaluation`. Nothing is called a difference unless the corrected p and the
interval both carry it. What trainings and people say is `findings_training`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ghibli_studio.plotting.formatting import counted, listed, p_value, signed

Verdict = Literal["better", "none", "mixed", "unsaid"]
ALPHA = 0.05
TASKS = {"prompt": "from the prompt", "photo": "from the photograph"}
QUESTIONS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "style": (
        "Which is nearer to the style?",
        "nearer to the style",
        ("style_similarity", "style_distance", "lpips", "truth_psnr", "truth_distance"),
    ),
    "landmark": (
        "Which keeps the landmark better?",
        "better at keeping the landmark",
        ("landmark_similarity", "ssim", "edges"),
    ),
    "prompt": ("Which follows the prompt better?", "better at following the prompt", ("clip_score",)),
}
LIMITS = {
    "style": "That people would call it nearer: a network or a formula judged, and it may see other things than people "
    "do. The study asks people.",
    "landmark": "That a person would recognize the landmark. A picture that has hardly changed keeps it best, so this "
    "has to be read together with the style.",
    "prompt": "That every word of the prompt is in the picture: the score is one number for the whole sentence.",
}
HOW_TO_READ = (
    "The unit of every test is the landmark. Numbers in brackets are 95 % intervals, each by itself. A difference is "
    "claimed only where the interval leaves out zero and p, corrected for the number of measures of one pair and task "
    "(Holm), is below .05. What is not found is not shown to be absent."
)
STAND_IN = (
    "What the networks that other papers use would have said: {names} took their place here, so these numbers "
    "cannot be set beside published ones."
)


@dataclass(frozen=True)
class Finding:
    """What one question allows to say."""

    question: str
    title: str
    verdict: Verdict
    answer: str
    """One sentence, the most that may be claimed."""
    found: tuple[str, ...] = ()
    """What was found, with numbers."""
    sure: tuple[str, ...] = ()
    """How sure that is."""
    not_shown: tuple[str, ...] = ()
    """What it does not show, though it lies near."""
    ahead: str | None = field(default=None)
    """The variant that is ahead, where one is."""


def standing(one: dict[str, Any]) -> str:
    """`better`, `none` or `unsaid` of one comparison: better only where the corrected p and the interval agree."""
    interval, p = one["interval"], one["p_holm"]
    if one["verdict"].startswith("cannot"):
        return "unsaid"
    if one["favors"] is None or interval is None or p is None:
        return "none"
    return "better" if p < ALPHA and not interval[0] <= 0 <= interval[1] else "none"


def pairs(result: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """All pairs that were compared: those of two adapters, and those with the base model."""
    method = {one["name"]: one["method"] for one in result["variants"]}
    found = list(dict.fromkeys((one["a"], one["b"]) for one in result["comparisons"]))
    with_base = [pair for pair in found if "base" in (method.get(pair[0]), method.get(pair[1]))]
    return [pair for pair in found if pair not in with_base], with_base


def of_pictures(result: dict[str, Any] | None) -> list[Finding]:
    """One finding each on style, landmark and prompt; without an evaluation they say what to do."""
    return [_finding(result, question) for question in QUESTIONS]


def _finding(result: dict[str, Any] | None, question: str) -> Finding:
    title, deed, keys = QUESTIONS[question]
    if result is None:
        return Finding(
            question,
            title,
            "unsaid",
            "Nothing can be said: no pictures have been evaluated yet.",
            not_shown=("That there is a difference, or that there is none.",),
        )
    own, with_base = pairs(result)
    comparisons = [one for one in result["comparisons"] if one["metric"] in keys]
    main = own or with_base
    verdict, ahead, answer = _answer([one for one in comparisons if (one["a"], one["b"]) in main], main, deed)
    found = [sentence for pair in main[:3] for sentence in _by_measure(result, comparisons, pair)]
    if len(main) > 3:
        found.append(f"{len(main) - 3} more pairs are in the table of all comparisons.")
    if own:
        found += _against_base(comparisons, with_base)
    found += _as_sets(result, main[:3], verdict) if question == "style" else []
    return Finding(
        question,
        title,
        verdict,
        answer,
        tuple(found),
        tuple(_how_sure(result, comparisons, verdict)),
        tuple(_limits(result, question, keys, verdict)),
        ahead,
    )


def _answer(given: list[dict[str, Any]], main: Sequence[tuple[str, str]], deed: str) -> tuple[Verdict, str | None, str]:
    """(verdict, who is ahead, the sentence) over all measurements of one question."""
    if not given:
        return "unsaid", None, "Nothing can be said: there was nothing to compare. Choose two or more to compare."
    kinds = [standing(one) for one in given]
    if set(kinds) == {"unsaid"}:
        most = max(one["landmarks"] for one in given)
        return "unsaid", None, f"This cannot be said: no test can tell from {counted(most, 'landmark')}."
    wins = [one["favors"] for one, kind in zip(given, kinds) if kind == "better"]
    names = " and ".join(dict.fromkeys(name for pair in main for name in pair))
    if not wins:
        return "none", None, f"No evidence of a difference between {names} was found."
    winners = sorted(set(wins), key=lambda name: -wins.count(name))
    if len(winners) == 1:
        rest = "" if len(wins) == len(given) else "; for the others no difference was found"
        measured = f"by {len(wins)} of {len(given)} measurements" if rest else f"by all {len(given)} measurements"
        measured = "by the one measurement there is" if len(given) == 1 else measured
        return "better", winners[0], f"{winners[0]} is {deed} {measured}{rest}."
    if len(main) == 1:
        counts = " and ".join(f"{wins.count(name)} favor {name}" for name in winners)
        return "mixed", None, f"The measurements disagree: of {len(given)}, {counts}."
    counts = ", ".join(f"{name} {wins.count(name)} times" for name in winners)
    return "mixed", None, f"Of {len(given)} measurements over {len(main)} pairs, these were ahead: {counts}."


def _by_measure(result: dict[str, Any], comparisons: list[dict[str, Any]], pair: tuple[str, str]) -> Iterable[str]:
    """A sentence a task and measure: who is ahead, by how much, within which interval."""
    for task in TASKS:
        for one in comparisons:
            if one["task"] == task and (one["a"], one["b"]) == pair:
                yield told(result, one)


def told(result: dict[str, Any], one: dict[str, Any]) -> str:
    """One comparison as a sentence. Who is ahead says the direction, so that a lower measure needs no explaining."""
    name = result["metrics"][one["metric"]]["label"]
    form, kind, interval = signed_form(one), standing(one), one["interval"]
    if kind == "better":
        behind = one["b"] if one["favors"] == one["a"] else one["a"]
        low, high = sorted(abs(value) for value in interval)
        size, low, high = (form(abs(value)).lstrip("+") for value in (one["difference"], low, high))
        said = f"{one['favors']} ahead of {behind} by {size} [{low} to {high}], {p_value(one['p_holm'])}"
    else:
        within = f" [{form(interval[0])} to {form(interval[1])}]" if interval else ""
        what = "no evidence of a difference" if kind == "none" else "too few landmarks to say"
        said = f"{what} ({one['a']} − {one['b']}: {form(one['difference'])}{within})"
    return f"{name[0].upper()}{name[1:]}, {TASKS[one['task']]}: {said}."


def signed_form(one: dict[str, Any]) -> Callable[[float], str]:
    """How the numbers of a comparison are written: signed, with two digits that mean something."""
    size = max(abs(value) for value in (one["difference"], *(one["interval"] or ())))
    digits = 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.02 else 4
    return lambda value: signed(value, digits)


def _against_base(comparisons: list[dict[str, Any]], with_base: Sequence[tuple[str, str]]) -> Iterable[str]:
    for a, b in with_base:
        given = [one for one in comparisons if (one["a"], one["b"]) == (a, b)]
        said = [one["favors"] if standing(one) == "better" else standing(one) for one in given]
        words = {a: f"for {a}", b: f"for {b}", "none": "without a difference", "unsaid": "that cannot be said"}
        counts = [f"{said.count(key)} {text}" for key, text in words.items() if key in said]
        if given:
            yield f"{a} against {b}, {len(given)} measurements: {listed(counts)}."


def _as_sets(result: dict[str, Any], main: Sequence[tuple[str, str]], verdict: Verdict) -> Iterable[str]:
    """What the kernel distance between whole sets says; described, since it is not in the family of tests."""
    labels = {(one["task"], one["metric"]): one["label"] for one in result["sets"]}
    for one in result["set_comparisons"]:
        if (one["a"], one["b"]) in main and one["interval"]:
            form, (low, high) = signed_form(one), one["interval"]
            clear = one["favors"] is not None and not low <= 0 <= high and verdict != "unsaid"
            said = f"{one['favors']}'s set is nearer to the originals" if clear else "no clear difference"
            said = "too few landmarks to say" if verdict == "unsaid" else said
            yield (
                f"As whole sets, drawn {TASKS[one['task']]}, {one['a']} minus {one['b']}: "
                f"{labels.get((one['task'], one['metric']), one['metric'])} {form(one['difference'])} "
                f"(95 % interval {form(low)} to {form(high)}): {said}. Described, not tested."
            )


def _how_sure(result: dict[str, Any], comparisons: list[dict[str, Any]], verdict: str) -> Iterable[str]:
    if not comparisons:
        return
    counts, seeds = sorted({one["landmarks"] for one in comparisons}), result["settings"]["seeds"]
    count = counted(counts[0], "landmark") if len(counts) == 1 else f"{counts[0]} to {counted(counts[-1], 'landmark')}"
    each = "one picture" if seeds == 1 else f"{seeds} pictures"
    yield f"{count}, {each} of each by every method from the same noise."
    if verdict == "none":
        yield (
            "What was not found is not shown to be absent: a difference as large as the ends of the intervals may "
            "be there. More landmarks make the intervals narrower."
        )
    if seeds == 1:
        yield "With one seed, luck of the noise and the nature of the landmark cannot be told apart."


def _limits(result: dict[str, Any], question: str, keys: Sequence[str], verdict: str) -> Iterable[str]:
    if verdict == "none":
        yield "That the two are equally good."
    elif verdict == "unsaid":
        yield "That there is a difference, or that there is none."
    else:
        yield "That a method is better in general: these are the files of these runs, trained on one data set."
    yield LIMITS[question]
    if any(is_stand_in(result, key) for key in keys if key in result["metrics"]):
        yield STAND_IN.format(names=" and ".join(stand_ins(result)) or "a stand-in")


def stand_ins(result: dict[str, Any]) -> list[str]:
    """Names of the networks that took another's place."""
    return list(dict.fromkeys(one["name"] for one in result["networks"].values() if one and one["stand_in"]))


def is_stand_in(result: dict[str, Any], key: str) -> bool:
    """True for a measure that rests on a stand-in."""
    label = result["metrics"][key]["label"]
    return "stand-in" in label or any(name in label for name in stand_ins(result))
