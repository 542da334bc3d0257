"""Tools for a finished dataset: statistics, contact sheet, and export for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ghibli_studio.config.export import DatasetExportSettings
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.workspace.project import Project, Workspace

ZIP_NOTE = (
    "Downloads one ZIP, which Import above can read again in every layout. The command `dataset export` writes folders."
)


def statistics(project: Project) -> str:
    """Return figures and near duplicates across the split, as HTML; reads every image."""
    from ghibli_studio.data.statistics import dataset_statistics
    from ghibli_studio.data.statistics_plot import statistics_figures

    survey = dataset_statistics(project)
    leaks = [
        f"{leak.train} (training) and {leak.validation} (validation): ({leak.bits} of 64 bits differ)"
        for leak in survey.leaks
    ]
    return f'<div class="figures">{"".join(statistics_figures(survey))}</div>' + photo_list.skipped_list(
        leaks, "near duplicates across the split"
    )


def build(workspace: Workspace, project: gr.Dropdown) -> None:
    """Lay out the panel and wire its events."""
    from ghibli_studio.curation import contact_sheet
    from ghibli_studio.data import exporter

    with gr.Column(elem_id="dataset-tools"):
        with gr.Accordion("Dataset statistics", open=False), gr.Column():
            count = gr.Button("Compute", elem_id="statistics-compute")
            numbers = gr.HTML(elem_id="statistics", padding=False)
        with gr.Accordion("Contact sheet", open=False), gr.Column():
            page = gr.Number(1, precision=0, label="Page", elem_id="dataset-sheet-page")
            show = gr.Button("Show", elem_id="dataset-sheet-show")
            sheet = gr.Image(
                show_label=False,
                interactive=False,
                visible=False,
                elem_id="dataset-sheet",
                format="png",
                buttons=["download", "fullscreen"],
            )
        with gr.Accordion("Export for other programs", open=False, elem_id="export"), gr.Column():
            gr.Markdown(ZIP_NOTE)
            names = [name for name in DatasetExportSettings.model_fields if name != "zipped"]
            fields: dict[str, Any] = {}
            for some in (names[:3], names[3:]):
                with gr.Row():
                    fields |= forms.widgets(DatasetExportSettings, "export", some)
            give = gr.Button("Create ZIP", elem_id="export-go")
            progress = gr.HTML(elem_id="export-progress", padding=False, visible=False)
            made = gr.File(label="Dataset", visible=False, elem_id="export-zip")

    @handlers.friendly
    def computed(name: str | None) -> str:
        return statistics(chosen_project(workspace, name))

    @handlers.friendly
    def shown(name: str | None, number: float) -> Any:
        made_sheet = contact_sheet.dataset_sheet(chosen_project(workspace, name), int(number or 0))
        return gr.update(value=made_sheet, visible=True)

    @handlers.friendly
    def exported(name: str | None, *values: Any) -> Iterator[list[Any]]:
        of = chosen_project(workspace, name)
        settings = DatasetExportSettings.checked({**forms.read(DatasetExportSettings, fields, values), "zipped": True})
        for bar in handlers.follow(None, exporter.export(of, settings)):
            yield [gr.update(value=bar, visible=True), gr.skip()]
        file = html_parts.served(exporter.default_target(of, settings))
        yield [gr.update(value="", visible=False), gr.update(value=file, visible=True)]

    count.click(computed, project, numbers, api_visibility="private")
    show.click(shown, [project, page], sheet, api_visibility="private")
    give.click(
        exported,
        [project, *fields.values()],
        [progress, made],
        concurrency_limit=1,
        concurrency_id="dataset",
        **handlers.QUIET,
    )
