"""Second step: what each photograph shows, in the four parts of a prompt, with a gauge of the model's tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import WORDS, Photo
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace

COLUMNS = {"Photo": 80, "Name": 160, "Location": 160, "Description": 460, "Composition": 150, "Tokens": 190}
MISSING = {"long": "longer than the model reads", "nameless": "without a name", "bare": "without a description"}
SHOWN = {**MISSING, **photo_list.SHOWN}
WAYS = [("set to", "set"), ("put behind", "append"), ("replace in", "replace")]
FORMATS = [
    ("a table (CSV)", ".csv"),
    ("metadata.jsonl, for the datasets library", ".jsonl"),
    ("a ZIP of .txt files", ".zip"),
]
FIRST_OF_FORMAT = {".csv": "prompts.csv", ".jsonl": "metadata.jsonl", ".zip": "prompts.zip"}
CELLS = 10


def shown(collection: Collection, which: str) -> list[Photo]:
    """The photographs of a choice of SHOWN."""
    from ghibli_studio.curation import prompts

    if which == "long":
        return [photo for photo, gauge in zip(collection.photos, prompts.gauges(collection)) if gauge.over]
    if which in MISSING:
        word = {"nameless": "name", "bare": "description"}[which]
        return [photo for photo in collection.photos if not getattr(photo, word)]
    return photo_list.of_state(collection, which)


def gauge_text(tokens: int, limit: int) -> str:
    """`31 of 77 ▰▰▰▰▱▱▱▱▱▱`, or how many are too many."""
    if tokens > limit:
        return f"{tokens} of {limit}: {tokens - limit} too many"
    full = round(CELLS * tokens / limit)
    return f"{tokens} of {limit} {'▰' * full}{'▱' * (CELLS - full)}"


def table(collection: Collection, photos: Sequence[Photo]) -> list[list[str]]:
    """Rows under COLUMNS."""
    from ghibli_studio.curation import prompts

    gauges = prompts.gauges(collection, photos)
    return [
        [photo.id, *(getattr(photo, word) for word in WORDS), gauge_text(gauge.tokens, gauge.limit)]
        for photo, gauge in zip(photos, gauges)
    ]


def view(project: Project | None, which: str = "all", number: float = 1) -> list[Any]:
    """Updates of (first, box, table, page, in words)."""
    collection = photo_list.gathered(project)
    if collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOGRAPHS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * 3,
        ]
    photos = shown(collection, which)
    some, page = photo_list.page_of(photos, number)
    told = f"{len(photos)} of {len(collection.photos)} photographs."
    if over := len(shown(collection, "long")):
        told += (
            f' <span class="problem">{over} prompts are longer than the {collection.token_limit} tokens that the '
            "model reads, the method's trigger included: shorten them.</span>"
        )
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        table(collection, some),
        page,
        f'<div class="foot">{told}</div>',
    ]


def typed(project: Project, rows: Sequence[Sequence[Any]]) -> Collection:
    """Take over what differs in the rows of the table; StudioError for words that are too many."""
    collection = collections.load(project)
    changes = {}
    for id, *words, _ in rows:
        photo = collection.photo(str(id).zfill(4))
        new = {word: str(text or "") for word, text in zip(WORDS, words) if str(text or "") != getattr(photo, word)}
        if new:
            changes[photo.id] = new
    return collections.edit_many(project, changes) if changes else collection


def changed_together(project: Project, which: str, way: str, word: str, find: str, text: str) -> Collection:
    """Set, append or replace words in one part of the prompts of all photographs of a choice."""
    from ghibli_studio.curation import prompts

    ids = [photo.id for photo in shown(collections.load(project), which)]
    if not ids:
        raise StudioError(f"no photograph is {SHOWN[which]}; choose others under Show")
    if way == "set":
        return prompts.set_words(project, ids, **{word: text})
    if way == "append":
        return prompts.append_words(project, ids, word, text)
    return prompts.replace_words(project, ids, find, text, [word])


def build(workspace: Workspace, project: gr.Dropdown) -> Step:
    """Lay the step out and wire it."""
    from ghibli_studio.curation import captioner, prompt_files

    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOGRAPHS), padding=False)
    with gr.Column(visible=False, elem_id="prompts-step") as box:
        which = gr.Dropdown(
            [(text, name) for name, text in SHOWN.items()], value="all", label="Show", elem_id="prompts-which"
        )
        told = gr.HTML(elem_id="prompts-told", padding=False)
        rows = gr.Dataframe(
            headers=list(COLUMNS),
            datatype="str",
            interactive=True,
            wrap=True,
            type="array",
            static_columns=[0, len(COLUMNS) - 1],
            column_widths=list(COLUMNS.values()),
            max_height=560,
            label="Prompts: name, location, description, composition. Changes are kept as you type.",
            elem_id="prompts-table",
            column_count=len(COLUMNS),
        )
        page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="prompts-page")
        with gr.Accordion("Change many at once", open=False, elem_id="prompts-many"):
            gr.Markdown("All photographs that are chosen under Show, on every page.")
            with gr.Row():
                word = gr.Dropdown(
                    [(name.capitalize(), name) for name in WORDS],
                    value="composition",
                    label="Part",
                    elem_id="many-part",
                    min_width=130,
                )
                way = gr.Dropdown(WAYS, value="set", label="How", elem_id="many-how", min_width=130)
                find = gr.Textbox("", label="These words", elem_id="many-find", visible=False, min_width=180)
                text = gr.Textbox("", label="Words", placeholder="wide shot", elem_id="many-text", min_width=220)
                apply = gr.Button("Apply", elem_id="many-apply", min_width=100)
        with gr.Accordion("Prompts from and into files", open=False, elem_id="prompts-files"), gr.Row():
            with gr.Column(min_width=280):
                given = gr.File(
                    label="CSV, .jsonl, .txt files or a ZIP of them",
                    file_count="multiple",
                    height=120,
                    file_types=[".csv", ".jsonl", ".txt", ".zip"],
                    elem_id="prompts-given",
                )
                read = gr.Button("Take these over", elem_id="prompts-read")
            with gr.Column(min_width=280):
                form = gr.Dropdown(FORMATS, value=".csv", label="As", elem_id="prompts-form")
                write = gr.Button("Make the file", elem_id="prompts-write")
                made = gr.File(label="Prompts", visible=False, elem_id="prompts-made")
        unused = gr.HTML(elem_id="prompts-unused", padding=False)
        with gr.Accordion("Let a captioning model describe", open=False, elem_id="prompts-model"):
            folder = gr.Textbox(
                "",
                label="Folder of the model",
                placeholder="~/models/blip-image-captioning-base",
                elem_id="caption-folder",
                info="An image-to-text model for transformers, as "
                ".safetensors. It fills the descriptions that are empty. Nothing is downloaded.",
            )
            with gr.Row():
                describe = gr.Button("Describe", elem_id="caption-go", scale=2)
                stop = gr.Button("Stop", elem_id="caption-stop", scale=1)
            progress = gr.HTML(elem_id="caption-progress", padding=False, visible=False)
    outputs = [first, box, rows, page, told]

    @handlers.friendly
    def looked(name: str | None, chosen: str, number: float) -> list[Any]:
        return view(photo_list.opened(workspace, name)[0], chosen, number)

    @handlers.friendly
    def edited(name: str | None, chosen: str, number: float, values: list[list[Any]]) -> list[Any]:
        """Keep what was typed; the gauges follow, and the page's rows stay where they are."""
        of = photo_list.opened(workspace, name)[0]
        collection = typed(of, values)
        some = collection.select([str(row[0]).zfill(4) for row in values])
        return [table(collection, some), view(of, chosen, number)[-1]]

    @handlers.friendly
    def together(name: str | None, chosen: str, number: float, how: str, part: str, old: str, new: str) -> list[Any]:
        of = photo_list.opened(workspace, name)[0]
        changed_together(of, chosen, how, part, old, new)
        return view(of, chosen, number)

    @handlers.friendly
    def taken(name: str | None, chosen: str, number: float, files: list[str] | None) -> list[Any]:
        if not files:
            raise StudioError("no file is chosen; drop a CSV, a .jsonl, .txt files or a ZIP into the field")
        of = photo_list.opened(workspace, name)[0]
        _, problems = prompt_files.read_prompts(of, [Path(file) for file in files])
        reasons = [problem["reason"] for problem in problems]
        return [photo_list.left_out(reasons, "rows or files not used"), *view(of, chosen, number)]

    @handlers.friendly
    def written(name: str | None, ending: str) -> Any:
        of = photo_list.opened(workspace, name)[0]
        file = prompt_files.write_prompts(of, of.cache_file(FIRST_OF_FORMAT[ending]))
        return gr.update(value=html_parts.served(file), visible=True)

    @handlers.friendly
    def described(name: str | None, chosen: str, number: float, path: str) -> Iterator[list[Any]]:
        of = photo_list.opened(workspace, name)[0]
        if not path.strip():
            raise StudioError("no folder is named; write where the captioning model lies")
        for bar in handlers.follow(workspace, captioner.describe_photographs(of, Path(path.strip()))):
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * len(outputs)]
        yield [gr.update(value="", visible=False), *view(of, chosen, number)]

    asked = [project, which, page]
    which.input(looked, asked, outputs, **handlers.QUIET)
    page.release(looked, asked, outputs, **handlers.QUIET)
    rows.input(edited, [*asked, rows], [rows, told], **handlers.QUIET)
    way.change(lambda how: gr.update(visible=how == "replace"), way, find, **handlers.QUIET)
    apply.click(together, [*asked, way, word, find, text], outputs, **handlers.QUIET)
    read.click(taken, [*asked, given], [unused, *outputs], api_visibility="private")
    write.click(written, [project, form], made, api_visibility="private")
    describing = describe.click(described, [*asked, folder], [progress, *outputs], **handlers.COMPUTING)
    stopped = stop.click(
        lambda: gr.update(value="", visible=False), None, progress, cancels=[describing], **handlers.QUIET
    )
    stopped.then(looked, asked, outputs, **handlers.QUIET)
    return Step(view, outputs)
