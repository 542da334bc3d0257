"""The page: thin tabs over functions that run without it. The only part that knows gradio; it imports no torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gradio as gr

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import model_cache
from ghibli_studio.generation.model_cache import _loaded, loaded_base
from ghibli_studio.jobs import status
from ghibli_studio.runtime.environment import forgets
from ghibli_studio.ui import api
from ghibli_studio.ui.components import handlers, html_parts, shortcuts
from ghibli_studio.ui.dataset import tab
from ghibli_studio.ui.evaluation import tab as evaluation_tab
from ghibli_studio.ui.generation import tab as generation_tab
from ghibli_studio.ui.generation import xy_grid
from ghibli_studio.ui.library import images
from ghibli_studio.ui.library import tab as library_tab
from ghibli_studio.ui.study import tab as study_tab
from ghibli_studio.ui.training import runs
from ghibli_studio.ui.training import tab as training_tab
from ghibli_studio.workspace.project import Workspace

REFRESH_SECONDS = 1.5  # a page that draws plots takes its share of the processor from the training
SUBTITLE = "Teach Stable Diffusion a drawing style in two ways, and see which is better."


def newest_project(workspace: Workspace) -> str | None:
    """The project that was worked on last."""
    names = workspace.projects()
    return max(names, key=lambda name: workspace.project(name).folder.stat().st_mtime, default=None)


def build(workspace: Workspace, pilot_key: str = "") -> gr.Blocks:
    """The whole page; `pilot_key` opens the blind study to those who try it."""
    with gr.Blocks(title="Ghibli Studio", analytics_enabled=False) as page:
        api.build(workspace)  # first, so that its names are as they are written
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                gr.Markdown(f"# Ghibli Studio\n{SUBTITLE}", elem_id="title")
            project = gr.Dropdown([], label="Project", elem_id="project", scale=1, min_width=240)
            with gr.Column(scale=0, min_width=96):
                shortcuts.lay_out()
        if why := forgets(workspace.root):
            gr.Markdown(f"**{why}.**", elem_id="forgets")
        with (
            gr.Accordion(
                "New here? Three steps from nothing to pictures", open=not workspace.projects(), elem_id="start"
            ) as start,
            gr.Walkthrough(selected=1, elem_id="walkthrough") as walk,
        ):
            with gr.Step("Draw", id=1):
                gr.Markdown(
                    "115 landmarks are drawn for you, each as a photograph and in the style to learn. "
                    "It takes half a minute, and you can use your own pictures later."
                )
                first = gr.Button("Make the sample project", variant="primary", elem_id="start-sample")
            with gr.Step("Train", id=2):
                gr.Markdown(
                    "LoRA and Textual Inversion learn the style from the same pictures, one after the other: "
                    "a few minutes on two cores. Watch the losses and the sample pictures below."
                )
                second = gr.Button("Train both", variant="primary", elem_id="start-train")
            with gr.Step("See", id=3):
                gr.Markdown("Five landmarks that neither method has seen, drawn from the same noise.")
                third = gr.Button("Draw the five landmarks", variant="primary", elem_id="start-draw")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Data set", id="data", elem_id="tab-data"):
                data = tab.build(workspace, project)
            with gr.Tab("Train", id="train", elem_id="tab-train"):
                training = training_tab.build(workspace, project)
            with gr.Tab("Generate", id="generate", elem_id="tab-generate") as generate:
                drawing = generation_tab.build(workspace, project)
                xy_grid.build(workspace, project, drawing.form, generate)
            with gr.Tab("Evaluate", id="evaluate-tab", elem_id="tab-evaluate") as evaluating:
                evaluation_tab.build(workspace, project, evaluating)
            with gr.Tab("Library", id="library", elem_id="tab-library") as library:
                found = library_tab.build(workspace, project, library)
            with gr.Tab("Study", id="study", elem_id="tab-study") as study:
                study_tab.build(workspace, project, study, pilot_key)
        seen, finished = gr.State(None), gr.State(None)
        timer = gr.Timer(REFRESH_SECONDS)
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

        @handlers.friendly
        def changed(name: str | None) -> list[Any]:
            """Show another project everywhere."""
            sets = generation_tab.sets_of(workspace.project(name)) if name else []
            latest = sets[0] if sets else None
            shown = (
                generation_tab.result_view(workspace.project(name), latest, None, "", "") if name else [gr.skip()] * 6
            )
            return [*tab.view(workspace, name), *generation_tab.choices_view(workspace, name), *shown]

        def opened() -> list[Any]:
            names = workspace.projects()
            return [gr.update(choices=names, value=newest_project(workspace)), gr.update(open=not names)]

        def tick(name: str | None, which: str | None, shown: list[str], before: Any, trained: Any) -> list[Any]:
            """News of the runs; a method that has just become able to draw is ticked in the Generate tab."""
            able = [name, *runs.trained_methods(workspace.project(name))] if name else []
            can_draw = gr.skip() if able == trained else gr.update(value=[model_cache.BASE, *able[1:]])
            return [able, can_draw, *runs.refresh(workspace, name, which, shown, before)]

        follow = [*data.view, *drawing.choices, *drawing.result]
        project.change(changed, project, follow, **quiet)
        page.load(opened, None, [project, start], **quiet)
        live = [finished, drawing.choices[1], seen, *training.live]
        timer.tick(tick, [project, *training.chosen, seen, finished], live, concurrency_limit=None, **quiet)

        # what computes is imported while the person still chooses
        generate.select(lambda name: warm_up(workspace, name), project, None, **quiet)

        @handlers.friendly
        def use_again(name: str | None, id: str) -> list[Any]:
            return [gr.Tabs(selected="generate"), *images.again_view(workspace, name, id)]

        found.again.click(use_again, found.chosen, [tabs, *drawing.form.refillable], **quiet)

        def step(number: int) -> Any:
            return gr.Walkthrough(selected=number)

        made = first.click(lambda: gr.Tabs(selected="data"), None, tabs, **quiet)
        made = made.then(data.make_sample, None, data.outputs, concurrency_id="data set", **quiet)
        made.success(lambda: step(2), None, walk, **quiet)

        @handlers.friendly
        def train_both(name: str | None) -> Any:
            training_tab.submit(workspace, name, list(registry.methods()), "quick", {})
            return gr.Tabs(selected="train")

        second.click(train_both, project, tabs, **quiet).success(lambda: step(3), None, walk, **quiet)

        def draw_after_training(*inputs: Any) -> Iterator[list[Any]]:
            """Wait for the project's runs, then draw with all that was trained."""
            name = inputs[0]
            of = handlers.chosen_project(workspace, name)
            while active := [run for run in of.runs() if status.status(run).active]:
                done = status.status(active[0])
                label = registry.method(active[0].config().method).LABEL
                waiting = html_parts.bar(done.fraction, f"{label} is still learning; drawing starts by itself")
                yield [gr.update(value=waiting, visible=True), *[gr.skip()] * (len(drawing.outputs) - 1)]
                time.sleep(REFRESH_SECONDS)
            able = [model_cache.BASE, *runs.trained_methods(of)]
            yield from drawing.draw(*inputs[:3], able, *inputs[4:])

        to_pictures = third.click(lambda: gr.Tabs(selected="generate"), None, tabs, **quiet)
        started = to_pictures.then(
            handlers.friendly(draw_after_training),
            drawing.inputs,
            drawing.outputs,
            concurrency_id="accelerator",
            **quiet,
        )
        drawing.form.stop.click(None, None, None, cancels=[started], **quiet)
        shortcuts.wire(page)
    return page.queue(default_concurrency_limit=4)


def warm_up(workspace: Workspace, name: str | None) -> None:
    """Load a project's base model in the background, unless the machine is at work; errors wait for the drawing."""
    if name and not _loaded and status.current(workspace) is None:
        with suppress(StudioError):
            loaded_base(datasets.load(workspace.project(name)).base_model)
