"""The Dataset tab: create the sample project or import a dataset, view its images and edit their captions.

`ui.dataset.curation` builds a dataset from photos; `ui.dataset.inspection` has the tools for a finished one.
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
OVERWRITE = "Overwrite existing dataset"
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
    """Return counts, captions over the token limit and skipped files, as HTML."""
    longest = max(item.tokens for item in dataset.items)
    text = html_parts.facts(
        {
            "images": len(dataset.items),
            "for training": len(dataset.part("train")),
            "for validation, of other landmarks": len(dataset.part("validation")),
            "px per side": dataset.resolution,
            f"of {dataset.token_limit} tokens in the longest caption": longest,
        }
    )
    if long := dataset.too_long():
        listed = ", ".join(f"{item.id} ({item.tokens} tokens)" for item in long[:10])
        text += (
            f'<p class="problem">{len(long)} captions are over the limit of {dataset.token_limit} tokens: '
            f"{listed}. Shorten them in the table below.</p>"
        )
    text += "".join(f"<p>{html.escape(note)}</p>" for note in dataset.notes)
    if dataset.skipped:
        lines = "".join(f"<li>{html.escape(problem['reason'])}</li>" for problem in dataset.skipped[:50])
        head = f'<summary class="problem">{len(dataset.skipped)} files skipped</summary>'
        text += f"<details open>{head}<ul>{lines}</ul></details>"
    return text


def thumbnails(project: Project, dataset: Dataset, page: int) -> list[tuple[Any, str]]:
    """Return one page of images, each next to its source image."""
    from PIL import Image

    from ghibli_studio.imaging.crop import square
    from ghibli_studio.imaging.image_io import open_image

    shown = []
    for item in dataset.items[(page - 1) * PAGE : page * PAGE]:
        with Image.open(project.dataset / f"{item.id}.png") as image:
            stylized = image.convert("RGB").resize((THUMBNAIL, THUMBNAIL))
        source = square(open_image((project.sources / item.source).read_bytes(), item.source), THUMBNAIL)
        pair = Image.new("RGB", (2 * THUMBNAIL, THUMBNAIL))
        pair.paste(source, (0, 0))
        pair.paste(stylized, (THUMBNAIL, 0))
        shown.append((pair, f"{item.landmark} · {item.split}"))
    return shown


def view(workspace: Workspace, name: str | None, page: float = 1) -> list[Any]:
    """Return updates of (forms, summary, gallery, page slider, table, save button) for a project."""
    hidden, forms = gr.update(visible=False), gr.update(open=True)
    if not name:
        text = "No project yet. Create the sample project or import your own images above."
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
    """Save the captions of the table; raise StudioError for an empty or too long one."""
    return datasets.set_captions(workspace.project(name), {str(row[0]).zfill(4): str(row[4]) for row in rows})


def build(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """Lay out the tab and wire its events: the images, building from photos, and a single photo."""
    with gr.Tabs(elem_id="ways"):
        with gr.Tab("Images", id="images") as images:
            tab = _images_panel(workspace, project)
        with gr.Tab("Build from photos", id="photos") as steps:
            pass
        with gr.Tab("Stylize one photo", id="single") as single:
            style_photo.build(workspace)
    with steps:
        finished = curation.build(workspace, project, steps, [images, single])
    finished.success(handlers.friendly(lambda name: view(workspace, name)), project, tab.view, **handlers.QUIET)
    return tab


def _images_panel(workspace: Workspace, project: gr.Dropdown) -> Tab:
    """Lay out the Images panel: create, import, view, edit and export the dataset."""
    from ghibli_studio.data.importer import import_images
    from ghibli_studio.data.sample_dataset import create_sample

    needed = not workspace.projects()
    with gr.Accordion("Create or import a dataset", open=needed, elem_id="new-dataset") as new, gr.Row():
        with gr.Column():
            gr.Markdown("### Sample project\n115 landmarks, each as a photo and painted in the style to learn.")
            sample_name = gr.Textbox(SAMPLE, label="Project", elem_id="sample-name")
            sample_replace = gr.Checkbox(False, label=OVERWRITE, elem_id="sample-overwrite")
            sample_button = gr.Button("Create sample project", variant="primary", elem_id="create-sample")
        with gr.Column():
            gr.Markdown(
                "### Your own images\nImages in the style, each with a `.txt` caption of the same name; or a ZIP."
            )
            own_name = gr.Textbox("", label="Project", placeholder="my-style", elem_id="import-name")
            files = gr.File(
                label="Images and captions, or a ZIP", file_count="multiple", elem_id="import-files", height=140
            )
            folder = gr.Textbox("", label="Or a folder on the server", placeholder="~/images", elem_id="import-folder")
            with gr.Accordion("Base model", open=False):
                base = gr.Textbox(
                    default_base_model(),
                    label="Base model",
                    elem_id="import-base",
                    info="miniature, a diffusers folder, a .safetensors checkpoint, or a Hub id.",
                )
            own_replace = gr.Checkbox(False, label=OVERWRITE, elem_id="import-overwrite")
            import_button = gr.Button("Import", elem_id="import")
    progress = gr.HTML(elem_id="dataset-progress", padding=False, visible=False)
    overview = gr.HTML(elem_id="dataset-summary", padding=False)
    gallery = gr.Gallery(
        label="Source and training image",
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
    save = gr.Button("Save captions", visible=False, elem_id="save-captions")
    inspection.build(workspace, project)
    shown = [new, overview, gallery, page, table, save]

    def finished(name: str) -> list[Any]:
        chosen = gr.update(choices=workspace.projects(), value=name)
        return [gr.update(value="", visible=False), chosen, *view(workspace, name)]

    def nothing(bar: str) -> list[Any]:
        return [gr.update(value=bar, visible=True), gr.skip(), *[gr.skip()] * len(shown)]

    @handlers.friendly
    def make(name: str, replace: bool = False) -> Iterator[list[Any]]:
        """Create the sample project and show the progress."""
        project = workspace.project(name.strip(), new=True)
        for bar in handlers.follow(None, create_sample(project, default_base_model(), replace=replace)):
            yield nothing(bar)
        yield finished(name.strip())

    @handlers.friendly
    def create_or_open() -> Iterator[list[Any]]:
        """Open the sample project; create it if it does not exist."""
        if datasets.exists(workspace.project(SAMPLE, new=True)):
            yield finished(SAMPLE)
        else:
            yield from make(SAMPLE)

    @handlers.friendly
    def import_files(
        name: str, uploads: list[str] | None, path: str, model_id: str, replace: bool
    ) -> Iterator[list[Any]]:
        """Import images; files that cannot be used are listed with the reason."""
        if not uploads and not path.strip():
            raise StudioError("no images are selected; drop files above, or enter a folder on the server")
        source = [Path(upload) for upload in uploads] if uploads else Path(path.strip())
        made = workspace.project(name.strip(), new=True)
        for bar in handlers.follow(None, import_images(made, source, model_id.strip(), replace=replace)):
            yield nothing(bar)
        yield finished(name.strip())

    @handlers.friendly
    def saved(name: str, rows: list[list[Any]], number: float) -> list[Any]:
        save_captions(workspace, name, rows)
        gr.Info("Captions saved.")
        return view(workspace, name, number)

    outputs = [progress, project, *shown]
    busy: dict[str, Any] = {"concurrency_id": "dataset", "concurrency_limit": 1, "show_progress": "hidden"}
    sample_button.click(make, [sample_name, sample_replace], outputs, api_visibility="private", **busy)
    import_button.click(
        import_files, [own_name, files, folder, base, own_replace], outputs, api_visibility="private", **busy
    )
    page.release(
        handlers.friendly(lambda name, number: view(workspace, name, number)),
        [project, page],
        shown,
        show_progress="hidden",
        api_visibility="private",
    )
    save.click(saved, [project, table, page], shown, api_visibility="private")
    return Tab(shown, create_or_open, outputs)
