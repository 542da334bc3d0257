"""Settings of a training run: frozen, validated, saved as JSON beside the run, with every default and bound.

The settings of a method live with the method in `adapters`; the rest of a run's configuration is the same for all
methods.
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
    """How to train; these settings are the same for every method."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Random seed of image order, noise, timesteps and the adapter's initial values."""
    train_batch_size: int = Field(default=4, ge=1, le=1024)
    """Images per batch; more give smoother steps and need more memory."""
    gradient_accumulation_steps: int = Field(default=1, ge=1, le=1024)
    """Batches summed per step; raise it for a larger effective batch in the same memory."""
    timestep_sampling: Literal["uniform", "logit_normal", "cubic"] = "cubic"
    """Noise levels to train most: all (uniform), middle (logit_normal) or high (cubic: style)."""
    snr_gamma: float | None = Field(default=0.1, gt=0, le=1000)
    """Min-SNR weighting; lower counts nearly clean images less, empty uses the plain loss."""
    adam_weight_decay: float = Field(default=0.01, ge=0, le=1)
    """Weight decay of AdamW; higher pulls weights toward 0 and restrains the adapter."""
    max_grad_norm: float = Field(default=1.0, gt=0, le=1e6)
    """Gradients above this norm are clipped to it; lower tames unstable training."""
    noise_offset: float = Field(default=0, ge=0, le=1)
    """Share of noise that is equal across an image; raise it to learn very dark and bright ones."""
    caption_dropout: float = Field(default=0, ge=0, lt=1)
    """Share of captions replaced by the trigger alone; raise it to tie the style to the trigger."""
    unconditional_dropout: float = Field(default=0, ge=0, lt=1)
    """Share of images trained without a prompt; 0.1 trains what guidance steers away from."""
    random_flip: bool = False
    """Flip half of the images left to right; keep off where letters or clocks matter."""
    aspect_buckets: bool = False
    """Train on original aspect ratios in buckets, not on squares; validation stays square."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Average weights over steps; nearer 1 averages longer, such as 0.99; empty turns it off."""
    early_stopping_patience: int | None = Field(default=None, ge=1, le=10_000)
    """Stop after this many epochs without a significant improvement; empty never stops early."""
    validation_timesteps: tuple[int, ...] = (50, 150, 250, 400, 550, 700, 850, 950)
    """Fixed timesteps at which the validation loss is measured after each epoch."""
    sample_prompt: str = Field(default="", max_length=2000)
    """Prompt of the sample image; empty uses the first validation caption."""
    sample_every: int = Field(default=1, ge=0, le=10_000)
    """Epochs between sample images, always with one at the end; 0 turns them off."""
    long_captions: Literal["refuse", "cut"] = "refuse"
    """Captions over the token limit: refuse to train, or cut them."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """Precision of the frozen model; auto uses half precision where the device supports it."""
    attention: Attention = "sdpa"
    """Attention code: PyTorch's own (sdpa), or xformers on a CUDA GPU."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of storing them: much less memory, a third more time."""
    compile: bool = False
    """Compile the UNet with torch.compile; costs a minute or more, pays off on a GPU."""
    num_processes: int = Field(default=1, ge=1, le=64)
    """Processes that train together, one per GPU, each with its own train_batch_size."""

    @field_validator("validation_timesteps")
    @classmethod
    def _at_least_8_ascending(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if len(steps) < 8 or list(steps) != sorted(set(steps)) or steps[0] < 0:
            raise ValueError(f"validation_timesteps is {steps}; give at least 8 different timesteps in ascending order")
        return steps


class RunConfig(Settings):
    """Every setting of a training run; `config.json` in the run's folder."""

    method: str
    """Short name of the method, such as lora or ti."""
    preset: str = "default"
    """Preset that these settings started from."""
    base_model: str = Field(default="miniature", min_length=1, max_length=500)
    """Base model: `miniature`, a diffusers folder, a .safetensors checkpoint, or a Hub id."""
    training: TrainingSettings = TrainingSettings()
    """Settings shared by every method."""
    adapter: SerializeAsAny[AdapterSettings]
    """Settings of the method."""

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_method(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("adapter"), dict):
            settings = registry.method(values.get("method", "")).SETTINGS
            values = {**values, "adapter": settings.checked(values["adapter"])}
        return values

    @model_validator(mode="after")
    def _negative_words_can_learn(self) -> RunConfig:
        if self.adapter.learns_without_prompt and not self.training.unconditional_dropout:
            raise ValueError(
                "unconditional_dropout is 0, but a negative word learns only from images without a prompt; set it to "
                "0.1, or set negative_vectors to 0"
            )
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {},
    "default": {},
    "paper": {"train_batch_size": 1, "timestep_sampling": "uniform", "snr_gamma": None, "long_captions": "cut"},
}


def preset(name: str, method: str, /, **changes: Any) -> RunConfig:
    """Return a run's configuration from a preset; `changes` maps `name` or `section.name` of a setting to its value.

    Raises StudioError for an unknown preset, method or setting, and for a value out of bounds.
    """
    if name not in PRESETS:
        raise StudioError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
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
            hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(known)}"
            raise StudioError(f"there is no setting {key!r}; {hint}")
    training = TrainingSettings.checked(sections["training"])
    adapter = settings.SETTINGS.checked(sections["adapter"])
    return RunConfig.checked({**top, "training": training, "adapter": adapter})


def parse_setting(text: str) -> tuple[str, Any]:
    """Return name and value of `name=value`, the value parsed as JSON or, if it is not JSON, as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise StudioError(f"--set {text!r} has no '='; write it like --set rank=16")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
