"""Library, Pictures: everything that was drawn in the project, searched, looked at, used again, taken away.

What is found is `ghibli_studio.gallery`.
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
from ghibli_studio.plotting.formatting import counted
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.handlers import QUIET, chosen_project
from ghibli_studio.ui.generation import form
from ghibli_studio.workspace.project import Project, Workspace

NOTHING = "No pictures yet. Draw some in the Generate tab: they are all kept here, each with its recipe."
NOT_FOUND = "No picture fits. Take a word away, or clear the search."
METHODS = {"": "any method", BASE: "base model"}


@dataclass(frozen=True)
class Panel:
    """What the rest of the page needs."""

    again: gr.Button
    """Pressed to use a picture's settings again."""
    chosen: list[Any]
    """(project, id of the chosen picture)."""


def search_of(words: str, method: str, kind: str, seed: float | None, adapter: str, since: str, until: str) -> Search:
    """The form's search, checked."""
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


def found_view(project: Project | None, wanted: Search, number: float) -> list[Any]:
    """(ids on the page, updates of summary, gallery, page's slider and pack)."""
    entries = gallery.search(project, wanted) if project else []
    shown, number, pages = gallery.page_of(entries, int(number or 1))
    if not entries:
        text = NOTHING if wanted == Search() else NOT_FOUND
        return [
            [],
            html_parts.empty(text),
            gr.update(value=[], visible=False),
            gr.update(value=1, visible=False),
            gr.update(visible=False),
        ]
    items = [(html_parts.served(gallery.thumbnail(project, entry)), entry.title) for entry in shown]
    told = counted(len(entries), "picture") + (f", page {number} of {pages}" if pages > 1 else "")
    return [
        [entry.id for entry in shown],
        f'<div class="foot" role="status">{told}</div>',
        gr.update(value=items, visible=True, selected_index=None),
        gr.update(value=number, maximum=max(pages, 2), visible=pages > 1),
        gr.update(visible=True),
    ]


def detail_view(entry: Entry | None) -> list[Any]:
    """Updates of (box, picture, facts, recipe, file, delete) for a picture or none."""
    if entry is None:
        return [gr.update(visible=False), *[gr.skip()] * 5]
    facts = {"": KINDS[entry.kind], "drawn on": f"{entry.made:%Y-%m-%d %H:%M}"}
    if entry.seed is not None:
        facts["seed"] = entry.seed
    place = html_parts.served(entry.file)
    return [
        gr.update(visible=True),
        gr.update(value=place, label=entry.title),
        html_parts.told(entry.prompt, facts),
        entry.recipe,
        gr.update(value=place),
        gr.update(visible=entry.kind not in gallery.OWNED),
    ]


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab) -> Panel:
    """Lay the panel out and wire it; what it shows is made new whenever the tab is opened."""
    methods = {**METHODS, **{name: module.LABEL for name, module in registry.methods().items()}}
    with gr.Row():
        words = gr.Textbox(
            "",
            label="Search",
            elem_id="find-words",
            scale=3,
            min_width=220,
            max_lines=1,
            placeholder="words of the prompt, in any order",
        )
        method = gr.Dropdown(
            [(text, name) for name, text in methods.items()],
            value="",
            label="Method",
            elem_id="find-method",
            scale=1,
            min_width=140,
        )
        kind = gr.Dropdown(
            [("anything", ""), *((text, name) for name, text in KINDS.items())],
            value="",
            label="Kind",
            elem_id="find-kind",
            scale=1,
            min_width=160,
        )
        go = gr.Button("Find", elem_id="find", scale=0, min_width=90)
    with gr.Accordion("Seed, adapter, date", open=False), gr.Row():
        seed = gr.Number(None, label="Seed", elem_id="find-seed", min_width=100)
        adapter = gr.Textbox(
            "",
            label="Adapter",
            elem_id="find-adapter",
            min_width=160,
            max_lines=1,
            placeholder="part of its file, run or hash",
        )
        since = gr.Textbox(
            "", label="Since", elem_id="find-since", min_width=120, max_lines=1, placeholder="2026-01-31"
        )
        until = gr.Textbox(
            "", label="Until", elem_id="find-until", min_width=120, max_lines=1, placeholder="2026-12-31"
        )
    ids, chosen = gr.State([]), gr.State("")
    summary = gr.HTML(html_parts.empty(NOTHING), elem_id="found", padding=False)
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            shown = gr.Gallery(
                label="Pictures found",
                show_label=False,
                columns=6,
                height="auto",
                visible=False,
                allow_preview=False,
                object_fit="contain",
                elem_id="library-pictures",
                buttons=[],
            )
            page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="found-page")
            with gr.Row():
                pack = gr.Button(
                    "Pack all that was found (ZIP)", elem_id="pack", size="sm", scale=0, min_width=240, visible=False
                )
                packed = gr.File(label="ZIP", visible=False, elem_id="packed")
        with gr.Column(scale=2, min_width=300, visible=False, elem_id="picture-detail") as box:
            picture = gr.Image(label="Picture", interactive=False, elem_id="library-picture", buttons=["fullscreen"])
            facts = gr.HTML(elem_id="picture-facts", padding=False)
            with gr.Row():
                again = gr.Button("Use these settings again", variant="primary", elem_id="use-picture", min_width=180)
                load = gr.DownloadButton("Download", elem_id="download-picture", min_width=110)
            delete = gr.Button("Delete", elem_id="delete-picture")
            with gr.Row(visible=False) as sure:
                yes = gr.Button("Delete it for good", variant="stop", elem_id="delete-yes", min_width=140)
                no = gr.Button("Keep it", elem_id="delete-no", min_width=100)
            with gr.Accordion("Recipe", open=False):
                recipe = gr.JSON(show_label=False, elem_id="library-recipe")
    asked = [words, method, kind, seed, adapter, since, until]
    detail = [box, picture, facts, recipe, load, delete]

    @handlers.friendly
    def find(name: str | None, number: float, *values: Any) -> list[Any]:
        of = workspace.project(name) if name else None
        return [
            *found_view(of, search_of(*values), number),
            "",
            *detail_view(None),
            gr.update(visible=False),
            gr.update(value=None, visible=False),
        ]

    @handlers.friendly
    def first_page(name: str | None, *values: Any) -> list[Any]:
        return find(name, 1, *values)

    @handlers.friendly
    def look(name: str | None, on_page: list[str], event: gr.SelectData) -> list[Any]:
        if event.index >= len(on_page):
            raise StudioError("the page has changed since; search again")
        entry = gallery.find(chosen_project(workspace, name), on_page[event.index])
        return [entry.id, *detail_view(entry), gr.update(visible=False)]

    @handlers.friendly
    def taken_away(name: str | None, id: str, number: float, *values: Any) -> list[Any]:
        gallery.remove(chosen_project(workspace, name), [id])
        return find(name, number, *values)

    @handlers.friendly
    def zipped(name: str | None, *values: Any) -> Any:
        found = gallery.search(chosen_project(workspace, name), search_of(*values))
        return gr.update(value=html_parts.served_bytes(gallery.pack(found), "pictures.zip"), visible=True)

    everything = [ids, summary, shown, page, pack, chosen, *detail, sure, packed]
    for widget in (method, kind):
        widget.input(first_page, [project, *asked], everything, **QUIET)
    for widget in (words, seed, adapter, since, until):
        widget.submit(first_page, [project, *asked], everything, **QUIET)
    go.click(first_page, [project, *asked], everything, **QUIET)
    page.release(find, [project, page, *asked], everything, **QUIET)
    for event in (tab.select, project.change):
        event(first_page, [project, *asked], everything, **QUIET)
    shown.select(look, [project, ids], [chosen, *detail, sure], **QUIET)
    delete.click(lambda: gr.update(visible=True), None, sure, **QUIET)
    no.click(lambda: gr.update(visible=False), None, sure, **QUIET)
    yes.click(taken_away, [project, chosen, page, *asked], everything, **QUIET)
    pack.click(zipped, [project, *asked], packed, **QUIET)
    return Panel(again, [project, chosen])


def again_view(workspace: Workspace, name: str | None, id: str) -> list[Any]:
    """Updates of the Generate tab's form with a picture's settings."""
    project = chosen_project(workspace, name)
    if not id:
        raise StudioError("no picture is chosen; click one")
    return form.refilled(project, gallery.settings_again(project, gallery.find(project, id)))
