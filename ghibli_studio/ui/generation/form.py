"""The form that says what is drawn and how: for pictures side by side, and for the grid; filled again from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import image_set, init_image, model_choice
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.ui.components import forms, html_parts
from ghibli_studio.ui.components.forms import PICTURES
from ghibli_studio.workspace.project import Project

MAIN_SETTINGS = ("seed", "num_inference_steps", "guidance_scale", "adapter_scale")
ADVANCED = tuple(name for name in GenerationSettings.model_fields if name not in MAIN_SETTINGS)
DENOISING = 0.6


@dataclass(frozen=True)
class Form:
    """The widgets that say what is drawn and how; the grid is drawn with the same."""

    landmarks: gr.Dropdown
    prompts: gr.Textbox
    wanted: gr.CheckboxGroup
    more: gr.Dropdown
    """Adapters beyond each method's newest run."""
    file: gr.File
    """The photograph to start from, if any."""
    denoising: gr.Number
    draw: gr.Button
    stop: gr.Button
    fields: dict[str, Any]
    """By the names of the settings."""

    @property
    def refillable(self) -> list[Any]:
        """What `refilled` updates."""
        return [self.prompts, self.wanted, self.more, self.file, self.denoising, *self.fields.values()]


def methods() -> dict[str, str]:
    """Every method that can draw, with what it is called."""
    return {BASE: model_choice.label(BASE), **{name: module.LABEL for name, module in registry.methods().items()}}


def lay_out() -> Form:
    """The widgets; the buttons stand between what must be chosen and what may be."""
    landmarks = gr.Dropdown(
        [], multiselect=True, label="Landmarks", elem_id="landmarks", info="Drawn with the data set's own prompts."
    )
    prompts = gr.Textbox(
        "",
        label="Or your own prompts, one a line",
        lines=3,
        elem_id="prompts",
        placeholder="Big Ben, London, England, a tall stone clock tower at sunset, wide shot",
        info="In the data set's form they work best; the style's word is added for you.",
    )
    wanted = gr.CheckboxGroup(
        [(text, name) for name, text in methods().items()],
        value=[BASE],
        label="Draw with",
        elem_id="draw-with",
        info="All from the same initial noise.",
    )
    more = gr.Dropdown(
        [],
        multiselect=True,
        label="Other adapters",
        elem_id="draw-more",
        info="Any run, or what was taken in from elsewhere.",
    )
    with gr.Accordion("Start from a photograph", open=False, elem_id="draw-photograph"):
        file = gr.File(label="A photograph", file_types=PICTURES, height=130, elem_id="draw-file")
        denoising = gr.Number(
            DENOISING,
            label="Denoising strength",
            elem_id="draw-denoising",
            info="How much is drawn anew, above 0 to 1: little keeps the photograph. Write above what it shows.",
        )
    with gr.Row():
        draw = gr.Button("Draw", variant="primary", elem_id="draw", scale=2, min_width=160)
        stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=80)
    fields: dict[str, Any] = {}
    for pair in (MAIN_SETTINGS[:2], MAIN_SETTINGS[2:]):
        with gr.Row():
            fields |= forms.widgets(GenerationSettings, "draw", pair)
    with gr.Accordion("More settings", open=False):
        fields |= forms.widgets(GenerationSettings, "draw", ADVANCED)
    return Form(landmarks, prompts, wanted, more, file, denoising, draw, stop, fields)


def photograph_of(file: str | None, denoising: float | None) -> init_image.Photograph | None:
    """The dropped photograph; None where there is none. StudioError says what is wrong with it."""
    return None if not file else init_image.Photograph(init_image.read(Path(file)), denoising or 0.0)


def requests_of(
    project: Project, landmarks: Sequence[str], lines: str, from_photograph: bool = False
) -> list[image_set.Request]:
    """What the form asks for: the written prompts, else the chosen landmarks; StudioError where that is nothing."""
    if lines.strip():
        return image_set.requests_for_prompts(lines.splitlines())
    if from_photograph:
        raise StudioError("the photograph has no prompt; write in a few words what it shows")
    if not landmarks:
        raise StudioError("nothing is chosen to draw; choose landmarks, or write a prompt")
    return image_set.requests_for_landmarks(project, landmarks)


def more_choices(project: Project) -> list[tuple[str, str]]:
    """(label, name) of every adapter beyond each method's newest run."""
    return [(one.label, one.name) for one in model_choice.known_drawers(project) if one.kind in ("run", "imported")]


def refilled(project: Project, again: dict[str, Any]) -> list[Any]:
    """Updates of `Form.refillable` from what `gallery.settings_again` tells."""
    settings = GenerationSettings.checked(again["settings"])
    plain = again["drawer"] in methods()
    choices = more_choices(project)
    known = [name for _, name in choices]
    if not plain and again["drawer"] not in known:
        choices = [(model_choice.label(again["drawer"]), again["drawer"]), *choices]
    photograph = again.get("photograph")
    file = None
    if photograph and (kept := project.made.upload(photograph["sha256"])).exists():
        file = html_parts.served(kept)
    return [
        again["prompt"],
        [again["drawer"]] if plain else [],
        gr.update(choices=choices, value=[] if plain else [again["drawer"]]),
        file,
        photograph["strength"] if photograph else DENOISING,
        *forms.shown(settings, [*MAIN_SETTINGS, *ADVANCED]),
    ]
