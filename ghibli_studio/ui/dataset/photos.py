"""Step 1 of building a dataset: add photos, from the bundled ones, from files, or from a folder on the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.data.sample_dataset import LANDMARK_COUNT
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.forms import UPLOAD_TYPES
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace

SOURCES = [
    ("45 bundled photos of landmarks", "photos"),
    ("Painted landmarks", "landmarks"),
    ("My files", "files"),
    ("A folder on the server", "folder"),
]
FIRST_PROJECT = "my-style"


def source_of(kind: str, files: Sequence[str] | None, folder: str) -> Any:
    """Return the source of the photos; raise StudioError if nothing is given."""
    if kind == "files":
        if not files:
            raise StudioError("no files are selected; drop photos or a ZIP into the field")
        return [Path(file) for file in files]
    if kind == "folder":
        if not folder.strip():
            raise StudioError("no folder is given; enter the folder of the photos, such as ~/photos")
        return Path(folder.strip()).expanduser()
    return kind


def view(project: Project | None, number: float = 1) -> list[Any]:
    """Return updates of (summary, gallery, page, photos to remove, remove button)."""
    collection = photo_list.photos_of(project)
    if project is None or collection is None:
        hidden = gr.update(visible=False)
        text = html_parts.empty("No photos yet. Choose a source, then press Add photos.")
        return [text if collection is None else photo_list.summary(collection), *[hidden] * 4]
    photos, page = photo_list.page_of(collection.photos, number)
    shown = [(photo_list.thumbnail(project, photo), photo_list.label(photo)) for photo in photos]
    return [
        photo_list.summary(collection),
        gr.update(value=shown, visible=True),
        page,
        gr.update(choices=photo_list.choices(collection.photos), value=[], visible=True),
        gr.update(visible=True),
    ]


def build(workspace: Workspace, project: gr.Dropdown) -> Step:
    """Lay out the step and wire its events."""
    from ghibli_studio.curation import ingest

    with gr.Row():
        with gr.Column(min_width=280):
            kind = gr.Radio(SOURCES, value="photos", label="Source", elem_id="photos-source")
            count = gr.Number(
                LANDMARK_COUNT, precision=0, label="Number of photos", visible=False, elem_id="photos-count"
            )
            files = gr.File(
                label="Photos or ZIPs; caption files next to them are read",
                file_count="multiple",
                file_types=UPLOAD_TYPES,
                visible=False,
                elem_id="photos-files",
                height=140,
            )
            folder = gr.Textbox("", label="Folder", placeholder="~/photos", visible=False, elem_id="photos-folder")
        with gr.Column(min_width=280):
            name = gr.Textbox(
                "",
                label="Project",
                placeholder=FIRST_PROJECT,
                elem_id="photos-name",
                info="Empty: the project selected above. A new name creates a project.",
            )
            with gr.Accordion("Base model", open=False):
                base = gr.Textbox(
                    "",
                    label="Base model",
                    placeholder="miniature",
                    elem_id="photos-base",
                    info="Model for stylization and later training. Empty: miniature, or the project's model.",
                )
            with gr.Row():
                add = gr.Button("Add photos", variant="primary", elem_id="photos-add", scale=2, min_width=160)
                stop = gr.Button("Stop", elem_id="photos-stop", scale=1, min_width=80)
    progress = gr.HTML(elem_id="photos-progress", padding=False, visible=False)
    overview = gr.HTML(elem_id="photos-summary", padding=False)
    gallery = gr.Gallery(
        label="Photos, cropped square",
        columns=8,
        height="auto",
        object_fit="cover",
        visible=False,
        allow_preview=False,
        elem_id="photos-gallery",
        buttons=[],
    )
    page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="photos-page")
    with gr.Row():
        selected = gr.Dropdown(
            [],
            multiselect=True,
            label="Remove photos",
            visible=False,
            elem_id="photos-selected",
            scale=3,
            info="Deletes them permanently, with their prompts and stylized images.",
        )
        remove = gr.Button("Remove", visible=False, elem_id="photos-remove", scale=1, min_width=120)
    outputs = [overview, gallery, page, selected, remove]

    @handlers.friendly
    def added(
        chosen: str | None,
        new_name: str,
        which: str,
        number: float,
        uploads: list[str] | None,
        path: str,
        model_id: str,
    ) -> Iterator[list[Any]]:
        """Add photos; those already added stay if this is stopped."""
        source = source_of(which, uploads, path)
        called = new_name.strip() or chosen or FIRST_PROJECT
        of = workspace.project(called, new=True)
        amount = {"count": int(number or 0)} if which == "landmarks" else {}
        for bar in handlers.follow(None, ingest.add_photos(of, source, model_id.strip() or None, **amount)):
            yield [gr.update(value=bar, visible=True), gr.skip(), *[gr.skip()] * len(outputs)]
        yield [gr.update(value="", visible=False), gr.update(choices=workspace.projects(), value=called), *view(of)]

    @handlers.friendly
    def paged(chosen: str | None, number: float) -> list[Any]:
        return view(workspace.project(chosen) if chosen else None, number)

    @handlers.friendly
    def removed(chosen: str | None, ids: list[str], number: float) -> list[Any]:
        of, _ = photo_list.open_collection(workspace, chosen)
        if not ids:
            raise StudioError("no photo is selected; select those to remove in the list next to the button")
        collections.remove(of, ids)
        return view(of, number)

    def source_fields(which: str) -> list[Any]:
        return [gr.update(visible=which == name) for name in ("landmarks", "files", "folder")]

    everything = [progress, project, *outputs]
    adding = add.click(
        added,
        [project, name, kind, count, files, folder, base],
        everything,
        concurrency_limit=1,
        concurrency_id="dataset",
        **handlers.QUIET,
    )
    stopped = stop.click(lambda: gr.update(value="", visible=False), None, progress, cancels=[adding], **handlers.QUIET)
    stopped.then(paged, [project, page], outputs, **handlers.QUIET)
    kind.change(source_fields, kind, [count, files, folder], **handlers.QUIET)
    page.release(paged, [project, page], outputs, **handlers.QUIET)
    remove.click(removed, [project, selected, page], outputs, **handlers.QUIET)
    return Step(view, outputs)
