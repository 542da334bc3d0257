"""First step: photographs into a collection, from the studio's own, from files, or from a folder of the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.data.sample_dataset import LANDMARK_COUNT
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.forms import KINDS
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace

SOURCES = [
    ("45 real landmarks, bundled", "photographs"),
    ("Drawn landmarks", "landmarks"),
    ("My files", "files"),
    ("A folder on this machine", "folder"),
]
FIRST_PROJECT = "my-style"


def source_of(kind: str, files: Sequence[str] | None, folder: str) -> Any:
    """What `gathering.gather` takes; StudioError where nothing is named."""
    if kind == "files":
        if not files:
            raise StudioError("no files are chosen; drop photographs or a ZIP into the field")
        return [Path(file) for file in files]
    if kind == "folder":
        if not folder.strip():
            raise StudioError("no folder is named; write where the photographs are, such as ~/pictures")
        return Path(folder.strip()).expanduser()
    return kind


def view(project: Project | None, number: float = 1) -> list[Any]:
    """Updates of (summary, gallery, page, photograph to take out, its button)."""
    collection = photo_list.gathered(project)
    if project is None or collection is None:
        hidden = gr.update(visible=False)
        text = html_parts.empty("No photographs yet. Choose where they come from and press Add.")
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
    """Lay the step out and wire it."""
    from ghibli_studio.curation import ingest

    with gr.Row():
        with gr.Column(min_width=280):
            kind = gr.Radio(SOURCES, value="photographs", label="Where from", elem_id="gather-kind")
            count = gr.Number(LANDMARK_COUNT, precision=0, label="How many", visible=False, elem_id="gather-count")
            files = gr.File(
                label="Photographs, or ZIPs; captions beside them are read",
                file_count="multiple",
                file_types=KINDS,
                visible=False,
                elem_id="gather-files",
                height=140,
            )
            folder = gr.Textbox("", label="Folder", placeholder="~/pictures", visible=False, elem_id="gather-folder")
        with gr.Column(min_width=280):
            name = gr.Textbox(
                "",
                label="Project",
                placeholder=FIRST_PROJECT,
                elem_id="gather-name",
                info="Empty: the one chosen above. A new name makes a new project.",
            )
            with gr.Accordion("Base model", open=False):
                base = gr.Textbox(
                    "",
                    label="Base model",
                    placeholder="miniature",
                    elem_id="gather-base",
                    info="Draws the style, and is taught it later. Empty: the miniature, or what it was.",
                )
            with gr.Row():
                add = gr.Button("Add photographs", variant="primary", elem_id="gather", scale=2, min_width=160)
                stop = gr.Button("Stop", elem_id="gather-stop", scale=1, min_width=80)
    progress = gr.HTML(elem_id="gather-progress", padding=False, visible=False)
    overview = gr.HTML(elem_id="gather-summary", padding=False)
    gallery = gr.Gallery(
        label="Photographs, cut square",
        columns=8,
        height="auto",
        object_fit="cover",
        visible=False,
        allow_preview=False,
        elem_id="gather-gallery",
        buttons=[],
    )
    page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="gather-page")
    with gr.Row():
        gone = gr.Dropdown(
            [],
            multiselect=True,
            label="Take out again",
            visible=False,
            elem_id="gather-gone",
            scale=3,
            info="With their prompts and styled pictures, for good.",
        )
        remove = gr.Button("Take out", visible=False, elem_id="gather-remove", scale=1, min_width=120)
    outputs = [overview, gallery, page, gone, remove]

    @handlers.friendly
    def added(
        chosen: str | None, wanted: str, which: str, number: float, uploads: list[str] | None, path: str, spec: str
    ) -> Iterator[list[Any]]:
        """Add photographs; each that is in stays in, also if this is stopped."""
        source = source_of(which, uploads, path)
        called = wanted.strip() or chosen or FIRST_PROJECT
        of = workspace.project(called, new=True)
        amount = {"count": int(number or 0)} if which == "landmarks" else {}
        for bar in handlers.follow(None, ingest.gather(of, source, spec.strip() or None, **amount)):
            yield [gr.update(value=bar, visible=True), gr.skip(), *[gr.skip()] * len(outputs)]
        yield [gr.update(value="", visible=False), gr.update(choices=workspace.projects(), value=called), *view(of)]

    @handlers.friendly
    def paged(chosen: str | None, number: float) -> list[Any]:
        return view(workspace.project(chosen) if chosen else None, number)

    @handlers.friendly
    def removed(chosen: str | None, ids: list[str], number: float) -> list[Any]:
        of, _ = photo_list.opened(workspace, chosen)
        if not ids:
            raise StudioError("no photograph is chosen; choose those to take out in the menu beside the button")
        collections.remove(of, ids)
        return view(of, number)

    def asked(which: str) -> list[Any]:
        return [gr.update(visible=which == name) for name in ("landmarks", "files", "folder")]

    everything = [progress, project, *outputs]
    adding = add.click(
        added,
        [project, name, kind, count, files, folder, base],
        everything,
        concurrency_limit=1,
        concurrency_id="data set",
        **handlers.QUIET,
    )
    stopped = stop.click(lambda: gr.update(value="", visible=False), None, progress, cancels=[adding], **handlers.QUIET)
    stopped.then(paged, [project, page], outputs, **handlers.QUIET)
    kind.change(asked, kind, [count, files, folder], **handlers.QUIET)
    page.release(paged, [project, page], outputs, **handlers.QUIET)
    remove.click(removed, [project, gone, page], outputs, **handlers.QUIET)
    return Step(view, outputs)
