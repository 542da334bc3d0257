"""What can be had of a finished data set: its statistics, a contact sheet, and copies for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ghibli_studio.config.export import ExportSettings
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.workspace.project import Project, Workspace

ZIP_NOTE = (
    "A download is always one ZIP. `folder` comes back in through Take them in above; so do the others. "
    "The command `export-data` writes folders."
)


def statistics(project: Project) -> str:
    """Figures and what looks alike across the split, as HTML; reads every picture."""
    from ghibli_studio.data.statistics import survey_dataset
    from ghibli_studio.data.statistics_plot import survey_figures

    survey = survey_dataset(project)
    leaks = [
        f"{leak.train} to train on and {leak.validation} to validate on ({leak.bits} of 64 bits differ)"
        for leak in survey.leaks
    ]
    return f'<div class="figures">{"".join(survey_figures(survey))}</div>' + photo_list.left_out(
        leaks, "pairs look alike across the split"
    )


def build(workspace: Workspace, project: gr.Dropdown) -> None:
    """Lay the panel out and wire it."""
    from ghibli_studio.curation import contact_sheet
    from ghibli_studio.data import exporter

    with gr.Column(elem_id="set-panel"):
        with gr.Accordion("The set in numbers", open=False), gr.Column():
            count = gr.Button("Count", elem_id="set-count")
            numbers = gr.HTML(elem_id="set-numbers", padding=False)
        with gr.Accordion("Contact sheet", open=False), gr.Column():
            page = gr.Number(1, precision=0, label="Page", elem_id="set-sheet-page")
            show = gr.Button("Show", elem_id="set-sheet-show")
            sheet = gr.Image(
                show_label=False,
                interactive=False,
                visible=False,
                elem_id="set-sheet",
                format="png",
                buttons=["download", "fullscreen"],
            )
        with gr.Accordion("Export for other programs", open=False, elem_id="export"), gr.Column():
            gr.Markdown(ZIP_NOTE)
            names = [name for name in ExportSettings.model_fields if name != "zipped"]
            fields: dict[str, Any] = {}
            for some in (names[:3], names[3:]):
                with gr.Row():
                    fields |= forms.widgets(ExportSettings, "export", some)
            give = gr.Button("Make the ZIP", elem_id="export-go")
            progress = gr.HTML(elem_id="export-progress", padding=False, visible=False)
            made = gr.File(label="Data set", visible=False, elem_id="export-made")

    @handlers.friendly
    def counted(name: str | None) -> str:
        return statistics(chosen_project(workspace, name))

    @handlers.friendly
    def shown(name: str | None, number: float) -> Any:
        made_sheet = contact_sheet.dataset_sheet(chosen_project(workspace, name), int(number or 0))
        return gr.update(value=made_sheet, visible=True)

    @handlers.friendly
    def exported(name: str | None, *values: Any) -> Iterator[list[Any]]:
        of = chosen_project(workspace, name)
        settings = ExportSettings.checked({**forms.read(ExportSettings, fields, values), "zipped": True})
        for bar in handlers.follow(None, exporter.export(of, settings)):
            yield [gr.update(value=bar, visible=True), gr.skip()]
        file = html_parts.served(exporter.default_place(of, settings))
        yield [gr.update(value="", visible=False), gr.update(value=file, visible=True)]

    count.click(counted, project, numbers, api_visibility="private")
    show.click(shown, [project, page], sheet, api_visibility="private")
    give.click(
        exported,
        [project, *fields.values()],
        [progress, made],
        concurrency_limit=1,
        concurrency_id="data set",
        **handlers.QUIET,
    )
