"""Step 4 of building a dataset: stylize the photos; accept, reject or regenerate each stylized image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ghibli_studio.config.stylization import PhotoStylization, StylizationSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Photo
from ghibli_studio.curation.prompts import compose
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.forms import stylization_form
from ghibli_studio.ui.dataset import photo_list
from ghibli_studio.ui.dataset.photo_list import Step
from ghibli_studio.workspace.project import Project, Workspace

MAIN = ("source", "adapter_file", "strength")
ADVANCED = tuple(name for name in StylizationSettings.model_fields if name not in MAIN)
PHOTO_FIELDS = tuple(PhotoStylization.model_fields)
MARKS = {"new": "○", "stylized": "◐", "accepted": "✓", "rejected": "✗"}
PHOTO_MAIN = ("prompt", "strength", "seed")
SELECT_FIRST = "Select an image above to compare it with its photo, and accept or reject it."


def adapter_choices(project: Project) -> list[tuple[str, str]]:
    """Return (run id, file) of the adapters trained in the project."""
    return [(run.id, str(run.adapter_file)) for run in project.runs() if run.adapter_file.exists()]


def gallery_view(project: Project, state: str, number: float) -> list[Any]:
    """Return updates of (counts, gallery, page, ids on the page)."""
    collection = collections.load(project)
    photos, page = photo_list.page_of(photo_list.of_state(collection, state), number)
    shown = [(photo_list.pair(project, photo), f"{MARKS[photo.state]} {photo_list.label(photo)}") for photo in photos]
    counts = {photo_list.SHOWN[name]: len(photo_list.of_state(collection, name)) for name in photo_list.SHOWN}
    return [html_parts.facts(counts), gr.update(value=shown), page, [photo.id for photo in photos]]


def view(project: Project | None, state: str = "all", number: float = 1) -> list[Any]:
    """Return updates of (hint, box, *settings, counts, gallery, page, ids)."""
    collection = photo_list.photos_of(project)
    if project is None or collection is None:
        return [
            gr.update(value=html_parts.empty(photo_list.NO_PHOTOS), visible=True),
            gr.update(visible=False),
            *[gr.skip()] * (len(StylizationSettings.model_fields) + 4),
        ]
    from ghibli_studio.generation import stylization

    settings = forms.shown(stylization.batch_settings(collection), StylizationSettings.model_fields)
    values = dict(zip(StylizationSettings.model_fields, settings))
    values["adapter_file"] = gr.update(
        choices=adapter_choices(project), value=values["adapter_file"], visible=values["source"] == "adapter"
    )
    return [gr.update(visible=False), gr.update(visible=True), *values.values(), *gallery_view(project, state, number)]


def detail(project: Project, id: str | None, attempt: int | None = None) -> list[Any]:
    """Return updates of (hint, box, title, slider, attempts, accept, *photo settings) for one photo."""
    if id is None:
        return [gr.update(visible=True), gr.update(visible=False), *[gr.skip()] * (4 + len(PHOTO_FIELDS))]
    photo = collections.load(project).photo(id)
    own = [photo.overrides.get(name, "" if name in ("prompt", "negative_prompt") else None) for name in PHOTO_FIELDS]
    own[0] = gr.update(value=own[0], placeholder=compose(photo))
    count = len(photo.attempts)
    number = count - 1
    if attempt is not None and attempt < count:
        number = attempt
    elif photo.accepted and photo.accepted_index is not None:
        number = photo.accepted_index
    made = [(_attempt_label(photo, index), index) for index in range(count)]
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
    """Return the stylized crop and the stylized image."""
    from ghibli_studio.imaging.crop import crop

    attempt = photo.attempts[number]
    file = project.collection.stylized(attempt.file)
    size = collections.load(project).resolution
    return crop(collections.load_photo(project, photo), attempt.center, size), html_parts.served(file)


def settings_of(fields: dict[str, Any], values: Any) -> StylizationSettings:
    """Return the settings of the form, checked."""
    return StylizationSettings.checked(forms.read(StylizationSettings, fields, values))


def photo_settings_of(values: Any) -> dict[str, Any]:
    """Return the settings of one photo, without empty ones."""
    read = forms.read(PhotoStylization, PHOTO_FIELDS, values)
    return {name: value for name, value in read.items() if value not in (None, "")}


def next_to_review(project: Project, id: str) -> str | None:
    """Return the id of the next photo to review, starting over after the last one; None if there is none."""
    photos = collections.load(project).photos
    order = [photo for photo in photos if photo.id > id] + [photo for photo in photos if photo.id <= id]
    return next((photo.id for photo in order if photo.state == "stylized"), None)


def build(workspace: Workspace, project: gr.Dropdown) -> Step:
    """Lay out the step and wire its events."""
    from ghibli_studio.curation import review
    from ghibli_studio.generation import stylization

    first = gr.HTML(html_parts.empty(photo_list.NO_PHOTOS), padding=False)
    chosen, ids = gr.State(None), gr.State([])
    with gr.Column(visible=False, elem_id="stylize-step") as box:
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                fields = stylization_form("stylize", MAIN)
                with gr.Accordion("More settings", open=False):
                    fields |= stylization_form("stylize", ADVANCED)
                fields = {name: fields[name] for name in StylizationSettings.model_fields}
            with gr.Column(scale=3, min_width=300):
                counts = gr.HTML(elem_id="stylize-counts", padding=False)
                with gr.Row():
                    go = gr.Button("Stylize pending", variant="primary", elem_id="stylize-go", scale=2, min_width=160)
                    stop = gr.Button("Stop", elem_id="stylize-stop", scale=1, min_width=80)
                again = gr.Checkbox(False, label="Re-stylize existing", elem_id="stylize-again")
                progress = gr.HTML(elem_id="stylize-progress", padding=False, visible=False)
                failed = gr.HTML(elem_id="stylize-failed", padding=False)
                all_good = gr.Button("Accept all", elem_id="stylize-accept-all")
        state = gr.Dropdown(
            [(text, name) for name, text in photo_list.SHOWN.items()],
            value="all",
            label="Show",
            elem_id="stylize-state",
        )
        gallery = gr.Gallery(
            label="○ pending, ◐ to review, ✓ accepted, ✗ rejected",
            columns=6,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            elem_id="stylize-gallery",
            buttons=[],
        )
        page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="stylize-page")
        nothing = gr.HTML(html_parts.empty(SELECT_FIRST), elem_id="stylize-nothing", padding=False)
        with gr.Column(visible=False, elem_id="stylize-detail") as detail_box:
            title = gr.Markdown(elem_id="stylize-title")
            with gr.Row():
                with gr.Column(scale=3, min_width=300):
                    slider = gr.ImageSlider(
                        label="Photo | stylized: slide to compare",
                        elem_id="stylize-slider",
                        max_height=460,
                        interactive=False,
                        buttons=["fullscreen"],
                    )
                    attempts = gr.Radio([], label="Attempts", elem_id="stylize-attempts")
                    with gr.Row():
                        accept = gr.Button("Accept", variant="primary", elem_id="stylize-accept", min_width=110)
                        reject = gr.Button("Reject", elem_id="stylize-reject", min_width=110)
                        redo = gr.Button("Regenerate", elem_id="stylize-regenerate", min_width=130)
                    redoing = gr.HTML(elem_id="regenerate-progress", padding=False, visible=False)
                with gr.Column(scale=2, min_width=280):
                    gr.Markdown("**For this photo only.** Empty: same as for all.")
                    own = forms.widgets(PhotoStylization, "photo", PHOTO_MAIN)
                    with gr.Accordion("More settings", open=False):
                        own |= forms.widgets(
                            PhotoStylization, "photo", [name for name in PHOTO_FIELDS if name not in PHOTO_MAIN]
                        )
                    own = {name: own[name] for name in PHOTO_FIELDS}
                    keep = gr.Button("Save as defaults", elem_id="photo-save")
    gallery_widgets = [counts, gallery, page, ids]
    details = [nothing, detail_box, title, slider, attempts, accept, *own.values()]
    outputs = [first, box, *fields.values(), *gallery_widgets]

    @handlers.friendly
    def stylized(name: str | None, which: str, number: float, more: bool, *values: Any) -> Iterator[list[Any]]:
        """Stylize the photos; each image is saved at once, and a stopped batch continues with the next press."""
        of, _ = photo_list.open_collection(workspace, name)
        settings, problems = settings_of(fields, values), []
        untouched = [gr.skip()] * (len(gallery_widgets))

        def watched() -> Iterator[Any]:
            for step in stylization.stylize_photos(of, None, settings, again=more):
                if step.error:
                    problems.append(step.error)
                yield step

        yield [gr.update(value=html_parts.bar(0, "preparing"), visible=True), "", *untouched]
        count = -1
        for bar in handlers.follow(workspace, watched()):
            there = sum(len(photo.attempts) for photo in collections.load(of).photos)
            news = gallery_view(of, which, number) if there != count else untouched
            count = there
            yield [
                gr.update(value=bar, visible=True),
                photo_list.skipped_list(problems, "could not be stylized"),
                *news,
            ]
        yield [gr.update(value="", visible=False), gr.skip(), *gallery_view(of, which, number)]

    @handlers.friendly
    def show(name: str | None, which: str, number: float) -> list[Any]:
        return gallery_view(photo_list.open_collection(workspace, name)[0], which, number)

    @handlers.friendly
    def selected(name: str | None, on_page: list[str], event: gr.SelectData) -> list[Any]:
        id = on_page[event.index]
        return [id, *detail(photo_list.open_collection(workspace, name)[0], id)]

    @handlers.friendly
    def switched(name: str | None, id: str, number: int) -> list[Any]:
        return detail(photo_list.open_collection(workspace, name)[0], id, number)[:6]

    def decided(name: str | None, id: str, which: str, number: float) -> list[Any]:
        """Show the next photo to review; stay at this one if there is none."""
        of = photo_list.open_collection(workspace, name)[0]
        following = next_to_review(of, id) or id
        return [following, *detail(of, following), *gallery_view(of, which, number)]

    @handlers.friendly
    def accepted(name: str | None, id: str, attempt: int | None, which: str, number: float) -> list[Any]:
        review.accept(photo_list.open_collection(workspace, name)[0], [id], attempt)
        return decided(name, id, which, number)

    @handlers.friendly
    def rejected(name: str | None, id: str, which: str, number: float) -> list[Any]:
        review.reject(photo_list.open_collection(workspace, name)[0], [id])
        return decided(name, id, which, number)

    @handlers.friendly
    def all_accepted(name: str | None, which: str, number: float) -> list[Any]:
        review.accept(photo_list.open_collection(workspace, name)[0])
        return gallery_view(photo_list.open_collection(workspace, name)[0], which, number)

    @handlers.friendly
    def redone(name: str | None, id: str, which: str, number: float, *values: Any) -> Iterator[list[Any]]:
        of, _ = photo_list.open_collection(workspace, name)
        settings = settings_of(fields, values[len(PHOTO_FIELDS) :])
        work = stylization.restylize(of, id, settings, **photo_settings_of(values[: len(PHOTO_FIELDS)]))
        for bar in handlers.follow(workspace, work):
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * (len(details) + len(gallery_widgets))]
        newest = len(collections.load(of).photo(id).attempts) - 1
        shown = detail(of, id, newest)
        shown[6:] = [gr.skip()] * len(PHOTO_FIELDS)  # keep what was typed
        yield [gr.update(value="", visible=False), *shown, *gallery_view(of, which, number)]

    @handlers.friendly
    def kept(name: str | None, id: str, *values: Any) -> None:
        collections.edit(photo_list.open_collection(workspace, name)[0], id, overrides=photo_settings_of(values))
        gr.Info("Saved: the next images of this photo use these settings.")

    asked = [project, state, page]
    styling_all = go.click(
        stylized, [*asked, again, *fields.values()], [progress, failed, *gallery_widgets], **handlers.COMPUTING
    )
    again_one = redo.click(
        redone,
        [project, chosen, state, page, *own.values(), *fields.values()],
        [redoing, *details, *gallery_widgets],
        **handlers.COMPUTING,
    )
    stopped = stop.click(
        lambda: [gr.update(value="", visible=False)] * 2,
        None,
        [progress, redoing],
        cancels=[styling_all, again_one],
        **handlers.QUIET,
    )
    stopped.then(show, asked, gallery_widgets, **handlers.QUIET)
    for event in (state.input, page.release):
        event(show, asked, gallery_widgets, **handlers.QUIET)
    gallery.select(selected, [project, ids], [chosen, *details], **handlers.QUIET)
    attempts.input(switched, [project, chosen, attempts], details[:6], **handlers.QUIET)
    accept.click(
        accepted, [project, chosen, attempts, state, page], [chosen, *details, *gallery_widgets], **handlers.QUIET
    )
    reject.click(rejected, [project, chosen, state, page], [chosen, *details, *gallery_widgets], **handlers.QUIET)
    all_good.click(all_accepted, asked, gallery_widgets, **handlers.QUIET)
    keep.click(kept, [project, chosen, *own.values()], None, **handlers.QUIET)
    return Step(view, outputs)


def _attempt_label(photo: Photo, number: int) -> str:
    """Return the label of an attempt."""
    one = photo.attempts[number]
    moved = ", other crop" if one.center != photo.center else ""
    return f"{number + 1}: {one.source}, strength {one.strength:g}, seed {one.seed}{moved}"
