"""Step 3 of building a dataset: the position of each photo's crop, with previews of the crop and the model input."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ghibli_studio.curation import collection as collections
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace


def view(project: Project | None, id: str | None = None) -> list[Any]:
    """Return updates of (hint, box, photo, position, preview, crop, model input, note)."""
    collection = photo_list.photos_of(project)
    if project is None or collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * 6,
        ]
    from ghibli_studio.imaging import crop

    known = [photo.id for photo in collection.photos]
    photo = collection.photo(id if id in known else known[0])
    image = collections.load_photo(project, photo)
    preview = crop.crop_preview(image, photo.center, collection.resolution)
    wide = image.width >= image.height
    kept = min(image.size) / max(image.size)
    note = (
        f"{image.width} x {image.height} px, cropped to {preview.square.width} x {preview.square.height} px "
        f"({kept:.0%} kept), resampled with Lanczos to {collection.resolution} x {collection.resolution} px."
    )
    if photo.attempts and photo.pending:
        note += " The crop was moved after the stylization; the photo will be stylized again."
    position = gr.update(
        value=photo.center[0 if wide else 1],
        interactive=image.width != image.height,
        label="Left to right" if wide else "Top to bottom",
    )
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        gr.update(choices=photo_list.choices(collection.photos), value=photo.id),
        position,
        crop.crop_overlay(image, photo.center),
        crop.crop(preview.square, crop.CENTER, min(640, preview.square.width)),
        preview.image,
        f'<div class="foot">{note}</div>',
    ]


def moved(project: Project, id: str, x: float | None = None, y: float | None = None) -> list[Any]:
    """Move the crop's center (fractions of width and height; None keeps it); return updates of the view."""
    old = collections.load(project).photo(id).center
    collections.edit(project, id, center=[before if new is None else round(new, 3) for before, new in zip(old, (x, y))])
    return view(project, id)


def neighbor(project: Project, id: str, by: int) -> str:
    """Return the id of the previous (-1) or next (1) photo; the first follows the last."""
    known = [photo.id for photo in collections.load(project).photos]
    return known[(known.index(id) + by) % len(known)] if id in known else known[0]


def build(workspace: Workspace, project: gr.Dropdown) -> Step:
    """Lay out the step and wire its events."""
    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOS), padding=False)
    with gr.Column(visible=False, elem_id="crop") as box:
        with gr.Row(elem_id="crop-choice"):
            before = gr.Button("Previous", elem_id="crop-previous", min_width=90, scale=1)
            which = gr.Dropdown([], label="Photo", elem_id="crop-photo", scale=4, min_width=200)
            after = gr.Button("Next", elem_id="crop-next", min_width=90, scale=1)
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                preview = gr.Image(
                    label="1 Photo: click the crop center",
                    interactive=False,
                    height=420,
                    elem_id="crop-preview",
                    buttons=["fullscreen"],
                )
                with gr.Row():
                    position = gr.Slider(
                        0,
                        1,
                        0.5,
                        step=0.01,
                        label="Left to right",
                        elem_id="crop-position",
                        scale=4,
                        min_width=180,
                        buttons=[],
                    )
                    center = gr.Button("Center", elem_id="crop-center", scale=1, min_width=90)
            with gr.Column(scale=2, min_width=260):
                square = gr.Image(label="2 Crop", interactive=False, height=230, buttons=[], elem_id="crop-square")
                model_input = gr.Image(
                    label="3 Model input", interactive=False, height=230, buttons=[], elem_id="crop-input"
                )
        note = gr.HTML(elem_id="crop-note", padding=False)
    outputs = [first, box, which, position, preview, square, model_input, note]

    @handlers.friendly
    def chosen(name: str | None, id: str) -> list[Any]:
        return view(photo_list.open_collection(workspace, name)[0], id)

    @handlers.friendly
    def clicked(name: str | None, id: str, event: gr.SelectData) -> list[Any]:
        """Move the crop's center to the clicked point."""
        from ghibli_studio.imaging import crop

        of, collection = photo_list.open_collection(workspace, name)
        photo = collection.photo(id)
        shown = crop.overlay_size((photo.width, photo.height))
        return moved(of, id, *(min(max(at / length, 0), 1) for at, length in zip(event.index, shown)))

    @handlers.friendly
    def slid(name: str | None, id: str, share: float) -> list[Any]:
        of, collection = photo_list.open_collection(workspace, name)
        photo = collection.photo(id)
        return moved(of, id, x=share) if photo.width >= photo.height else moved(of, id, y=share)

    @handlers.friendly
    def centered(name: str | None, id: str) -> list[Any]:
        return moved(photo_list.open_collection(workspace, name)[0], id, 0.5, 0.5)

    def stepped(by: int) -> Any:
        def go(name: str | None, id: str) -> list[Any]:
            of = photo_list.open_collection(workspace, name)[0]
            return view(of, neighbor(of, id, by))

        return handlers.friendly(go)

    asked = [project, which]
    which.input(chosen, asked, outputs, **handlers.QUIET)
    preview.select(clicked, asked, outputs, **handlers.QUIET)
    position.release(slid, [*asked, position], outputs, **handlers.QUIET)
    center.click(centered, asked, outputs, **handlers.QUIET)
    before.click(stepped(-1), asked, outputs, **handlers.QUIET)
    after.click(stepped(1), asked, outputs, **handlers.QUIET)
    return Step(view, outputs)
