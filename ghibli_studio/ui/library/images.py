"""The Images panel of the Library tab: search all generated images, view, reuse, download and delete them.

The search itself is `ghibli_studio.generation.history`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.generation import gallery
from ghibli_studio.generation.gallery import KINDS, Entry, Search
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.plotting.formatting import pluralize
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.handlers import QUIET, chosen_project
from ghibli_studio.ui.generation import form
from ghibli_studio.workspace.project import Project, Workspace

NOTHING = "No images yet. Generate some in the Generate tab; all are saved here with their generation metadata."
NOT_FOUND = "No image matches. Remove a word, or clear the search."
METHODS = {"": "any method", BASE: "base model"}


@dataclass(frozen=True)
class Panel:
    """The widgets that the rest of the page needs."""

    reuse: gr.Button
    """Reuses the settings of the selected image."""
    chosen: list[Any]
    """(project, id of the selected image)."""


def search_of(words: str, method: str, kind: str, seed: float | None, adapter: str, since: str, until: str) -> Search:
    """Return the search of the form, checked."""
    number = int(seed) if isinstance(seed, float) and seed.is_integer() else seed
    return Search.checked(
        {
            "words": words,
            "method": method,
            "kind": kind,
            "seed": number,
            "adapter": adapter.strip(),
            "since": since.strip() or None,
            "until": until.strip() or None,
        }
    )


def results_view(project: Project | None, query: Search, number: float) -> list[Any]:
    """Return [ids on the page, *updates of (summary, gallery, page slider, download button)]."""
    entries = gallery.search(project, query) if project else []
    shown, number, pages = gallery.paginate(entries, int(number or 1))
    if project is None or not entries:
        text = NOTHING if query == Search() else NOT_FOUND
        return [
            [],
            html_parts.empty(text),
            gr.update(value=[], visible=False),
            gr.update(value=1, visible=False),
            gr.update(visible=False),
        ]
    items = [(html_parts.served(gallery.thumbnail(project, entry)), entry.title) for entry in shown]
    note = pluralize(len(entries), "image") + (f", page {number} of {pages}" if pages > 1 else "")
    return [
        [entry.id for entry in shown],
        f'<div class="foot" role="status">{note}</div>',
        gr.update(value=items, visible=True, selected_index=None),
        gr.update(value=number, maximum=max(pages, 2), visible=pages > 1),
        gr.update(visible=True),
    ]


def detail_view(entry: Entry | None) -> list[Any]:
    """Return updates of (box, image, facts, metadata, file, delete) for an image, or for none."""
    if entry is None:
        return [gr.update(visible=False), *[gr.skip()] * 5]
    facts: dict[str, Any] = {"": KINDS[entry.kind], "generated": f"{entry.created:%Y-%m-%d %H:%M}"}
    if entry.seed is not None:
        facts["seed"] = entry.seed
    path = html_parts.served(entry.file)
    return [
        gr.update(visible=True),
        gr.update(value=path, label=entry.title),
        html_parts.text_with_chips(entry.prompt, facts),
        entry.metadata,
        gr.update(value=path),
        gr.update(visible=entry.kind not in gallery.UNDELETABLE),
    ]


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab) -> Panel:
    """Lay out the panel and wire its events; what it shows is refreshed whenever the tab is opened."""
    methods = {**METHODS, **{name: module.LABEL for name, module in registry.methods().items()}}
    with gr.Row():
        words = gr.Textbox(
            "",
            label="Prompt",
            elem_id="search-words",
            scale=3,
            min_width=220,
            max_lines=1,
            placeholder="words of the prompt, in any order",
        )
        method = gr.Dropdown(
            [(text, name) for name, text in methods.items()],
            value="",
            label="Method",
            elem_id="search-method",
            scale=1,
            min_width=140,
        )
        kind = gr.Dropdown(
            [("any type", ""), *((text, name) for name, text in KINDS.items())],
            value="",
            label="Type",
            elem_id="search-type",
            scale=1,
            min_width=160,
        )
        go = gr.Button("Search", elem_id="search", scale=0, min_width=90)
    with gr.Accordion("Seed, adapter, date", open=False), gr.Row():
        seed = gr.Number(None, label="Seed", elem_id="search-seed", min_width=100)
        adapter = gr.Textbox(
            "",
            label="Adapter",
            elem_id="search-adapter",
            min_width=160,
            max_lines=1,
            placeholder="part of the file name, run or hash",
        )
        since = gr.Textbox(
            "", label="Since", elem_id="search-since", min_width=120, max_lines=1, placeholder="2026-01-31"
        )
        until = gr.Textbox(
            "", label="Until", elem_id="search-until", min_width=120, max_lines=1, placeholder="2026-12-31"
        )
    ids, chosen = gr.State([]), gr.State("")
    summary = gr.HTML(html_parts.empty(NOTHING), elem_id="search-summary", padding=False)
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            shown = gr.Gallery(
                label="Search results",
                show_label=False,
                columns=6,
                height="auto",
                visible=False,
                allow_preview=False,
                object_fit="contain",
                elem_id="library-images",
                buttons=[],
            )
            page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="search-page")
            with gr.Row():
                pack = gr.Button(
                    "Download results (ZIP)",
                    elem_id="download-results",
                    size="sm",
                    scale=0,
                    min_width=240,
                    visible=False,
                )
                packed = gr.File(label="ZIP", visible=False, elem_id="results-zip")
        with gr.Column(scale=2, min_width=300, visible=False, elem_id="image-detail") as box:
            image = gr.Image(label="Image", interactive=False, elem_id="library-image", buttons=["fullscreen"])
            facts = gr.HTML(elem_id="image-facts", padding=False)
            with gr.Row():
                reuse = gr.Button("Reuse settings", variant="primary", elem_id="reuse-image", min_width=180)
                load = gr.DownloadButton("Download", elem_id="download-image", min_width=110)
            delete = gr.Button("Delete", elem_id="delete-image")
            with gr.Row(visible=False) as sure:
                yes = gr.Button("Delete permanently", variant="stop", elem_id="delete-yes", min_width=140)
                no = gr.Button("Cancel", elem_id="delete-no", min_width=100)
            with gr.Accordion("Image details", open=False):
                details = gr.JSON(show_label=False, elem_id="library-metadata")
    asked = [words, method, kind, seed, adapter, since, until]
    detail = [box, image, facts, details, load, delete]

    @handlers.friendly
    def search(name: str | None, number: float, *values: Any) -> list[Any]:
        of = workspace.project(name) if name else None
        return [
            *results_view(of, search_of(*values), number),
            "",
            *detail_view(None),
            gr.update(visible=False),
            gr.update(value=None, visible=False),
        ]

    @handlers.friendly
    def first_page(name: str | None, *values: Any) -> list[Any]:
        return search(name, 1, *values)

    @handlers.friendly
    def look(name: str | None, on_page: list[str], event: gr.SelectData) -> list[Any]:
        if event.index >= len(on_page):
            raise StudioError("the search results have changed; search again")
        entry = gallery.find(chosen_project(workspace, name), on_page[event.index])
        return [entry.id, *detail_view(entry), gr.update(visible=False)]

    @handlers.friendly
    def deleted(name: str | None, id: str, number: float, *values: Any) -> list[Any]:
        gallery.remove(chosen_project(workspace, name), [id])
        return search(name, number, *values)

    @handlers.friendly
    def zipped(name: str | None, *values: Any) -> Any:
        entries = gallery.search(chosen_project(workspace, name), search_of(*values))
        return gr.update(value=html_parts.served_bytes(gallery.zip_images(entries), "images.zip"), visible=True)

    everything = [ids, summary, shown, page, pack, chosen, *detail, sure, packed]
    for widget in (method, kind):
        widget.input(first_page, [project, *asked], everything, **QUIET)
    for field in (words, seed, adapter, since, until):
        field.submit(first_page, [project, *asked], everything, **QUIET)
    go.click(first_page, [project, *asked], everything, **QUIET)
    page.release(search, [project, page, *asked], everything, **QUIET)
    for event in (tab.select, project.change):
        event(first_page, [project, *asked], everything, **QUIET)
    shown.select(look, [project, ids], [chosen, *detail, sure], **QUIET)
    delete.click(lambda: gr.update(visible=True), None, sure, **QUIET)
    no.click(lambda: gr.update(visible=False), None, sure, **QUIET)
    yes.click(deleted, [project, chosen, page, *asked], everything, **QUIET)
    pack.click(zipped, [project, *asked], packed, **QUIET)
    return Panel(reuse, [project, chosen])


def reused_view(workspace: Workspace, name: str | None, id: str) -> list[Any]:
    """Return updates that fill in the Generate tab's form with the settings of an image."""
    project = chosen_project(workspace, name)
    if not id:
        raise StudioError("no image is selected; click one")
    return form.refilled(project, gallery.reusable_settings(project, gallery.find(project, id)))
