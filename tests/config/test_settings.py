"""Settings: presets, bounds with complete error messages, and JSON that round-trips."""

import json

import pytest

from adapters.registry import methods
from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS, EvaluationSettings
from ghibli_studio.config.export import AdapterExportSettings, DatasetExportSettings
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.stylization import PhotoStylization, StylizationSettings
from ghibli_studio.config.training import PRESETS, RunConfig, TrainingSettings, preset
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS

METHODS = sorted(methods())
SETTINGS = [TrainingSettings, GenerationSettings, *(methods()[name].SETTINGS for name in METHODS)]
OWN_SETTINGS = [
    TrainingSettings,
    GenerationSettings,
    EvaluationSettings,
    StylizationSettings,
    PhotoStylization,
    AdapterExportSettings,
    DatasetExportSettings,
    RunConfig,
]


def refusal(call, *arguments, **named):
    with pytest.raises(StudioError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_the_painter_has_the_papers_landmarks():
    assert set(PAPER_LANDMARKS) < {landmark.name for landmark in LANDMARKS}
    assert len(PAPER_LANDMARKS) == 5


# presets


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_method_has_every_preset(name, method):
    config = preset(name, method)
    module = methods()[method]
    assert (config.method, config.preset, config.base_model) == (method, name, "miniature")
    assert config.training == TrainingSettings.checked(PRESETS[name])
    assert config.adapter == module.SETTINGS.checked(module.PRESETS[name])
    assert type(config.adapter) is module.SETTINGS


@pytest.mark.parametrize("method", METHODS)
def test_quick_is_quicker_than_default(method):
    assert preset("quick", method).adapter.num_train_epochs < preset("default", method).adapter.num_train_epochs


def test_the_papers_settings():
    lora, ti = preset("paper", "lora"), preset("paper", "ti")
    assert (lora.training.train_batch_size, lora.adapter.learning_rate, lora.adapter.rank) == (1, 1e-4, 8)
    assert (ti.adapter.learning_rate, ti.adapter.lr_scheduler, ti.adapter.num_vectors) == (5e-6, "constant", 1)
    assert (ti.adapter.placeholder_token, ti.adapter.initializer_token) == ("<ghiblivis-style>", "style")


def test_single_settings_can_be_changed_by_name_or_by_section():
    by_section = {"training.device": "cpu", "adapter.trigger": ""}
    config = preset("quick", "lora", rank=3, seed=7, base_model="a/b", **by_section)
    assert (config.adapter.rank, config.adapter.trigger) == (3, "")
    assert (config.training.seed, config.training.device, config.base_model) == (7, "cpu", "a/b")
    unchanged = preset("quick", "lora")
    assert config.changed(base_model="miniature", training=unchanged.training, adapter=unchanged.adapter) == unchanged


def test_an_unknown_preset_or_method_is_reported_with_the_valid_ones():
    assert refusal(preset, "quik", "lora") == "there is no preset 'quik'; choose one of quick, default, paper"
    assert refusal(preset, "quick", "dora") == f"there is no method 'dora'; known are {', '.join(methods())}"


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("rnak", "rank"),
        ("learning_rat", "learning_rate"),
        ("training.sed", "seed"),
        ("adapter.alpha", "lora_alpha"),
        ("base_modle", "base_model"),
        ("lora.rank", "rank"),
        ("epochs", "num_train_epochs"),
        ("timestep_samplin", "timestep_sampling"),
    ],
)
def test_an_unknown_setting_is_reported_with_the_nearest_name(wrong, near):
    shown = wrong.removeprefix("training.").removeprefix("adapter.")
    assert refusal(preset, "quick", "lora", **{wrong: 1}) == (f"there is no setting {shown!r}; did you mean {near!r}?")


def test_an_unknown_setting_without_a_near_name_is_reported_with_all_settings():
    names = ["base_model", *TrainingSettings.model_fields, *methods()["lora"].SETTINGS.model_fields]
    assert refusal(preset, "quick", "lora", zzz=1) == f"there is no setting 'zzz'; the settings are {', '.join(names)}"


@pytest.mark.parametrize("name", ["method", "preset", "training", "adapter", "name"])
def test_the_method_and_the_sections_are_not_settings(name):
    assert refusal(preset, "quick", "lora", **{name: "ti"}).startswith(f"there is no setting {name!r}; ")


def test_a_setting_of_another_method_is_refused():
    assert refusal(preset, "quick", "ti", rank=4).startswith("there is no setting 'rank'; ")


# bounds


@pytest.mark.parametrize(
    ("settings", "name", "low", "high"),
    [
        (TrainingSettings, "seed", 0, 2**31 - 1),
        (TrainingSettings, "train_batch_size", 1, 1024),
        (TrainingSettings, "adam_weight_decay", 0, 1),
        (GenerationSettings, "seed", 0, 2**31 - 1),
        (GenerationSettings, "num_inference_steps", 1, 1000),
        (GenerationSettings, "guidance_scale", 0, 50),
        (GenerationSettings, "adapter_scale", -2, 2),
        *((methods()[name].SETTINGS, "num_train_epochs", 1, 10_000) for name in METHODS),
        *((methods()[name].SETTINGS, "lr_warmup_steps", 0, 100_000) for name in METHODS),
        (methods()["lora"].SETTINGS, "rank", 1, 512),
        (methods()["ti"].SETTINGS, "num_vectors", 1, 64),
    ],
)
def test_bounds(settings, name, low, high):
    for value in (low, high):
        assert getattr(settings.checked({name: value}), name) == value
    below = refusal(settings.checked, {name: low - 1})
    assert below == f"{name} is {low - 1}; it must be greater than or equal to {low}"
    above = refusal(settings.checked, {name: high + 1})
    assert above in (
        f"{name} is {high + 1}; it must be less than or equal to {high}",
        f"{name} is {high + 1}; it must be less than {high + 1}",
    )


@pytest.mark.parametrize("settings", [methods()[name].SETTINGS for name in METHODS])
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0, "learning_rate is 0; it must be greater than 0"),
        (-1e-3, "learning_rate is -0.001; it must be greater than 0"),
        (11, "learning_rate is 11; it must be less than or equal to 10"),
        (float("nan"), "learning_rate is nan; it must be less than or equal to 10"),
        (float("inf"), "learning_rate is inf; it must be less than or equal to 10"),
        ("fast", "learning_rate is 'fast'; it must be a valid number, unable to parse string as a number"),
        (None, "learning_rate is None; it must be a valid number"),
        ([1], "learning_rate is [1]; it must be a valid number"),
    ],
)
def test_a_learning_rate_out_of_bounds(settings, value, sentence):
    assert refusal(settings.checked, {"learning_rate": value}) == sentence


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("seed", 1.5, "seed is 1.5; it must be a valid integer, got a number with a fractional part"),
        ("device", "gpu", "device is 'gpu'; it must be 'auto', 'cpu', 'cuda' or 'mps'"),
        ("attention", "flash", "attention is 'flash'; it must be 'sdpa' or 'xformers'"),
        ("mixed_precision", "fp32", "mixed_precision is 'fp32'; it must be 'auto', 'no', 'fp16' or 'bf16'"),
        (
            "timestep_sampling",
            "cosine",
            "timestep_sampling is 'cosine'; it must be 'uniform', 'logit_normal' or 'cubic'",
        ),
        ("long_captions", "keep", "long_captions is 'keep'; it must be 'refuse' or 'cut'"),
        ("snr_gamma", 0, "snr_gamma is 0; it must be greater than 0"),
        ("max_grad_norm", 0, "max_grad_norm is 0; it must be greater than 0"),
    ],
)
def test_wrong_values(name, value, sentence):
    assert refusal(TrainingSettings.checked, {name: value}) == sentence


def test_all_errors_are_reported_at_once():
    assert refusal(TrainingSettings.checked, {"seed": -1, "attention": "x", "sed": 1}) == (
        "seed is -1; it must be greater than or equal to 0; attention is 'x'; it must be 'sdpa' or 'xformers'; "
        "there is no setting 'sed'; did you mean 'seed'?"
    )


TIMESTEPS = (50, 150, 250, 400, 550, 700, 850, 950)


@pytest.mark.parametrize("steps", [(), TIMESTEPS[:7], TIMESTEPS[::-1], (0, *TIMESTEPS[:6], 700, 700), (-1, *TIMESTEPS)])
def test_invalid_validation_timesteps(steps):
    assert refusal(TrainingSettings.checked, {"validation_timesteps": steps}) == (
        f"validation_timesteps is {steps}; give at least 8 different timesteps in ascending order"
    )


@pytest.mark.parametrize("steps", [TIMESTEPS, tuple(range(8)), [*TIMESTEPS, 999]])
def test_valid_validation_timesteps(steps):
    assert TrainingSettings.checked({"validation_timesteps": steps}).validation_timesteps == tuple(steps)


def test_validation_timesteps_that_are_not_numbers():
    assert refusal(TrainingSettings.checked, {"validation_timesteps": ["low", *TIMESTEPS]}) == (
        "validation_timesteps.0 is 'low'; it must be a valid integer, unable to parse string as an integer"
    )


def test_settings_cannot_be_changed_in_place():
    settings = TrainingSettings()
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3
    assert settings.changed(seed=3).seed == 3
    assert settings.seed == 0
    assert refusal(settings.changed, seed=-3) == "seed is -3; it must be greater than or equal to 0"


@pytest.mark.parametrize("settings", OWN_SETTINGS)
def test_a_help_text_has_at_most_90_characters(settings):
    too_long = {name: field.description for name, field in settings.model_fields.items() if len(field.description) > 90}
    assert too_long == {}


@pytest.mark.parametrize("settings", [*SETTINGS, *OWN_SETTINGS[2:]])
def test_every_setting_has_a_help_text(settings):
    without = [name for name, field in settings.model_fields.items() if not (field.description or "").endswith(".")]
    assert without == []


# a run's configuration on disk


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_round_trips_through_json(name, method):
    config = preset(name, method, seed=5, base_model="/models/my model", learning_rate=0.1 + 0.2, snr_gamma=None)
    text = json.dumps(config.model_dump(mode="json"))
    again = RunConfig.checked(json.loads(text))
    assert again == config
    assert type(again.adapter) is type(config.adapter)
    assert json.dumps(again.model_dump(mode="json")) == text


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_is_in_the_json(method):
    values = preset("default", method).model_dump(mode="json")
    assert values["training"].keys() == TrainingSettings.model_fields.keys()
    assert values["adapter"].keys() == methods()[method].SETTINGS.model_fields.keys()
    assert values.keys() == RunConfig.model_fields.keys()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "dora"}, f"there is no method 'dora'; known are {', '.join(methods())}"),
        ({"adapter": {"rank": 0}}, "rank is 0; it must be greater than or equal to 1"),
        ({"adapter": {"rnak": 4}}, "there is no setting 'rnak'; did you mean 'rank'?"),
        ({"training": {"seed": -1}}, "training.seed is -1; it must be greater than or equal to 0"),
        ({"base_model": ""}, "base_model is ''; it must have at least 1 character"),
        ({"base_model": 3}, "base_model is 3; it must be a valid string"),
        ({"training": {"validation_timesteps": 3}}, "training.validation_timesteps is 3; it must be a valid tuple"),
        ({"color": 1}, "there is no setting 'color'; known are method, preset, base_model, training, adapter"),
    ],
)
def test_a_damaged_configuration_is_reported(change, sentence):
    values = preset("quick", "lora").model_dump(mode="json")
    assert refusal(RunConfig.checked, {**values, **change}) == sentence


def test_a_configuration_without_its_adapter_is_reported():
    values = preset("quick", "lora").model_dump(mode="json")
    del values["adapter"]
    assert refusal(RunConfig.checked, values).startswith("adapter is ")
