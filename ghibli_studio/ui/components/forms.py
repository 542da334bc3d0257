"""Forms generated from settings classes: widgets from fields, values back from widgets, and the labels of fields."""

from __future__ import annotations

import types
import typing
from typing import Any

import gradio as gr
from pydantic.fields import FieldInfo

from adapters.settings import Settings, StudioError
from ghibli_studio.config.stylization import StylizationSettings
from ghibli_studio.ui.components import handlers


def widgets(
    settings: type[Settings], prefix: str, names: typing.Iterable[str] | None = None
) -> dict[str, gr.components.Component]:
    """Return one widget for each setting (all, or those in `names`), with its docstring as the help text.

    The widgets have no bounds: a wrong value gets the error message of the settings class, which says what to do.
    """
    fields = settings.model_fields
    return {name: _widget(name, fields[name], f"{prefix}-{name}") for name in names or fields}


def shown(settings: Settings, names: typing.Iterable[str]) -> list[Any]:
    """Return the settings' values as the widgets show them."""
    values = (getattr(settings, name) for name in names)
    return [", ".join(map(str, value)) if isinstance(value, tuple) else value for value in values]


def read(settings: type[Settings], names: typing.Iterable[str], values: typing.Iterable[Any]) -> dict[str, Any]:
    """Return plain values for `Settings.checked` from the values of the widgets."""
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


LABELS = {
    "adam_beta1": "Adam beta 1",
    "adam_beta2": "Adam beta 2",
    "clip_model": "CLIP model",
    "ema_decay": "EMA decay",
    "lora_alpha": "LoRA alpha",
    "lr_scheduler": "LR scheduler",
    "lr_warmup_steps": "LR warmup steps",
    "num_inference_steps": "Inference steps",
    "num_train_epochs": "Epochs",
    "num_vectors": "Vectors",
    "snr_gamma": "Min-SNR gamma",
    "use_dora": "DoRA",
}
"""Labels of settings whose name alone does not read well."""


def label(name: str) -> str:
    """Return the label of a setting."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _number(part: str, name: str) -> int:
    try:
        return int(part)
    except ValueError as error:
        raise StudioError(f"{name} contains {part!r}; it must be whole numbers separated by commas") from error


def _optional(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)


def _widget(name: str, field: FieldInfo, elem_id: str) -> gr.components.Component:
    common: dict[str, Any] = {
        "label": label(name),
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


UPLOAD_TYPES = [
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
IMAGE_TYPES = [kind for kind in UPLOAD_TYPES if kind not in (".zip", ".txt", ".csv", ".jsonl")]


def stylization_form(prefix: str, names: Any) -> dict[str, Any]:
    """Widgets of StyleSettings; an adapter file is chosen among those that were trained, or named."""
    fields: dict[str, Any] = {}
    for name in names:
        if name == "adapter_file":
            fields[name] = gr.Dropdown(
                [],
                value="",
                label="Adapter file",
                allow_custom_value=True,
                info=StylizationSettings.model_fields[name].description,
                elem_id=f"{prefix}-{name}",
                visible=False,
            )
            fields["source"].change(
                lambda source: gr.update(visible=source == "adapter"), fields["source"], fields[name], **handlers.QUIET
            )
        else:
            fields |= widgets(StylizationSettings, prefix, [name])
    return fields
