"""Last step: what is wrong, who validates, and the data set of all that was accepted."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import VALIDATION_SHARE
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from ghibli_studio.curation.review import Finding


CHIPS = {"error": "failed", "warning": "interrupted", "note": ""}
NOTHING_WRONG = "Nothing was found that is wrong."


def findings_view(found: Sequence[Finding]) -> str:
    """What is wrong and the way out of each, as HTML."""
    if not found:
        return f'<p class="fine">{NOTHING_WRONG}</p>'
    lines = []
    for one in found:
        who = f" ({', '.join(one.ids[:8])}{', ...' if len(one.ids) > 8 else ''})" if one.ids else ""
        lines.append(
            f'<li><span class="chip {CHIPS[one.severity]}">{one.severity}</span> '
            f"{html.escape(one.message)}{who}: {html.escape(one.way_out)}.</li>"
        )
    return f'<ul class="findings">{"".join(lines)}</ul>'


def landmarks(collection: Collection) -> list[str]:
    """Names of all landmarks that are not rejected whole, in order; one without a name is called by its number."""
    return sorted({photo.name or photo.id for photo in collection.photos if not photo.rejected}, key=str.casefold)


def validating(collection: Collection) -> list[str]:
    """Landmarks that were put on the side of validation."""
    return sorted(
        {photo.name or photo.id for photo in collection.photos if photo.split == "validation" and not photo.rejected},
        key=str.casefold,
    )


def put_aside(project: Project, names: Sequence[str]) -> Collection:
    """Validate on these landmarks and train on all others; with none, it is decided when the data set is made."""
    wanted = {name.casefold() for name in names}
    changes = {
        photo.id: {
            "split": ("validation" if (photo.name or photo.id).casefold() in wanted else "train") if wanted else None
        }
        for photo in collections.load(project).photos
    }
    return collections.edit_many(project, changes)


def view(project: Project | None) -> list[Any]:
    """Updates of (first, box, findings, landmarks, figures)."""
    collection = photo_list.gathered(project)
    if collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOGRAPHS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * 3,
        ]
    from ghibli_studio.curation import review
    from ghibli_studio.curation.review import survey_collection
    from ghibli_studio.data.statistics_plot import survey_figures

    drawn = "".join(survey_figures(survey_collection(collection)))
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        findings_view(review.findings(collection)),
        gr.update(choices=landmarks(collection), value=validating(collection)),
        f'<div class="figures">{drawn}</div>',
    ]


def build(workspace: Workspace, project: gr.Dropdown) -> tuple[Step, Any]:
    """Lay the step out and wire it; also the event after which there is a new data set to be shown."""
    from ghibli_studio.curation import build as building
    from ghibli_studio.curation import contact_sheet, split

    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOGRAPHS), padding=False)
    with gr.Column(visible=False, elem_id="finish-step") as box:
        findings = gr.HTML(elem_id="finish-findings", padding=False)
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                aside = gr.Dropdown(
                    [],
                    multiselect=True,
                    label="Landmarks to validate on",
                    elem_id="finish-aside",
                    info="Never trained on: they tell whether the style was learned. Empty: by lot.",
                )
            with gr.Column(scale=2, min_width=260):
                with gr.Row():
                    share = gr.Number(
                        VALIDATION_SHARE, label="Share to validate on", elem_id="finish-share", min_width=110
                    )
                    seed = gr.Number(0, precision=0, label="Seed", elem_id="finish-seed", min_width=90)
                lot = gr.Button("Choose by lot", elem_id="finish-lot")
        with gr.Row():
            make = gr.Button("Make the data set", variant="primary", elem_id="finish", scale=2, min_width=200)
            replace = gr.Checkbox(
                False,
                label="Replace the project's data set if it has one",
                elem_id="finish-replace",
                scale=3,
                min_width=260,
            )
        progress = gr.HTML(elem_id="finish-progress", padding=False, visible=False)
        with gr.Accordion("The photographs in numbers", open=False):
            figures = gr.HTML(elem_id="finish-figures", padding=False)
        with gr.Accordion("Contact sheet", open=False), gr.Column():
            page = gr.Number(1, precision=0, label="Page", elem_id="sheet-page")
            show = gr.Button("Show", elem_id="sheet-show")
            sheet = gr.Image(
                show_label=False,
                interactive=False,
                elem_id="sheet",
                visible=False,
                format="png",
                buttons=["download", "fullscreen"],
            )
    outputs = [first, box, findings, aside, figures]

    @handlers.friendly
    def put(name: str | None, names: list[str]) -> list[Any]:
        of = photo_list.opened(workspace, name)[0]
        put_aside(of, names)
        return view(of)

    @handlers.friendly
    def drawn(name: str | None, part: float, number: float) -> list[Any]:
        of = photo_list.opened(workspace, name)[0]
        split.split(of, seed=int(number or 0), share=float(part or 0), again=True)
        return view(of)

    @handlers.friendly
    def made(name: str | None, part: float, number: float, over: bool) -> Iterator[list[Any]]:
        of = photo_list.opened(workspace, name)[0]
        work = building.finish(of, seed=int(number or 0), share=float(part or 0), replace=over)
        for bar in handlers.follow(None, work):
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * len(outputs)]
        dataset = datasets.load(of)
        train, validation = len(dataset.part("train")), len(dataset.part("validation"))
        gr.Info(
            f"The data set is made: {train} pictures to train on, {validation} of other landmarks to validate on. "
            "Look at it under The set; then train."
        )
        yield [gr.update(value="", visible=False), *view(of)]

    @handlers.friendly
    def shown(name: str | None, number: float) -> Any:
        of = photo_list.opened(workspace, name)[0]
        return gr.update(value=contact_sheet.collection_sheet(of, int(number or 0)), visible=True)

    aside.input(put, [project, aside], outputs, **handlers.QUIET)
    lot.click(drawn, [project, share, seed], outputs, **handlers.QUIET)
    finished = make.click(
        made,
        [project, share, seed, replace],
        [progress, *outputs],
        concurrency_limit=1,
        concurrency_id="data set",
        **handlers.QUIET,
    )
    show.click(shown, [project, page], sheet, api_visibility="private")
    return Step(view, outputs), finished
