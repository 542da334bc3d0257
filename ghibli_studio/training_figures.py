"""The figures of trainings, for the report and the Evaluate tab: from `efficiency` and `dynamics` to HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ghibli_studio import charts, figures
from ghibli_studio.charts import Line
from ghibli_studio.figures import COLOURS, SPARE_COLOURS
from ghibli_studio.findings_training import by_method, label
from ghibli_studio.report_figures import MARKS
from ghibli_studio.words import duration, size


def training(efficiency: dict[str, Any] | None, dynamics: dict[str, Any] | None) -> list[str]:
    """Validation curves with bands, the change by time step, and what the runs cost."""
    return [*_curves(dynamics["methods"] if dynamics else {}), *_costs(efficiency)]


def _curves(methods: dict[str, Any]) -> Iterator[str]:
    if not methods:
        return
    common = {name: (COLOURS.get(name, SPARE_COLOURS[0]), MARKS.get(name, "triangle")) for name in methods}
    bands = " ".join(dict.fromkeys(f"{label(name)}: {told['band']}." for name, told in methods.items() if told["band"]))

    def line(name: str, rows: Sequence[dict[str, Any]], x: str) -> Line:
        band = tuple((row[x], row["low"], row["high"]) for row in rows if row["low"] is not None)
        places = tuple((row[x], row["mean"]) for row in rows)
        return Line(label(name), places, common[name][0], band, marker=common[name][1])

    base = next(iter(methods.values()))["base"]
    yield charts.lines(
        "Validation loss by epoch", [line(name, told["curve"], "epoch") for name, told in methods.items()], "epoch",
        "validation loss", f"Fixed noise, held-out landmarks; dashed: the base model. Bands: {bands}", mark=base)
    profiles = [line(name, told["profile"], "timestep") for name, told in methods.items() if told["profile"]]
    if profiles:
        yield charts.lines(
            "Change of the loss by time step, best epoch", profiles, "time step", "% against the base model",
            "Below zero is better. Left are nearly clean pictures, right pure noise, where the style is decided.",
            mark=0.0)


def _costs(efficiency: dict[str, Any] | None) -> Iterator[str]:
    runs = efficiency["runs"] if efficiency else []
    if not runs:
        return
    target = efficiency["target"]["loss"]

    def told(value: Any, form: Callable[[Any], str]) -> str:
        return "not known" if value is None else form(value)

    rows = [[
        label(run["method"]), run["run"], told(run["seconds_per_step"], "{:.3f} s".format),
        told(run["seconds_per_epoch"], duration), told(run["images_per_second"], "{:.1f}".format),
        "not reached" if run["seconds_to_target"] is None else
        f"{duration(run['seconds_to_target'])}, {run['steps_to_target']:,.0f} steps",
        told(run["seconds"], duration), told(run["peak_memory_bytes"], size),
        told(run["trainable_parameters"], "{:,}".format), told(run["adapter_bytes"], size),
        told(run["energy_wh"], "{:.1f} Wh".format),
    ] for told_runs in by_method(runs).values() for run in told_runs]
    aim = "the common loss" if target is None else f"loss {target:.4f}"
    yield figures.table("What a run takes", [
        "Method", "Run", "A step", "An epoch", "Pictures a second", f"Until {aim}", "In all", "Memory",
        "Trained numbers", "File", "Energy"], rows, efficiency["target"]["why"])
