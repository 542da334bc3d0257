"""The figures of training for the report and the Evaluate tab: from training cost and dynamics to HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ghibli_studio.plotting import charts, figures
from ghibli_studio.plotting.charts import Line
from ghibli_studio.plotting.formatting import duration, size
from ghibli_studio.reporting.evaluation_result import method_styles
from ghibli_studio.reporting.training_findings import full_name, runs_by_name


def training_plots(
    training_cost: dict[str, Any] | None, training_dynamics: Sequence[dict[str, Any]] | None
) -> list[str]:
    """Return validation curves with bands, the change by timestep, and a table of the runs' costs."""
    return [*_loss_curves(training_dynamics or []), *_cost_table(training_cost)]


def _loss_curves(training_dynamics: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not training_dynamics:
        return
    losses, changes = [], []
    for entry, (color, marker) in zip(training_dynamics, method_styles(training_dynamics)):
        name, profile = full_name(entry), entry["per_timestep"]
        band = tuple(zip(entry["epochs"], entry["low"], entry["high"])) if entry["low"] else ()
        losses.append(Line(name, tuple(zip(entry["epochs"], entry["loss"])), color, band, marker=marker))
        changes.append(Line(name, tuple(zip(profile["timesteps"], profile["change"])), color, marker=marker))
    bands = "; ".join(f"{full_name(entry)}: {entry['band']}" for entry in training_dynamics if entry["band"])
    base_losses = {round(entry["base_loss"], 6) for entry in training_dynamics}
    base, note = (base_losses.pop(), "; dashed: the base model") if len(base_losses) == 1 else (None, "")
    yield charts.line_chart(
        "Validation loss by epoch",
        losses,
        "epoch",
        "validation loss",
        f"Fixed noise, held-out landmarks{note}." + (f" Bands: {bands}." if bands else ""),
        mark=base,
    )
    yield charts.line_chart(
        "Change of the loss by timestep, best epoch",
        changes,
        "timestep",
        "% vs. the base model",
        "Below zero is better. Left: nearly clean images; right: pure noise, where the style is decided.",
        mark=0.0,
    )


def _cost_table(training_cost: dict[str, Any] | None) -> Iterator[str]:
    if not training_cost or not training_cost["runs"]:
        return

    def text(value: Any, form: Callable[[Any], str]) -> str:
        return "unknown" if value is None else form(value)

    rows = [
        [
            name,
            run["run"],
            text(run["seconds_per_step"], "{:.3f} s".format),
            text(run["seconds_per_epoch"], duration),
            text(run["images_per_second"], "{:.1f}".format),
            "not reached"
            if run["seconds_to_target"] is None
            else f"{duration(run['seconds_to_target'])}, {run['steps_to_target']:,.0f} steps",
            text(run["seconds"], duration),
            text(run["peak_memory_bytes"], size),
            text(run["trainable_parameters"], "{:,}".format),
            text(run["adapter_bytes"], size),
            text(run["energy_wh"], "{:.2g} Wh".format) + (f" ({run['energy_source']})" if run["energy_source"] else ""),
        ]
        for name, runs in runs_by_name(training_cost["runs"]).items()
        for run in runs
    ]
    target = training_cost["target"]
    aim = "the common loss" if target is None else f"loss {target:.4f}"
    note = "" if target is None else f"{aim[0].upper()}{aim[1:]} is {training_cost['target_description']}."
    yield figures.table(
        "Training cost by run",
        [
            "Method",
            "Run",
            "Per step",
            "Per epoch",
            "Images per second",
            f"Time to {aim}",
            "Total time",
            "Peak memory",
            "Trainable parameters",
            "File size",
            "Energy",
        ],
        rows,
        note,
    )
