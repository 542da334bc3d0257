"""The form of the Generate tab: prompts, models and settings; filled in again from an image's metadata."""

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
from ghibli_studio.ui.components.forms import IMAGE_TYPES
from ghibli_studio.workspace.project import Project

MAIN_SETTINGS = ("seed", "num_inference_steps", "guidance_scale", "adapter_scale")
ADVANCED = tuple(name for name in GenerationSettings.model_fields if name not in MAIN_SETTINGS)
STRENGTH = 0.6


@dataclass(frozen=True)
class Form:
    """The widgets of the form; the X/Y plot uses the same ones."""

    landmarks: gr.Dropdown
    prompts: gr.Textbox
    models: gr.CheckboxGroup
    more: gr.Dropdown
    """Adapters other than each method's newest run."""
    file: gr.File
    """The photo to start from, if any."""
    strength: gr.Number
    generate: gr.Button
    stop: gr.Button
    fields: dict[str, Any]
    """Name of a setting -> its widget."""

    @property
    def refillable(self) -> list[Any]:
        """The widgets that `refilled` updates."""
        return [self.prompts, self.models, self.more, self.file, self.strength, *self.fields.values()]


def methods() -> dict[str, str]:
    """Return name -> label of the base model and of every method."""
    return {BASE: model_choice.label(BASE), **{name: module.LABEL for name, module in registry.methods().items()}}


def lay_out() -> Form:
    """Create the widgets; the buttons come after the required fields and before the optional ones."""
    landmarks = gr.Dropdown(
        [],
        multiselect=True,
        label="Landmarks",
        elem_id="landmarks",
        info="Uses each landmark's own prompt from the dataset.",
    )
    prompts = gr.Textbox(
        "",
        label="Prompts, one per line",
        lines=3,
        elem_id="prompts",
        placeholder="Big Ben, London, England, a tall stone clock tower at sunset, wide shot",
        info="Replaces the landmarks above; the trigger of the style is added for you.",
    )
    models = gr.CheckboxGroup(
        [(text, name) for name, text in methods().items()],
        value=[BASE],
        label="Models",
        elem_id="generate-models",
        info="All start from the same initial noise.",
    )
    more = gr.Dropdown(
        [],
        multiselect=True,
        label="More adapters",
        elem_id="generate-adapters",
        info="Any run of this project, or an imported adapter.",
    )
    with gr.Accordion("Image to image", open=False, elem_id="generate-init-image"):
        file = gr.File(label="Photo", file_types=IMAGE_TYPES, height=130, elem_id="generate-file")
        strength = gr.Number(
            STRENGTH,
            label="Strength",
            elem_id="generate-strength",
            info="How much changes: 0 keeps the image, 1 ignores it. Needs a prompt above.",
        )
    with gr.Row():
        generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=2, min_width=160)
        stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=80)
    fields: dict[str, Any] = {}
    for pair in (MAIN_SETTINGS[:2], MAIN_SETTINGS[2:]):
        with gr.Row():
            fields |= forms.widgets(GenerationSettings, "generate", pair)
    with gr.Accordion("More settings", open=False):
        fields |= forms.widgets(GenerationSettings, "generate", ADVANCED)
    return Form(landmarks, prompts, models, more, file, strength, generate, stop, fields)


def init_image_of(file: str | None, strength: float | None) -> init_image.InitImage | None:
    """Return the uploaded photo, or None; raise StudioError if it cannot be used."""
    return None if not file else init_image.InitImage(init_image.open_photo(Path(file)), strength or 0.0)


def requests_of(
    project: Project, landmarks: Sequence[str], lines: str, has_init_image: bool = False
) -> list[image_set.Request]:
    """Return the requests of the form: prompts, else selected landmarks; raise StudioError if both are empty."""
    if lines.strip():
        return image_set.requests_for_prompts(lines.splitlines())
    if has_init_image:
        raise StudioError("the photo has no prompt; describe in a few words what it shows")
    if not landmarks:
        raise StudioError("nothing to generate; select landmarks, or write a prompt")
    return image_set.requests_for_landmarks(project, landmarks)


def more_choices(project: Project) -> list[tuple[str, str]]:
    """Return (label, name) of every adapter other than each method's newest run."""
    return [
        (choice.label, choice.name)
        for choice in model_choice.model_choices(project)
        if choice.kind in ("run", "imported")
    ]


def refilled(project: Project, again: dict[str, Any]) -> list[Any]:
    """Updates of `Form.refillable` from what `gallery.reusable_settings` tells."""
    settings = GenerationSettings.checked(again["settings"])
    plain = again["model"] in methods()
    choices = more_choices(project)
    known = [name for _, name in choices]
    if not plain and again["model"] not in known:
        choices = [(model_choice.label(again["model"]), again["model"]), *choices]
    photo = again.get("init_image")
    file = None
    if photo and (kept := project.outputs.upload(photo["sha256"])).exists():
        file = html_parts.served(kept)
    return [
        again["prompt"],
        [again["model"]] if plain else [],
        gr.update(choices=choices, value=[] if plain else [again["model"]]),
        file,
        photo["strength"] if photo else STRENGTH,
        *forms.shown(settings, [*MAIN_SETTINGS, *ADVANCED]),
    ]
