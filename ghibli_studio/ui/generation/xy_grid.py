"""The X/Y grid in the Generate tab: two settings against each other, drawn with the tab's form; stopped, gone on with.

What is drawn is `ghibli_studio.xy_grid`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import init_image, model_choice, xy_grid
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.generation import form as generation_form
from ghibli_studio.workspace.project import Project, Workspace

FIRST = "No grid yet. Say what varies across and down, and press Draw the grid."
CHOICES = [(name.replace("_", " "), name) for name in xy_grid.AXES]
EXAMPLES = {
    "adapter_scale": "0, 0.5, 1, 1.5",
    "seed": "0, 1, 2",
    "epoch": "1, 5, 10",
    "prompt": "one prompt a line",
    "guidance_scale": "1, 3, 5, 8",
    "num_inference_steps": "10, 25",
    "method": "base, lora, ti",
    "strength": "0.3, 0.6, 0.9",
}


def plan_of(
    project: Project,
    sides: list[tuple[str, str]],
    drawer: str,
    prompt: str,
    upload: str | None,
    anew: float,
    settings: GenerationSettings,
) -> xy_grid.Plan:
    """The form's grid, checked; the photograph is kept in the project."""
    x, y = (xy_grid.read_axis(name, text) for name, text in sides)
    photograph = None
    if (start := generation_form.photograph_of(upload, anew)) is not None:
        init_image.keep(project, start.image)
        photograph = {"sha256": start.sha256, "strength": start.strength}
    return xy_grid.Plan(x, y, prompt, drawer, settings, photograph)


def prompt_of(project: Project, landmarks: list[str], lines: str, axes: tuple[str, str]) -> str:
    """The grid's one prompt: the first that is written, else that of the first landmark chosen."""
    if "prompt" in axes:
        return ""
    return generation_form.requests_of(project, landmarks[:1], lines)[0].prompt


def drawer_view(project: Project | None) -> list[Any]:
    """Updates of (what draws, grids) for a project."""
    if project is None:
        return [gr.update(choices=[], value=None), gr.update(choices=[], value=None, visible=False)]
    choices = [(one.label, one.name) for one in model_choice.known_drawers(project)]
    trained = [name for _, name in choices if name != BASE]
    return [gr.update(choices=choices, value=trained[0] if trained else BASE), grids_view(project)]


def grids_view(project: Project, chosen: str | None = None) -> Any:
    """Update of the grids to look at, the newest first; what is not finished says so."""
    folders = project.made.grids()
    choices = [
        (folder.name if xy_grid.finished(folder) else f"{folder.name} (not finished)", folder.name)
        for folder in folders
    ]
    names = [folder.name for folder in folders]
    return gr.update(choices=choices, value=chosen if chosen in names else next(iter(names), None), visible=bool(names))


def shown(folder: Path | None) -> list[Any]:
    """Updates of (empty text, picture, file, go on) for a grid or none; one that is not finished is shown as it is."""
    if folder is None:
        return [
            gr.update(value=html_parts.empty(FIRST), visible=True),
            *[gr.update(value=None, visible=False)] * 2,
            gr.update(visible=False),
        ]
    done = xy_grid.finished(folder)
    place = (
        html_parts.served(folder / xy_grid.WHOLE)
        if done
        else html_parts.served_bytes(xy_grid.whole(folder), "grid.png")
    )
    return [
        gr.update(visible=False),
        gr.update(value=place, visible=True),
        gr.update(value=place if done else None, visible=done),
        gr.update(visible=not done),
    ]


def drawing(workspace: Workspace, project: Project, work: Iterator[xy_grid.Progress]) -> Iterator[tuple[str, bool]]:
    """(bar with the time left, whether there is a new picture) of a grid on its way."""
    made = 0

    def counted() -> Iterator[xy_grid.Progress]:
        nonlocal made
        for step in work:
            made += step.picture is not None
            yield step

    seen = 0
    for bar in handlers.follow(workspace, counted()):
        yield bar, made > seen
        seen = made


def build(workspace: Workspace, project: gr.Dropdown, form: generation_form.Form, tab: gr.Tab) -> None:
    """Lay the panel out and wire it; what it offers is made new whenever the tab is opened."""
    with gr.Accordion("Grid: two settings against each other", open=False, elem_id="grid-panel"), gr.Row():
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                x = gr.Dropdown(CHOICES, value="adapter_scale", label="Across", elem_id="grid-x", min_width=120)
                xs = gr.Textbox(
                    EXAMPLES["adapter_scale"], label="Values across", elem_id="grid-xs", min_width=140, lines=1
                )
            with gr.Row():
                y = gr.Dropdown(CHOICES, value="seed", label="Down", elem_id="grid-y", min_width=120)
                ys = gr.Textbox(EXAMPLES["seed"], label="Values down", elem_id="grid-ys", min_width=140, lines=1)
            drawer = gr.Dropdown(
                [],
                label="Drawn by",
                elem_id="grid-drawer",
                info="What does not vary is taken from the form above: the first prompt or landmark, "
                "the settings, the photograph.",
            )
            with gr.Row():
                go = gr.Button("Draw the grid", variant="primary", elem_id="grid-go", scale=2, min_width=140)
                stop = gr.Button("Stop", elem_id="grid-stop", scale=1, min_width=80)
            which = gr.Dropdown([], label="Grids", elem_id="grids", visible=False)
            resume = gr.Button("Go on with it", elem_id="grid-resume", visible=False)
        with gr.Column(scale=3, min_width=300):
            progress = gr.HTML(elem_id="grid-progress", padding=False, visible=False)
            nothing = gr.HTML(html_parts.empty(FIRST), elem_id="no-grid", padding=False)
            picture = gr.Image(
                label="The grid",
                show_label=False,
                visible=False,
                interactive=False,
                elem_id="grid-picture",
                buttons=["download", "fullscreen"],
            )
            made = gr.File(label="The grid as one picture", visible=False, elem_id="grid-file")
    view = [nothing, picture, made, resume]
    outputs = [progress, which, *view]

    def follow(of: Project, work: Iterator[xy_grid.Progress], known: str | None = None) -> Iterator[list[Any]]:
        untouched = [gr.skip()] * (1 + len(view))
        for bar, news in drawing(workspace, of, work):
            name = known or (of.made.grids()[0].name if of.made.grids() else None)
            fresh = [grids_view(of, name), *shown(of.made.grid(name))] if news and name else untouched
            yield [gr.update(value=bar, visible=True), *fresh]
        name = known or of.made.grids()[0].name
        yield [gr.update(value="", visible=False), grids_view(of, name), *shown(of.made.grid(name))]

    @handlers.friendly
    def draw(
        name: str | None,
        across: str,
        values_across: str,
        down: str,
        values_down: str,
        by: str | None,
        landmarks: list[str],
        lines: str,
        upload: str | None,
        anew: float,
        *values: Any,
    ) -> Iterator[list[Any]]:
        of = chosen_project(workspace, name)
        settings = GenerationSettings.checked(forms.read(GenerationSettings, form.fields, values))
        sides = [(across, values_across), (down, values_down)]
        prompt = prompt_of(of, landmarks, lines, (across, down))
        yield from follow(of, xy_grid.draw(of, plan_of(of, sides, by or BASE, prompt, upload, anew, settings)))

    @handlers.friendly
    def go_on(name: str | None, chosen: str | None) -> Iterator[list[Any]]:
        of = chosen_project(workspace, name)
        if not chosen:
            raise StudioError("no grid is chosen; draw one first")
        yield from follow(of, xy_grid.resume(of, of.made.grid(chosen)), chosen)

    @handlers.friendly
    def look(name: str | None, chosen: str | None) -> list[Any]:
        return shown(chosen_project(workspace, name).made.grid(chosen) if chosen else None)

    @handlers.friendly
    def opened(name: str | None) -> list[Any]:
        of = workspace.project(name) if name else None
        folders = of.made.grids() if of else []
        return [*drawer_view(of), *shown(folders[0] if folders else None)]

    def example(name: str) -> Any:
        return gr.update(
            value="" if name == "prompt" else EXAMPLES[name],
            placeholder=EXAMPLES[name],
            lines=3 if name == "prompt" else 1,
        )

    asked = [project, x, xs, y, ys, drawer, form.landmarks, form.prompts, form.file, form.denoising]
    begun = go.click(draw, [*asked, *form.fields.values()], outputs, **handlers.COMPUTING)
    resumed = resume.click(go_on, [project, which], outputs, **handlers.COMPUTING)
    stopped = stop.click(
        lambda: gr.update(value="", visible=False), None, progress, cancels=[begun, resumed], **handlers.QUIET
    )
    stopped.then(opened, project, [drawer, which, *view], **handlers.QUIET)
    which.input(look, [project, which], view, **handlers.QUIET)
    for name, values in ((x, xs), (y, ys)):
        name.input(example, name, values, **handlers.QUIET)
    for event in (tab.select, project.change):
        event(opened, project, [drawer, which, *view], **handlers.QUIET)
