"""Third step: where the square is cut out of a photograph, with the three steps to the picture that is learned from."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ghibli_studio.curation import collection as collections
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace


def view(project: Project | None, id: str | None = None) -> list[Any]:
    """Updates of (first, box, photograph, place, preview, square, picture, in words)."""
    collection = photo_list.gathered(project)
    if project is None or collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOGRAPHS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * 6,
        ]
    from ghibli_studio.imaging import crop

    known = [photo.id for photo in collection.photos]
    photo = collection.photo(id if id in known else known[0])
    image = collections.picture(project, photo)
    steps = crop.steps(image, photo.center, collection.resolution)
    wide = image.width >= image.height
    kept = min(image.size) / max(image.size)
    told = (
        f"{image.width} x {image.height} px, cut to {steps.square.width} x {steps.square.height} px "
        f"({kept:.0%} is kept), resampled with Lanczos to {collection.resolution} x {collection.resolution} px."
    )
    if photo.attempts and photo.waiting:
        told += " The crop was moved after it was styled: it will be styled anew."
    place = gr.update(
        value=photo.center[0 if wide else 1],
        interactive=image.width != image.height,
        label="From left to right" if wide else "From top to bottom",
    )
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        gr.update(choices=photo_list.choices(collection.photos), value=photo.id),
        place,
        crop.preview(image, photo.center),
        crop.crop(steps.square, crop.CENTER, min(640, steps.square.width)),
        steps.picture,
        f'<div class="foot">{told}</div>',
    ]


def moved(project: Project, id: str, x: float | None = None, y: float | None = None) -> list[Any]:
    """Put the crop's center there (shares of width and height; None leaves it); updates of the view."""
    old = collections.load(project).photo(id).center
    collections.edit(project, id, center=[before if new is None else round(new, 3) for before, new in zip(old, (x, y))])
    return view(project, id)


def neighbor(project: Project, id: str, by: int) -> str:
    """The photograph before (-1) or after (1) this one; from the last one to the first."""
    known = [photo.id for photo in collections.load(project).photos]
    return known[(known.index(id) + by) % len(known)] if id in known else known[0]


def build(workspace: Workspace, project: gr.Dropdown) -> Step:
    """Lay the step out and wire it."""
    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOGRAPHS), padding=False)
    with gr.Column(visible=False, elem_id="crop") as box:
        with gr.Row(elem_id="crop-choice"):
            before = gr.Button("Previous", elem_id="crop-before", min_width=90, scale=1)
            which = gr.Dropdown([], label="Photograph", elem_id="crop-photo", scale=4, min_width=200)
            after = gr.Button("Next", elem_id="crop-after", min_width=90, scale=1)
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                preview = gr.Image(
                    label="1 Photograph: click where the middle shall be",
                    interactive=False,
                    height=420,
                    elem_id="crop-preview",
                    buttons=["fullscreen"],
                )
                with gr.Row():
                    place = gr.Slider(
                        0,
                        1,
                        0.5,
                        step=0.01,
                        label="From left to right",
                        elem_id="crop-place",
                        scale=4,
                        min_width=180,
                        buttons=[],
                    )
                    middle = gr.Button("Middle", elem_id="crop-middle", scale=1, min_width=90)
            with gr.Column(scale=2, min_width=260):
                square = gr.Image(
                    label="2 The square", interactive=False, height=230, buttons=[], elem_id="crop-square"
                )
                picture = gr.Image(
                    label="3 As the model sees it", interactive=False, height=230, buttons=[], elem_id="crop-picture"
                )
        told = gr.HTML(elem_id="crop-told", padding=False)
    outputs = [first, box, which, place, preview, square, picture, told]

    @handlers.friendly
    def chosen(name: str | None, id: str) -> list[Any]:
        return view(photo_list.opened(workspace, name)[0], id)

    @handlers.friendly
    def clicked(name: str | None, id: str, event: gr.SelectData) -> list[Any]:
        """The place that was clicked becomes the middle of the square."""
        from ghibli_studio.imaging import crop

        of, collection = photo_list.opened(workspace, name)
        photo = collection.photo(id)
        shown = crop.shown_size((photo.width, photo.height))
        return moved(of, id, *(min(max(at / length, 0), 1) for at, length in zip(event.index, shown)))

    @handlers.friendly
    def slid(name: str | None, id: str, share: float) -> list[Any]:
        of, collection = photo_list.opened(workspace, name)
        photo = collection.photo(id)
        return moved(of, id, x=share) if photo.width >= photo.height else moved(of, id, y=share)

    @handlers.friendly
    def centerd(name: str | None, id: str) -> list[Any]:
        return moved(photo_list.opened(workspace, name)[0], id, 0.5, 0.5)

    def stepped(by: int) -> Any:
        def go(name: str | None, id: str) -> list[Any]:
            of = photo_list.opened(workspace, name)[0]
            return view(of, neighbor(of, id, by))

        return handlers.friendly(go)

    asked = [project, which]
    which.input(chosen, asked, outputs, **handlers.QUIET)
    preview.select(clicked, asked, outputs, **handlers.QUIET)
    place.release(slid, [*asked, place], outputs, **handlers.QUIET)
    middle.click(centerd, asked, outputs, **handlers.QUIET)
    before.click(stepped(-1), asked, outputs, **handlers.QUIET)
    after.click(stepped(1), asked, outputs, **handlers.QUIET)
    return Step(view, outputs)
