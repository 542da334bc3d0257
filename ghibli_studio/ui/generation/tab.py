"""The Generate tab: the same prompts and noise through the base model and each adapter, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import image_set, init_image, metadata, model_choice
from ghibli_studio.generation.image_set import PictureSet
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.generation import form as generation_form
from ghibli_studio.ui.training.runs import trained_methods
from ghibli_studio.workspace.project import Project, Workspace

NO_PICTURES = "No pictures yet. Choose landmarks and press Draw."


@dataclass(frozen=True)
class Tab:
    """The widgets and handlers that the rest of the page needs."""

    choices: list[Any]
    result: list[Any]
    draw: Callable[..., Iterator[list[Any]]]
    inputs: list[Any]
    outputs: list[Any]
    form: generation_form.Form


def draw(
    workspace: Workspace,
    project: Project,
    requests: Sequence[image_set.Request],
    wanted: Sequence[str],
    settings: GenerationSettings,
    photograph: init_image.Photograph | None = None,
) -> Iterator[tuple[str, Path | None]]:
    """(progress as HTML, the set's folder) whenever there is news; waits while another computation is at work."""
    if not wanted:
        raise StudioError("no method is chosen; tick at least one")
    work = image_set.draw_set(
        project, requests, model_choice.adapter_files(project, wanted), settings, photograph=photograph
    )
    folder = None

    def noticed() -> Iterator[image_set.Progress]:
        nonlocal folder
        for step in work:
            folder = step.picture.file.parent if step.picture else folder
            yield step

    for bar in handlers.follow(workspace, noticed()):
        yield bar, folder


@cache
def placeholder(side: int = 256) -> Any:
    """A gray square where a picture will be."""
    from PIL import Image

    return Image.new("RGB", (side, side), "#c9ced4")


def gallery_of(made: PictureSet) -> list[tuple[Any, str]]:
    """A row a prompt, a column a method; gray where a picture is not there yet."""
    return [
        (
            html_parts.served(made.files[index, method]) if (index, method) in made.files else placeholder(),
            f"{model_choice.short_label(method)} · {title}",
        )
        for index, title in enumerate(made.titles)
        for method in made.methods
    ]


def slider_of(made: PictureSet, title: str | None, left: str, right: str) -> Any:
    """Two methods' pictures of one prompt, to slide across each other."""
    index = made.titles.index(title) if title in made.titles else 0
    pair = [made.files.get((index, method)) for method in (left, right)]
    if None in pair:
        return gr.update(value=None, visible=False)
    return gr.update(value=tuple(html_parts.served(path) for path in pair), visible=True)


def result_view(project: Project, folder: str | None, title: str | None, left: str, right: str) -> list[Any]:
    """Updates of (empty text, gallery, title, left, right, slider) for a set."""
    if not folder:
        return [gr.update(value=html_parts.empty(NO_PICTURES), visible=True), *[gr.update(visible=False)] * 5]
    made = image_set.load_set(project.image_set(folder))
    titles = list(dict.fromkeys(made.titles))
    title = title if title in titles else titles[0]
    known = [(model_choice.label(method), method) for method in made.methods]
    left = left if left in made.methods else made.methods[0]
    right = right if right in made.methods and right != left else made.methods[-1]
    several = len(made.methods) > 1
    return [
        gr.update(visible=False),
        gr.update(value=gallery_of(made), columns=len(made.methods), visible=True),
        gr.update(choices=titles, value=title, visible=several),
        gr.update(choices=known, value=left, visible=several),
        gr.update(choices=known, value=right, visible=several),
        slider_of(made, title, left, right) if several else gr.update(visible=False),
    ]


def sets_of(project: Project) -> list[str]:
    """Names of the sets that can be shown side by side, the newest first."""
    return [folder.name for folder in project.image_sets() if (folder / image_set.SET_FILE).exists()]


def choices_view(workspace: Workspace, name: str | None) -> list[Any]:
    """Updates of (landmarks, methods, sets, other adapters) for a project."""
    if not name:
        return [
            gr.update(choices=[], value=[]),
            gr.update(value=[BASE]),
            gr.update(choices=[], value=None),
            gr.update(choices=[], value=[]),
        ]
    project = workspace.project(name)
    try:
        items = datasets.load(project).items
    except StudioError:
        items = ()
    known = sorted({item.landmark for item in items})
    held_out = sorted({item.landmark for item in items if item.split == "validation"})
    first = [name for name in PAPER_LANDMARKS if name in known] or held_out[:5]
    sets = sets_of(project)
    return [
        gr.update(choices=known, value=first),
        gr.update(value=[BASE, *trained_methods(project)]),
        gr.update(choices=sets, value=sets[0] if sets else None),
        gr.update(choices=generation_form.more_choices(project), value=[]),
    ]


def build(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """Lay the tab out and wire it."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            form = generation_form.lay_out()
        with gr.Column(scale=3, min_width=300):
            progress = gr.HTML(elem_id="draw-progress", padding=False, visible=False)
            nothing = gr.HTML(html_parts.empty(NO_PICTURES), elem_id="no-pictures", padding=False)
            gallery = gr.Gallery(
                label="A row a prompt, a column a method",
                columns=3,
                height="auto",
                visible=False,
                object_fit="contain",
                elem_id="pictures",
                buttons=["download", "fullscreen"],
            )
            with gr.Row():
                title = gr.Dropdown([], label="Compare", visible=False, elem_id="compare")
                left = gr.Dropdown([], label="Left", visible=False, elem_id="left")
                right = gr.Dropdown([], label="Right", visible=False, elem_id="right")
            slider = gr.ImageSlider(label="Slide to compare", visible=False, elem_id="slider", max_height=420)
            with gr.Accordion("Recipe of the picture chosen above", open=False):
                recipe = gr.JSON(show_label=False, elem_id="recipe")
            sets = gr.Dropdown([], label="Set of pictures", elem_id="sets", info="All that was drawn, newest first.")
    result = [nothing, gallery, title, left, right, slider]

    @handlers.friendly
    def drawn(
        name: str | None,
        chosen: list[str],
        lines: str,
        using: list[str],
        also: list[str],
        upload: str | None,
        anew: float,
        a: str,
        b: str,
        *values: Any,
    ) -> Iterator[list[Any]]:
        """Draw every prompt with every method; each picture is shown and saved as it is finished."""
        settings = GenerationSettings.checked(forms.read(GenerationSettings, form.fields, values))
        of = chosen_project(workspace, name)
        requests = generation_form.requests_of(of, chosen, lines, bool(upload))
        start = generation_form.photograph_of(upload, anew)
        shown = None
        for bar, folder in draw(workspace, of, requests, [*using, *(also or [])], settings, start):
            if folder is None:
                yield [gr.update(value=bar, visible=True), gr.skip(), *[gr.skip()] * len(result)]
                continue
            count = len(list(folder.glob("*.png")))
            news = (folder, count) != shown
            shown = (folder, count)
            names = sets_of(of)
            yield [
                gr.update(value=bar, visible=True),
                gr.update(choices=names, value=folder.name) if news else gr.skip(),
                *(result_view(of, folder.name, None, a, b) if news else [gr.skip()] * len(result)),
            ]
        yield [gr.update(value="", visible=False), *[gr.skip()] * (1 + len(result))]

    @handlers.friendly
    def show(name: str | None, folder: str | None, chosen: str | None, a: str, b: str) -> list[Any]:
        return result_view(chosen_project(workspace, name), folder, chosen, a, b)

    @handlers.friendly
    def slide(name: str | None, folder: str | None, chosen: str | None, a: str, b: str) -> Any:
        made = image_set.load_set(chosen_project(workspace, name).image_set(folder))
        return slider_of(made, chosen, a, b)

    @handlers.friendly
    def recipe_shown(name: str | None, folder: str | None, event: gr.SelectData) -> Any:
        made = image_set.load_set(chosen_project(workspace, name).image_set(folder))
        place = (event.index // len(made.methods), made.methods[event.index % len(made.methods)])
        return metadata.read_recipe(made.files[place]) if place in made.files else None

    inputs = [
        project,
        form.landmarks,
        form.prompts,
        form.wanted,
        form.more,
        form.file,
        form.denoising,
        left,
        right,
        *form.fields.values(),
    ]
    outputs = [progress, sets, *result]
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    drawing = form.draw.click(drawn, inputs, outputs, concurrency_id="accelerator", concurrency_limit=1, **quiet)
    form.stop.click(lambda: gr.update(value="", visible=False), None, progress, cancels=[drawing], **quiet)
    sets.input(show, [project, sets, title, left, right], result, **quiet)
    for widget in (title, left, right):
        widget.input(slide, [project, sets, title, left, right], slider, **quiet)
    gallery.select(recipe_shown, [project, sets], recipe, **quiet)
    return Tab([form.landmarks, form.wanted, sets, form.more], result, drawn, inputs, outputs, form)
