"""Build from photos: the five steps from photos to a dataset; each is refreshed when it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ghibli_studio.ui.components import handlers
from ghibli_studio.ui.dataset import build as dataset_build
from ghibli_studio.ui.dataset import crop, photos, prompts, stylization
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Workspace

NAMES = ("1 Add", "2 Prompts", "3 Crop", "4 Stylize", "5 Build")


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab, others: Sequence[gr.Tab]) -> Any:
    """Lay out the steps and wire their events; `others` are the tabs next to this one.

    Returns the event after which there is a new dataset.
    """
    steps: list[Step] = []
    tabs = []
    with gr.Tabs(elem_id="steps"):
        for name, module in zip(NAMES, (photos, prompts, crop, stylization)):
            with gr.Tab(name, id=name) as one:
                steps.append(module.build(workspace, project))
            tabs.append(one)
        with gr.Tab(NAMES[-1], id=NAMES[-1]) as one:
            last, finished = dataset_build.build(workspace, project)
            steps.append(last)
        tabs.append(one)
    last_step = gr.State(0)
    open_step = gr.State(None)  # None: the steps are not visible, and nothing is rendered
    outputs = [widget for step in steps for widget in step.outputs]

    @handlers.friendly
    def shown(name: str | None, number: int | None) -> list[Any]:
        """Return updates of the open step; the others are updated when they are opened, to save time."""
        of = workspace.project(name) if name else None
        return [
            update
            for index, step in enumerate(steps)
            for update in (step.view(of) if index == number else [gr.skip()] * len(step.outputs))
        ]

    def opening(number: int) -> Any:
        @handlers.friendly
        def show(name: str | None) -> list[Any]:
            return [number, number, *steps[number].view(workspace.project(name) if name else None)]

        return show

    for number, (one, step) in enumerate(zip(tabs, steps)):
        one.select(opening(number), project, [open_step, last_step, *step.outputs], **handlers.QUIET)
    entered = tab.select(lambda number: number, last_step, open_step, **handlers.QUIET)
    entered.then(shown, [project, open_step], outputs, **handlers.QUIET)
    for other in others:
        other.select(lambda: None, None, open_step, **handlers.QUIET)
    project.change(shown, [project, open_step], outputs, **handlers.QUIET)
    return finished
