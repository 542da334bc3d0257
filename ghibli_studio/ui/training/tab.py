"""The Train tab: choose methods and settings, queue the runs, watch them live. Runs are processes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from adapters import registry
from ghibli_studio.config.training import PRESETS, RunConfig, TrainingSettings, preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.jobs import queue
from ghibli_studio.tuning import sweep
from ghibli_studio.ui.components import forms, handlers
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.training import tuning
from ghibli_studio.ui.training.runs import newest
from ghibli_studio.workspace.project import Project, Workspace
from ghibli_studio.workspace.run import Run

PRESET_WORDS = {
    "quick": "quick: a first look, a minute or two a method on two cores",
    "default": "default: worth comparing, some minutes a method",
    "paper": "paper: the published values, for comparison with the study",
}


@dataclass(frozen=True)
class Tab:
    """The widgets that the rest of the page needs."""

    live: list[Any]
    """What `refresh` updates."""
    chosen: list[Any]
    """The run to act on, and the runs in the plots."""


def submit(
    workspace: Workspace,
    name: str | None,
    methods: Sequence[str],
    preset_name: str,
    changes: dict[str, dict[str, Any]],
    seeds: float | str | None = 1,
    grid: str = "",
) -> list[Run]:
    """Queue every method's runs: one a seed and combination of the grid's values.

    `changes` are plain values by section (`training` or a method's name); `seeds` and `grid` as `grids.plan` and
    `grids.lines_of` read them.
    """
    project = chosen_project(workspace, name)
    of_methods = of_each(project, methods, changes)
    configs = sweep.plan(preset_name, methods, of_methods, sweep.read_grid(sweep.lines_of(grid)), seeds)
    return [queue.submit(project, config) for config in configs]


def of_each(project: Project, methods: Sequence[str], changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The form's values by method, for the data set's base model."""
    common = {f"training.{key}": value for key, value in changes.get("training", {}).items()}
    common["base_model"] = datasets.load(project).base_model
    return {
        method: {**common, **{f"adapter.{key}": value for key, value in changes.get(method, {}).items()}}
        for method in methods
    }


def build(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """Lay the tab out and wire it."""
    methods = registry.methods()
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            chosen = gr.CheckboxGroup(
                [(module.LABEL, name) for name, module in methods.items()],
                value=list(methods),
                label="Methods",
                info="One after the other, on the same data, noise and order.",
                elem_id="methods",
            )
            preset_name = gr.Radio(
                [(PRESET_WORDS[name], name) for name in PRESETS], value="default", label="Preset", elem_id="preset"
            )
            seeds = gr.Textbox(
                "1",
                label="Seeds",
                elem_id="seeds",
                info="How many runs a method, or the seeds themselves: 1,5,9. Several tell a method from its luck.",
            )
            grid = gr.Textbox(
                "",
                label="Grid",
                lines=2,
                elem_id="grid",
                placeholder="rank=4,8,16",
                info="Settings to vary, one a line; every combination becomes a run. A setting of one "
                "method alone: ti.learning_rate=1e-3,5e-3.",
            )
            sections: dict[str, dict[str, Any]] = {}
            with gr.Accordion("Settings for every method alike", open=False):
                sections["training"] = forms.widgets(TrainingSettings, "training")
            for name, module in methods.items():
                with gr.Accordion(f"{module.LABEL} settings", open=False):
                    sections[name] = forms.widgets(module.SETTINGS, name)
            go = gr.Button("Train", variant="primary", elem_id="train")
            finding = tuning.lay_out()
        with gr.Column(scale=3, min_width=300):
            cards = gr.HTML(elem_id="runs", padding=False)
            with gr.Row(visible=False) as controls:
                which = gr.Dropdown([], label="Run", elem_id="which-run", scale=3, min_width=240)
                cancel = gr.Button("Cancel", elem_id="cancel", scale=1, min_width=100)
                resume = gr.Button("Resume", elem_id="resume", scale=1, min_width=100)
                use = gr.Button("Use these settings again", elem_id="use-run", scale=2, min_width=180)
    with gr.Row():
        shown = gr.Dropdown(
            [], multiselect=True, label="Runs in the plots", elem_id="shown-runs", visible=False, scale=5, min_width=240
        )
        show_all = gr.Button("Show all runs", elem_id="show-all", visible=False, scale=1, min_width=120)
    common = {"color": "series", "visible": False, "height": 320, "min_width": 320, "tooltip": "all"}
    with gr.Row():
        training_plot = gr.LinePlot(x="epoch", y="loss", title="Training loss", elem_id="training-plot", **common)
        validation_plot = gr.LinePlot(
            x="epoch", y="loss", title="Validation loss, fixed noise", elem_id="validation-plot", **common
        )
    profile_plot = gr.LinePlot(
        x="timestep",
        y="change",
        elem_id="profile-plot",
        x_title="time step",
        y_title="% against base",
        title="Best epoch, by time step",
        caption="Left: nearly clean pictures. Right: pure noise, where the style is decided. Below zero is better.",
        **{**common, "height": 400},
    )
    samples = [
        gr.Gallery(
            label=f"{module.LABEL} after each epoch",
            columns=8,
            fit_columns=False,
            height="auto",
            visible=False,
            elem_classes="strip",
            elem_id=f"samples-{name}",
            buttons=["download", "fullscreen"],
        )
        for name, module in methods.items()
    ]
    widgets = [widget for fields in sections.values() for widget in fields.values()]

    def grouped(values: Sequence[Any]) -> dict[str, dict[str, Any]]:
        """The form's values by section, only where they differ from what the preset says."""
        values, result = list(values), {}
        for section, fields in sections.items():
            kind = TrainingSettings if section == "training" else methods[section].SETTINGS
            result[section] = forms.read(kind, fields, values[: len(fields)])
            values = values[len(fields) :]
        return result

    @handlers.friendly
    def train(name: str | None, wanted: list[str], preset_: str, count: str, varied: str, *values: Any) -> list[Any]:
        """Queue the runs; they go on when the page is closed."""
        runs = submit(workspace, name, wanted, preset_, grouped(values), count, varied)
        ids = [run.id for run in workspace.project(name).runs()]
        in_plots = newest(workspace.project(name), runs)
        return [gr.update(choices=ids, value=runs[0].id), gr.update(choices=ids, value=in_plots)]

    def configs(name: str | None, wanted: list[str], preset_: str, *values: Any) -> tuple[Project, list[RunConfig]]:
        """What the form says, one configuration a method."""
        of = chosen_project(workspace, name)
        return of, sweep.plan(preset_, wanted, of_each(of, wanted, grouped(values)), {})

    def every_run(name: str | None) -> Any:
        """Put every run of the project into the plots."""
        return gr.update(value=[run.id for run in workspace.project(name).runs()]) if name else gr.skip()

    @handlers.friendly
    def stop(name: str | None, run_id: str | None) -> None:
        """Cancel a run within two seconds; the best epoch so far stays usable."""
        status = queue.cancel(chosen_project(workspace, name).run(run_id or ""))
        kept = "Cancelled; the best epoch so far is kept."
        gr.Info(kept if status.state == "cancelled" else f"The run is {status.state}.")

    @handlers.friendly
    def again(name: str | None, run_id: str | None) -> None:
        """Go on with a run after its last finished epoch."""
        queue.start(chosen_project(workspace, name).run(run_id or ""))

    def refill(preset_: str) -> list[Any]:
        """Show a preset's values in the form."""
        filled = []
        for section, fields in sections.items():
            config = preset(preset_, next(iter(methods)) if section == "training" else section)
            filled += forms.shown(config.training if section == "training" else config.adapter, fields)
        return filled

    @handlers.friendly
    def reused(name: str | None, run_id: str | None) -> list[Any]:
        """Show a run's settings in the form; the other methods' stay as they are."""
        config = chosen_project(workspace, name).run(run_id or "").config()
        filled = []
        for section, fields in sections.items():
            if section in ("training", config.method):
                filled += forms.shown(config.training if section == "training" else config.adapter, fields)
            else:
                filled += [gr.skip()] * len(fields)
        gr.Info(f"The form has the settings of {run_id} now; change what you like and press Train.")
        return [[config.method], config.preset, "1", "", *filled]

    form = [project, chosen, preset_name]
    go.click(train, [*form, seeds, grid, *widgets], [which, shown], api_visibility="private")
    show_all.click(every_run, project, shown, show_progress="hidden", api_visibility="private")
    rates = {name: sections[name]["learning_rate"] for name in methods}
    tuning.wire(workspace, finding, configs, [*form, *widgets], rates, sections["training"]["train_batch_size"])
    cancel.click(stop, [project, which], None, api_visibility="private")
    resume.click(again, [project, which], None, api_visibility="private")
    use.click(
        reused,
        [project, which],
        [chosen, preset_name, seeds, grid, *widgets],
        show_progress="hidden",
        api_visibility="private",
    )
    preset_name.input(refill, preset_name, widgets, show_progress="hidden", api_visibility="private")
    live = [cards, controls, which, shown, show_all, training_plot, validation_plot, profile_plot, *samples]
    return Tab(live, [which, shown])
