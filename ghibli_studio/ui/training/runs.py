"""What the Train tab shows of runs: cards, plots and sample images, refreshed only where something changed."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from adapters import registry
from ghibli_studio.jobs import status as job_status
from ghibli_studio.jobs.status import Status
from ghibli_studio.plotting import formatting
from ghibli_studio.plotting.figures import COLORS, MORE_COLORS
from ghibli_studio.training import learning_curve
from ghibli_studio.training.run_group import run_names
from ghibli_studio.ui.components import html_parts, theme
from ghibli_studio.workspace.project import Project, Workspace
from ghibli_studio.workspace.run import Run

SHOWN_RUNS = 6


def colors(runs: Sequence[Run], names: Sequence[str]) -> dict[str, str]:
    """Return series name -> color for every series that a plot may show."""
    found, spare = {"Base model": COLORS["base"]}, iter(MORE_COLORS * len(runs))
    used = set()
    for run, name in zip(runs, names):
        method = run.config().method
        color = next(spare) if method in used or method not in COLORS else COLORS[method]
        used.add(method)
        found |= {name: color, f"{name}, smoothed": color, f"{name}, each step": color + theme.PALE}
    return found


def current_activity(status: Status) -> str:
    """Return in words what a running job is doing."""
    last = status.events[-1] if status.events else {}
    if "what" in last:
        return f"{last['what']} ({last['done']} of {last['total']})" if last["total"] else last["what"]
    return f"epoch {last['epoch']}, step {last['step']}" if "step" in last else "starting"


def card(run: Run, status: Status, name: str = "") -> str:
    """Return a run as HTML: method, state, progress, metrics; `name` is its name in the plots."""
    config, metrics = run.config(), run.metrics()
    head = (
        f'<div class="head"><span><b>{registry.method(config.method).LABEL}</b> {html.escape(config.preset)}, '
        f"{config.adapter.num_train_epochs} epochs, seed {config.training.seed}</span>"
        f'<span class="chip {status.state}">{status.state}</span></div>'
    )
    if status.state == "queued":
        ahead = f"{status.ahead} run{'s' if status.ahead > 1 else ''} ahead"
        body = f'<div class="foot">{ahead}</div>' if status.ahead else html_parts.bar(0, "starting")
    elif status.state == "running":
        body = html_parts.bar(status.fraction, current_activity(status), status.seconds_left)
    else:
        body = f'<div class="foot">{html.escape(status.message)}</div>' if status.message else ""
    if metrics:
        gain = 100 * (metrics["best_validation_loss"] / metrics["base_validation_loss"] - 1)
        body += (
            f'<div class="foot">best validation loss {metrics["best_validation_loss"]:.4f} in epoch '
            f"{metrics['best_epoch']} ({gain:+.1f} % vs. base model), {metrics['trainable_parameters']:,} "
            f"parameters, {metrics['images_per_second']:.1f} img/s, {formatting.duration(metrics['seconds'])}</div>"
        )
    label = f"{html.escape(name)} · " if name else ""
    return f'<div class="card">{head}{body}<div class="foot">{label}{run.id}</div></div>'


def overview(project: Project) -> tuple[list[Run], list[Status], str]:
    """Return the newest runs, their states and their cards (HTML): running, then waiting, then the newest first."""
    runs = project.runs()[-SHOWN_RUNS:]
    states = [job_status.status(run) for run in runs]
    rank = {"running": 0, "queued": 1}
    newest_first = list(zip(runs, states, run_names(runs)))[::-1]
    ordered = sorted(newest_first, key=lambda shown: (rank.get(shown[1].state, 2), shown[1].ahead))
    cards = "".join(card(run, status, name) for run, status, name in ordered)
    return runs, states, cards or html_parts.empty("No runs yet. Choose methods, then press Train.")


def trained_methods(project: Project) -> list[str]:
    """Return the methods that have a trained adapter."""
    return [name for name in registry.methods() if any(run.adapter_file.exists() for run in project.runs(name))]


def newest_runs(project: Project, queued: Sequence[Run] = ()) -> list[str]:
    """Return the runs that plots show at first: the newest of each method, or all that were queued together."""
    latest = {run.config().method: run.id for run in project.runs()}
    methods = {run.config().method for run in queued}
    return sorted({run.id for run in queued} | {latest[method] for method in latest if method not in methods})


def plots(runs: Sequence[Run], again: bool = False) -> list[Any]:
    """Return updates of the three plots: training loss, validation loss, change per timestep.

    Gradio (6) lays out a plot when its colors change, but with the data that it had before; with `again`, sent when the
    new data is there, the legend changes as well, which lays out the plot once more.
    """
    import pandas as pd

    names = run_names(runs)
    events = [run.progress() for run in runs]
    color = colors(runs, names)
    tables = [
        [row for e, name in zip(events, names) for row in learning_curve.training_curve(e, name)],
        learning_curve.base_model_curve(events)
        + [row for e, name in zip(events, names) for row in learning_curve.validation_curve(e, name)],
        [row for run, name in zip(runs, names) for row in learning_curve.timestep_profile(run.metrics(), name)],
    ]
    updates = []
    for rows in tables:
        series = {row["series"] for row in rows}
        shown = {name: value for name, value in color.items() if name in series}
        legend: dict[str, Any] = {"colors_in_legend": list(shown)} if again else {}
        updates.append(
            gr.LinePlot(value=pd.DataFrame(rows) if rows else None, color_map=shown, visible=bool(rows), **legend)
        )
    return updates


def strips(runs: Sequence[Run]) -> list[Any]:
    """Return updates of the sample images of each method: before training, then after each epoch."""
    updates = []
    for method in registry.methods():
        of_method = [run for run in runs if run.config().method == method]
        samples = [
            (html_parts.served(file), file.stem.replace("epoch-000", "before").replace("-", " "))
            for run in of_method[-1:]
            for file in run.samples()
        ]
        updates.append(gr.update(value=samples, visible=bool(samples)))
    return updates


def refresh(workspace: Workspace, name: str | None, which: str | None, shown: list[str], seen: Any) -> list[Any]:
    """Return [what is shown now, *updates of the live widgets]; unchanged widgets are skipped, so nothing flickers."""
    strips_count = len(registry.methods())
    if not name:
        return [
            None,
            html_parts.empty("No project yet. Create one in the Dataset tab."),
            *[gr.skip()] * (7 + strips_count),
        ]
    project = workspace.project(name)
    runs, states, cards = overview(project)
    ids = [run.id for run in project.runs()]
    chosen = [run_id for run_id in shown or [] if run_id in ids]
    before = seen["ids"][1] if seen and seen["ids"][0] == name else []
    if not before or not chosen or any(run_id not in before and run_id not in chosen for run_id in ids):
        chosen = newest_runs(project)
    in_plots = [project.run(run_id) for run_id in chosen]
    events = [[event["event"] for event in run.progress()] for run in in_plots]
    now = {
        "ids": [name, ids],
        "cards": [[run.id, status.state, status.ahead, len(status.events)] for run, status in zip(runs, states)],
        "steps": [chosen, [kinds.count("step") for kinds in events]],
        "epochs": [chosen, [kinds.count("epoch") for kinds in events]],
        "samples": [chosen, [len(run.samples()) for run in in_plots]],
    }
    news = {key: not seen or seen[key] != value for key, value in now.items()}
    lines = [run_names(in_plots), [bool(kinds.count("step")) for kinds in events], [bool(kinds) for kinds in events]]
    again = bool(seen) and seen["again"]
    now |= {"lines": lines, "again": not seen or seen["lines"] != lines}
    updates: list[Any] = [gr.skip()] * (8 + strips_count)
    if news["cards"]:
        updates[0] = cards
    if news["ids"]:
        active = [run.id for run, status in zip(runs, states) if status.active]
        value = which if which in active else next(iter(active), ids[-1] if ids else None)
        several = len(ids) > len(newest_runs(project))
        updates[1] = gr.update(visible=bool(ids))
        updates[2] = gr.update(choices=ids, value=value)
        updates[3:5] = [gr.update(choices=ids, value=chosen, visible=several), gr.update(visible=several)]
    if again or news["steps"] or news["epochs"]:
        training, validation, profile = plots(in_plots, again)
        updates[5] = training if again or news["steps"] else gr.skip()
        updates[6:8] = [validation, profile] if again or news["epochs"] else [gr.skip()] * 2
    if news["samples"]:
        updates[8:] = strips(in_plots)
    return [now, *updates]
