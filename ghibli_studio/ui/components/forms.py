"""Settings <-> widgets: a form is made from the settings class, so a new setting needs no line here."""

from __future__ import annotations

import types
import typing
from typing import Any

import gradio as gr
from pydantic.fields import FieldInfo

from adapters.settings import Settings, StudioError
from ghibli_studio.config.stylization import StyleSettings
from ghibli_studio.ui.components import handlers


def widgets(
    settings: type[Settings], prefix: str, names: typing.Iterable[str] | None = None
) -> dict[str, gr.components.Component]:
    """One widget a setting (of all, or of those named), labeled with its name and explained by its docstring.

    Bounds are not put on the widgets: a wrong value gets the sentence of `config`, which has a way out.
    """
    fields = settings.model_fields
    return {name: _widget(name, fields[name], f"{prefix}-{name}") for name in names or fields}


def shown(settings: Settings, names: typing.Iterable[str]) -> list[Any]:
    """The settings' values as widgets show them."""
    values = (getattr(settings, name) for name in names)
    return [", ".join(map(str, value)) if isinstance(value, tuple) else value for value in values]


def read(settings: type[Settings], names: typing.Iterable[str], values: typing.Iterable[Any]) -> dict[str, Any]:
    """Plain values for `Settings.checked` from what the widgets hold."""
    result = {}
    for name, value in zip(names, values):
        kind = settings.model_fields[name].annotation
        if typing.get_origin(kind) is tuple:
            parts = [part.strip() for part in str(value or "").split(",") if part.strip()]
            value = tuple(_number(part, name) if typing.get_args(kind)[0] is int else part for part in parts)
        elif kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        elif value == "" and _optional(kind):
            value = None
        result[name] = value
    return result


def _number(part: str, name: str) -> int:
    try:
        return int(part)
    except ValueError as error:
        raise StudioError(f"{name} holds {part!r}; it must be whole numbers with commas between") from error


def _optional(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)


def _widget(name: str, field: FieldInfo, elem_id: str) -> gr.components.Component:
    common = {
        "label": name.replace("_", " ").capitalize(),
        "info": field.description,
        "elem_id": elem_id,
        "value": ", ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default,
    }
    kind = field.annotation
    if typing.get_origin(kind) is typing.Literal:
        return gr.Dropdown(list(typing.get_args(kind)), **common)
    if kind is bool:
        return gr.Checkbox(**common)
    if kind in (int, float) or (_optional(kind) and float in typing.get_args(kind)):
        return gr.Number(**common)  # with a precision it would round 4.5 to 4 silently
    return gr.Textbox(**common)


KINDS = [
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".heic",
    ".heif",
    ".avif",
    ".zip",
    ".txt",
    ".csv",
    ".jsonl",
]
PICTURES = [kind for kind in KINDS if kind not in (".zip", ".txt", ".csv", ".jsonl")]


def style_form(prefix: str, names: Any) -> dict[str, Any]:
    """Widgets of StyleSettings; an adapter file is chosen among those that were trained, or named."""
    made: dict[str, Any] = {}
    for name in names:
        if name == "adapter_file":
            made[name] = gr.Dropdown(
                [],
                value="",
                label="Adapter file",
                allow_custom_value=True,
                info=StyleSettings.model_fields[name].description,
                elem_id=f"{prefix}-{name}",
                visible=False,
            )
            made["source"].change(
                lambda source: gr.update(visible=source == "adapter"), made["source"], made[name], **handlers.QUIET
            )
        else:
            made |= widgets(StyleSettings, prefix, [name])
    return made
