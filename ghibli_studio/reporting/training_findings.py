"""What trainings and people allow to say, and what none of it can show, in plain words.

No number is computed here: they come from `efficiency`, `dynamics` and the study. The pictures are `findings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from adapters import registry
from ghibli_studio.plotting.formatting import duration, listed, signed, size
from ghibli_studio.reporting.findings import ALPHA, Finding, Verdict

SPEED = "Which learns faster, and which is cheaper?"
FIT = "Does either over-fit, and which epoch is best?"
PEOPLE = "What did people say?"
LIMITS = "What can this not show?"
UNSAID = "That there is a difference, or that there is none."


def label(method: str) -> str:
    """What a method is called; a method that is no longer there keeps its short name."""
    return registry.methods()[method].LABEL if method in registry.methods() else method


def speed(efficiency: dict[str, Any] | None) -> Finding:
    """Time to one common validation loss, then what a run costs; from `efficiency.describe`."""
    of = by_name(efficiency["runs"] if efficiency else [])
    if not of or efficiency is None:
        return Finding(
            "speed", SPEED, "unsaid", "Nothing can be said: no run has finished an epoch yet.", not_shown=(UNSAID,)
        )
    verdict, ahead, answer = _sooner({name: [run["seconds_to_target"] for run in runs] for name, runs in of.items()})
    counts = listed(f"{len(runs)} run{'s' if len(runs) > 1 else ''} of {name}" for name, runs in of.items())
    sure = [
        f"{counts}; the loss is that of the fixed validation, the same for all, and the time is that of training alone."
    ]
    if verdict == "unsaid" and len(of) > 1:
        sure.append("Four runs of each method with different seeds are the least with which this can be said.")
    if len({repr(run["machine"]) for runs in of.values() for run in runs if run["machine"]}) > 1:
        verdict, ahead = "unsaid", None
        answer = "This cannot be said: the runs were made on different machines or precisions."
    not_shown = [
        "That it would be so on another machine, with another rank, learning rate or number of vectors: these are the "
        "times of these settings.",
        "That a lower loss is a better picture: the loss is a guide, the pictures are judged by themselves.",
    ]
    return Finding(
        "speed",
        SPEED,
        verdict,
        answer,
        tuple(_cost(name, runs, efficiency["target"]) for name, runs in of.items()),
        tuple(sure),
        (*efficiency["warnings"], *not_shown),
        ahead,
    )


def by_name(runs: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The runs by what their method and settings are called, in the order of first appearance."""
    names = dict.fromkeys(full_name(run) for run in runs)
    return {name: [run for run in runs if full_name(run) == name] for name in names}


def full_name(one: dict[str, Any]) -> str:
    """What a run's or a curve's group is called, with the method's whole name in place of its short one."""
    module = registry.methods().get(one["method"])
    if module is None or not one["name"].startswith(module.SHORT_LABEL):
        return one["name"]
    return module.LABEL + one["name"].removeprefix(module.SHORT_LABEL)


def _sooner(times: dict[str, list[float | None]]) -> tuple[Verdict, str | None, str]:
    """Who reached the common loss first; only where no run of one overlaps with one of another."""
    if len(times) < 2:
        (name,) = times
        return "unsaid", None, f"Nothing can be compared: only {name} has been trained."
    if any(value is None for values in times.values() for value in values):
        return "unsaid", None, "This cannot be said: not every run reached a common validation loss."
    if any(value == 0 for values in times.values() for value in values):
        return "unsaid", None, "This cannot be said: the loss that every run reaches needs no training of some."
    ranked = sorted(times, key=lambda name: min(times[name]))
    first, second = ranked[:2]
    if max(times[first]) >= min(time for name in ranked[1:] for time in times[name]):
        return "none", None, "No method was sooner in all of its runs: their times overlap."
    sooner = f"{first} reached the common validation loss sooner than {second}"
    counts = len(times[first]), len(times[second])
    if 2 / math.comb(sum(counts), counts[0]) >= ALPHA:  # how often luck alone parts so many runs so neatly
        few = "one run of each is" if counts == (1, 1) else f"{counts[0]} and {counts[1]} runs are"
        return "unsaid", None, f"{sooner} here, but {few} too few to count on it."
    return "better", first, f"{sooner} in every one of its runs."


def _cost(name: str, runs: Sequence[dict[str, Any]], target: float | None) -> str:
    """One sentence on what a method's runs took."""
    parts = []
    reached = [run["seconds_to_target"] for run in runs]
    if target is not None and None not in reached:
        steps = _range([run["steps_to_target"] for run in runs], "{:,.0f}".format)
        parts.append(f"reached a validation loss of {target:.4f} after {_range(reached, duration)} ({steps} steps)")
    parts.append(
        f"took {_range([run['seconds_per_step'] for run in runs], '{:.2f} s'.format)} a step and "
        f"{_range([run['seconds'] for run in runs], duration)} in all"
    )
    parts.append(
        f"trains {_range([run['trainable_parameters'] for run in runs], '{:,}'.format)} numbers, a file of "
        f"{_range([run['adapter_bytes'] for run in runs], size)}"
    )
    parts += [
        f"needed {_range(memory, size)} of memory"
        for memory in [[run["peak_memory_bytes"] for run in runs if run["peak_memory_bytes"]]]
        if memory
    ]
    energy = [run["energy_wh"] for run in runs]
    if None not in energy:
        parts.append(f"used {_range(energy, '{:.2g} Wh'.format)}")
    return f"{name} " + "; it ".join(parts) + "."


def _range(values: Sequence[Any], form: Callable[[Any], str]) -> str:
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"


def overfitting(dynamics: Sequence[dict[str, Any]] | None) -> Finding:
    """For each method whether the validation loss rises again, and its best epoch as far as it can be named.

    From `dynamics.describe`.
    """
    if not dynamics:
        return Finding(
            "overfitting", FIT, "unsaid", "Nothing can be said: no run has finished an epoch yet.", not_shown=(UNSAID,)
        )
    over = [
        f"{full_name(one)} over-fits from epoch {one['overfitting']['epoch']}"
        for one in dynamics
        if over_fits(one["overfitting"])
    ]
    unsaid = [full_name(one) for one in dynamics if one["overfitting"]["interval"] is None]
    others = [full_name(one) for one in dynamics if full_name(one) not in unsaid and not over_fits(one["overfitting"])]
    parts = over + ([f"no evidence of over-fitting for {listed(others)}"] if others else [])
    parts += [f"for {listed(unsaid)} it cannot be said"] if unsaid else []
    answer = "; ".join(parts)
    verdict: Verdict = "mixed" if over and (others or unsaid) else "better" if over else "none" if others else "unsaid"
    return Finding(
        "overfitting",
        FIT,
        verdict,
        f"{answer[0].upper()}{answer[1:]}.",
        tuple(f"{full_name(one)}: {_best(one)}. {_rise(one['overfitting'])}" for one in dynamics),
        (
            "The best epoch is chosen on one half of the held-out landmarks and the rise from it is measured on the "
            "other half, both ways, so that luck in the choice does not look like over-fitting.",
        ),
        (
            "Whether more epochs would have helped or harmed: nothing is said of what comes after the last one.",
            "That the pictures get worse where the loss rises: the loss is measured on held-out landmarks, but it is "
            "not the eye.",
        ),
    )


def over_fits(told: dict[str, Any]) -> bool:
    """True only where the epoch is named, the interval of the rise lies above zero and p is below .05."""
    interval, p = told["interval"], told["p"]
    return told["epoch"] is not None and interval is not None and interval[0] > 0 and p is not None and p < ALPHA


def _best(one: dict[str, Any]) -> str:
    best, last = one["best"], one["epochs"][-1]
    if best["interval"] is None:
        return f"the lowest validation loss was in epoch {best['epoch']} of {last}; how sure that is cannot be said"
    low, high = best["interval"]
    if low == high:
        return f"the best epoch is {best['epoch']} of {last}, whichever of the landmarks are taken"
    return f"the best epoch lies between {low} and {high} of {last}; the lowest loss was in epoch {best['epoch']}"


def _rise(told: dict[str, Any]) -> str:
    if told["interval"] is None:
        return f"Whether the loss rises after it {told['verdict']}."
    low, high = told["interval"]
    said = "it rises." if over_fits(told) else "no evidence of a rise."
    return (
        f"From there to the last epoch the loss on other landmarks changes by {signed(told['rise'], 4)} "
        f"[{signed(low, 4)} to {signed(high, 4)}]: {said}"
    )


def people(study: dict[str, Any] | None) -> Finding:
    """The study's own findings, where it is closed."""
    if study is None:
        return Finding(
            "people",
            PEOPLE,
            "unsaid",
            "Nobody has been asked: there is no closed study.",
            not_shown=("That people would agree with the measures above, or that they would not.",),
        )
    told = study["findings"]
    verdicts = {one["verdict"] for one in told if one["question"] != "guess"}
    verdict: Verdict = (
        "better"
        if len(verdicts & {"lora", "ti"}) == 1
        else "mixed"
        if {"lora", "ti"} <= verdicts
        else ("unsaid" if verdicts == {"unsaid"} else "none")
    )
    claims = [one for one in told if one["verdict"] in ("lora", "ti") and one["question"] != "guess"]
    answer = ". ".join(one["may"].split(": ")[0] for one in claims) or "No question of the study shows a difference"
    simulated = study["values"].get("simulated")
    if simulated:
        verdict, answer = "unsaid", "Nobody has been asked: all answers of this study are simulated."
    return Finding(
        "people",
        PEOPLE,
        verdict,
        answer.rstrip(".") + ".",
        tuple(f"{one['title']}: {one['may']}" for one in told),
        (
            *study["notes"],
            f"{study['values']['all']['people']} {'made-up people' if simulated else 'people'}; the unit "
            "of every test is the person.",
        ),
        tuple(f"{one['title']}: {one['may_not']}" for one in told),
    )


def limits(report: dict[str, Any]) -> Finding:
    """What no part of the report can show, with what is missing in this one."""
    evaluation, missing = report["evaluation"], []
    if evaluation is None:
        missing.append("No pictures have been evaluated; do it in the Evaluate tab.")
    else:
        missing += evaluation["warnings"]
    if report["study"] is None:
        missing.append("No closed study: what people see is not in here.")
    always = (
        "One data set, one style, one base model: another style may turn every result around.",
        "Two methods with these settings: a method is not its settings, and neither was tuned to its best here.",
        "The held-out landmarks are of the same making as those trained on; photographs from elsewhere may fare worse.",
        "Likeness to a style says nothing about whether the picture is beautiful, or whose style it may be.",
    )
    return Finding(
        "limits",
        LIMITS,
        "none",
        "Neither method in general: only these files, pictures and measures.",
        tuple(missing),
        (),
        always,
    )


def machine_words(machine: dict[str, Any] | None) -> str:
    """A machine, or versions, as `name: value` with commas between."""
    return ", ".join(f"{key}: {value}" for key, value in (machine or {}).items() if value is not None)
