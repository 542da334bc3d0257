"""The plots of a closed study for the Study tab and the report. No number is computed here."""

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


def study_plots(result: dict[str, Any]) -> str:
    """Return all plots of a result of `study.analysis.preregistered.analyze` as HTML."""
    return f'<div class="figures">{"".join(_figures(result["all"]))}</div>'


def _figures(answers: dict[str, Any]) -> Iterator[str]:
    questions = answers["questions"]
    for name, question in questions.items():
        only = " only" if "both" in question["shares"] else ""
        yield figures.interval_chart(
            TITLES[name],
            [_share_bar(key, share, only) for key, share in question["shares"].items()],
            f"{question['participants']} participants; share of their answers with its 95 % interval",
        )
    for name, question in questions.items():
        if "by_landmark" in question:
            yield from _by_landmark(name, question["by_landmark"])
    check = answers["blinding_check"]
    if check and check["participants"]:
        correct = check["correct"]
        low, high = correct["interval"] or (None, None)
        yield figures.interval_chart(
            "Blinding check: guessed which image was LoRA's",
            [Bar("correct", correct["mean"], low, high, COLORS["original"])],
            f"{check['participants']} participants; 50 % means that the study was blind",
            mark=0.5,
        )
    heads = ["question", "same answer in the retest", "choices by position 1, 2, ...", "median seconds"]
    yield figures.table("Quality of the answers", heads, _quality_rows(questions))
    yield from _participant_tables(questions)


def _share_bar(key: str, share: dict[str, Any], only: str) -> Bar:
    value = share["mean"] if "mean" in share else share["share"]
    low, high = (share["interval"] if "mean" in share else share["wilson"]) or (None, None)
    return Bar(NAMES[key] + (only if key in METHODS else ""), value, low, high, COLORS.get(key, COLORS["base"]))


def _by_landmark(name: str, landmarks: dict[str, Any]) -> Iterator[str]:
    for method in METHODS:
        bars = []
        for landmark, answers in landmarks.items():
            share = answers.get("recognizable", answers["shares"])[method]
            low, high = share["wilson"] or (None, None)
            bars.append(Bar(landmark, share["share"], low, high, COLORS[method]))
        yield figures.interval_chart(f"{TITLES[name]}: {NAMES[method]}{_or_both(name)}, by landmark", bars)


def _or_both(name: str) -> str:
    """Return " or both" for the landmark question: the answer "both" names each of the two images."""
    return " or both" if name == "landmark" else ""


def _quality_rows(questions: dict[str, Any]) -> Iterator[list[str]]:
    for name, question in questions.items():
        retest, positions, seconds = question.get("retest"), question["positions"], question["seconds"]["client"]
        agreed = retest and retest["agreed"]
        counts = positions["counts"]
        choices = ", ".join(str(count) for count in (counts.values() if isinstance(counts, dict) else counts))
        yield [
            TITLES[name],
            f"{agreed['count']} of {agreed['n']}" if agreed and agreed["n"] else "no retest",
            choices + (f" (p = {positions['p']:.2g})" if positions["p"] is not None else ""),
            "unknown" if seconds["median"] is None else f"{seconds['median']:.1f}",
        ]


def _participant_tables(questions: dict[str, Any]) -> Iterator[str]:
    """Yield for each question how many participants chose LoRA how often, as a row of counts."""
    for name, question in questions.items():
        participants = question.get("by_participant")
        if not participants:
            continue
        most = max((participant["answers"] for participant in participants), default=0)
        counts = [
            sum(participant["lora"]["count"] == times for participant in participants) for times in range(most + 1)
        ]
        yield figures.table(
            f"{TITLES[name]}: number of participants by how often they chose LoRA{_or_both(name)}, of {most} times",
            [str(times) for times in range(most + 1)],
            [[str(count) for count in counts]],
        )
