"""The Data set tab: make the sample project or take in one's own pictures, look at them, mend their captions.

How photographs become a data set is `collection_tab`, what can be had of a finished one `set_panel`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset
from ghibli_studio.runtime.environment import default_base_model
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.dataset import curation, inspection, style_photo
from ghibli_studio.workspace.project import Project, Workspace

SAMPLE = "sample"
REPLACE = "Replace the project's data set if it has one"
PAGE = 24
THUMBNAIL = 192
HEADERS = ["id", "landmark", "split", "tokens", "caption"]


@dataclass(frozen=True)
class Tab:
    """The widgets and handlers that the rest of the page needs."""

    view: list[Any]
    make_sample: Callable[[], Iterator[list[Any]]]
    outputs: list[Any]


def summary(dataset: Dataset) -> str:
    """Figures, captions over the limit and files left out, as HTML."""
    longest = max(item.tokens for item in dataset.items)
    text = html_parts.facts(
        {
            "pictures": len(dataset.items),
            "to train on": len(dataset.part("train")),
            "to validate on, of other landmarks": len(dataset.part("validation")),
            "px a side": dataset.resolution,
            f"of {dataset.token_limit} tokens in the longest caption": longest,
        }
    )
    if long := dataset.too_long():
        listed = ", ".join(f"{item.id} ({item.tokens} tokens)" for item in long[:10])
        text += (
            f'<p class="problem">{len(long)} captions are longer than the {dataset.token_limit} tokens that the model '
            f"reads: {listed}. Shorten them in the table below.</p>"
        )
    text += "".join(f"<p>{html.escape(note)}</p>" for note in dataset.notes)
    if dataset.problems:
        lines = "".join(f"<li>{html.escape(problem['reason'])}</li>" for problem in dataset.problems[:50])
        head = f'<summary class="problem">{len(dataset.problems)} files left out</summary>'
        text += f"<details open>{head}<ul>{lines}</ul></details>"
    return text


def thumbnails(project: Project, dataset: Dataset, page: int) -> list[tuple[Any, str]]:
    """One page of pictures, each beside its source where that is another picture."""
    from PIL import Image

    from ghibli_studio.imaging.crop import square
    from ghibli_studio.imaging.image_io import open_image

    shown = []
    for item in dataset.items[(page - 1) * PAGE : page * PAGE]:
        with Image.open(project.dataset / f"{item.id}.png") as picture:
            styled = picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL))
        source = square(open_image((project.sources / item.source).read_bytes(), item.source), THUMBNAIL)
        pair = Image.new("RGB", (2 * THUMBNAIL, THUMBNAIL))
        pair.paste(source, (0, 0))
        pair.paste(styled, (THUMBNAIL, 0))
        shown.append((pair, f"{item.landmark} · {item.split}"))
    return shown


def view(workspace: Workspace, name: str | None, page: float = 1) -> list[Any]:
    """Updates of (forms, summary, gallery, page slider, table, save button) for a project."""
    hidden, forms = gr.update(visible=False), gr.update(open=True)
    if not name:
        text = "No project yet. Make the sample project, or take in your own pictures: both are just above."
        return [forms, html_parts.empty(text), hidden, hidden, hidden, hidden]
    project = workspace.project(name)
    try:
        dataset = datasets.load(project)
    except StudioError as error:
        return [forms, html_parts.empty(str(error)), hidden, hidden, hidden, hidden]
    pages = -(-len(dataset.items) // PAGE)
    page = min(max(int(page), 1), pages)
    rows = [[item.id, item.landmark, item.split, item.tokens, item.caption] for item in dataset.items]
    return [
        gr.update(open=False),
        summary(dataset),
        gr.update(value=thumbnails(project, dataset, page), visible=True),
        gr.update(value=page, maximum=max(pages, 2), visible=pages > 1),
        gr.update(value=rows, visible=True),
        gr.update(visible=True),
    ]


def save_captions(workspace: Workspace, name: str, rows: Sequence[Sequence[Any]]) -> Dataset:
    """Take over the captions of the table; raises StudioError for an empty or endless one."""
    return datasets.set_captions(workspace.project(name), {str(row[0]).zfill(4): str(row[4]) for row in rows})


def build(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """Lay the tab out and wire it: the finished set, the way to it from photographs, and a single photograph."""
    with gr.Tabs(elem_id="ways"):
        with gr.Tab("The set", id="set") as whole:
            tab = _finished_set(workspace, project)
        with gr.Tab("From photographs", id="photographs") as steps:
            pass
        with gr.Tab("One photograph", id="one") as single:
            style_photo.build(workspace)
    with steps:
        finished = curation.build(workspace, project, steps, [whole, single])
    finished.success(handlers.friendly(lambda name: view(workspace, name)), project, tab.view, **handlers.QUIET)
    return tab


def _finished_set(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """The data set as it is: made, taken in, looked at, mended, handed on."""
    from ghibli_studio.data.importer import import_pictures
    from ghibli_studio.data.sample_dataset import make_sample

    needed = not workspace.projects()
    with gr.Accordion("Make or take in a data set", open=needed, elem_id="new-dataset") as new, gr.Row():
        with gr.Column():
            gr.Markdown("### The sample project\n115 landmarks, each drawn as a photograph and in the style to learn.")
            sample_name = gr.Textbox(SAMPLE, label="Project", elem_id="sample-name")
            sample_replace = gr.Checkbox(False, label=REPLACE, elem_id="sample-replace")
            sample_button = gr.Button("Make the sample project", variant="primary", elem_id="make-sample")
        with gr.Column():
            gr.Markdown("### Your own pictures\nIn the style, each with a `.txt` caption of the same name; or a ZIP.")
            own_name = gr.Textbox("", label="Project", placeholder="my-style", elem_id="own-name")
            files = gr.File(
                label="Pictures and captions, or one ZIP", file_count="multiple", elem_id="own-files", height=140
            )
            folder = gr.Textbox("", label="Or a folder on this machine", placeholder="~/pictures", elem_id="own-folder")
            with gr.Accordion("Base model", open=False):
                base = gr.Textbox(
                    default_base_model(),
                    label="Base model",
                    elem_id="own-base",
                    info="miniature, a diffusers folder, a .safetensors checkpoint, or a hub id.",
                )
            own_replace = gr.Checkbox(False, label=REPLACE, elem_id="own-replace")
            import_button = gr.Button("Take them in", elem_id="import")
    progress = gr.HTML(elem_id="dataset-progress", padding=False, visible=False)
    overview = gr.HTML(elem_id="dataset-summary", padding=False)
    gallery = gr.Gallery(
        label="Source and picture to learn from",
        columns=4,
        height=460,
        object_fit="contain",
        allow_preview=False,
        visible=False,
        elem_id="dataset-gallery",
        buttons=[],
    )
    page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="dataset-page")
    table = gr.Dataframe(
        headers=HEADERS,
        datatype=["str", "str", "str", "number", "str"],
        interactive=True,
        wrap=True,
        static_columns=[0, 1, 2, 3],
        visible=False,
        max_height=420,
        label="Captions",
        elem_id="captions",
        type="array",
        column_widths=[70, 170, 110, 90, 720],
    )
    save = gr.Button("Save the captions", visible=False, elem_id="save-captions")
    inspection.build(workspace, project)
    shown = [new, overview, gallery, page, table, save]

    def finished(name: str) -> list[Any]:
        chosen = gr.update(choices=workspace.projects(), value=name)
        return [gr.update(value="", visible=False), chosen, *view(workspace, name)]

    def nothing(bar: str) -> list[Any]:
        return [gr.update(value=bar, visible=True), gr.skip(), *[gr.skip()] * len(shown)]

    @handlers.friendly
    def make(name: str, replace: bool = False) -> Iterator[list[Any]]:
        """Make the sample project; the progress is told as it goes."""
        project = workspace.project(name.strip(), new=True)
        for bar in handlers.follow(None, make_sample(project, default_base_model(), replace=replace)):
            yield nothing(bar)
        yield finished(name.strip())

    @handlers.friendly
    def make_or_open() -> Iterator[list[Any]]:
        """What a newcomer wants: the sample project, made if it is not there."""
        if datasets.exists(workspace.project(SAMPLE, new=True)):
            yield finished(SAMPLE)
        else:
            yield from make(SAMPLE)

    @handlers.friendly
    def take(name: str, uploads: list[str] | None, path: str, spec: str, replace: bool) -> Iterator[list[Any]]:
        """Take in pictures; what cannot be used is listed with the reason."""
        if not uploads and not path.strip():
            raise StudioError("no pictures are chosen; drop some files above, or name a folder on this machine")
        source = [Path(upload) for upload in uploads] if uploads else Path(path.strip())
        made = workspace.project(name.strip(), new=True)
        for bar in handlers.follow(None, import_pictures(made, source, spec.strip(), replace=replace)):
            yield nothing(bar)
        yield finished(name.strip())

    @handlers.friendly
    def saved(name: str, rows: list[list[Any]], number: float) -> list[Any]:
        save_captions(workspace, name, rows)
        gr.Info("The captions are saved.")
        return view(workspace, name, number)

    outputs = [progress, project, *shown]
    busy = {"concurrency_id": "data set", "concurrency_limit": 1, "show_progress": "hidden"}
    sample_button.click(make, [sample_name, sample_replace], outputs, api_visibility="private", **busy)
    import_button.click(take, [own_name, files, folder, base, own_replace], outputs, api_visibility="private", **busy)
    page.release(
        handlers.friendly(lambda name, number: view(workspace, name, number)),
        [project, page],
        shown,
        show_progress="hidden",
        api_visibility="private",
    )
    save.click(saved, [project, table, page], shown, api_visibility="private")
    return Tab(shown, make_or_open, outputs)
