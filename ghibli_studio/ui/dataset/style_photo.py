"""Stylize one photo: one image in, one image out; it needs no project and saves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.config.stylization import StylizationSettings
from ghibli_studio.runtime.environment import default_base_model
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.forms import IMAGE_TYPES, stylization_form
from ghibli_studio.ui.dataset.stylization import ADVANCED, MAIN, settings_of
from ghibli_studio.workspace.project import Workspace

if TYPE_CHECKING:
    from PIL import Image


FIRST = "Choose a photo, describe what it shows, then press Stylize."


def open_upload(file: str | None) -> Image.Image:
    """Return the uploaded photo as upright RGB; raise StudioError if it cannot be used."""
    from ghibli_studio.data.file_source import read_file
    from ghibli_studio.imaging.image_io import open_image

    if not file:
        raise StudioError("no photo is selected; drop one into the field")
    return open_image(read_file(Path(file), Path(file).name), Path(file).name)


def stylize(
    workspace: Workspace, image: Image.Image, prompt: str, settings: StylizationSettings, base_model: str
) -> Iterator[tuple[str, bytes | None]]:
    """Yield (progress bar, None) at every step, then ("", PNG with metadata); wait for the GPU lock first."""
    from ghibli_studio.generation import metadata, stylization
    from ghibli_studio.generation.pipeline import GenerationEvent
    from ghibli_studio.generation.stylization import Progress

    if not prompt.strip():
        raise StudioError("the prompt is empty; describe in a few words what the photo shows")
    last: GenerationEvent | None = None

    def steps() -> Iterator[Progress]:
        nonlocal last
        yield Progress(0, 1, "loading the base model")
        for last in stylization.stylize_photo(image, prompt.strip(), settings, base_model=base_model):
            if last.image is None:
                yield Progress(last.step, last.steps, "generating")

    for bar in handlers.follow(workspace, steps()):
        yield bar, None
    if last is not None and last.image is not None and last.metadata is not None:
        yield "", metadata.to_png(last.image, last.metadata)


def build(workspace: Workspace) -> None:
    """Lay out the panel and wire its events."""
    from ghibli_studio.imaging.crop import CENTER, crop

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="Photo", file_types=IMAGE_TYPES, height=130, elem_id="single-file")
            prompt = gr.Textbox(
                "",
                label="Prompt",
                lines=2,
                elem_id="single-prompt",
                placeholder="Big Ben, London, England, a tall stone clock tower, wide shot",
            )
            fields = stylization_form("single", MAIN)
            with gr.Accordion("More settings", open=False):
                fields |= stylization_form("single", ADVANCED)
                base = gr.Textbox(default_base_model(), label="Base model", elem_id="single-base")
            fields = {name: fields[name] for name in StylizationSettings.model_fields}
            with gr.Row():
                go = gr.Button("Stylize", variant="primary", elem_id="single-go", scale=2, min_width=140)
                stop = gr.Button("Stop", elem_id="single-stop", scale=1, min_width=80)
        with gr.Column(scale=3, min_width=300):
            progress = gr.HTML(elem_id="single-progress", padding=False, visible=False)
            nothing = gr.HTML(html_parts.empty(FIRST), padding=False, elem_id="single-first")
            slider = gr.ImageSlider(
                label="Photo | stylized: slide to compare",
                visible=False,
                interactive=False,
                elem_id="single-slider",
                max_height=520,
                buttons=["fullscreen"],
            )
            made = gr.File(label="Image with generation metadata", visible=False, elem_id="single-image")

    @handlers.friendly
    def stylized(upload: str | None, words: str, model_id: str, *values: Any) -> Iterator[list[Any]]:
        image = open_upload(upload)
        settings = settings_of(fields, values)
        for bar, png in stylize(workspace, image, words, settings, model_id.strip()):
            if png is None:
                yield [gr.update(value=bar, visible=True), *[gr.skip()] * 3]
                continue
            path = html_parts.served_bytes(png, "stylized.png")
            before = crop(image, CENTER, min(image.size))
            yield [
                gr.update(value="", visible=False),
                gr.update(visible=False),
                gr.update(value=(before, path), visible=True),
                gr.update(value=path, visible=True),
            ]

    stylizing = go.click(
        stylized, [file, prompt, base, *fields.values()], [progress, nothing, slider, made], **handlers.COMPUTING
    )
    stop.click(lambda: gr.update(value="", visible=False), None, progress, cancels=[stylizing], **handlers.QUIET)
