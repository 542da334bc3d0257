"""Style my photograph: one picture in, one picture out; no project is needed, and nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.config.stylization import StyleSettings
from ghibli_studio.runtime.environment import default_base_model
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.forms import PICTURES, style_form
from ghibli_studio.ui.dataset.stylization import MAIN, settings_of
from ghibli_studio.workspace.project import Workspace

if TYPE_CHECKING:
    from PIL import Image


FIRST = "Choose a photograph, say what it shows, and press Style it."


def read(file: str | None) -> Image.Image:
    """The uploaded photograph, upright RGB; StudioError says what is wrong with it."""
    from ghibli_studio.data.file_source import read_plain
    from ghibli_studio.imaging.image_io import open_image

    if not file:
        raise StudioError("no photograph is chosen; drop one into the field")
    return open_image(read_plain(Path(file), Path(file).name), Path(file).name)


def style(
    workspace: Workspace, image: Image.Image, prompt: str, settings: StyleSettings, base_model: str
) -> Iterator[tuple[str, bytes | None]]:
    """(bar, None) a step, then ("", PNG with its recipe); waits while another computation is at work."""
    from ghibli_studio.generation import metadata, stylization
    from ghibli_studio.generation.stylization import Progress

    if not prompt.strip():
        raise StudioError("the prompt is empty; say in a few words what the photograph shows")
    last = None

    def steps() -> Iterator[Progress]:
        nonlocal last
        yield Progress(0, 1, "loading the base model")
        for last in stylization.style_one(image, prompt.strip(), settings, base_model=base_model):
            if last.image is None:
                yield Progress(last.step, last.steps, "drawing")

    for bar in handlers.follow(workspace, steps()):
        yield bar, None
    yield "", metadata.to_png(last.image, last.recipe)


def build(workspace: Workspace) -> None:
    """Lay the tab out and wire it."""
    from ghibli_studio.imaging.crop import CENTER, crop

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="A photograph", file_types=PICTURES, height=130, elem_id="one-file")
            prompt = gr.Textbox(
                "",
                label="What it shows",
                lines=2,
                elem_id="one-prompt",
                placeholder="Big Ben, London, England, a tall stone clock tower, wide shot",
            )
            fields = style_form("one", MAIN)
            with gr.Accordion("More settings", open=False):
                fields |= style_form("one", [name for name in StyleSettings.model_fields if name not in MAIN])
                base = gr.Textbox(default_base_model(), label="Base model", elem_id="one-base")
            fields = {name: fields[name] for name in StyleSettings.model_fields}
            with gr.Row():
                go = gr.Button("Style it", variant="primary", elem_id="one-go", scale=2, min_width=140)
                stop = gr.Button("Stop", elem_id="one-stop", scale=1, min_width=80)
        with gr.Column(scale=3, min_width=300):
            progress = gr.HTML(elem_id="one-progress", padding=False, visible=False)
            nothing = gr.HTML(html_parts.empty(FIRST), padding=False, elem_id="one-first")
            slider = gr.ImageSlider(
                label="Photograph | styled: slide to compare",
                visible=False,
                interactive=False,
                elem_id="one-slider",
                max_height=520,
                buttons=["fullscreen"],
            )
            made = gr.File(label="The picture, with its recipe", visible=False, elem_id="one-made")

    @handlers.friendly
    def styled(upload: str | None, words: str, spec: str, *values: Any) -> Iterator[list[Any]]:
        image = read(upload)
        settings = settings_of(fields, values)
        for bar, png in style(workspace, image, words, settings, spec.strip()):
            if png is None:
                yield [gr.update(value=bar, visible=True), *[gr.skip()] * 3]
                continue
            path = html_parts.served_bytes(png, "styled.png")
            before = crop(image, CENTER, min(image.size))
            yield [
                gr.update(value="", visible=False),
                gr.update(visible=False),
                gr.update(value=(before, path), visible=True),
                gr.update(value=path, visible=True),
            ]

    drawing = go.click(
        styled, [file, prompt, base, *fields.values()], [progress, nothing, slider, made], **handlers.COMPUTING
    )
    stop.click(lambda: gr.update(value="", visible=False), None, progress, cancels=[drawing], **handlers.QUIET)
