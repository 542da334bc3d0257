"""What a run's events say over time, as plain rows for a plot. No plotting and no files in here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SMOOTHING = 0.9
MAX_POINTS = 400


def smoothed(values: Iterable[float], weight: float = SMOOTHING) -> list[float]:
    """Exponential moving average without the start's bias (Kingma & Ba 2014, arXiv:1412.6980, sec. 3)."""
    result, average, seen = [], 0.0, 0.0
    for value in values:
        average, seen = weight * average + (1 - weight) * value, weight * seen + (1 - weight)
        result.append(average / seen)
    return result


def training_curve(events: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Rows (epoch, loss, series) of the training loss, raw and smoothed; long runs are thinned to 400 steps."""
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
    """Rows (epoch, loss, series) of the fixed validation, epoch 0 before training."""
    epochs = [event for event in events if event["event"] == "epoch"]
    return [{"epoch": e["epoch"], "loss": e["validation_loss"], "series": name} for e in epochs]


def base_line(runs: Sequence[Sequence[dict[str, Any]]], name: str = "Base model") -> list[dict[str, Any]]:
    """Two rows: the bare model's own validation loss, across all epochs of the given runs' events."""
    epochs = [event for events in runs for event in events if event["event"] == "epoch"]
    if not epochs:
        return []
    last = max(max(event["epoch"] for event in epochs), 1)
    return [{"epoch": x, "loss": epochs[-1]["base_validation_loss"], "series": name} for x in (0, last)]


def timestep_profile(metrics: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Rows (timestep, change, series): how much lower the best epoch's loss is than the bare model's, in percent."""
    if not metrics:
        return []
    columns = zip(metrics["validation_timesteps"], metrics["best_per_timestep"], metrics["base_per_timestep"])
    return [{"timestep": t, "change": 100 * (best / base - 1), "series": name} for t, best, base in columns]
