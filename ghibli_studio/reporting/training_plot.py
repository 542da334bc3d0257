"""The figures of trainings, for the report and the Evaluate tab: from `efficiency` and `dynamics` to HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ghibli_studio.plotting import charts, figures
from ghibli_studio.plotting.charts import Line
from ghibli_studio.plotting.figures import COLORS, SPARE_COLORS
from ghibli_studio.plotting.formatting import duration, size
from ghibli_studio.reporting.evaluation_result import MARKS
from ghibli_studio.reporting.training_findings import by_name, full_name


def training(efficiency: dict[str, Any] | None, dynamics: Sequence[dict[str, Any]] | None) -> list[str]:
    """Validation curves with bands, the change by time step, and what the runs cost."""
    return [*_curves(dynamics or []), *_costs(efficiency)]


def looks(dynamics: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(color, marker) of each entry: its method's, a spare color where a method comes again with other settings."""
    found, used, spare = [], set(), iter(SPARE_COLORS * (len(dynamics) + 1))
    for one in dynamics:
        method = one["method"]
        color = next(spare) if method in used or method not in COLORS else COLORS[method]
        used.add(method)
        found.append((color, MARKS.get(method, "triangle")))
    return found


def _curves(dynamics: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not dynamics:
        return
    losses, changes = [], []
    for one, (color, mark) in zip(dynamics, looks(dynamics)):
        band = tuple(zip(one["epochs"], one["low"], one["high"])) if one["low"] else ()
        losses.append(Line(full_name(one), tuple(zip(one["epochs"], one["loss"])), color, band, marker=mark))
        profile = one["per_timestep"]
        changes.append(Line(full_name(one), tuple(zip(profile["timesteps"], profile["change"])), color, marker=mark))
    bands = "; ".join(f"{full_name(one)}: {one['band']}" for one in dynamics if one["band"])
    bare = {round(one["base_loss"], 6) for one in dynamics}
    base, note = (bare.pop(), "; dashed: the base model") if len(bare) == 1 else (None, "")
    yield charts.lines(
        "Validation loss by epoch",
        losses,
        "epoch",
        "validation loss",
        f"Fixed noise, held-out landmarks{note}." + (f" Bands: {bands}." if bands else ""),
        mark=base,
    )
    yield charts.lines(
        "Change of the loss by time step, best epoch",
        changes,
        "time step",
        "% against the base model",
        "Below zero is better. Left are nearly clean pictures, right pure noise, where the style is decided.",
        mark=0.0,
    )


def _costs(efficiency: dict[str, Any] | None) -> Iterator[str]:
    if not efficiency or not efficiency["runs"]:
        return

    def told(value: Any, form: Callable[[Any], str]) -> str:
        return "not known" if value is None else form(value)

    rows = [
        [
            name,
            run["run"],
            told(run["seconds_per_step"], "{:.3f} s".format),
            told(run["seconds_per_epoch"], duration),
            told(run["images_per_second"], "{:.1f}".format),
            "not reached"
            if run["seconds_to_target"] is None
            else f"{duration(run['seconds_to_target'])}, {run['steps_to_target']:,.0f} steps",
            told(run["seconds"], duration),
            told(run["peak_memory_bytes"], size),
            told(run["trainable_parameters"], "{:,}".format),
            told(run["adapter_bytes"], size),
            told(run["energy_wh"], "{:.2g} Wh".format) + (f" ({run['energy_source']})" if run["energy_source"] else ""),
        ]
        for name, runs in by_name(efficiency["runs"]).items()
        for run in runs
    ]
    target = efficiency["target"]
    aim = "the common loss" if target is None else f"loss {target:.4f}"
    note = "" if target is None else f"{aim[0].upper()}{aim[1:]} is {efficiency['target_words']}."
    yield figures.table(
        "What a run takes",
        [
            "Method",
            "Run",
            "A step",
            "An epoch",
            "Pictures a second",
            f"Until {aim}",
            "In all",
            "Memory",
            "Trained numbers",
            "File",
            "Energy",
        ],
        rows,
        note,
    )
