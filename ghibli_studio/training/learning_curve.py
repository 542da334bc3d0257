"""Learning curves: rows for a plot from a run's events. No plotting and no files here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SMOOTHING = 0.9
MAX_POINTS = 400


def smoothed(values: Iterable[float], weight: float = SMOOTHING) -> list[float]:
    """Return the exponential moving average with bias correction (Kingma & Ba 2014, arXiv:1412.6980, sec. 3)."""
    result, average, total_weight = [], 0.0, 0.0
    for value in values:
        average, total_weight = weight * average + (1 - weight) * value, weight * total_weight + (1 - weight)
        result.append(average / total_weight)
    return result


def training_curve(events: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return rows (epoch, loss, series) of the training loss, raw and smoothed; long runs are thinned to 400 steps."""
    steps = [event for event in events if event["event"] == "step"]
    if not steps:
        return []
    means = smoothed(event["loss"] for event in steps)
    every = -(-len(steps) // MAX_POINTS)
    rows = []
    for event, mean in list(zip(steps, means))[::every]:
        rows.append({"epoch": event["epochs"], "loss": event["loss"], "series": f"{name}, each step"})
        rows.append({"epoch": event["epochs"], "loss": mean, "series": f"{name}, smoothed"})
    return rows


def validation_curve(events: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return rows (epoch, loss, series) of the validation loss; epoch 0 is before training."""
    epochs = [event for event in events if event["event"] == "epoch"]
    return [{"epoch": e["epoch"], "loss": e["validation_loss"], "series": name} for e in epochs]


def base_model_curve(runs: Sequence[Sequence[dict[str, Any]]], name: str = "Base model") -> list[dict[str, Any]]:
    """Return two rows, the base model's validation loss at the first and the last epoch of the given runs' events."""
    epochs = [event for events in runs for event in events if event["event"] == "epoch"]
    if not epochs:
        return []
    last = max(max(event["epoch"] for event in epochs), 1)
    return [{"epoch": x, "loss": epochs[-1]["base_validation_loss"], "series": name} for x in (0, last)]


def timestep_profile(metrics: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return rows (timestep, change, series): the best epoch's loss relative to the base model's, in percent."""
    if not metrics:
        return []
    columns = zip(metrics["validation_timesteps"], metrics["best_per_timestep"], metrics["base_per_timestep"])
    return [{"timestep": t, "change": 100 * (best / base - 1), "series": name} for t, best, base in columns]
