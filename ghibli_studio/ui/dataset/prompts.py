"""Step 2 of building a dataset: the four parts of each photo's prompt, and how many tokens it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import PROMPT_PARTS, Photo
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace

COLUMNS = {"Photo": 80, "Name": 160, "Location": 160, "Description": 460, "Composition": 150, "Tokens": 190}
MISSING = {"long": "over the token limit", "nameless": "without a name", "bare": "without a description"}
SHOWN = {**MISSING, **photo_list.SHOWN}
WAYS = [("set to", "set"), ("append", "append"), ("find and replace", "replace")]
FORMATS = [("table (.csv)", ".csv"), ("metadata.jsonl (datasets library)", ".jsonl"), ("ZIP of .txt files", ".zip")]
FIRST_OF_FORMAT = {".csv": "prompts.csv", ".jsonl": "metadata.jsonl", ".zip": "prompts.zip"}
CELLS = 10


def shown(collection: Collection, which: str) -> list[Photo]:
    """Return the photos of a choice of SHOWN."""
    from ghibli_studio.curation import prompts

    if which == "long":
        return [photo for photo, gauge in zip(collection.photos, prompts.token_usage(collection)) if gauge.over]
    if which in MISSING:
        word = {"nameless": "name", "bare": "description"}[which]
        return [photo for photo in collection.photos if not getattr(photo, word)]
    return photo_list.of_state(collection, which)


def gauge_text(tokens: int, limit: int) -> str:
    """Return `31 of 77 ▰▰▰▰▱▱▱▱▱▱`, or how many tokens are over the limit."""
    if tokens > limit:
        return f"{tokens} of {limit}: {tokens - limit} over the limit"
    full = round(CELLS * tokens / limit)
    return f"{tokens} of {limit} {'▰' * full}{'▱' * (CELLS - full)}"


def table(collection: Collection, photos: Sequence[Photo]) -> list[list[str]]:
    """Return the rows of the table, with the columns of COLUMNS."""
    from ghibli_studio.curation import prompts

    gauges = prompts.token_usage(collection, photos)
    return [
        [photo.id, *(getattr(photo, word) for word in PROMPT_PARTS), gauge_text(gauge.tokens, gauge.limit)]
        for photo, gauge in zip(photos, gauges)
    ]


def view(project: Project | None, which: str = "all", number: float = 1) -> list[Any]:
    """Return updates of (hint, box, table, page, note)."""
    collection = photo_list.photos_of(project)
    if collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * 3,
        ]
    photos = shown(collection, which)
    some, page = photo_list.page_of(photos, number)
    note = f"{len(photos)} of {len(collection.photos)} photos."
    if over := len(shown(collection, "long")):
        note += (
            f' <span class="problem">{over} prompts are over the limit of {collection.token_limit} tokens, '
            "including the trigger; shorten them.</span>"
        )
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        table(collection, some),
        page,
        f'<div class="foot">{note}</div>',
    ]


def save_rows(project: Project, rows: Sequence[Sequence[Any]]) -> Collection:
    """Save the changed rows of the table; raise StudioError for a text that is too long."""
    collection = collections.load(project)
    changes = {}
    for id, *words, _ in rows:
        photo = collection.photo(str(id).zfill(4))
        new = {
            word: str(text or "") for word, text in zip(PROMPT_PARTS, words) if str(text or "") != getattr(photo, word)
        }
        if new:
            changes[photo.id] = new
    return collections.edit_many(project, changes) if changes else collection


def bulk_edit(project: Project, which: str, way: str, word: str, find: str, text: str) -> Collection:
    """Set, append or replace words in one part of the prompts of all shown photos."""
    from ghibli_studio.curation import prompts

    ids = [photo.id for photo in shown(collections.load(project), which)]
    if not ids:
        raise StudioError(f"no photo is {SHOWN[which]}; choose another filter under Show")
    if way == "set":
        return prompts.set_parts(project, ids, **{word: text})
    if way == "append":
        return prompts.append_text(project, ids, word, text)
    return prompts.find_and_replace(project, ids, find, text, [word])


def build(workspace: Workspace, project: gr.Dropdown) -> Step:
    """Lay out the step and wire its events."""
    from ghibli_studio.curation import captioner, prompt_files

    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOS), padding=False)
    with gr.Column(visible=False, elem_id="prompts-step") as box:
        which = gr.Dropdown(
            [(text, name) for name, text in SHOWN.items()], value="all", label="Show", elem_id="prompts-which"
        )
        note = gr.HTML(elem_id="prompts-note", padding=False)
        rows = gr.Dataframe(
            headers=list(COLUMNS),
            datatype="str",
            interactive=True,
            wrap=True,
            type="array",
            static_columns=[0, len(COLUMNS) - 1],
            column_widths=list(COLUMNS.values()),
            max_height=560,
            label="Prompts: name, location, description, composition. Changes are saved as you type.",
            elem_id="prompts-table",
            column_count=len(COLUMNS),
        )
        page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="prompts-page")
        with gr.Accordion("Bulk edit", open=False, elem_id="prompts-bulk"):
            gr.Markdown("Edits all photos that match the filter under Show, on all pages.")
            with gr.Row():
                word = gr.Dropdown(
                    [(name.capitalize(), name) for name in PROMPT_PARTS],
                    value="composition",
                    label="Part",
                    elem_id="bulk-part",
                    min_width=130,
                )
                way = gr.Dropdown(WAYS, value="set", label="Action", elem_id="bulk-action", min_width=130)
                find = gr.Textbox("", label="Find", elem_id="bulk-find", visible=False, min_width=180)
                text = gr.Textbox("", label="Text", placeholder="wide shot", elem_id="bulk-text", min_width=220)
                apply = gr.Button("Apply", elem_id="bulk-apply", min_width=100)
        with gr.Accordion("Import and export prompts", open=False, elem_id="prompts-files"), gr.Row():
            with gr.Column(min_width=280):
                given = gr.File(
                    label=".csv, .jsonl or .txt files, or a ZIP of them",
                    file_count="multiple",
                    height=120,
                    file_types=[".csv", ".jsonl", ".txt", ".zip"],
                    elem_id="prompts-upload",
                )
                read = gr.Button("Import", elem_id="prompts-import")
            with gr.Column(min_width=280):
                form = gr.Dropdown(FORMATS, value=".csv", label="Format", elem_id="prompts-format")
                write = gr.Button("Export", elem_id="prompts-export")
                made = gr.File(label="Prompts", visible=False, elem_id="prompts-file")
        unused = gr.HTML(elem_id="prompts-skipped", padding=False)
        with gr.Accordion("Caption with a model", open=False, elem_id="prompts-model"):
            folder = gr.Textbox(
                "",
                label="Model folder",
                placeholder="~/models/blip-image-captioning-base",
                elem_id="caption-folder",
                info="A local image-to-text model of transformers; it fills in empty descriptions.",
            )
            with gr.Row():
                describe = gr.Button("Caption", elem_id="caption-go", scale=2)
                stop = gr.Button("Stop", elem_id="caption-stop", scale=1)
            progress = gr.HTML(elem_id="caption-progress", padding=False, visible=False)
    outputs = [first, box, rows, page, note]

    @handlers.friendly
    def show(name: str | None, chosen: str, number: float) -> list[Any]:
        return view(photo_list.open_collection(workspace, name)[0], chosen, number)

    @handlers.friendly
    def edited(name: str | None, chosen: str, number: float, values: list[list[Any]]) -> list[Any]:
        """Save what was typed and update the token counts; the rows stay in place."""
        of = photo_list.open_collection(workspace, name)[0]
        collection = save_rows(of, values)
        some = collection.select([str(row[0]).zfill(4) for row in values])
        return [table(collection, some), view(of, chosen, number)[-1]]

    @handlers.friendly
    def edit_all(name: str | None, chosen: str, number: float, how: str, part: str, old: str, new: str) -> list[Any]:
        of = photo_list.open_collection(workspace, name)[0]
        bulk_edit(of, chosen, how, part, old, new)
        return view(of, chosen, number)

    @handlers.friendly
    def imported(name: str | None, chosen: str, number: float, files: list[str] | None) -> list[Any]:
        if not files:
            raise StudioError("no file is selected; drop .csv, .jsonl or .txt files or a ZIP into the field")
        of = photo_list.open_collection(workspace, name)[0]
        _, problems = prompt_files.import_prompts(of, [Path(file) for file in files])
        reasons = [problem["reason"] for problem in problems]
        return [photo_list.skipped_list(reasons, "rows or files skipped"), *view(of, chosen, number)]

    @handlers.friendly
    def exported(name: str | None, ending: str) -> Any:
        of = photo_list.open_collection(workspace, name)[0]
        file = prompt_files.export_prompts(of, of.cache_file(FIRST_OF_FORMAT[ending]))
        return gr.update(value=html_parts.served(file), visible=True)

    @handlers.friendly
    def described(name: str | None, chosen: str, number: float, path: str) -> Iterator[list[Any]]:
        of = photo_list.open_collection(workspace, name)[0]
        if not path.strip():
            raise StudioError("no model folder is given; enter the folder of the captioning model")
        for bar in handlers.follow(workspace, captioner.caption_photos(of, Path(path.strip()))):
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * len(outputs)]
        yield [gr.update(value="", visible=False), *view(of, chosen, number)]

    asked = [project, which, page]
    which.input(show, asked, outputs, **handlers.QUIET)
    page.release(show, asked, outputs, **handlers.QUIET)
    rows.input(edited, [*asked, rows], [rows, note], **handlers.QUIET)
    way.change(lambda how: gr.update(visible=how == "replace"), way, find, **handlers.QUIET)
    apply.click(edit_all, [*asked, way, word, find, text], outputs, **handlers.QUIET)
    read.click(imported, [*asked, given], [unused, *outputs], api_visibility="private")
    write.click(exported, [project, form], made, api_visibility="private")
    describing = describe.click(described, [*asked, folder], [progress, *outputs], **handlers.COMPUTING)
    stopped = stop.click(
        lambda: gr.update(value="", visible=False), None, progress, cancels=[describing], **handlers.QUIET
    )
    stopped.then(show, asked, outputs, **handlers.QUIET)
    return Step(view, outputs)
