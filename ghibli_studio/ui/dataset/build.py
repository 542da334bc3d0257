"""Step 5 of building a dataset: issues, validation landmarks, and the build from all accepted images."""

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
    from ghibli_studio.curation.review import Issue


CHIPS = {"error": "failed", "warning": "interrupted", "note": ""}
NO_ISSUES = "No issues."


def issues_view(found: Sequence[Issue]) -> str:
    """Return the issues and what to do about each, as HTML."""
    if not found:
        return f'<p class="fine">{NO_ISSUES}</p>'
    lines = []
    for one in found:
        who = f" ({', '.join(one.ids[:8])}{', ...' if len(one.ids) > 8 else ''})" if one.ids else ""
        lines.append(
            f'<li><span class="chip {CHIPS[one.severity]}">{one.severity}</span> '
            f"{html.escape(one.message)}{who}: {html.escape(one.fix)}.</li>"
        )
    return f'<ul class="findings">{"".join(lines)}</ul>'


def landmarks(collection: Collection) -> list[str]:
    """Return the sorted names of all landmarks with a photo that is not rejected; the id where the name is empty."""
    return sorted({photo.name or photo.id for photo in collection.photos if not photo.rejected}, key=str.casefold)


def validation_landmarks(collection: Collection) -> list[str]:
    """Return the landmarks assigned to validation."""
    return sorted(
        {photo.name or photo.id for photo in collection.photos if photo.split == "validation" and not photo.rejected},
        key=str.casefold,
    )


def set_validation_landmarks(project: Project, names: Sequence[str]) -> Collection:
    """Assign these landmarks to validation and all others to training; with none, the build splits at random."""
    selected = {name.casefold() for name in names}
    changes = {
        photo.id: {
            "split": ("validation" if (photo.name or photo.id).casefold() in selected else "train")
            if selected
            else None
        }
        for photo in collections.load(project).photos
    }
    return collections.edit_many(project, changes)


def view(project: Project | None) -> list[Any]:
    """Return updates of (hint, box, issues, landmarks, figures)."""
    collection = photo_list.photos_of(project)
    if collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * 3,
        ]
    from ghibli_studio.curation import review
    from ghibli_studio.curation.review import collection_statistics
    from ghibli_studio.data.statistics_plot import statistics_figures

    figures_html = "".join(statistics_figures(collection_statistics(collection)))
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        issues_view(review.find_issues(collection)),
        gr.update(choices=landmarks(collection), value=validation_landmarks(collection)),
        f'<div class="figures">{figures_html}</div>',
    ]


def build(workspace: Workspace, project: gr.Dropdown) -> tuple[Step, Any]:
    """Lay out the step and wire its events; return the step and the event after which there is a new dataset."""
    from ghibli_studio.curation import build as building
    from ghibli_studio.curation import contact_sheet, split

    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOS), padding=False)
    with gr.Column(visible=False, elem_id="build-step") as box:
        findings = gr.HTML(elem_id="build-issues", padding=False)
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                validation = gr.Dropdown(
                    [],
                    multiselect=True,
                    label="Validation landmarks",
                    elem_id="build-validation",
                    info="Never used for training. Empty: chosen at random.",
                )
            with gr.Column(scale=2, min_width=260):
                with gr.Row():
                    share = gr.Number(VALIDATION_SHARE, label="Validation share", elem_id="build-share", min_width=110)
                    seed = gr.Number(0, precision=0, label="Seed", elem_id="build-seed", min_width=90)
                random = gr.Button("Random split", elem_id="build-random")
        with gr.Row():
            make = gr.Button("Build dataset", variant="primary", elem_id="build", scale=2, min_width=200)
            replace = gr.Checkbox(
                False, label="Overwrite existing dataset", elem_id="build-overwrite", scale=3, min_width=260
            )
        progress = gr.HTML(elem_id="build-progress", padding=False, visible=False)
        with gr.Accordion("Photo statistics", open=False):
            figures = gr.HTML(elem_id="build-figures", padding=False)
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
    outputs = [first, box, findings, validation, figures]

    @handlers.friendly
    def assigned(name: str | None, names: list[str]) -> list[Any]:
        of = photo_list.open_collection(workspace, name)[0]
        set_validation_landmarks(of, names)
        return view(of)

    @handlers.friendly
    def random_split(name: str | None, part: float, number: float) -> list[Any]:
        of = photo_list.open_collection(workspace, name)[0]
        split.split(of, seed=int(number or 0), share=float(part or 0), again=True)
        return view(of)

    @handlers.friendly
    def made(name: str | None, part: float, number: float, over: bool) -> Iterator[list[Any]]:
        of = photo_list.open_collection(workspace, name)[0]
        work = building.build_dataset(of, seed=int(number or 0), share=float(part or 0), replace=over)
        for bar in handlers.follow(None, work):
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * len(outputs)]
        dataset = datasets.load(of)
        train, validation = len(dataset.part("train")), len(dataset.part("validation"))
        gr.Info(
            f"Dataset built: {train} images for training, {validation} of other landmarks for validation. "
            "See it under Images, then train."
        )
        yield [gr.update(value="", visible=False), *view(of)]

    @handlers.friendly
    def shown(name: str | None, number: float) -> Any:
        of = photo_list.open_collection(workspace, name)[0]
        return gr.update(value=contact_sheet.collection_sheet(of, int(number or 0)), visible=True)

    validation.input(assigned, [project, validation], outputs, **handlers.QUIET)
    random.click(random_split, [project, share, seed], outputs, **handlers.QUIET)
    finished = make.click(
        made,
        [project, share, seed, replace],
        [progress, *outputs],
        concurrency_limit=1,
        concurrency_id="dataset",
        **handlers.QUIET,
    )
    show.click(shown, [project, page], sheet, api_visibility="private")
    return Step(view, outputs), finished
