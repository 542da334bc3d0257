"""Fourth step: the photographs drawn in the style, and each styled picture accepted, rejected, or drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ghibli_studio.config.stylization import PhotographStyling, StyleSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Photo
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.forms import style_form
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace

MAIN = ("source", "adapter_file", "strength")
OWN = tuple(PhotographStyling.model_fields)
MARKS = {"new": "○", "styled": "◐", "accepted": "✓", "rejected": "✗"}
OWN_FIRST = ("prompt", "strength", "seed")
TO_DECIDE = "Choose a picture above to compare it with its photograph, and accept or reject it."


def adapter_choices(project: Project) -> list[tuple[str, str]]:
    """Adapters that were trained in the project, by name."""
    return [(run.id, str(run.adapter_file)) for run in project.runs() if run.adapter_file.exists()]


def pictures_view(project: Project, state: str, number: float) -> list[Any]:
    """Updates of (counts, gallery, page, ids on the page)."""
    collection = collections.load(project)
    photos, page = photo_list.page_of(photo_list.of_state(collection, state), number)
    shown = [(photo_list.pair(project, photo), f"{MARKS[photo.state]} {photo_list.label(photo)}") for photo in photos]
    counts = {photo_list.SHOWN[name]: len(photo_list.of_state(collection, name)) for name in photo_list.SHOWN}
    return [html_parts.facts(counts), gr.update(value=shown), page, [photo.id for photo in photos]]


def view(project: Project | None, state: str = "all", number: float = 1) -> list[Any]:
    """Updates of (first, box, adapter files, settings ..., counts, gallery, page, ids)."""
    collection = photo_list.gathered(project)
    if project is None or collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOGRAPHS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * (len(StyleSettings.model_fields) + 4),
        ]
    from ghibli_studio.generation import stylization

    settings = forms.shown(stylization.batch_settings(collection), StyleSettings.model_fields)
    values = dict(zip(StyleSettings.model_fields, settings))
    values["adapter_file"] = gr.update(
        choices=adapter_choices(project), value=values["adapter_file"], visible=values["source"] == "adapter"
    )
    return [gr.update(visible=False), gr.update(visible=True), *values.values(), *pictures_view(project, state, number)]


def detail(project: Project, id: str | None, attempt: int | None = None) -> list[Any]:
    """Updates of (nothing chosen, box, title, slider, attempts, accept, own settings ...) for one photograph."""
    if id is None:
        return [gr.update(visible=True), gr.update(visible=False), *[gr.skip()] * (4 + len(OWN))]
    photo = collections.load(project).photo(id)
    own = [photo.styling.get(name, "" if name in ("prompt", "negative_prompt") else None) for name in OWN]
    own[0] = gr.update(value=own[0], placeholder=_prompt(photo))
    count = len(photo.attempts)
    number = attempt if attempt is not None and attempt < count else photo.chosen if photo.accepted else count - 1
    made = [(_told(photo, index), index) for index in range(count)]
    slider = gr.update(value=compared(project, photo, number), visible=True) if count else gr.update(visible=False)
    title = f"### {photo_list.label(photo)}: {photo_list.SHOWN[photo.state]}"
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        title,
        slider,
        gr.update(choices=made, value=number if count else None, visible=count > 0),
        gr.update(visible=count > 0),
        *own,
    ]


def compared(project: Project, photo: Photo, number: int) -> tuple[Any, str]:
    """The crop that was styled, and what came of it."""
    from ghibli_studio.imaging.crop import crop

    attempt = photo.attempts[number]
    file = project.collection.styled(attempt.file)
    size = collections.load(project).resolution
    return crop(collections.picture(project, photo), attempt.center, size), html_parts.served(file)


def settings_of(fields: dict[str, Any], values: Any) -> StyleSettings:
    """The form's values, checked."""
    return StyleSettings.checked(forms.read(StyleSettings, fields, values))


def own_of(values: Any) -> dict[str, Any]:
    """A photograph's own settings, without those that are left empty."""
    read = forms.read(PhotographStyling, OWN, values)
    return {name: value for name, value in read.items() if value not in (None, "")}


def next_to_decide(project: Project, id: str) -> str | None:
    """The next photograph that is styled and not decided; from the last one on from the first."""
    photos = collections.load(project).photos
    order = [photo for photo in photos if photo.id > id] + [photo for photo in photos if photo.id <= id]
    return next((photo.id for photo in order if photo.state == "styled"), None)


def build(workspace: Workspace, project: gr.Dropdown) -> Step:
    """Lay the step out and wire it."""
    from ghibli_studio.curation import review
    from ghibli_studio.generation import stylization

    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOGRAPHS), padding=False)
    chosen, ids = gr.State(None), gr.State([])
    with gr.Column(visible=False, elem_id="style-step") as box:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                fields = style_form("style", MAIN)
                with gr.Accordion("More settings", open=False):
                    fields |= style_form("style", [name for name in StyleSettings.model_fields if name not in MAIN])
                fields = {name: fields[name] for name in StyleSettings.model_fields}
            with gr.Column(scale=3, min_width=300):
                counts = gr.HTML(elem_id="style-counts", padding=False)
                with gr.Row():
                    go = gr.Button(
                        "Style those that wait", variant="primary", elem_id="style-go", scale=2, min_width=160
                    )
                    stop = gr.Button("Stop", elem_id="style-stop", scale=1, min_width=80)
                again = gr.Checkbox(
                    False, label="Also those that have a picture: another one for each", elem_id="style-again"
                )
                progress = gr.HTML(elem_id="style-progress", padding=False, visible=False)
                failed = gr.HTML(elem_id="style-failed", padding=False)
                all_good = gr.Button("Accept all that are styled", elem_id="style-accept-all")
        state = gr.Dropdown(
            [(text, name) for name, text in photo_list.SHOWN.items()], value="all", label="Show", elem_id="style-state"
        )
        gallery = gr.Gallery(
            label="Photograph | styled: ○ not yet, ◐ to be looked at, ✓ accepted, ✗ rejected",
            columns=6,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            elem_id="style-gallery",
            buttons=[],
        )
        page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="style-page")
        nothing = gr.HTML(html_parts.empty(TO_DECIDE), elem_id="style-nothing", padding=False)
        with gr.Column(visible=False, elem_id="style-detail") as looked_at:
            title = gr.Markdown(elem_id="style-title")
            with gr.Row():
                with gr.Column(scale=3, min_width=300):
                    slider = gr.ImageSlider(
                        label="Photograph | styled: slide to compare",
                        elem_id="style-slider",
                        max_height=460,
                        interactive=False,
                        buttons=["fullscreen"],
                    )
                    attempts = gr.Radio([], label="Drawn so far", elem_id="style-attempts")
                    with gr.Row():
                        accept = gr.Button("Accept", variant="primary", elem_id="style-accept", min_width=110)
                        reject = gr.Button("Reject", elem_id="style-reject", min_width=110)
                        redo = gr.Button("Draw another", elem_id="style-redo", min_width=130)
                    redoing = gr.HTML(elem_id="redo-progress", padding=False, visible=False)
                with gr.Column(scale=2, min_width=280):
                    gr.Markdown("**For this photograph alone.** Empty: as for all.")
                    own = forms.widgets(PhotographStyling, "own", OWN_FIRST)
                    with gr.Accordion("More settings", open=False):
                        own |= forms.widgets(PhotographStyling, "own", [name for name in OWN if name not in OWN_FIRST])
                    own = {name: own[name] for name in OWN}
                    keep = gr.Button("Keep these for later batches", elem_id="own-keep")
    pictures = [counts, gallery, page, ids]
    details = [nothing, looked_at, title, slider, attempts, accept, *own.values()]
    outputs = [first, box, *fields.values(), *pictures]

    @handlers.friendly
    def styled(name: str | None, which: str, number: float, more: bool, *values: Any) -> Iterator[list[Any]]:
        """Style; every picture is kept as it is finished, and a stopped batch goes on with the next press."""
        of, _ = photo_list.opened(workspace, name)
        settings, problems = settings_of(fields, values), []
        untouched = [gr.skip()] * (len(pictures))

        def watched() -> Iterator[Any]:
            for step in stylization.style(of, None, settings, again=more):
                if step.problem:
                    problems.append(step.problem)
                yield step

        yield [gr.update(value=html_parts.bar(0, "getting ready"), visible=True), "", *untouched]
        count = -1
        for bar in handlers.follow(workspace, watched()):
            there = sum(len(photo.attempts) for photo in collections.load(of).photos)
            news = pictures_view(of, which, number) if there != count else untouched
            count = there
            yield [gr.update(value=bar, visible=True), photo_list.left_out(problems, "could not be styled"), *news]
        yield [gr.update(value="", visible=False), gr.skip(), *pictures_view(of, which, number)]

    @handlers.friendly
    def looked(name: str | None, which: str, number: float) -> list[Any]:
        return pictures_view(photo_list.opened(workspace, name)[0], which, number)

    @handlers.friendly
    def selected(name: str | None, on_page: list[str], event: gr.SelectData) -> list[Any]:
        id = on_page[event.index]
        return [id, *detail(photo_list.opened(workspace, name)[0], id)]

    @handlers.friendly
    def switched(name: str | None, id: str, number: int) -> list[Any]:
        return detail(photo_list.opened(workspace, name)[0], id, number)[:6]

    def decided(name: str | None, id: str, which: str, number: float) -> list[Any]:
        """After a decision the next photograph that waits for one is shown; the last one stays."""
        of = photo_list.opened(workspace, name)[0]
        following = next_to_decide(of, id) or id
        return [following, *detail(of, following), *pictures_view(of, which, number)]

    @handlers.friendly
    def accepted(name: str | None, id: str, attempt: int | None, which: str, number: float) -> list[Any]:
        review.accept(photo_list.opened(workspace, name)[0], [id], attempt)
        return decided(name, id, which, number)

    @handlers.friendly
    def rejected(name: str | None, id: str, which: str, number: float) -> list[Any]:
        review.reject(photo_list.opened(workspace, name)[0], [id])
        return decided(name, id, which, number)

    @handlers.friendly
    def all_accepted(name: str | None, which: str, number: float) -> list[Any]:
        review.accept(photo_list.opened(workspace, name)[0])
        return pictures_view(photo_list.opened(workspace, name)[0], which, number)

    @handlers.friendly
    def redone(name: str | None, id: str, which: str, number: float, *values: Any) -> Iterator[list[Any]]:
        of, _ = photo_list.opened(workspace, name)
        settings = settings_of(fields, values[len(OWN) :])
        work = stylization.redo(of, id, settings, **own_of(values[: len(OWN)]))
        for bar in handlers.follow(workspace, work):
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * (len(details) + len(pictures))]
        newest = len(collections.load(of).photo(id).attempts) - 1
        shown = detail(of, id, newest)
        shown[6:] = [gr.skip()] * len(OWN)  # what was typed stays
        yield [gr.update(value="", visible=False), *shown, *pictures_view(of, which, number)]

    @handlers.friendly
    def kept(name: str | None, id: str, *values: Any) -> None:
        collections.edit(photo_list.opened(workspace, name)[0], id, styling=own_of(values))
        gr.Info("Kept: the next pictures of this photograph are drawn so.")

    asked = [project, state, page]
    everything = {"outputs": [progress, failed, *pictures]}
    styling_all = go.click(styled, [*asked, again, *fields.values()], **everything, **handlers.COMPUTING)
    again_one = redo.click(
        redone,
        [project, chosen, state, page, *own.values(), *fields.values()],
        [redoing, *details, *pictures],
        **handlers.COMPUTING,
    )
    stopped = stop.click(
        lambda: [gr.update(value="", visible=False)] * 2,
        None,
        [progress, redoing],
        cancels=[styling_all, again_one],
        **handlers.QUIET,
    )
    stopped.then(looked, asked, pictures, **handlers.QUIET)
    for event in (state.input, page.release):
        event(looked, asked, pictures, **handlers.QUIET)
    gallery.select(selected, [project, ids], [chosen, *details], **handlers.QUIET)
    attempts.input(switched, [project, chosen, attempts], details[:6], **handlers.QUIET)
    accept.click(accepted, [project, chosen, attempts, state, page], [chosen, *details, *pictures], **handlers.QUIET)
    reject.click(rejected, [project, chosen, state, page], [chosen, *details, *pictures], **handlers.QUIET)
    all_good.click(all_accepted, asked, pictures, **handlers.QUIET)
    keep.click(kept, [project, chosen, *own.values()], None, **handlers.QUIET)
    return Step(view, outputs)


def _prompt(photo: Photo) -> str:
    from ghibli_studio.curation.prompts import compose

    return compose(photo)


def _told(photo: Photo, number: int) -> str:
    """An attempt in a few words."""
    one = photo.attempts[number]
    moved = ", another crop" if one.center != photo.center else ""
    return f"{number + 1}: {one.source}, strength {one.strength:g}, seed {one.seed}{moved}"
