"""What learning costs: time, steps to an equal loss, memory, file, energy. Reads what runs keep of themselves.

Times are of the training steps alone where nothing else is said: validation and sample pictures cost every method the
same. All of it counts for the machine that it was measured on.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from ghibli_studio.runtime.energy import JOULES_PER_WATT_HOUR
from ghibli_studio.training.run_group import groups
from ghibli_studio.workspace.run import Run

NUMBERS = (
    "seconds_per_step",
    "seconds_per_epoch",
    "images_per_second",
    "seconds_to_target",
    "steps_to_target",
    "epochs_to_target",
    "seconds",
    "peak_memory_bytes",
    "trainable_parameters",
    "adapter_bytes",
    "energy_wh",
)


def describe(runs: Sequence[Run], target: float | None = None) -> dict[str, Any]:
    """`{target, target_words, runs, methods, warnings}`, ready for JSON; of the runs that finished an epoch.

    `runs` has one entry a run: `{run, name, method, seed, epochs, steps, machine, versions, energy_source}` and the
    NUMBERS; None where a number is not known or the target not reached. `methods` has one a method and its settings:
    `{name, method, runs}` and each of the NUMBERS as `{median, low, high}` over the seeds that have it, or None.
    `target` is a validation loss; by default the best that all of them reach, the fairest point to compare at.
    """
    found = groups(runs)
    members = [(group, run) for group in found for run in group.runs]
    words = "as asked"
    if target is None and members:
        target = max(run.metrics()["best_validation_loss"] for _, run in members)
        words = "the best loss that every run reaches"
    told = [{"name": group.name, **_of_run(run, target)} for group, run in members]
    return {
        "target": target,
        "target_words": words if members else None,
        "runs": told,
        "methods": [
            {
                "name": group.name,
                "method": group.method,
                "runs": len(group.runs),
                **{key: _over_seeds(one[key] for one in told if one["name"] == group.name) for key in NUMBERS},
            }
            for group in found
        ],
        "warnings": _warnings([run for _, run in members], target),
    }


def _of_run(run: Run, target: float | None) -> dict[str, Any]:
    config, metrics, events = run.config(), run.metrics(), run.progress()
    durations = _durations(events, config.training.train_batch_size)
    reached = reaches(events, durations, target) if target is not None else None
    joules = metrics.get("joules")
    by_epoch: dict[int, float] = {}
    for (epoch, _), seconds in durations.items():
        by_epoch[epoch] = by_epoch.get(epoch, 0.0) + seconds
    return {
        "run": run.id,
        "method": config.method,
        "seed": config.training.seed,
        "epochs": metrics["epochs"],
        "steps": metrics["steps"],
        "seconds_per_step": statistics.median(durations.values()),
        "seconds_per_epoch": statistics.median(by_epoch.values()),
        "images_per_second": metrics["images_per_second"],
        **{f"{key}_to_target": reached and reached[key] for key in ("seconds", "steps", "epochs")},
        "seconds": metrics["seconds"],
        "peak_memory_bytes": metrics["peak_memory_bytes"],
        "trainable_parameters": metrics["trainable_parameters"],
        "adapter_bytes": metrics["adapter_bytes"],
        "energy_wh": None if joules is None else joules / JOULES_PER_WATT_HOUR,
        "energy_source": metrics.get("energy_source"),
        "machine": metrics.get("machine"),
        "versions": metrics.get("versions"),
    }


def _durations(events: Iterable[dict[str, Any]], batch_size: int) -> dict[tuple[int, int], float]:
    """Seconds of each step by (epoch, step); of older runs, which did not keep them, as if every batch were full."""
    return {
        (event["epoch"], event["step"]): event.get("step_seconds") or batch_size / event["images_per_second"]
        for event in events
        if event["event"] == "step"
    }


def reaches(
    events: Sequence[dict[str, Any]], durations: dict[tuple[int, int], float], target: float
) -> dict[str, float] | None:
    """`{epochs, steps, seconds}` of training until the validation loss is first down at `target`; None if it never is.

    Between two epochs the loss is taken to fall in a straight line. 0 where the target needs no training.
    """
    spent: dict[int, float] = {}
    for (epoch, _), seconds in durations.items():
        spent[epoch] = spent.get(epoch, 0.0) + seconds
    before, total = None, 0.0
    for event in (event for event in events if event["event"] == "epoch"):
        total += spent.get(event["epoch"], 0.0)
        here = {"epochs": event["epoch"], "steps": event["step"], "seconds": total}
        loss = event["validation_loss"]
        if loss <= target:
            if before is None:
                return {key: float(value) for key, value in here.items()}
            place, loss_before = before
            share = (loss_before - target) / (loss_before - loss)
            return {key: place[key] + share * (here[key] - place[key]) for key in here}
        before = here, loss
    return None


def _over_seeds(values: Iterable[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    return {"median": statistics.median(known), "low": min(known), "high": max(known)} if known else None


def _warnings(runs: Sequence[Run], target: float | None) -> list[str]:
    """Why the numbers may not be comparable, one sentence each."""
    found = []
    metrics = [run.metrics() for run in runs]
    for key, words in (
        ("machine", "on different machines or precisions"),
        ("versions", "with different versions"),
        ("dataset", "on different data sets"),
        ("base_model", "on different base models"),
    ):
        if _differ(one.get(key) for one in metrics):
            found.append(f"The runs were made {words}: their times, and perhaps their losses, cannot be compared.")
    settings = [run.config().training.model_dump(exclude={"seed", "sample_prompt"}) for run in runs]
    differ = [name for name in (settings[0] if settings else {}) if _differ(one[name] for one in settings)]
    if differ:
        found.append(f"The runs differ in settings that should be alike for all methods: {', '.join(differ)}.")
    if target is not None and any(target >= one["base_validation_loss"] for one in metrics):
        found.append(
            f"The loss to reach, {target:.4f}, is no better than the base model's own: at least one run learned "
            "nothing that the validation shows."
        )
    if any(one.get("joules") is None for one in metrics):
        found.append("Energy is not known of every run: not every device tells it.")
    return found


def _differ(values: Iterable[Any]) -> bool:
    return len({repr(value) for value in values if value is not None}) > 1
