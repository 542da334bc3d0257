"""Settings <-> widgets: what a form shows and gives back, for every class of settings there is."""

from typing import Literal

import gradio as gr
import pytest
from pydantic import Field

from adapters.registry import methods
from adapters.settings import Settings, StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import PRESETS, TrainingSettings, preset
from ghibli_studio.ui.components import forms

CLASSES = [TrainingSettings, GenerationSettings, *(module.SETTINGS for module in methods().values())]


class Everything(Settings):
    """One setting of each kind."""

    count: int = Field(3, ge=1)
    """How many."""
    share: float = 0.5
    """How much."""
    limit: float | None = None
    """At most. Empty: no limit."""
    kind: str = "plain"
    """Which."""
    choice: Literal["a", "b"] = "a"
    """One of two."""
    steps: tuple[int, ...] = (1, 2)
    """Some numbers."""
    names: tuple[str, ...] = ("x", "y.0")
    """Some words."""
    on: bool = False
    """Whether."""


def through_the_widgets(widgets, values):
    """What a handler is given when the widgets show these values: out to the page and back, as gradio does it."""
    back = []
    for widget, value in zip(widgets, values):
        sent = widget.postprocess(value)
        sent = sent.model_dump() if hasattr(sent, "model_dump") else sent
        back.append(widget.preprocess(sent))
    return back


@pytest.mark.parametrize("settings", [*CLASSES, Everything])
def test_a_form_as_it_comes_up_gives_the_defaults(settings):
    widgets = forms.widgets(settings, "x")
    assert list(widgets) == list(settings.model_fields)
    values = through_the_widgets(widgets.values(), [widget.value for widget in widgets.values()])
    assert settings.checked(forms.read(settings, widgets, values)) == settings()


@pytest.mark.parametrize("method", methods())
@pytest.mark.parametrize("name", PRESETS)
def test_values_shown_and_read_are_the_same_settings(name, method):
    config = preset(name, method, sample_prompt="Petra, a temple", snr_gamma=5.5)
    for settings in (config.training, config.training.changed(snr_gamma=None), config.adapter):
        kind = type(settings)
        widgets = forms.widgets(kind, "x")
        values = through_the_widgets(widgets.values(), forms.shown(settings, widgets))
        assert kind.checked(forms.read(kind, widgets, values)) == settings


@pytest.mark.parametrize(
    "settings",
    [
        Everything(count=7, share=-1.25, limit=2.5, kind="a, b", choice="b", steps=(5,), names=("q",), on=True),
        Everything(limit=None, kind="", steps=(), names=()),
    ],
)
def test_every_kind_of_setting_goes_out_and_in(settings):
    widgets = forms.widgets(Everything, "x")
    values = through_the_widgets(widgets.values(), forms.shown(settings, widgets))
    assert Everything.checked(forms.read(Everything, widgets, values)) == settings


def test_a_setting_becomes_the_widget_of_its_kind():
    found = {name: type(widget) for name, widget in forms.widgets(Everything, "x").items()}
    assert found == {
        "count": gr.Number,
        "share": gr.Number,
        "limit": gr.Number,
        "kind": gr.Textbox,
        "choice": gr.Dropdown,
        "steps": gr.Textbox,
        "names": gr.Textbox,
        "on": gr.Checkbox,
    }
    assert [value for _, value in forms.widgets(Everything, "x")["choice"].choices] == ["a", "b"]


def test_a_widget_has_a_label_its_explanation_and_an_id():
    widget = forms.widgets(TrainingSettings, "training")["train_batch_size"]
    assert (widget.label, widget.info, widget.elem_id) == (
        "Train batch size",
        "Images per batch; more give smoother steps and need more memory.",
        "training-train_batch_size",
    )


def test_some_of_the_settings_in_the_order_asked_for():
    widgets = forms.widgets(GenerationSettings, "generate", ["adapter_scale", "seed"])
    assert list(widgets) == ["adapter_scale", "seed"]
    assert forms.shown(GenerationSettings(seed=4), widgets) == [1.0, 4]
    assert forms.read(GenerationSettings, widgets, [0.5, 4]) == {"adapter_scale": 0.5, "seed": 4}


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_optional_is_none(empty):
    assert forms.read(TrainingSettings, ["snr_gamma"], [empty]) == {"snr_gamma": None}


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_number_is_refused_and_not_guessed(empty):
    with pytest.raises(StudioError, match=rf"^seed is {empty!r}; it must be a valid integer"):
        TrainingSettings.checked(forms.read(TrainingSettings, ["seed"], [empty]))


def test_an_empty_text_stays_empty():
    assert forms.read(TrainingSettings, ["sample_prompt"], [""]) == {"sample_prompt": ""}


@pytest.mark.parametrize("typed", ["50,150 , 250", "50, 150, 250,", " ,50,,150,250"])
def test_numbers_with_commas_between(typed):
    assert forms.read(TrainingSettings, ["validation_timesteps"], [typed]) == {"validation_timesteps": (50, 150, 250)}


@pytest.mark.parametrize("empty", [None, "", " , "])
def test_an_empty_list_gets_the_sentence_of_the_settings(empty):
    values = forms.read(TrainingSettings, ["validation_timesteps"], [empty])
    with pytest.raises(StudioError) as raised:
        TrainingSettings.checked(values)
    assert str(raised.value) == ("validation_timesteps is (); give at least 8 different timesteps in ascending order")


@pytest.mark.parametrize(("typed", "wrong"), [("50, high", "high"), ("50; 150", "50; 150"), ("5, 1.5", "1.5")])
def test_what_is_no_number_is_reported(typed, wrong):
    with pytest.raises(StudioError) as raised:
        forms.read(TrainingSettings, ["validation_timesteps"], [typed])
    assert str(raised.value) == (
        f"validation_timesteps contains {wrong!r}; it must be whole numbers separated by commas"
    )


def test_words_with_commas_between():
    kind = methods()["lora"].SETTINGS
    assert forms.read(kind, ["target_modules"], ["to_q, to_out.0 ,"]) == {"target_modules": ("to_q", "to_out.0")}


def test_a_whole_number_that_came_as_a_fraction_is_whole():
    assert forms.read(TrainingSettings, ["seed"], [4.0]) == {"seed": 4}


def test_a_fraction_where_a_whole_number_must_be_is_refused_and_not_rounded():
    (widget,) = forms.widgets(TrainingSettings, "x", ["train_batch_size"]).values()
    values = forms.read(TrainingSettings, ["train_batch_size"], through_the_widgets([widget], [4.5]))
    with pytest.raises(StudioError, match=r"^train_batch_size is 4\.5; it must be a valid integer"):
        TrainingSettings.checked(values)
