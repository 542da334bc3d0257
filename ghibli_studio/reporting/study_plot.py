"""The plots of a closed study, for the Study tab and the report. No number is computed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ghibli_studio.plotting import figures
from ghibli_studio.plotting.figures import Bar

TITLES = {"buy": "Would buy as artwork", "landmark": "Landmark well preserved", "style": "Closer in style"}
NAMES = {
    "original": "Original",
    "lora": "LoRA",
    "ti": "Textual Inversion",
    "none": "None",
    "both": "Both",
    "neither": "Neither",
}
METHODS = ("lora", "ti")
COLORS = {**figures.COLORS, "original": figures.SPARE_COLORS[0]}


def plots(result: dict[str, Any]) -> str:
    """All plots of a result of `study.analysis.analyze`, as HTML."""
    return f'<div class="figures">{"".join(_figures(result, result["all"]))}</div>'


def _figures(result: dict[str, Any], everybody: dict[str, Any]) -> Iterator[str]:
    for name, told in everybody["questions"].items():
        only = " only" if "both" in told["shares"] else ""
        yield figures.intervals(
            TITLES[name],
            [_share(key, one, only) for key, one in told["shares"].items()],
            f"{told['people']} people; share of their answers with its 95 % interval",
        )
    for name, told in everybody["questions"].items():
        if "landmarks" in told:
            yield from _by_landmark(name, told["landmarks"])
    guess = everybody["guess"]
    if guess["people"]:
        right = guess["right"]
        bar = Bar("right", right["mean"], *(right["interval"] or (None, None)), COLORS["original"])
        yield figures.intervals(
            "Guessed which was LoRA's", [bar], f"{guess['people']} people; at 50 % the study was blind", mark=0.5
        )
    heads = ["question", "repeats answered alike", "picked by position 1, 2, ...", "median seconds"]
    yield figures.table("Quality of the answers", heads, _quality(everybody["questions"]))
    yield from _people(everybody["questions"])


def _share(key: str, told: dict[str, Any], only: str) -> Bar:
    value = told["mean"] if "mean" in told else told["share"]
    interval = (told["interval"] if "mean" in told else told["wilson"]) or (None, None)
    return Bar(NAMES[key] + (only if key in METHODS else ""), value, *interval, COLORS.get(key, COLORS["base"]))


def _by_landmark(name: str, landmarks: dict[str, Any]) -> Iterator[str]:
    for method in METHODS:
        bars = []
        for landmark, told in landmarks.items():
            share = told.get("recognizable", told["shares"])[method]
            bars.append(Bar(landmark, share["share"], *(share["wilson"] or (None, None)), COLORS[method]))
        yield figures.intervals(f"{TITLES[name]}: {NAMES[method]}{_or_both(name)}, by landmark", bars)


def _or_both(name: str) -> str:
    """Whoever sees the landmark in both pictures sees it in each."""
    return " or both" if name == "landmark" else ""


def _quality(questions: dict[str, Any]) -> Iterator[list[str]]:
    for name, told in questions.items():
        repeats, positions, seconds = told.get("repeats"), told["positions"], told["seconds"]["client"]
        agreed = repeats and repeats["agreed"]
        counts = positions["counts"]
        shown = ", ".join(str(count) for count in (counts.values() if isinstance(counts, dict) else counts))
        yield [
            TITLES[name],
            f"{agreed['count']} of {agreed['of']}" if agreed and agreed["of"] else "none asked",
            shown + (f" (p = {positions['p']:.2g})" if positions["p"] is not None else ""),
            "not told" if seconds["median"] is None else f"{seconds['median']:.1f}",
        ]


def _people(questions: dict[str, Any]) -> Iterator[str]:
    """For each question how many people chose LoRA how often, as a row of counts."""
    for name, told in questions.items():
        people = told.get("participants")
        if not people:
            continue
        most = max((one["answers"] for one in people), default=0)
        counts = [sum(one["lora"]["count"] == times for one in people) for times in range(most + 1)]
        yield figures.table(
            f"{TITLES[name]}: how many people chose LoRA{_or_both(name)} so often, of {most} times",
            [str(times) for times in range(most + 1)],
            [[str(count) for count in counts]],
        )
