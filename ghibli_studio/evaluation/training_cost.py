"""The cost of training: time, steps to a common loss, memory, file size and energy, read from the runs' files.

Unless stated otherwise, times count the training steps alone: validation and sample images cost every method the same.
All numbers hold for the machine that they were measured on.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from ghibli_studio.runtime.energy import JOULES_PER_WATT_HOUR
from ghibli_studio.training.run_group import groups
from ghibli_studio.workspace.run import Run

METRICS = (
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
    """Return `{target, target_description, runs, methods, warnings}` of runs that finished an epoch, ready for JSON.

    `runs` has one entry per run: `{run, name, method, seed, epochs, steps, machine, versions, energy_source}` and the
    METRICS; None where a value is unknown or the target was not reached. `methods` has one entry per method and
    settings: `{name, method, runs}` and each of the METRICS as `{median, low, high}` over the seeds that have it, or
    None. `target` is a validation loss; by default the best loss that all runs reach, the fairest point to compare at.
    """
    run_groups = groups(runs)
    members = [(group, run) for group in run_groups for run in group.runs]
    description = "the requested loss"
    if target is None and members:
        target = max(run.metrics()["best_validation_loss"] for _, run in members)
        description = "the best loss that every run reaches"
    run_costs = [{"name": group.name, **_run_cost(run, target)} for group, run in members]
    return {
        "target": target,
        "target_description": description if members else None,
        "runs": run_costs,
        "methods": [
            {
                "name": group.name,
                "method": group.method,
                "runs": len(group.runs),
                **{
                    key: _range_over_seeds(cost[key] for cost in run_costs if cost["name"] == group.name)
                    for key in METRICS
                },
            }
            for group in run_groups
        ],
        "warnings": _warnings([run for _, run in members], target),
    }


def _run_cost(run: Run, target: float | None) -> dict[str, Any]:
    config, metrics, events = run.config(), run.metrics(), run.progress()
    durations = _step_seconds(events, config.training.train_batch_size)
    reached = training_to_target(events, durations, target) if target is not None else None
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


def _step_seconds(events: Iterable[dict[str, Any]], batch_size: int) -> dict[tuple[int, int], float]:
    """Return the seconds of each step by (epoch, step); older runs did not record them, so full batches are assumed."""
    return {
        (event["epoch"], event["step"]): event.get("step_seconds") or batch_size / event["images_per_second"]
        for event in events
        if event["event"] == "step"
    }


def training_to_target(
    events: Sequence[dict[str, Any]], durations: dict[tuple[int, int], float], target: float
) -> dict[str, float] | None:
    """Return `{epochs, steps, seconds}` of training until the validation loss first reaches `target`; None if never.

    The loss is interpolated linearly between two epochs. All values are 0 where the target needs no training.
    """
    seconds_by_epoch: dict[int, float] = {}
    for (epoch, _), seconds in durations.items():
        seconds_by_epoch[epoch] = seconds_by_epoch.get(epoch, 0.0) + seconds
    previous, total = None, 0.0
    for event in (event for event in events if event["event"] == "epoch"):
        total += seconds_by_epoch.get(event["epoch"], 0.0)
        current = {"epochs": event["epoch"], "steps": event["step"], "seconds": total}
        loss = event["validation_loss"]
        if loss <= target:
            if previous is None:
                return {key: float(value) for key, value in current.items()}
            start, previous_loss = previous
            share = (previous_loss - target) / (previous_loss - loss)
            return {key: start[key] + share * (current[key] - start[key]) for key in current}
        previous = current, loss
    return None


def _range_over_seeds(values: Iterable[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    return {"median": statistics.median(known), "low": min(known), "high": max(known)} if known else None


def _warnings(runs: Sequence[Run], target: float | None) -> list[str]:
    """Return the reasons why the numbers may not be comparable, one sentence each."""
    warnings = []
    metrics = [run.metrics() for run in runs]
    for key, difference in (
        ("machine", "on different machines or precisions"),
        ("versions", "with different versions"),
        ("dataset", "on different datasets"),
        ("base_model", "on different base models"),
    ):
        if _differs(values.get(key) for values in metrics):
            warnings.append(f"The runs were made {difference}: their times, and perhaps losses, cannot be compared.")
    settings = [run.config().training.model_dump(exclude={"seed", "sample_prompt"}) for run in runs]
    differ = [name for name in (settings[0] if settings else {}) if _differs(values[name] for values in settings)]
    if differ:
        warnings.append(f"The runs differ in settings that should be the same for all methods: {', '.join(differ)}.")
    if target is not None and any(target >= values["base_validation_loss"] for values in metrics):
        warnings.append(
            f"The target loss, {target:.4f}, is no better than the base model's: at least one run did not improve "
            "the validation loss."
        )
    if any(values.get("joules") is None for values in metrics):
        warnings.append("Energy is not known for every run: not every device reports it.")
    return warnings


def _differs(values: Iterable[Any]) -> bool:
    return len({repr(value) for value in values if value is not None}) > 1
