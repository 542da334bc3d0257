"""The Generate tab: images of the same prompts and seeds by the base model and by each adapter, side by side."""

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
from ghibli_studio.generation.image_set import ImageSet
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.generation import form as generation_form
from ghibli_studio.ui.training.runs import trained_methods
from ghibli_studio.workspace.project import Project, Workspace

NO_IMAGES = "No images yet. Select landmarks or write a prompt, then press Generate."


@dataclass(frozen=True)
class Tab:
    """The widgets and handlers that the rest of the page needs."""

    choices: list[Any]
    result: list[Any]
    generate: Callable[..., Iterator[list[Any]]]
    inputs: list[Any]
    outputs: list[Any]
    form: generation_form.Form


def generate(
    workspace: Workspace,
    project: Project,
    requests: Sequence[image_set.Request],
    models: Sequence[str],
    settings: GenerationSettings,
    start: init_image.InitImage | None = None,
) -> Iterator[tuple[str, Path | None]]:
    """Yield (progress bar as HTML, folder of the image set) at every step; wait for the GPU lock first."""
    if not models:
        raise StudioError("no model is selected; tick at least one")
    work = image_set.generate_set(
        project, requests, model_choice.adapter_files(project, models), settings, init_image=start
    )
    folder = None

    def with_folder() -> Iterator[image_set.Progress]:
        nonlocal folder
        for step in work:
            folder = step.image.file.parent if step.image else folder
            yield step

    for bar in handlers.follow(workspace, with_folder()):
        yield bar, folder


@cache
def placeholder(side: int = 256) -> Any:
    """Return a gray square that stands for an image that is not there yet."""
    from PIL import Image

    return Image.new("RGB", (side, side), "#c9ced4")


def gallery_of(made: ImageSet) -> list[tuple[Any, str]]:
    """Return the images row by row: a row for each prompt, a column for each model; gray where one is missing."""
    return [
        (
            html_parts.served(made.files[index, method]) if (index, method) in made.files else placeholder(),
            f"{model_choice.short_label(method)} · {title}",
        )
        for index, title in enumerate(made.titles)
        for method in made.methods
    ]


def slider_of(made: ImageSet, title: str | None, left: str, right: str) -> Any:
    """Return the update of the comparison slider: two models' images of one prompt."""
    index = made.titles.index(title) if title in made.titles else 0
    first, second = (made.files.get((index, method)) for method in (left, right))
    if first is None or second is None:
        return gr.update(value=None, visible=False)
    return gr.update(value=(html_parts.served(first), html_parts.served(second)), visible=True)


def result_view(project: Project, folder: str | None, title: str | None, left: str, right: str) -> list[Any]:
    """Return updates of (hint, gallery, title, left, right, slider) for an image set."""
    if not folder:
        return [gr.update(value=html_parts.empty(NO_IMAGES), visible=True), *[gr.update(visible=False)] * 5]
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
    """Return the names of the image sets that can be shown side by side, the newest first."""
    return [folder.name for folder in project.image_sets() if (folder / image_set.SET_FILE).exists()]


def choices_view(workspace: Workspace, name: str | None) -> list[Any]:
    """Return updates of (landmarks, models, image sets, more adapters) for a project."""
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
    """Lay out the tab and wire its events."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            form = generation_form.lay_out()
        with gr.Column(scale=3, min_width=300):
            progress = gr.HTML(elem_id="generate-progress", padding=False, visible=False)
            nothing = gr.HTML(html_parts.empty(NO_IMAGES), elem_id="no-images", padding=False)
            gallery = gr.Gallery(
                label="Results (rows: prompts, columns: models)",
                columns=3,
                height="auto",
                visible=False,
                object_fit="contain",
                elem_id="images",
                buttons=["download", "fullscreen"],
            )
            with gr.Row():
                title = gr.Dropdown([], label="Compare", visible=False, elem_id="compare")
                left = gr.Dropdown([], label="Left", visible=False, elem_id="left")
                right = gr.Dropdown([], label="Right", visible=False, elem_id="right")
            slider = gr.ImageSlider(label="Slide to compare", visible=False, elem_id="slider", max_height=420)
            with gr.Accordion("Image details", open=False):
                details = gr.JSON(show_label=False, elem_id="metadata")
            sets = gr.Dropdown(
                [], label="Image set", elem_id="sets", info="Everything that was generated, newest first."
            )
    result = [nothing, gallery, title, left, right, slider]

    @handlers.friendly
    def generated(
        name: str | None,
        chosen: list[str],
        lines: str,
        models: list[str],
        more: list[str],
        upload: str | None,
        strength: float,
        left_model: str,
        right_model: str,
        *values: Any,
    ) -> Iterator[list[Any]]:
        """Generate every prompt with every model; each image is saved and shown as soon as it is finished."""
        settings = GenerationSettings.checked(forms.read(GenerationSettings, form.fields, values))
        of = chosen_project(workspace, name)
        requests = generation_form.requests_of(of, chosen, lines, bool(upload))
        start = generation_form.init_image_of(upload, strength)
        shown = None
        for bar, folder in generate(workspace, of, requests, [*models, *(more or [])], settings, start):
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
                *(result_view(of, folder.name, None, left_model, right_model) if news else [gr.skip()] * len(result)),
            ]
        yield [gr.update(value="", visible=False), *[gr.skip()] * (1 + len(result))]

    @handlers.friendly
    def show(name: str | None, folder: str | None, chosen: str | None, left_model: str, right_model: str) -> list[Any]:
        return result_view(chosen_project(workspace, name), folder, chosen, left_model, right_model)

    @handlers.friendly
    def slide(name: str | None, folder: str, chosen: str | None, left_model: str, right_model: str) -> Any:
        made = image_set.load_set(chosen_project(workspace, name).image_set(folder))
        return slider_of(made, chosen, left_model, right_model)

    @handlers.friendly
    def show_metadata(name: str | None, folder: str, event: gr.SelectData) -> Any:
        made = image_set.load_set(chosen_project(workspace, name).image_set(folder))
        cell = (event.index // len(made.methods), made.methods[event.index % len(made.methods)])
        return metadata.read_metadata(made.files[cell]) if cell in made.files else None

    inputs = [
        project,
        form.landmarks,
        form.prompts,
        form.models,
        form.more,
        form.file,
        form.strength,
        left,
        right,
        *form.fields.values(),
    ]
    outputs = [progress, sets, *result]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    generating = form.generate.click(
        generated, inputs, outputs, concurrency_id="accelerator", concurrency_limit=1, **quiet
    )
    form.stop.click(lambda: gr.update(value="", visible=False), None, progress, cancels=[generating], **quiet)
    sets.input(show, [project, sets, title, left, right], result, **quiet)
    for widget in (title, left, right):
        widget.input(slide, [project, sets, title, left, right], slider, **quiet)
    gallery.select(show_metadata, [project, sets], details, **quiet)
    return Tab([form.landmarks, form.models, sets, form.more], result, generated, inputs, outputs, form)
