"""The Adapters panel of the Library tab: list, compare, import, merge, export, publish and delete adapters.

`ui.library.adapter_table` lays out what is shown; `ghibli_studio.adapter_library` does the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.adapter_library import catalog
from ghibli_studio.config.export import AdapterExportSettings
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.library import adapter_table
from ghibli_studio.workspace.project import Project, Workspace

FORM = [name for name in AdapterExportSettings.model_fields if name != "zipped"]
PUSH_NOTE = (
    "Uploads the export to a repository of yours, which is private unless you make it public. The token needs "
    "write access; it is used once and not saved. The server's own token is never used here, because everybody "
    "who can open this page could publish with it; use the command `push` for that."
)


def refreshed(project: Project | None, kept: tuple[Any, ...] = (None, None, None)) -> list[Any]:
    """Return updates of (table, left, right, to merge, to export); a selection stays if it still exists."""
    entries = catalog.entries(project) if project else []
    names = [entry.name for entry in entries if not entry.problem]
    one, other, handed = (name if name in names else None for name in kept)
    first = one or next(iter(names), None)
    second = other or next((name for name in names if name != first), None)
    return [
        adapter_table.table(project, entries),
        gr.update(choices=names, value=first),
        gr.update(choices=names, value=second),
        gr.update(choices=names, value=[]),
        gr.update(choices=[entry.name for entry in entries], value=handed or first),
    ]


def exported(project: Project, name: str | None, settings: AdapterExportSettings) -> Iterator[tuple[str, Path | None]]:
    """Yield (progress bar as HTML, None) at every step, and at the end ("", folder or ZIP)."""
    from ghibli_studio.adapter_library import export

    entry = chosen_entry(project, name)
    for bar in handlers.follow(None, export.export(project, entry, settings)):
        yield bar, None
    yield "", export.default_target(project, entry, settings)


def chosen_entry(project: Project, name: str | None) -> catalog.Entry:
    """Return the adapter of that name; raise StudioError if none is selected."""
    if not name:
        raise StudioError("no adapter is selected; train one, or import a file")
    return catalog.find(project, name)


def build(workspace: Workspace, project: gr.Dropdown, *tabs: gr.Tab) -> None:
    """Lay out the panel and wire its events; it is refreshed when one of `tabs` is opened or the project changes."""
    listed = gr.HTML(html_parts.empty(adapter_table.NOTHING), elem_id="adapters-table", padding=False)
    with gr.Accordion("Compare two adapters", open=False, elem_id="adapters-compare"), gr.Column():
        with gr.Row():
            one = gr.Dropdown([], label="Adapter", elem_id="adapters-left", min_width=200)
            other = gr.Dropdown([], label="Compare with", elem_id="adapters-right", min_width=200)
        compare = gr.Button("Compare", elem_id="adapters-compare-go")
        differences = gr.HTML(elem_id="adapters-differences", padding=False, visible=False)
        images = gr.Gallery(
            label="Left: the first adapter, right: the second",
            columns=2,
            height="auto",
            visible=False,
            object_fit="contain",
            elem_id="adapters-images",
            buttons=["fullscreen"],
        )
    with gr.Accordion("Import", open=False, elem_id="adapters-import"), gr.Column():
        file = gr.File(
            label="LoRA or Textual Inversion, .safetensors",
            file_types=[".safetensors"],
            height=130,
            elem_id="adapters-file",
        )
        with gr.Row():
            new_name = gr.Textbox(
                "", label="Name", info="Empty: the file name.", elem_id="adapters-new-name", min_width=200
            )
            trigger = gr.Textbox(
                "",
                label="Trigger",
                elem_id="adapters-trigger",
                min_width=200,
                info="Words that activate a LoRA. Empty: from the file.",
            )
        take = gr.Button("Import", elem_id="adapters-import-go")
    with gr.Accordion("Merge or scale", open=False, elem_id="adapters-merge-panel"), gr.Column():
        several = gr.Dropdown(
            [],
            multiselect=True,
            label="Adapters of one method",
            elem_id="adapters-selected",
            info="Select one to scale it, two or more to merge them.",
        )
        with gr.Row():
            weights = gr.Textbox(
                "",
                label="Weights",
                elem_id="adapters-weights",
                min_width=140,
                info="One per adapter, such as 0.7,0.3. Empty: equal weights.",
            )
            rank = gr.Number(
                0,
                label="Rank",
                precision=0,
                elem_id="adapters-rank",
                min_width=140,
                info="LoRA: rank of the merge. 0: exact, the sum of the ranks.",
            )
            mixed_name = gr.Textbox(
                "", label="Name", info="Name of the new adapter.", elem_id="adapters-merged-name", min_width=140
            )
        mix = gr.Button("Save", elem_id="adapters-merge")
    with gr.Accordion("Export, publish, delete", open=False, elem_id="adapters-share"), gr.Column():
        handed = gr.Dropdown([], label="Adapter", elem_id="adapters-shared")
        fields: dict[str, Any] = {}
        for some in (FORM[:2], FORM[2:]):
            with gr.Row():
                fields |= forms.widgets(AdapterExportSettings, "adapters", some)
        give = gr.Button("Create ZIP", variant="primary", elem_id="adapters-export-go")
        progress = gr.HTML(elem_id="adapters-progress", padding=False, visible=False)
        made = gr.File(
            label="Weights in both formats, model card, images, settings", visible=False, elem_id="adapters-zip"
        )
        gr.Markdown(f"#### The Hugging Face Hub\n{PUSH_NOTE}")
        with gr.Row():
            repository = gr.Textbox(
                "", label="Repository", placeholder="your-name/my-style", elem_id="adapters-repository", min_width=200
            )
            token = gr.Textbox("", label="Token", type="password", elem_id="adapters-token", min_width=200)
            public = gr.Checkbox(False, label="Public", elem_id="adapters-public", min_width=160)
        with gr.Row():
            dry = gr.Button("Dry run", elem_id="adapters-dry-run", min_width=160)
            send = gr.Button("Publish", elem_id="adapters-push", min_width=160)
        sent = gr.Markdown(elem_id="adapters-published", visible=False)
        with gr.Row():
            sure = gr.Checkbox(False, label="Yes, delete this file", elem_id="adapters-sure", min_width=160)
            delete = gr.Button("Delete", variant="stop", elem_id="adapters-delete", min_width=160)
    shown = [listed, one, other, several, handed]

    @handlers.friendly
    def opened(name: str | None, *kept: str | None) -> list[Any]:
        return refreshed(workspace.project(name) if name else None, kept)

    @handlers.friendly
    def compared(name: str | None, left: str | None, right: str | None) -> list[Any]:
        of = chosen_project(workspace, name)
        text, images = adapter_table.comparison(of, chosen_entry(of, left), chosen_entry(of, right))
        return [gr.update(value=text, visible=True), gr.update(value=images, visible=bool(images))]

    @handlers.friendly
    def imported(name: str | None, upload: str | None, called: str, words: str) -> list[Any]:
        if not upload:
            raise StudioError("no file is selected; drop a .safetensors file first")
        of = chosen_project(workspace, name)
        entry = catalog.import_adapter(of, Path(upload), called, words.strip() or None)
        return [gr.update(value=None), "", "", *refreshed(of, (entry.name, None, entry.name))]

    @handlers.friendly
    def saved(name: str | None, chosen: list[str], parts_of: str, to_rank: float | None, called: str) -> list[Any]:
        from adapters.merge import parse_weights
        from ghibli_studio.generation import model_cache

        of, given = chosen_project(workspace, name), parse_weights(parts_of) if parts_of.strip() else None
        if len(chosen or []) == 1:
            if given is None or len(given) != 1:
                raise StudioError("to scale one adapter, give one weight, such as 0.8")
            source = chosen_entry(of, chosen[0])
            entry = catalog.scale_adapter(
                of,
                source.name,
                called.strip(),
                given[0],
                lambda: model_cache.load_base_model(model_cache.base_model_of(of, {source.method: source.file})),
            )
        else:
            entry = catalog.merge_adapters(of, chosen or [], called.strip(), given, int(to_rank) if to_rank else None)
        return ["", *refreshed(of, (entry.name, None, entry.name))]

    @handlers.friendly
    def zipped(name: str | None, which: str | None, *values: Any) -> Iterator[list[Any]]:
        settings = AdapterExportSettings.checked({**forms.read(AdapterExportSettings, fields, values), "zipped": True})
        for bar, place in exported(chosen_project(workspace, name), which, settings):
            if place is None:
                yield [gr.update(value=bar, visible=True), gr.skip()]
            else:
                yield [gr.update(value="", visible=False), gr.update(value=html_parts.served(place), visible=True)]

    def published(
        name: str | None, which: str | None, where: str, key: str, everybody: bool, *values: Any, dry_run: bool = False
    ) -> Iterator[list[Any]]:
        from ghibli_studio.adapter_library import hub

        settings = AdapterExportSettings.checked(forms.read(AdapterExportSettings, fields, values))
        folder = Path()
        for bar, place in exported(chosen_project(workspace, name), which, settings):
            folder = place or folder
            yield [gr.update(value=bar, visible=bool(bar)), gr.skip()]
        if dry_run:
            rows = "\n".join(f"- `{file}`, {count:,} bytes" for file, count in hub.files_to_push(folder))
            yield [gr.update(value="", visible=False), gr.update(value=f"Would be uploaded:\n{rows}", visible=True)]
            return
        if not key.strip():
            raise StudioError("no token is given; paste one with write access, or use the command push")
        target = hub.Target(where.strip(), key.strip(), private=not everybody)
        address = ""
        for step in hub.push(folder, target):
            address = step.what
            yield [gr.update(value=html_parts.bar(step.done / step.total, step.what), visible=True), gr.skip()]
        link = gr.update(value=f"Published at [{target.repository}]({address}).", visible=True)
        yield [gr.update(value="", visible=False), link]

    @handlers.friendly
    def pushed(*values: Any) -> Iterator[list[Any]]:
        yield from published(*values)

    @handlers.friendly
    def dry_runs(*values: Any) -> Iterator[list[Any]]:
        yield from published(*values, dry_run=True)

    @handlers.friendly
    def deleted(name: str | None, which: str | None, certain: bool) -> list[Any]:
        if not certain:
            raise StudioError("tick 'Yes, delete this file' first")
        of = chosen_project(workspace, name)
        catalog.delete(of, chosen_entry(of, which).name)
        return [False, *refreshed(of)]

    quiet = handlers.QUIET
    disk: dict[str, Any] = {"concurrency_id": "library", "concurrency_limit": 1, **quiet}
    gr.on([*(tab.select for tab in tabs), project.change], opened, [project, one, other, handed], shown, **quiet)
    compare.click(compared, [project, one, other], [differences, images], **quiet)
    take.click(imported, [project, file, new_name, trigger], [file, new_name, trigger, *shown], **disk)
    mix.click(saved, [project, several, weights, rank, mixed_name], [mixed_name, *shown], **handlers.COMPUTING)
    give.click(zipped, [project, handed, *fields.values()], [progress, made], **disk)
    asked = [project, handed, repository, token, public, *fields.values()]
    send.click(pushed, asked, [progress, sent], **disk).then(lambda: "", None, token, **quiet)
    dry.click(dry_runs, asked, [progress, sent], **disk)
    delete.click(deleted, [project, handed, sure], [sure, *shown], **disk)
