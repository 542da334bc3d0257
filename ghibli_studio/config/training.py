"""What a person may choose: frozen, checked, saved as JSON beside the run. Every default and every bound lives here.

A method's own settings live with the method in `adapters`; a run's configuration is the same for all methods but for
that one section.
"""

from __future__ import annotations

import difflib
import json
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from adapters import registry
from adapters.base import AdapterSettings
from adapters.settings import Settings, StudioError
from ghibli_studio.runtime.device import Attention, Device


class TrainingSettings(Settings):
    """How to train: counts for every method alike."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the order of pictures, the noise, the time steps and the adapter's first values."""
    train_batch_size: int = Field(4, ge=1, le=1024)
    """Pictures that go through the model at once."""
    gradient_accumulation_steps: int = Field(1, ge=1, le=1024)
    """Batches whose gradients are added up before a step: a large batch in the memory of a small one."""
    timestep_sampling: Literal["uniform", "logit_normal", "cubic"] = "cubic"
    """Which noise levels are trained most: all alike, the middle ones, or the noisiest ones (they decide the style)."""
    snr_gamma: float | None = Field(0.1, gt=0, le=1000)
    """Min-SNR weighting: the smaller, the less the nearly clean pictures count. Empty: the plain loss."""
    adam_weight_decay: float = Field(0.01, ge=0, le=1)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0, le=1e6)
    """Longer gradients are shortened to this norm."""
    noise_offset: float = Field(0, ge=0, le=1)
    """How much of the noise is the same all over a picture, so that very dark and bright ones are learned too."""
    caption_dropout: float = Field(0, ge=0, lt=1)
    """Share of the pictures that are shown with the trigger alone, so that the style does not hang on other words."""
    unconditional_dropout: float = Field(0, ge=0, lt=1)
    """Share of the pictures that are shown without a prompt, such as 0.1; guidance steers away from what they teach."""
    random_flip: bool = False
    """Show half of the pictures turned left to right; clocks and letters turn too, so it is off."""
    aspect_buckets: bool = False
    """Learn from your whole pictures rather than their squares, those of one shape together; validation stays."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Validate and keep a running average of what is trained, such as 0.99. Empty: what the last step left."""
    early_stopping_patience: int | None = Field(None, ge=1, le=10_000)
    """Stop after so many epochs in a row that were not better than the best before, beyond chance. Empty: never."""
    validation_timesteps: tuple[int, ...] = (50, 150, 250, 400, 550, 700, 850, 950)
    """The fixed ladder of noise levels on which every validation picture is measured after each epoch."""
    sample_prompt: str = Field("", max_length=2000)
    """What the sample picture after each epoch shows. Empty: the first validation picture's prompt."""
    sample_every: int = Field(1, ge=0, le=10_000)
    """Draw the sample picture after every so many epochs, and after the last one; 0 draws none."""
    long_captions: Literal["refuse", "cut"] = "refuse"
    """What to do when a caption has more tokens than the model reads."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """Auto: half precision where GPU or processor computes in it, else float32."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""
    gradient_checkpointing: bool = False
    """Compute parts twice rather than keep them: much less memory, a third more time."""
    compile: bool = False
    """Let torch.compile build faster code for the UNet first: it takes a minute or more, and pays on a GPU."""
    num_processes: int = Field(1, ge=1, le=64)
    """Processes of this machine that train together, one a GPU; each takes its own train_batch_size of every step."""

    @field_validator("validation_timesteps")
    @classmethod
    def _ladder(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if len(steps) < 8 or list(steps) != sorted(set(steps)) or steps[0] < 0:
            raise ValueError(
                f"validation_timesteps is {steps}; it must be at least 8 different time steps from small to large"
            )
        return steps


class RunConfig(Settings):
    """Everything that decides a training run; `config.json` in the run's folder."""

    method: str
    """Short name of the method, as on the command line."""
    preset: str = "default"
    """The preset these settings started from."""
    base_model: str = Field("miniature", min_length=1, max_length=500)
    """The embedded `miniature`, a diffusers folder, a .safetensors checkpoint, or a hub id."""
    training: TrainingSettings = TrainingSettings()
    """The settings that count for every method alike."""
    adapter: SerializeAsAny[AdapterSettings]
    """The method's own settings."""

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_method(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("adapter"), dict):
            settings = registry.method(values.get("method", "")).SETTINGS
            values = {**values, "adapter": settings.checked(values["adapter"])}
        return values

    @model_validator(mode="after")
    def _all_of_it_can_learn(self) -> RunConfig:
        if self.adapter.learns_without_prompt and not self.training.unconditional_dropout:
            raise ValueError(
                "unconditional_dropout is 0, and a negative word learns only from pictures without a prompt; set it to "
                "0.1, or negative_vectors to 0"
            )
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {},
    "default": {},
    "paper": {"train_batch_size": 1, "timestep_sampling": "uniform", "snr_gamma": None, "long_captions": "cut"},
}


def preset(name: str, method: str, /, **changes: Any) -> RunConfig:
    """A run's configuration from a preset; `changes` are `section.name` or `name` of any setting, as plain values.

    Raises StudioError for an unknown preset, method or setting, and for a value out of bounds.
    """
    if name not in PRESETS:
        raise StudioError(f"there is no preset {name!r}; known are {', '.join(PRESETS)}")
    settings = registry.method(method)
    sections: dict[str, dict[str, Any]] = {"training": dict(PRESETS[name]), "adapter": dict(settings.PRESETS[name])}
    top: dict[str, Any] = {"method": method, "preset": name}
    known = ["base_model", *TrainingSettings.model_fields, *settings.SETTINGS.model_fields]
    for key, value in changes.items():
        section, _, field = key.rpartition(".")
        if section in sections:
            sections[section][field] = value
        elif not section and key in settings.SETTINGS.model_fields:
            sections["adapter"][key] = value
        elif not section and key in TrainingSettings.model_fields:
            sections["training"][key] = value
        elif key == "base_model":
            top[key] = value
        else:
            near = difflib.get_close_matches(field, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise StudioError(f"there is no setting {key!r}; {hint}")
    training = TrainingSettings.checked(sections["training"])
    adapter = settings.SETTINGS.checked(sections["adapter"])
    return RunConfig.checked({**top, "training": training, "adapter": adapter})


def setting_of(text: str) -> tuple[str, Any]:
    """Name and value of `name=value`, the value as JSON or, where it is none, as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise StudioError(f"--set {text!r} has no '='; write it as --set rank=16")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
