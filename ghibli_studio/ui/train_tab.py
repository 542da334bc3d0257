"""The Train tab: choose methods and settings, queue the runs, watch them live. Runs are processes of their own."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

import adapters
from adapters import StudioError
from ghibli_studio import curves, jobs
from ghibli_studio import dataset as datasets
from ghibli_studio.config import PRESETS, RunConfig, TrainingSettings, preset
from ghibli_studio.figures import COLOURS, SPARE_COLOURS
from ghibli_studio.jobs import Status
from ghibli_studio.seeds import with_seeds
from ghibli_studio.ui import forms, parts
from ghibli_studio.workspace import Project, Run, Workspace

PRESET_WORDS = {
    "quick": "quick: a first look, a minute or two a method on two cores",
    "default": "default: worth comparing, some minutes a method",
    "paper": "paper: the published values, for comparison with the study",
}
SHOWN_RUNS = 6


@dataclass(frozen=True)
class Tab:
    """The widgets that the rest of the page needs."""

    live: list[Any]
    """What `refresh` updates."""
    chosen: list[Any]
    """The run to act on, and the runs in the plots."""


def submit(
    workspace: Workspace, name: str | None, methods: Sequence[str], preset_name: str,
    changes: dict[str, dict[str, Any]], seeds: float | None = 1,
) -> list[Run]:
    """Queue one run a method and seed; `changes` are plain values by section (`training` or a method's name).

    All methods with one seed come before the next seed, so that there soon is something to compare.
    """
    project = chosen_project(workspace, name)
    if not methods:
        raise StudioError("no method is chosen; tick at least one")
    base = datasets.load(project).base_model
    configs: list[RunConfig] = []
    for method in methods:
        values = {f"training.{key}": value for key, value in changes.get("training", {}).items()}
        values |= {f"adapter.{key}": value for key, value in changes.get(method, {}).items()}
        configs.append(preset(preset_name, method, base_model=base, **values))
    of_methods = [with_seeds(config, seeds) for config in configs]
    return [jobs.submit(project, config) for of_seed in zip(*of_methods) for config in of_seed]


def chosen_project(workspace: Workspace, name: str | None) -> Project:
    """The project of that name; raises StudioError where none is chosen."""
    if not name:
        raise StudioError("no project is chosen; make one in the Data set tab")
    return workspace.project(name)


def names_of(runs: Sequence[Run]) -> list[str]:
    """What each run is called in a plot: its method, with its time and seed where a method comes twice."""
    configs = [run.config() for run in runs]
    methods = [config.method for config in configs]
    labels = [adapters.method(method).SHORT_LABEL for method in methods]
    return [
        label if methods.count(config.method) == 1 else f"{label} {run.id[9:15]}, seed {config.training.seed}"
        for label, config, run in zip(labels, configs, runs)
    ]


def colours(runs: Sequence[Run], names: Sequence[str]) -> dict[str, str]:
    """A colour for every series that a plot may show."""
    found, spare = {"Base model": COLOURS["base"]}, iter(SPARE_COLOURS * len(runs))
    used = set()
    for run, name in zip(runs, names):
        method = run.config().method
        colour = next(spare) if method in used or method not in COLOURS else COLOURS[method]
        used.add(method)
        found |= {name: colour, f"{name}, smoothed": colour, f"{name}, each step": colour + parts.PALE}
    return found


def doing(status: Status) -> str:
    """What a running job does just now, in words."""
    last = status.events[-1] if status.events else {}
    if "what" in last:
        return f"{last['what']} ({last['done']} of {last['total']})" if last["total"] else last["what"]
    return f"epoch {last['epoch']}, step {last['step']}" if "step" in last else "starting"


def card(run: Run, status: Status) -> str:
    """One run as HTML: method, state, progress, figures."""
    config, metrics = run.config(), run.metrics()
    head = (
        f'<div class="head"><span><b>{adapters.method(config.method).LABEL}</b> {html.escape(config.preset)}, '
        f'{config.adapter.num_train_epochs} epochs, seed {config.training.seed}</span>'
        f'<span class="chip {status.state}">{status.state}</span></div>'
    )
    if status.state == "waiting":
        ahead = f"{status.ahead} run{'s' if status.ahead > 1 else ''} ahead"
        body = f'<div class="foot">{ahead}</div>' if status.ahead else parts.bar(0, "starting")
    elif status.state == "running":
        body = parts.bar(status.fraction, doing(status), status.seconds_left)
    else:
        body = f'<div class="foot">{html.escape(status.message)}</div>' if status.message else ""
    if metrics:
        gain = 100 * (metrics["best_validation_loss"] / metrics["base_validation_loss"] - 1)
        body += (
            f'<div class="foot">best validation loss {metrics["best_validation_loss"]:.4f} in epoch '
            f'{metrics["best_epoch"]} ({gain:+.1f} % against the base model), {metrics["trainable_parameters"]:,} '
            f'parameters, {metrics["images_per_second"]:.1f} img/s, {parts.duration(metrics["seconds"])}</div>'
        )
    return f'<div class="card">{head}{body}<div class="foot">{run.id}</div></div>'


def overview(project: Project) -> tuple[list[Run], list[Status], str]:
    """The newest runs, their states, and their cards: what works, what waits, then the newest first."""
    runs = project.runs()[-SHOWN_RUNS:]
    states = [jobs.status(run) for run in runs]
    rank = {"running": 0, "waiting": 1}
    newest_first = list(zip(runs, states))[::-1]
    ordered = sorted(newest_first, key=lambda pair: (rank.get(pair[1].state, 2), pair[1].ahead))
    cards = "".join(card(run, status) for run, status in ordered)
    return runs, states, cards or parts.empty("No run yet. Choose the methods and press Train.")


def trained_methods(project: Project) -> list[str]:
    """The methods that have an adapter to draw with."""
    return [name for name in adapters.methods() if any(run.adapter_file.exists() for run in project.runs(name))]


def newest(project: Project) -> list[str]:
    """The newest run of each method: what the plots show at first."""
    latest = {run.config().method: run.id for run in project.runs()}
    return sorted(latest.values())


def plots(runs: Sequence[Run]) -> list[Any]:
    """Updates of the three plots: training loss, validation loss, change per time step."""
    import pandas as pd

    names = names_of(runs)
    events = [run.progress() for run in runs]
    colour = colours(runs, names)
    tables = [
        [row for e, name in zip(events, names) for row in curves.training_curve(e, name)],
        curves.base_line(events) + [row for e, name in zip(events, names) for row in curves.validation_curve(e, name)],
        [row for run, name in zip(runs, names) for row in curves.timestep_profile(run.metrics(), name)],
    ]
    updates = []
    for rows in tables:
        series = {row["series"] for row in rows}
        shown = {name: value for name, value in colour.items() if name in series}
        updates.append(gr.LinePlot(value=pd.DataFrame(rows) if rows else None, color_map=shown, visible=bool(rows)))
    return updates


def strips(runs: Sequence[Run]) -> list[Any]:
    """Updates of one strip of sample pictures a method: before training, then after each epoch."""
    updates = []
    for method in adapters.methods():
        of_method = [run for run in runs if run.config().method == method]
        samples = [(parts.served(file), file.stem.replace("epoch-000", "before").replace("-", " "))
                   for run in of_method[-1:] for file in run.samples()]
        updates.append(gr.update(value=samples, visible=bool(samples)))
    return updates


def build(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """Lay the tab out and wire it."""
    methods = adapters.methods()
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            chosen = gr.CheckboxGroup([(module.LABEL, name) for name, module in methods.items()], value=list(methods),
                                      label="Methods", info="One after the other, on the same data, noise and order.",
                                      elem_id="methods")
            preset_name = gr.Radio([(PRESET_WORDS[name], name) for name in PRESETS], value="default", label="Preset",
                                   elem_id="preset")
            seeds = gr.Number(1, label="Seeds", elem_id="seeds", info="Runs a method; several tell it from its luck.")
            sections: dict[str, dict[str, Any]] = {}
            with gr.Accordion("Settings for every method alike", open=False):
                sections["training"] = forms.widgets(TrainingSettings, "training")
            for name, module in methods.items():
                with gr.Accordion(f"{module.LABEL} settings", open=False):
                    sections[name] = forms.widgets(module.SETTINGS, name)
            go = gr.Button("Train", variant="primary", elem_id="train")
        with gr.Column(scale=3, min_width=300):
            cards = gr.HTML(elem_id="runs", padding=False)
            with gr.Row(visible=False) as controls:
                which = gr.Dropdown([], label="Run", elem_id="which-run", scale=3, min_width=240)
                cancel = gr.Button("Cancel", elem_id="cancel", scale=1, min_width=100)
                resume = gr.Button("Resume", elem_id="resume", scale=1, min_width=100)
    shown = gr.Dropdown([], multiselect=True, label="Runs in the plots", elem_id="shown-runs", visible=False)
    common = {"color": "series", "visible": False, "height": 320, "min_width": 320, "tooltip": "all"}
    with gr.Row():
        training_plot = gr.LinePlot(x="epoch", y="loss", title="Training loss", elem_id="training-plot", **common)
        validation_plot = gr.LinePlot(x="epoch", y="loss", title="Validation loss, fixed noise",
                                      elem_id="validation-plot", **common)
    profile_plot = gr.LinePlot(x="timestep", y="change", elem_id="profile-plot", x_title="time step",
                               y_title="% against base", title="Best epoch, by time step",
                               caption="Left: nearly clean pictures. Right: pure noise, where the style is decided. "
                               "Below zero is better.", **{**common, "height": 400})
    samples = [
        gr.Gallery(label=f"{module.LABEL} after each epoch", columns=8, fit_columns=False,
                   height="auto", visible=False, elem_classes="strip", elem_id=f"samples-{name}",
                   buttons=["download", "fullscreen"])
        for name, module in methods.items()
    ]
    widgets = [widget for fields in sections.values() for widget in fields.values()]

    def grouped(values: Sequence[Any]) -> dict[str, dict[str, Any]]:
        """The form's values by section, only where they differ from what the preset says."""
        values, result = list(values), {}
        for section, fields in sections.items():
            kind = TrainingSettings if section == "training" else methods[section].SETTINGS
            result[section] = forms.read(kind, fields, values[: len(fields)])
            values = values[len(fields):]
        return result

    @parts.friendly
    def train(name: str | None, wanted: list[str], preset_: str, count: float | None, *values: Any) -> list[Any]:
        """Queue the runs; they go on when the page is closed."""
        runs = submit(workspace, name, wanted, preset_, grouped(values), count)
        ids = [run.id for run in workspace.project(name).runs()]
        return [gr.update(choices=ids, value=runs[0].id), gr.update(choices=ids, value=newest(workspace.project(name)))]

    @parts.friendly
    def stop(name: str | None, run_id: str | None) -> None:
        """Cancel a run within two seconds; the best epoch so far stays usable."""
        status = jobs.cancel(chosen_project(workspace, name).run(run_id or ""))
        kept = "Cancelled; the best epoch so far is kept."
        gr.Info(kept if status.state == "cancelled" else f"The run is {status.state}.")

    @parts.friendly
    def again(name: str | None, run_id: str | None) -> None:
        """Go on with a run after its last finished epoch."""
        jobs.start(chosen_project(workspace, name).run(run_id or ""))

    def refill(preset_: str) -> list[Any]:
        """Show a preset's values in the form."""
        filled = []
        for section, fields in sections.items():
            config = preset(preset_, next(iter(methods)) if section == "training" else section)
            filled += forms.shown(config.training if section == "training" else config.adapter, fields)
        return filled

    go.click(train, [project, chosen, preset_name, seeds, *widgets], [which, shown], api_visibility="private")
    cancel.click(stop, [project, which], None, api_visibility="private")
    resume.click(again, [project, which], None, api_visibility="private")
    preset_name.change(refill, preset_name, widgets, show_progress="hidden", api_visibility="private")
    live = [cards, controls, which, shown, training_plot, validation_plot, profile_plot, *samples]
    return Tab(live, [which, shown])


def refresh(workspace: Workspace, name: str | None, which: str | None, shown: list[str], seen: Any) -> list[Any]:
    """[what is seen now, updates of the live widgets]; what has no news is left alone, so that nothing flickers."""
    strips_count = len(adapters.methods())
    if not name:
        return [None, parts.empty("No project yet. Make one in the Data set tab."), *[gr.skip()] * (6 + strips_count)]
    project = workspace.project(name)
    runs, states, cards = overview(project)
    ids = [run.id for run in project.runs()]
    chosen = [run_id for run_id in shown or [] if run_id in ids]
    if not seen or seen["ids"] != [name, ids] or not chosen:
        chosen = newest(project)
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
    updates: list[Any] = [gr.skip()] * (7 + strips_count)
    if news["cards"]:
        updates[0] = cards
    if news["ids"]:
        active = [run.id for run, status in zip(runs, states) if status.active]
        value = which if which in active else next(iter(active), ids[-1] if ids else None)
        updates[1] = gr.update(visible=bool(ids))
        updates[2] = gr.update(choices=ids, value=value)
        updates[3] = gr.update(choices=ids, value=chosen, visible=len(ids) > len(newest(project)))
    if news["steps"] or news["epochs"]:
        training, validation, profile = plots(in_plots)
        updates[4] = training if news["steps"] else gr.skip()
        updates[5:7] = [validation, profile] if news["epochs"] else [gr.skip()] * 2
    if news["samples"]:
        updates[7:] = strips(in_plots)
    return [now, *updates]
