"""The whole page: the header, the quick start and the six tabs, wired together.

The tabs are thin: the work is done by functions that also run without the page. Only `ghibli_studio.ui` imports Gradio,
and nothing here imports torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gradio as gr

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import model_cache
from ghibli_studio.generation.model_cache import _loaded, load_base_model
from ghibli_studio.jobs import status
from ghibli_studio.runtime.environment import storage_warning
from ghibli_studio.ui import api
from ghibli_studio.ui.components import handlers, html_parts, shortcuts
from ghibli_studio.ui.dataset import tab as dataset_tab
from ghibli_studio.ui.evaluation import tab as evaluation_tab
from ghibli_studio.ui.generation import tab as generation_tab
from ghibli_studio.ui.generation import xy_grid
from ghibli_studio.ui.library import images
from ghibli_studio.ui.library import tab as library_tab
from ghibli_studio.ui.study import tab as study_tab
from ghibli_studio.ui.training import runs
from ghibli_studio.ui.training import tab as training_tab
from ghibli_studio.workspace.project import Workspace

REFRESH_SECONDS = 1.5  # redrawing the plots takes processor time away from the training
HANDLERS_AT_ONCE = 4  # calls of one event handler that run at the same time
SUBTITLE = "Train a drawing style into Stable Diffusion with LoRA and Textual Inversion, and measure which is better."


def newest_project(workspace: Workspace) -> str | None:
    """Return the name of the project whose folder was modified last, or None."""
    names = workspace.projects()
    return max(names, key=lambda name: workspace.project(name).folder.stat().st_mtime, default=None)


def build(workspace: Workspace, pilot_key: str = "") -> gr.Blocks:
    """Build the whole page; `pilot_key` opens the preview of a blind study."""
    # the same as `page.queue(default_concurrency_limit=...)`, which would build the server application once more
    os.environ.setdefault("GRADIO_DEFAULT_CONCURRENCY_LIMIT", str(HANDLERS_AT_ONCE))
    with gr.Blocks(title="Ghibli Studio", analytics_enabled=False) as page:
        api.build(workspace)  # first, so that Gradio adds no suffix to the names of the endpoints
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                gr.Markdown(f"# Ghibli Studio\n{SUBTITLE}", elem_id="title")
            project = gr.Dropdown([], label="Project", elem_id="project", scale=1, min_width=240)
            with gr.Column(scale=0, min_width=136):
                shortcuts.lay_out()
        if why := storage_warning(workspace.root):
            gr.Markdown(f"**{why}.**", elem_id="storage-warning")
        with (
            gr.Accordion("Quick start", open=not workspace.projects(), elem_id="start") as start,
            gr.Walkthrough(selected=1, elem_id="walkthrough") as walk,
        ):
            with gr.Step("Dataset", id=1):
                gr.Markdown(
                    "Creates a project with 115 landmarks, each as a photo and painted in the style to learn. "
                    "It takes half a minute. You can import your own images later."
                )
                first = gr.Button("Create sample project", variant="primary", elem_id="start-sample")
            with gr.Step("Train", id=2):
                gr.Markdown(
                    "Trains LoRA and Textual Inversion on the same images, one after the other. It takes a few "
                    "minutes on two CPU cores. The Train tab shows the losses and sample images."
                )
                second = gr.Button("Train both", variant="primary", elem_id="start-train")
            with gr.Step("Generate", id=3):
                gr.Markdown(
                    "Generates five landmarks that neither method was trained on, with the same seeds for each model."
                )
                third = gr.Button("Generate five landmarks", variant="primary", elem_id="start-generate")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Dataset", id="dataset", elem_id="tab-dataset"):
                data = dataset_tab.build(workspace, project)
            with gr.Tab("Train", id="train", elem_id="tab-train"):
                training = training_tab.build(workspace, project)
            with gr.Tab("Generate", id="generate", elem_id="tab-generate") as generate:
                generation = generation_tab.build(workspace, project)
                xy_grid.build(workspace, project, generation.form, generate)
            with gr.Tab("Evaluate", id="evaluate-tab", elem_id="tab-evaluate") as evaluating:
                evaluation_tab.build(workspace, project, evaluating)
            with gr.Tab("Library", id="library", elem_id="tab-library") as library:
                library_panel = library_tab.build(workspace, project, library)
            with gr.Tab("Study", id="study", elem_id="tab-study") as study:
                study_tab.build(workspace, project, study, pilot_key)
        seen, usable_before = gr.State(None), gr.State(None)
        timer = gr.Timer(REFRESH_SECONDS)
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

        @handlers.friendly
        def show_project(name: str | None) -> list[Any]:
            """Show another project in every tab."""
            sets = generation_tab.sets_of(workspace.project(name)) if name else []
            latest = sets[0] if sets else None
            shown = (
                generation_tab.result_view(workspace.project(name), latest, None, "", "") if name else [gr.skip()] * 6
            )
            return [*dataset_tab.view(workspace, name), *generation_tab.choices_view(workspace, name), *shown]

        def opened() -> list[Any]:
            """Choose a project when the page is loaded."""
            names = workspace.projects()
            return [gr.update(choices=names, value=newest_project(workspace)), gr.update(open=not names)]

        def tick(name: str | None, which: str | None, shown: list[str], before: Any, trained: Any) -> list[Any]:
            """Refresh what is shown of the runs; tick a method in the Generate tab when it gets its first adapter."""
            usable = [name, *runs.trained_methods(workspace.project(name))] if name else []
            models = gr.skip() if usable == trained else gr.update(value=[model_cache.BASE, *usable[1:]])
            return [usable, models, *runs.refresh(workspace, name, which, shown, before)]

        project_views = [*data.view, *generation.choices, *generation.result]
        project.change(show_project, project, project_views, **quiet)
        page.load(opened, None, [project, start], **quiet)
        live = [usable_before, generation.choices[1], seen, *training.live]
        timer.tick(tick, [project, *training.chosen, seen, usable_before], live, concurrency_limit=None, **quiet)

        # load the model while the user still fills in the form
        generate.select(lambda name: warm_up(workspace, name), project, None, **quiet)

        @handlers.friendly
        def reuse_settings(name: str | None, id: str) -> list[Any]:
            return [gr.Tabs(selected="generate"), *images.reused_view(workspace, name, id)]

        library_panel.reuse.click(reuse_settings, library_panel.chosen, [tabs, *generation.form.refillable], **quiet)

        def step(number: int) -> Any:
            return gr.Walkthrough(selected=number)

        made = first.click(lambda: gr.Tabs(selected="dataset"), None, tabs, **quiet)
        made = made.then(data.make_sample, None, data.outputs, concurrency_id="dataset", **quiet)
        made.success(lambda: step(2), None, walk, **quiet)

        @handlers.friendly
        def train_both(name: str | None) -> Any:
            training_tab.submit(workspace, name, list(registry.methods()), "quick", {})
            return gr.Tabs(selected="train")

        second.click(train_both, project, tabs, **quiet).success(lambda: step(3), None, walk, **quiet)

        def generate_after_training(*inputs: Any) -> Iterator[list[Any]]:
            """Wait for the project's runs, then generate with every trained method."""
            name = inputs[0]
            of_project = handlers.chosen_project(workspace, name)
            while active := [run for run in of_project.runs() if status.status(run).active]:
                done = status.status(active[0])
                label = registry.method(active[0].config().method).LABEL
                waiting = html_parts.bar(
                    done.fraction, f"{label} is still training; the images are generated right after it"
                )
                yield [gr.update(value=waiting, visible=True), *[gr.skip()] * (len(generation.outputs) - 1)]
                time.sleep(REFRESH_SECONDS)
            models = [model_cache.BASE, *runs.trained_methods(of_project)]
            yield from generation.generate(*inputs[:3], models, *inputs[4:])

        to_images = third.click(lambda: gr.Tabs(selected="generate"), None, tabs, **quiet)
        started = to_images.then(
            handlers.friendly(generate_after_training),
            generation.inputs,
            generation.outputs,
            concurrency_id="accelerator",
            **quiet,
        )
        generation.form.stop.click(None, None, None, cancels=[started], **quiet)
        shortcuts.wire(page)
    return page


def warm_up(workspace: Workspace, name: str | None) -> None:
    """Load a project's base model unless a run is active; errors are shown when images are generated."""
    if name and not _loaded and status.current(workspace) is None:
        with suppress(StudioError):
            load_base_model(datasets.load(workspace.project(name)).base_model)
