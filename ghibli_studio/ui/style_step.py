"""Fourth step: the photographs drawn in the style, and each styled picture accepted, rejected, or drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ghibli_studio import collection as collections
from ghibli_studio.collection import Photo
from ghibli_studio.config import PhotographStyling, StyleSettings
from ghibli_studio.ui import building, forms, parts
from ghibli_studio.ui.building import Step
from ghibli_studio.workspace import Project, Workspace

MAIN = ("source", "adapter_file", "denoising_strength")
OWN = tuple(PhotographStyling.model_fields)
MARKS = {"new": "○", "styled": "◐", "accepted": "✓", "rejected": "✗"}
OWN_FIRST = ("prompt", "denoising_strength", "seed")
TO_DECIDE = "Choose a picture above to compare it with its photograph, and accept or reject it."


def adapter_choices(project: Project) -> list[tuple[str, str]]:
    """Adapters that were trained in the project, by name."""
    return [(run.id, str(run.adapter_file)) for run in project.runs() if run.adapter_file.exists()]


def pictures_view(project: Project, state: str, number: float) -> list[Any]:
    """Updates of (counts, gallery, page, ids on the page)."""
    collection = collections.load(project)
    photos, page = building.page_of(building.of_state(collection, state), number)
    shown = [(building.pair(project, photo), f"{MARKS[photo.state]} {building.label(photo)}") for photo in photos]
    counts = {building.SHOWN[name]: len(building.of_state(collection, name)) for name in building.SHOWN}
    return [parts.facts(counts), gr.update(value=shown), page, [photo.id for photo in photos]]


def view(project: Project | None, state: str = "all", number: float = 1) -> list[Any]:
    """Updates of (first, box, adapter files, settings ..., counts, gallery, page, ids)."""
    collection = building.gathered(project)
    if project is None or collection is None:
        return [gr.update(value=parts.empty(building.NO_PHOTOGRAPHS), visible=True), gr.update(visible=False),
                *[gr.skip()] * (len(StyleSettings.model_fields) + 4)]
    from ghibli_studio import styling

    settings = forms.shown(styling.batch_settings(collection), StyleSettings.model_fields)
    values = dict(zip(StyleSettings.model_fields, settings))
    values["adapter_file"] = gr.update(choices=adapter_choices(project), value=values["adapter_file"],
                                       visible=values["source"] == "adapter")
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
    title = f"### {building.label(photo)}: {building.SHOWN[photo.state]}"
    return [
        gr.update(visible=False), gr.update(visible=True), title, slider,
        gr.update(choices=made, value=number if count else None, visible=count > 0), gr.update(visible=count > 0), *own,
    ]


def compared(project: Project, photo: Photo, number: int) -> tuple[Any, str]:
    """The crop that was styled, and what came of it."""
    from ghibli_studio.crops import crop

    attempt = photo.attempts[number]
    file = project.collection.styled(attempt.file)
    size = collections.load(project).resolution
    return crop(collections.picture(project, photo), attempt.centre, size), parts.served(file)


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
    from ghibli_studio import styling

    first = gr.HTML(parts.empty(building.NO_PHOTOGRAPHS), padding=False)
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
                    go = gr.Button("Style those that wait", variant="primary", elem_id="style-go", scale=2,
                                   min_width=160)
                    stop = gr.Button("Stop", elem_id="style-stop", scale=1, min_width=80)
                again = gr.Checkbox(False, label="Also those that have a picture: another one for each",
                                    elem_id="style-again")
                progress = gr.HTML(elem_id="style-progress", padding=False, visible=False)
                failed = gr.HTML(elem_id="style-failed", padding=False)
                all_good = gr.Button("Accept all that are styled", elem_id="style-accept-all")
        state = gr.Dropdown([(text, name) for name, text in building.SHOWN.items()], value="all", label="Show",
                            elem_id="style-state")
        gallery = gr.Gallery(label="Photograph | styled: ○ not yet, ◐ to be looked at, ✓ accepted, ✗ rejected",
                             columns=6, height="auto", object_fit="contain", allow_preview=False,
                             elem_id="style-gallery", buttons=[])
        page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="style-page")
        nothing = gr.HTML(parts.empty(TO_DECIDE), elem_id="style-nothing", padding=False)
        with gr.Column(visible=False, elem_id="style-detail") as looked_at:
            title = gr.Markdown(elem_id="style-title")
            with gr.Row():
                with gr.Column(scale=3, min_width=300):
                    slider = gr.ImageSlider(label="Photograph | styled: slide to compare", elem_id="style-slider",
                                            max_height=460, interactive=False, buttons=["fullscreen"])
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

    @parts.friendly
    def styled(name: str | None, which: str, number: float, more: bool, *values: Any) -> Iterator[list[Any]]:
        """Style; every picture is kept as it is finished, and a stopped batch goes on with the next press."""
        of, _ = building.opened(workspace, name)
        settings, problems = settings_of(fields, values), []
        untouched = [gr.skip()] * (len(pictures))

        def watched() -> Iterator[Any]:
            for step in styling.style(of, None, settings, again=more):
                if step.problem:
                    problems.append(step.problem)
                yield step

        yield [gr.update(value=parts.bar(0, "getting ready"), visible=True), "", *untouched]
        count = -1
        for bar in building.follow(workspace, watched()):
            there = sum(len(photo.attempts) for photo in collections.load(of).photos)
            news = pictures_view(of, which, number) if there != count else untouched
            count = there
            yield [gr.update(value=bar, visible=True), building.left_out(problems, "could not be styled"), *news]
        yield [gr.update(value="", visible=False), gr.skip(), *pictures_view(of, which, number)]

    @parts.friendly
    def looked(name: str | None, which: str, number: float) -> list[Any]:
        return pictures_view(building.opened(workspace, name)[0], which, number)

    @parts.friendly
    def selected(name: str | None, on_page: list[str], event: gr.SelectData) -> list[Any]:
        id = on_page[event.index]
        return [id, *detail(building.opened(workspace, name)[0], id)]

    @parts.friendly
    def switched(name: str | None, id: str, number: int) -> list[Any]:
        return detail(building.opened(workspace, name)[0], id, number)[:6]

    def decided(name: str | None, id: str, which: str, number: float) -> list[Any]:
        """After a decision the next photograph that waits for one is shown; the last one stays."""
        of = building.opened(workspace, name)[0]
        following = next_to_decide(of, id) or id
        return [following, *detail(of, following), *pictures_view(of, which, number)]

    @parts.friendly
    def accepted(name: str | None, id: str, attempt: int | None, which: str, number: float) -> list[Any]:
        styling.accept(building.opened(workspace, name)[0], [id], attempt)
        return decided(name, id, which, number)

    @parts.friendly
    def rejected(name: str | None, id: str, which: str, number: float) -> list[Any]:
        styling.reject(building.opened(workspace, name)[0], [id])
        return decided(name, id, which, number)

    @parts.friendly
    def all_accepted(name: str | None, which: str, number: float) -> list[Any]:
        styling.accept(building.opened(workspace, name)[0])
        return pictures_view(building.opened(workspace, name)[0], which, number)

    @parts.friendly
    def redone(name: str | None, id: str, which: str, number: float, *values: Any) -> Iterator[list[Any]]:
        of, _ = building.opened(workspace, name)
        settings = settings_of(fields, values[len(OWN):])
        work = styling.redo(of, id, settings, **own_of(values[: len(OWN)]))
        for bar in building.follow(workspace, work):
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * (len(details) + len(pictures))]
        newest = len(collections.load(of).photo(id).attempts) - 1
        shown = detail(of, id, newest)
        shown[6:] = [gr.skip()] * len(OWN)  # what was typed stays
        yield [gr.update(value="", visible=False), *shown, *pictures_view(of, which, number)]

    @parts.friendly
    def kept(name: str | None, id: str, *values: Any) -> None:
        collections.edit(building.opened(workspace, name)[0], id, styling=own_of(values))
        gr.Info("Kept: the next pictures of this photograph are drawn so.")

    asked = [project, state, page]
    everything = {"outputs": [progress, failed, *pictures]}
    styling_all = go.click(styled, [*asked, again, *fields.values()], **everything, **building.COMPUTING)
    again_one = redo.click(redone, [project, chosen, state, page, *own.values(), *fields.values()],
                           [redoing, *details, *pictures], **building.COMPUTING)
    stopped = stop.click(lambda: [gr.update(value="", visible=False)] * 2, None, [progress, redoing],
                         cancels=[styling_all, again_one], **building.QUIET)
    stopped.then(looked, asked, pictures, **building.QUIET)
    for event in (state.input, page.release):
        event(looked, asked, pictures, **building.QUIET)
    gallery.select(selected, [project, ids], [chosen, *details], **building.QUIET)
    attempts.input(switched, [project, chosen, attempts], details[:6], **building.QUIET)
    accept.click(accepted, [project, chosen, attempts, state, page], [chosen, *details, *pictures], **building.QUIET)
    reject.click(rejected, [project, chosen, state, page], [chosen, *details, *pictures], **building.QUIET)
    all_good.click(all_accepted, asked, pictures, **building.QUIET)
    keep.click(kept, [project, chosen, *own.values()], None, **building.QUIET)
    return Step(view, outputs)


def style_form(prefix: str, names: Any) -> dict[str, Any]:
    """Widgets of StyleSettings; an adapter file is chosen among those that were trained, or named."""
    made: dict[str, Any] = {}
    for name in names:
        if name == "adapter_file":
            made[name] = gr.Dropdown([], value="", label="Adapter file", allow_custom_value=True,
                                     info=StyleSettings.model_fields[name].description,
                                     elem_id=f"{prefix}-{name}", visible=False)
            made["source"].change(lambda source: gr.update(visible=source == "adapter"), made["source"], made[name],
                                  **building.QUIET)
        else:
            made |= forms.widgets(StyleSettings, prefix, [name])
    return made


def _prompt(photo: Photo) -> str:
    from ghibli_studio.prompts import compose

    return compose(photo)


def _told(photo: Photo, number: int) -> str:
    """An attempt in a few words."""
    one = photo.attempts[number]
    moved = ", another crop" if one.centre != photo.centre else ""
    return f"{number + 1}: {one.source}, strength {one.denoising_strength:g}, seed {one.seed}{moved}"
