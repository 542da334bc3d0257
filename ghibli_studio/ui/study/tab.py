"""The Study tab: make a blind study of a project's pictures, try it, lock it, watch it fill, close it, read it.

Participants meet `study.page`, never this tab. Until the study is closed it shows counts and no result.
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
from ghibli_studio.ui.study.status_card import card, elsewhere, invitation, preview
from ghibli_studio.workspace.project import Project, Workspace

REFRESH_SECONDS = 3.0
INSTRUMENTS = [
    ("triad: five landmarks by three questions, the stronger one", "triad"),
    ("paper: fifteen pictures and one board, as in the published study", "paper"),
]
WHAT_FIRST = (
    "A study compares LoRA and Textual Inversion on five landmarks that neither has seen. Train both, draw the five "
    "landmarks with both in the Generate tab, then come back."
)
WARNING = "I have tried the study. From now on nothing in it can be changed."


def form_view(project: Project | None) -> list[Any]:
    """Updates of (what to do first, form, sets, landmarks) for a project without a study."""
    sets = []
    if project is not None and datasets.exists(project):
        sets = blind_study.usable_sets(project)
    if not sets:
        return [
            gr.update(value=html_parts.empty(WHAT_FIRST), visible=True),
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
    """Update of the landmarks to choose from: those of a set."""
    known = blind_study.landmarks_of(project, set_name)
    paper = [name for name in PAPER_LANDMARKS if name in known]
    return gr.update(choices=known, value=paper if len(paper) == blind_study.LANDMARKS else known[:5])


def study_view(project: Project | None, address: str, pilot_key: str) -> list[Any]:
    """Updates of (study's box, card, draft's box, preview, live's box, link, closed's box) for a project."""
    store = blind_study.open_study(project) if project is not None else None
    if project is None or store is None:
        return [gr.update(visible=False), *[gr.skip()] * 6]
    state = store.status().state
    draft, live = state in ("draft", "pilot"), state == "live"
    return [
        gr.update(visible=True),
        card(store),
        gr.update(visible=draft),
        (elsewhere(project) or preview(address, pilot_key)) if draft and address else "",
        gr.update(visible=live),
        (elsewhere(project) or invitation(address)) if live and address else "",
        gr.update(visible=state == "closed"),
    ]


def results(project: Project) -> tuple[str, str]:
    """(findings in plain words as Markdown, plots as HTML) of a closed study; StudyError while it is not."""
    found = blind_study.outcome(project)
    return found.text(), study_plot.plots(found.values)


def exported(project: Project) -> str:
    """A ZIP of the tables, the codebook, the findings and a copy of the database; StudyError while it is open."""
    files = blind_study.outcome(project).files()
    with tempfile.TemporaryDirectory() as place:
        folder = blind_study.study_of(project).export(Path(place) / f"{project.name}-study", files)
        return html_parts.served(Path(shutil.make_archive(str(folder), "zip", folder)))


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab, pilot_key: str) -> None:
    """Lay the tab out and wire it; what it shows is made new whenever the tab is opened."""
    first = gr.HTML(html_parts.empty(WHAT_FIRST), elem_id="study-first", padding=False)
    with gr.Column(visible=False, elem_id="study-form") as form:
        with gr.Row():
            with gr.Column(min_width=300):
                sets = gr.Dropdown(
                    [],
                    label="Set of pictures",
                    elem_id="study-set",
                    info="Drawn in the Generate tab, by LoRA and by Textual Inversion.",
                )
                landmarks = gr.Dropdown(
                    [],
                    multiselect=True,
                    max_choices=blind_study.LANDMARKS,
                    label="Five landmarks",
                    elem_id="study-landmarks",
                    info="Held out: none that the methods learned from.",
                )
                instrument = gr.Radio(INSTRUMENTS, value="triad", label="Instrument", elem_id="study-instrument")
                people = gr.Number(
                    48,
                    precision=0,
                    label="Participants",
                    elem_id="study-people",
                    info="A multiple of six uses every order equally often: 48 or 54 rather than 50.",
                )
            with gr.Column(min_width=300):
                title = gr.Textbox(
                    "Pictures of landmarks",
                    label="Title",
                    elem_id="study-title",
                    info="Participants read it; it must not tell what is compared.",
                )
                consent = gr.Textbox(_default_consent(), lines=9, label="Consent", elem_id="study-consent")
                contact = gr.Textbox("", label="Whom to ask", elem_id="study-contact")
                seed = gr.Number(0, precision=0, label="Seed", elem_id="study-seed")
        make = gr.Button("Make the study", variant="primary", elem_id="study-make")
    with gr.Column(visible=False, elem_id="study-box") as box:
        told = gr.HTML(elem_id="study-card", padding=False)
        with gr.Column(visible=False) as draft:
            link_to_try = gr.HTML(elem_id="study-preview", padding=False)
            sure = gr.Checkbox(False, label=WARNING, elem_id="study-sure")
            with gr.Row():
                lock = gr.Button("Lock and open to participants", variant="primary", elem_id="study-lock")
                discard = gr.Button("Set this draft aside", elem_id="study-discard")
        with gr.Column(visible=False) as live:
            link = gr.HTML(elem_id="study-link", padding=False)
            really = gr.Checkbox(False, label="End the study: no answer comes in any more.", elem_id="study-really")
            close = gr.Button("Close the study and see the results", elem_id="study-close")
        with gr.Column(visible=False) as closed:
            with gr.Row():
                see = gr.Button("Show the results", variant="primary", elem_id="study-see")
                export = gr.Button("Make the export", elem_id="study-export")
                aside = gr.Button("Set this study aside", elem_id="study-aside")
            file = gr.File(label="Export", visible=False, elem_id="study-file")
            words = gr.Markdown(elem_id="study-findings")
            plots = gr.HTML(elem_id="study-plots", padding=False)
    address = gr.State("")
    views = [first, form, sets, landmarks, box, told, draft, link_to_try, live, link, closed]
    of_one = [sure, really, words, plots, file]  # what must not stay when another study is shown
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    @handlers.friendly
    def view(name: str | None, where: str) -> list[Any]:
        of = workspace.project(name) if name else None
        shown = study_view(of, where, pilot_key)
        if of is not None and blind_study.open_study(of) is not None:
            return [gr.update(visible=False), gr.update(visible=False), gr.skip(), gr.skip(), *shown]
        return [*form_view(of), *shown]

    def anew(name: str | None, where: str) -> list[Any]:
        return [*view(name, where), False, False, "", "", gr.update(value=None, visible=False)]

    @handlers.friendly
    def made(name: str | None, set_name: str, chosen: list[str], where: str, *values: Any) -> list[Any]:
        from study.design.definition import Definition

        if len(chosen) != blind_study.LANDMARKS:
            raise StudioError(f"{len(chosen)} landmarks are chosen; a study has {blind_study.LANDMARKS}")
        names = ("instrument", "participants", "title", "consent", "contact", "seed")
        of = chosen_project(workspace, name)
        definition = Definition.checked({"landmarks": chosen, **dict(zip(names, values))})
        blind_study.create_study(of, set_name, definition)
        gr.Info("The study is made. Try it before you lock it.")
        return anew(name, where)

    @handlers.friendly
    def locked(name: str | None, agreed: bool, where: str) -> list[Any]:
        if not agreed:
            raise StudioError("a locked study cannot be changed; try it, then tick the box above the button")
        blind_study.lock(chosen_project(workspace, name))
        return anew(name, where)

    @handlers.friendly
    def ended(name: str | None, agreed: bool, where: str) -> list[Any]:
        if not agreed:
            raise StudioError("a closed study cannot be opened again; tick the box above the button to close it")
        blind_study.study_of(chosen_project(workspace, name)).close()
        return anew(name, where)

    @handlers.friendly
    def put_aside(name: str | None, where: str) -> list[Any]:
        place = blind_study.set_aside(chosen_project(workspace, name))
        gr.Info(f"The study lies in {place.name} now.")
        return anew(name, where)

    @handlers.friendly
    def shown(name: str | None) -> list[Any]:
        return list(results(chosen_project(workspace, name)))

    @handlers.friendly
    def packed(name: str | None) -> Any:
        return gr.update(value=exported(chosen_project(workspace, name)), visible=True)

    def counted(name: str | None, before: str) -> Any:
        """The card, where somebody has answered since."""
        store = blind_study.open_study(workspace.project(name)) if name else None
        if store is None or (now := card(store)) == before:
            return gr.skip()
        return now

    asked, everything = [project, address], [*views, *of_one]
    fields = [instrument, people, title, consent, contact, seed]
    make.click(made, [project, sets, landmarks, address, *fields], everything, **quiet)
    lock.click(locked, [project, sure, address], everything, **quiet)
    closing = close.click(ended, [project, really, address], everything, **quiet)
    closing.success(shown, project, [words, plots], **quiet)
    discard.click(put_aside, asked, everything, **quiet)
    aside.click(put_aside, asked, everything, **quiet)
    see.click(shown, project, [words, plots], **quiet)
    export.click(packed, project, file, **quiet)
    sets.input(
        handlers.friendly(lambda name, chosen: landmarks_view(chosen_project(workspace, name), chosen)),
        [project, sets],
        landmarks,
        **quiet,
    )
    project.change(anew, asked, everything, **quiet)
    here = gr.Textbox(visible=False)
    opened = tab.select(lambda where: where, here, address, js="() => location.origin + '/study'", **quiet)
    opened.then(view, asked, views, **quiet)
    gr.Timer(REFRESH_SECONDS).tick(counted, [project, told], told, **quiet)


def _default_consent() -> str:
    from study.design.definition import CONSENT

    return CONSENT
