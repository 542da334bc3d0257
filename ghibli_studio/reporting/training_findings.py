"""What training and the study allow one to claim, and what no part of the report can show, in plain words.

No number is computed here; the numbers come from `training_cost`, `training_dynamics` and the study. Findings about
the images are in `findings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from adapters import registry
from ghibli_studio.evaluation.analysis import ALPHA
from ghibli_studio.plotting.formatting import duration, join_words, pluralize, signed, size
from ghibli_studio.reporting.findings import NO_CLAIM, Finding, Verdict

TRAINING_COST = "Which trains faster, and which is cheaper?"
OVERFITTING = "Does either overfit, and which epoch is best?"
PARTICIPANTS = "What did the study's participants say?"
LIMITATIONS = "What can this report not show?"
NO_RUNS = "Unknown: no run has finished an epoch yet."


def method_label(method: str) -> str:
    """Return the display name of a method; a method that is no longer installed keeps its short name."""
    return registry.methods()[method].LABEL if method in registry.methods() else method


def training_cost_finding(training_cost: dict[str, Any] | None) -> Finding:
    """Return the time to a common validation loss, and the costs of each method; from `training_cost.describe`."""
    runs_of = runs_by_name(training_cost["runs"] if training_cost else [])
    if not runs_of or training_cost is None:
        return Finding("training_cost", TRAINING_COST, "inconclusive", NO_RUNS, not_claimed=(NO_CLAIM,))
    times = {name: [run["seconds_to_target"] for run in runs] for name, runs in runs_of.items()}
    verdict, favors, answer = _compare_times(times)
    counts = join_words(f"{pluralize(len(runs), 'run')} of {name}" for name, runs in runs_of.items())
    certainty = [
        f"{counts}; the loss is that of the fixed validation set, the same for all, and the time is training time only."
    ]
    if verdict == "inconclusive" and len(runs_of) > 1:
        certainty.append("A claim needs at least four runs of each method with different seeds.")
    if len({repr(run["machine"]) for runs in runs_of.values() for run in runs if run["machine"]}) > 1:
        verdict, favors = "inconclusive", None
        answer = "Inconclusive: the runs were made on different machines or precisions."
    not_claimed = [
        "That this holds on another machine, or with another rank, learning rate or number of vectors: these are the "
        "times of these settings.",
        "That a lower loss means better images: the loss is only a guide, and the images are evaluated separately.",
    ]
    return Finding(
        "training_cost",
        TRAINING_COST,
        verdict,
        answer,
        tuple(_cost_sentence(name, runs, training_cost["target"]) for name, runs in runs_of.items()),
        tuple(certainty),
        (*training_cost["warnings"], *not_claimed),
        favors,
    )


def runs_by_name(runs: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the runs by the name of their method and settings, in order of first appearance."""
    names = dict.fromkeys(full_name(run) for run in runs)
    return {name: [run for run in runs if full_name(run) == name] for name in names}


def full_name(entry: dict[str, Any]) -> str:
    """Return the name of a run's or curve's group, with the method's full name in place of its short one."""
    module = registry.methods().get(entry["method"])
    if module is None or not entry["name"].startswith(module.SHORT_LABEL):
        return entry["name"]
    return module.LABEL + entry["name"].removeprefix(module.SHORT_LABEL)


def _compare_times(times: dict[str, list[float | None]]) -> tuple[Verdict, str | None, str]:
    """Return which method reached the common loss first, if its slowest run beats the fastest of the others."""
    if len(times) < 2:
        (name,) = times
        return "inconclusive", None, f"There is nothing to compare: only {name} has been trained."
    reached = {name: [value for value in values if value is not None] for name, values in times.items()}
    if any(len(reached[name]) < len(values) for name, values in times.items()):
        return "inconclusive", None, "Inconclusive: not every run reached a common validation loss."
    if any(value == 0 for values in reached.values() for value in values):
        return "inconclusive", None, "Inconclusive: at least one run starts at the common validation loss."
    ranked = sorted(reached, key=lambda name: min(reached[name]))
    first, second = ranked[:2]
    if max(reached[first]) >= min(time for name in ranked[1:] for time in reached[name]):
        return "no_difference", None, "No method was faster in all of its runs: their times overlap."
    faster = f"{first} reached the common validation loss sooner than {second}"
    counts = len(reached[first]), len(reached[second])
    if 2 / math.comb(sum(counts), counts[0]) >= ALPHA:  # the chance of such a clean separation by luck alone
        few = "one run of each is" if counts == (1, 1) else f"{counts[0]} and {counts[1]} runs are"
        return "inconclusive", None, f"{faster} here, but {few} too few for a claim."
    return "difference", first, f"{faster} in every run."


def _cost_sentence(name: str, runs: Sequence[dict[str, Any]], target: float | None) -> str:
    """Return one sentence on the costs of a method's runs."""
    parts = []
    reached = [run["seconds_to_target"] for run in runs]
    if target is not None and None not in reached:
        steps = _range([run["steps_to_target"] for run in runs], "{:,.0f}".format)
        parts.append(f"reached a validation loss of {target:.4f} after {_range(reached, duration)} ({steps} steps)")
    parts.append(
        f"took {_range([run['seconds_per_step'] for run in runs], '{:.2f} s'.format)} per step and "
        f"{_range([run['seconds'] for run in runs], duration)} in total"
    )
    parts.append(
        f"trains {_range([run['trainable_parameters'] for run in runs], '{:,}'.format)} parameters in a file of "
        f"{_range([run['adapter_bytes'] for run in runs], size)}"
    )
    memory = [run["peak_memory_bytes"] for run in runs if run["peak_memory_bytes"]]
    if memory:
        parts.append(f"needed {_range(memory, size)} of memory")
    energy = [run["energy_wh"] for run in runs]
    if None not in energy:
        parts.append(f"used {_range(energy, '{:.2g} Wh'.format)}")
    return f"{name} " + "; it ".join(parts) + "."


def _range(values: Sequence[Any], form: Callable[[Any], str]) -> str:
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"


def overfitting_finding(training_dynamics: Sequence[dict[str, Any]] | None) -> Finding:
    """Return for each method whether its validation loss rises again, and its best epoch.

    From `training_dynamics.describe`.
    """
    if not training_dynamics:
        return Finding("overfitting", OVERFITTING, "inconclusive", NO_RUNS, not_claimed=(NO_CLAIM,))
    overfitted = [
        f"{full_name(entry)} overfits from epoch {entry['overfitting']['epoch']}"
        for entry in training_dynamics
        if is_overfitting(entry["overfitting"])
    ]
    inconclusive = [full_name(entry) for entry in training_dynamics if entry["overfitting"]["interval"] is None]
    others = [
        full_name(entry)
        for entry in training_dynamics
        if full_name(entry) not in inconclusive and not is_overfitting(entry["overfitting"])
    ]
    parts = overfitted + ([f"no evidence of overfitting for {join_words(others)}"] if others else [])
    parts += [f"inconclusive for {join_words(inconclusive)}"] if inconclusive else []
    answer = "; ".join(parts)
    verdict: Verdict = "no_difference" if others else "inconclusive"
    if overfitted:
        verdict = "mixed" if others or inconclusive else "difference"
    return Finding(
        "overfitting",
        OVERFITTING,
        verdict,
        f"{answer[0].upper()}{answer[1:]}.",
        tuple(
            f"{full_name(entry)}: {_best_epoch(entry)}. {_rise_sentence(entry['overfitting'])}"
            for entry in training_dynamics
        ),
        (
            "The best epoch is chosen on one half of the held-out landmarks and the rise from it is measured on the "
            "other half, in both directions, so that a lucky choice does not look like overfitting.",
        ),
        (
            "Whether more epochs would have helped or harmed: the data ends at the last epoch.",
            "That the images get worse where the loss rises: the loss is measured on held-out landmarks, but it is no "
            "substitute for looking at the images.",
        ),
    )


def is_overfitting(overfitting: dict[str, Any]) -> bool:
    """Return whether the epoch is named, the interval of the rise is above zero, and p is below .05."""
    interval, p = overfitting["interval"], overfitting["p"]
    return overfitting["epoch"] is not None and interval is not None and interval[0] > 0 and p is not None and p < ALPHA


def _best_epoch(entry: dict[str, Any]) -> str:
    best, last = entry["best"], entry["epochs"][-1]
    if best["interval"] is None:
        return f"the lowest validation loss was in epoch {best['epoch']} of {last}, with unknown certainty"
    low, high = best["interval"]
    if low == high:
        return f"the best epoch is {best['epoch']} of {last}, for any sample of the landmarks"
    return f"the best epoch is between {low} and {high} of {last}; the lowest loss was in epoch {best['epoch']}"


def _rise_sentence(overfitting: dict[str, Any]) -> str:
    if overfitting["interval"] is None:
        return f"Whether the loss rises after it is {overfitting['verdict']}."
    low, high = overfitting["interval"]
    statement = "it rises." if is_overfitting(overfitting) else "no evidence of a rise."
    return (
        f"From there to the last epoch the loss on other landmarks changes by {signed(overfitting['rise'], 4)} "
        f"[{signed(low, 4)} to {signed(high, 4)}]: {statement}"
    )


def participants_finding(study: dict[str, Any] | None) -> Finding:
    """Return the findings of the study if it is closed; from `blind_study.closed_study_result`."""
    if study is None:
        return Finding(
            "participants",
            PARTICIPANTS,
            "inconclusive",
            "Unknown: there is no closed study.",
            not_claimed=("That people would agree with the metrics above, or that they would not.",),
        )
    findings = study["findings"]
    verdicts = {finding["verdict"] for finding in findings if finding["question"] != "blinding_check"}
    winners = verdicts & {"lora", "ti"}
    verdict: Verdict = "inconclusive" if verdicts == {"inconclusive"} else "no_difference"
    if winners:
        verdict = "difference" if len(winners) == 1 else "mixed"
    claims = [
        finding
        for finding in findings
        if finding["verdict"] in ("lora", "ti") and finding["question"] != "blinding_check"
    ]
    answer = ". ".join(finding["claim"].split(": ")[0] for finding in claims) or "No question shows a difference"
    simulated = study["values"].get("simulated")
    if simulated:
        verdict, answer = "inconclusive", "Unknown: all answers of this study are simulated."
    return Finding(
        "participants",
        PARTICIPANTS,
        verdict,
        answer.rstrip(".") + ".",
        tuple(f"{finding['title']}: {finding['claim']}" for finding in findings),
        (
            *study["notes"],
            f"{study['values']['all']['participants']} {'simulated ' * bool(simulated)}participants; the unit of every "
            "test is the participant.",
        ),
        tuple(f"{finding['title']}: {finding['not_claimed']}" for finding in findings),
    )


def limitations_finding(report: dict[str, Any]) -> Finding:
    """Return what no part of the report can show, and what is missing in this report."""
    evaluation, missing = report["evaluation"], []
    if evaluation is None:
        missing.append("No images have been evaluated; evaluate them in the Evaluate tab.")
    else:
        missing += evaluation["warnings"]
    if report["study"] is None:
        missing.append("There is no closed study, so the report does not show what people see.")
    always = (
        "One dataset, one style, one base model: results may be reversed for another style.",
        "Two methods with these settings: a method is not its settings, and neither was tuned to its optimum here.",
        "The held-out landmarks come from the same source as the training images; photos from elsewhere may do worse.",
        "Similarity to a style does not mean that an image is beautiful, and says nothing about who owns the style.",
    )
    return Finding(
        "limitations",
        LIMITATIONS,
        "no_difference",
        "It compares only these files, images and metrics, not the methods in general.",
        tuple(missing),
        (),
        always,
    )


def format_values(values: dict[str, Any] | None) -> str:
    """Return machine values or versions as `name: value`, separated by commas."""
    return ", ".join(f"{key}: {value}" for key, value in (values or {}).items() if value is not None)
