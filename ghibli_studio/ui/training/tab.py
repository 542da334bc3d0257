"""The Train tab: choose methods and settings, queue runs, and watch them live. Each run is a separate process."""

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
from ghibli_studio.ui.training.runs import newest_runs
from ghibli_studio.workspace.project import Project, Workspace
from ghibli_studio.workspace.run import Run

PRESET_LABELS = {
    "quick": "quick: a first look, one or two minutes per method on two CPU cores",
    "default": "default: enough for a comparison, several minutes per method",
    "paper": "paper: the values of the published study",
}


@dataclass(frozen=True)
class Tab:
    """The widgets that the rest of the page needs."""

    live: list[Any]
    """What `refresh` updates."""
    chosen: list[Any]
    """The selected run, and the runs in the plots."""


def submit(
    workspace: Workspace,
    name: str | None,
    methods: Sequence[str],
    preset_name: str,
    changes: dict[str, dict[str, Any]],
    seeds: float | str | None = 1,
    grid: str = "",
) -> list[Run]:
    """Queue the runs of every method: one for each seed and each combination of the grid's values.

    `changes` are plain values by section (`training` or a method's name); `tuning.sweep` parses `seeds` and `grid`.
    """
    project = chosen_project(workspace, name)
    of_methods = settings_by_method(project, methods, changes)
    configs = sweep.plan(preset_name, methods, of_methods, sweep.parse_grid(sweep.split_lines(grid)), seeds)
    return [queue.submit(project, config) for config in configs]


def settings_by_method(
    project: Project, methods: Sequence[str], changes: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the form's values by method, with the dataset's base model."""
    common = {f"training.{key}": value for key, value in changes.get("training", {}).items()}
    common["base_model"] = datasets.load(project).base_model
    return {
        method: {**common, **{f"adapter.{key}": value for key, value in changes.get(method, {}).items()}}
        for method in methods
    }


def build(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """Lay out the tab and wire its events."""
    methods = registry.methods()
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            chosen = gr.CheckboxGroup(
                [(module.LABEL, name) for name, module in methods.items()],
                value=list(methods),
                label="Methods",
                info="Trained one after the other, on the same data, noise and order.",
                elem_id="methods",
            )
            preset_name = gr.Radio(
                [(PRESET_LABELS[name], name) for name in PRESETS], value="default", label="Preset", elem_id="preset"
            )
            seeds = gr.Textbox(
                "1",
                label="Seeds",
                elem_id="seeds",
                info="Number of runs per method, or a list of seeds: 1,5,9. More seeds show the spread.",
            )
            grid = gr.Textbox(
                "",
                label="Grid",
                lines=2,
                elem_id="grid",
                placeholder="rank=4,8,16",
                info="Settings to vary, one per line; each combination is a run. For one method: ti.rank=4,8.",
            )
            sections: dict[str, dict[str, Any]] = {}
            with gr.Accordion("Shared training settings", open=False):
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
                use = gr.Button("Reuse settings", elem_id="reuse-run", scale=2, min_width=180)
    with gr.Row():
        shown = gr.Dropdown(
            [], multiselect=True, label="Runs in the plots", elem_id="shown-runs", visible=False, scale=5, min_width=240
        )
        show_all = gr.Button("Show all runs", elem_id="show-all", visible=False, scale=1, min_width=120)
    common: dict[str, Any] = {"color": "series", "visible": False, "height": 320, "min_width": 320, "tooltip": "all"}
    with gr.Row():
        training_plot = gr.LinePlot(x="epoch", y="loss", title="Training loss", elem_id="training-plot", **common)
        validation_plot = gr.LinePlot(
            x="epoch", y="loss", title="Validation loss, fixed noise", elem_id="validation-plot", **common
        )
    profile_plot = gr.LinePlot(
        x="timestep",
        y="change",
        elem_id="profile-plot",
        x_title="timestep",
        y_title="% vs. base",
        title="Best epoch, by timestep",
        caption="Left: little noise. Right: pure noise, where the style is set. Below zero is better.",
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
        """Return the form's values by section."""
        values, result = list(values), {}
        for section, fields in sections.items():
            kind = TrainingSettings if section == "training" else methods[section].SETTINGS
            result[section] = forms.read(kind, fields, values[: len(fields)])
            values = values[len(fields) :]
        return result

    @handlers.friendly
    def train(name: str | None, selected: list[str], preset_: str, count: str, varied: str, *values: Any) -> list[Any]:
        """Queue the runs; they continue when the page is closed."""
        runs = submit(workspace, name, selected, preset_, grouped(values), count, varied)
        of = chosen_project(workspace, name)
        ids = [run.id for run in of.runs()]
        in_plots = newest_runs(of, runs)
        return [gr.update(choices=ids, value=runs[0].id), gr.update(choices=ids, value=in_plots)]

    def configs(name: str | None, selected: list[str], preset_: str, *values: Any) -> tuple[Project, list[RunConfig]]:
        """Return the form's configurations, one per method."""
        of = chosen_project(workspace, name)
        return of, sweep.plan(preset_, selected, settings_by_method(of, selected, grouped(values)), {})

    def every_run(name: str | None) -> Any:
        """Show every run of the project in the plots."""
        return gr.update(value=[run.id for run in workspace.project(name).runs()]) if name else gr.skip()

    @handlers.friendly
    def stop(name: str | None, run_id: str | None) -> None:
        """Cancel a run within two seconds; the best epoch so far is kept."""
        status = queue.cancel(chosen_project(workspace, name).run(run_id or ""))
        kept = "Cancelled; the best epoch so far is kept."
        gr.Info(kept if status.state == "cancelled" else f"The run is {status.state}.")

    @handlers.friendly
    def resume_run(name: str | None, run_id: str | None) -> None:
        """Resume a run after its last finished epoch."""
        queue.start(chosen_project(workspace, name).run(run_id or ""))

    def refill(preset_: str) -> list[Any]:
        """Fill in the form with a preset's values."""
        filled = []
        for section, fields in sections.items():
            config = preset(preset_, next(iter(methods)) if section == "training" else section)
            filled += forms.shown(config.training if section == "training" else config.adapter, fields)
        return filled

    @handlers.friendly
    def reused(name: str | None, run_id: str | None) -> list[Any]:
        """Fill in the form with a run's settings; those of other methods stay as they are."""
        config = chosen_project(workspace, name).run(run_id or "").config()
        filled = []
        for section, fields in sections.items():
            if section in ("training", config.method):
                filled += forms.shown(config.training if section == "training" else config.adapter, fields)
            else:
                filled += [gr.skip()] * len(fields)
        gr.Info(f"The form now has the settings of {run_id}. Change what you like, then press Train.")
        return [[config.method], config.preset, "1", "", *filled]

    form = [project, chosen, preset_name]
    go.click(train, [*form, seeds, grid, *widgets], [which, shown], api_visibility="private")
    show_all.click(every_run, project, shown, show_progress="hidden", api_visibility="private")
    rates = {name: sections[name]["learning_rate"] for name in methods}
    tuning.wire(workspace, finding, configs, [*form, *widgets], rates, sections["training"]["train_batch_size"])
    cancel.click(stop, [project, which], None, api_visibility="private")
    resume.click(resume_run, [project, which], None, api_visibility="private")
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
