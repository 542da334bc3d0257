"""The Study tab: create a blind study of a project's images, preview it, lock it, follow it, close it, see the results.

Participants use `study.web`, never this tab. Until the study is closed, the tab shows counts but no results.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation import blind_study
from ghibli_studio.reporting import study_plot
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.study.status_card import card, invitation, other_study_note, preview
from ghibli_studio.workspace.project import Project, Workspace

REFRESH_SECONDS = 3.0
INSTRUMENTS = [
    ("triad: five landmarks, three questions each; more statistical power", "triad"),
    ("paper: fifteen images on one board, as in the published study", "paper"),
]
TRAIN_FIRST = (
    "A study compares LoRA and Textual Inversion on five held-out landmarks. Train both methods, generate the five "
    "landmarks with both in the Generate tab, then come back."
)
WARNING = "I have tried the study. After locking, nothing in it can be changed."


def form_view(project: Project | None) -> list[Any]:
    """Return updates of (hint, form, image sets, landmarks) for a project without a study."""
    sets = blind_study.usable_image_sets(project) if project is not None and datasets.exists(project) else []
    if project is None or not sets:
        return [
            gr.update(value=html_parts.empty(TRAIN_FIRST), visible=True),
            gr.update(visible=False),
            gr.skip(),
            gr.skip(),
        ]
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        gr.update(choices=sets, value=sets[0]),
        landmarks_view(project, sets[0]),
    ]


def landmarks_view(project: Project, set_name: str) -> Any:
    """Return the update of the landmarks to choose from: those of an image set."""
    known = blind_study.complete_landmarks(project, set_name)
    paper = [name for name in PAPER_LANDMARKS if name in known]
    return gr.update(choices=known, value=paper if len(paper) == blind_study.LANDMARKS else known[:5])


def study_view(project: Project | None, address: str, pilot_key: str) -> list[Any]:
    """Return updates of (box, card, draft box, preview, live box, link, closed box) for a project."""
    store = blind_study.open_study(project) if project is not None else None
    if project is None or store is None:
        return [gr.update(visible=False), *[gr.skip()] * 6]
    state = store.status().state
    draft, live = state in ("draft", "pilot"), state == "live"
    return [
        gr.update(visible=True),
        card(store),
        gr.update(visible=draft),
        (other_study_note(project) or preview(address, pilot_key)) if draft and address else "",
        gr.update(visible=live),
        (other_study_note(project) or invitation(address)) if live and address else "",
        gr.update(visible=state == "closed"),
    ]


def results(project: Project) -> tuple[str, str]:
    """Return (findings as Markdown, plots as HTML) of a closed study; raise StudyError if it is not closed."""
    found = blind_study.study_result(project)
    return found.text(), study_plot.study_plots(found.values)


def exported(project: Project) -> str:
    """Return a ZIP of tables, codebook, findings and a copy of the database; raise StudyError if it is not closed."""
    files = blind_study.study_result(project).files()
    with tempfile.TemporaryDirectory() as place:
        folder = blind_study.require_study(project).export(Path(place) / f"{project.name}-study", files)
        return html_parts.served(Path(shutil.make_archive(str(folder), "zip", folder)))


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab, pilot_key: str) -> None:
    """Lay out the tab and wire its events; what it shows is refreshed whenever the tab is opened."""
    first = gr.HTML(html_parts.empty(TRAIN_FIRST), elem_id="study-first", padding=False)
    with gr.Column(visible=False, elem_id="study-form") as form:
        with gr.Row():
            with gr.Column(min_width=300):
                sets = gr.Dropdown(
                    [],
                    label="Image set",
                    elem_id="study-set",
                    info="From the Generate tab, with images by LoRA and by Textual Inversion.",
                )
                landmarks = gr.Dropdown(
                    [],
                    multiselect=True,
                    max_choices=blind_study.LANDMARKS,
                    label="Five landmarks",
                    elem_id="study-landmarks",
                    info="Held-out landmarks: neither method was trained on them.",
                )
                instrument = gr.Radio(INSTRUMENTS, value="triad", label="Instrument", elem_id="study-instrument")
                participants = gr.Number(
                    48,
                    precision=0,
                    label="Participants",
                    elem_id="study-participants",
                    info="A multiple of six balances all orders: 48 or 54 instead of 50.",
                )
            with gr.Column(min_width=300):
                title = gr.Textbox(
                    "Images of landmarks",
                    label="Title",
                    elem_id="study-title",
                    info="Participants see it; it must not reveal what is compared.",
                )
                consent = gr.Textbox(_default_consent(), lines=9, label="Consent", elem_id="study-consent")
                contact = gr.Textbox("", label="Contact", elem_id="study-contact")
                seed = gr.Number(0, precision=0, label="Seed", elem_id="study-seed")
        make = gr.Button("Create study", variant="primary", elem_id="study-create")
    with gr.Column(visible=False, elem_id="study-box") as box:
        status_card = gr.HTML(elem_id="study-card", padding=False)
        with gr.Column(visible=False) as draft:
            link_to_try = gr.HTML(elem_id="study-preview", padding=False)
            sure = gr.Checkbox(False, label=WARNING, elem_id="study-sure")
            with gr.Row():
                lock = gr.Button("Lock and open to participants", variant="primary", elem_id="study-lock")
                discard = gr.Button("Archive draft", elem_id="study-archive-draft")
        with gr.Column(visible=False) as live:
            link = gr.HTML(elem_id="study-link", padding=False)
            really = gr.Checkbox(False, label="End the study: no more answers are accepted.", elem_id="study-end")
            close = gr.Button("Close study and show results", elem_id="study-close")
        with gr.Column(visible=False) as closed:
            with gr.Row():
                see = gr.Button("Show results", variant="primary", elem_id="study-results")
                export = gr.Button("Export", elem_id="study-export")
                aside = gr.Button("Archive study", elem_id="study-archive")
            file = gr.File(label="Export", visible=False, elem_id="study-file")
            words = gr.Markdown(elem_id="study-findings")
            plots = gr.HTML(elem_id="study-plots", padding=False)
    address = gr.State("")
    views = [first, form, sets, landmarks, box, status_card, draft, link_to_try, live, link, closed]
    per_study = [sure, really, words, plots, file]  # reset when another study is shown
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    @handlers.friendly
    def view(name: str | None, where: str) -> list[Any]:
        of = workspace.project(name) if name else None
        shown = study_view(of, where, pilot_key)
        if of is not None and blind_study.open_study(of) is not None:
            return [gr.update(visible=False), gr.update(visible=False), gr.skip(), gr.skip(), *shown]
        return [*form_view(of), *shown]

    def reset(name: str | None, where: str) -> list[Any]:
        return [*view(name, where), False, False, "", "", gr.update(value=None, visible=False)]

    @handlers.friendly
    def made(name: str | None, set_name: str, chosen: list[str], where: str, *values: Any) -> list[Any]:
        from study.design.definition import Definition

        if len(chosen) != blind_study.LANDMARKS:
            raise StudioError(f"{len(chosen)} landmarks are selected; a study has {blind_study.LANDMARKS}")
        names = ("instrument", "participants", "title", "consent", "contact", "seed")
        of = chosen_project(workspace, name)
        definition = Definition.checked({"landmarks": chosen, **dict(zip(names, values))})
        blind_study.create_study(of, set_name, definition)
        gr.Info("The study is created. Try it before you lock it.")
        return reset(name, where)

    @handlers.friendly
    def locked(name: str | None, agreed: bool, where: str) -> list[Any]:
        if not agreed:
            raise StudioError("a locked study cannot be changed; try it, then tick the box above the button")
        blind_study.lock_study(chosen_project(workspace, name))
        return reset(name, where)

    @handlers.friendly
    def ended(name: str | None, agreed: bool, where: str) -> list[Any]:
        if not agreed:
            raise StudioError("a closed study cannot be reopened; tick the box above the button to close it")
        blind_study.require_study(chosen_project(workspace, name)).close()
        return reset(name, where)

    @handlers.friendly
    def archived(name: str | None, where: str) -> list[Any]:
        folder = blind_study.archive_study(chosen_project(workspace, name))
        gr.Info(f"The study was archived in {folder.name}.")
        return reset(name, where)

    @handlers.friendly
    def shown(name: str | None) -> list[Any]:
        return list(results(chosen_project(workspace, name)))

    @handlers.friendly
    def packed(name: str | None) -> Any:
        return gr.update(value=exported(chosen_project(workspace, name)), visible=True)

    def counted(name: str | None, before: str) -> Any:
        """Refresh the card if there are new answers."""
        store = blind_study.open_study(workspace.project(name)) if name else None
        if store is None or (now := card(store)) == before:
            return gr.skip()
        return now

    asked, everything = [project, address], [*views, *per_study]
    fields = [instrument, participants, title, consent, contact, seed]
    make.click(made, [project, sets, landmarks, address, *fields], everything, **quiet)
    lock.click(locked, [project, sure, address], everything, **quiet)
    closing = close.click(ended, [project, really, address], everything, **quiet)
    closing.success(shown, project, [words, plots], **quiet)
    discard.click(archived, asked, everything, **quiet)
    aside.click(archived, asked, everything, **quiet)
    see.click(shown, project, [words, plots], **quiet)
    export.click(packed, project, file, **quiet)
    sets.input(
        handlers.friendly(lambda name, chosen: landmarks_view(chosen_project(workspace, name), chosen)),
        [project, sets],
        landmarks,
        **quiet,
    )
    project.change(reset, asked, everything, **quiet)
    origin = gr.Textbox(visible=False)
    opened = tab.select(lambda where: where, origin, address, js="() => location.origin + '/study'", **quiet)
    opened.then(view, asked, views, **quiet)
    gr.Timer(REFRESH_SECONDS).tick(counted, [project, status_card], status_card, **quiet)


def _default_consent() -> str:
    from study.design.definition import CONSENT

    return CONSENT
