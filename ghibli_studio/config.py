"""What a person may choose: frozen, checked, saved as JSON beside the run. Every default and every bound lives here.

A method's own settings live with the method in `adapters`; a run's configuration is the same for all methods but for
that one section.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

import adapters
from adapters import AdapterSettings, Settings, StudioError

__all__ = [
    "PAPER_LANDMARKS",
    "PRESETS",
    "EvaluationSettings",
    "GenerationSettings",
    "RunConfig",
    "StudioError",
    "TrainingSettings",
    "preset",
]

PAPER_LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")

Device = Literal["auto", "cpu", "cuda", "mps"]
Attention = Literal["sdpa", "xformers"]


class TrainingSettings(Settings):
    """How to train: counts for every method alike."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the order of pictures, the noise, the time steps and the adapter's first values."""
    train_batch_size: int = Field(4, ge=1, le=1024)
    """Pictures in one step."""
    timestep_sampling: Literal["uniform", "logit_normal", "cubic"] = "cubic"
    """Which noise levels are trained most: all alike, the middle ones, or the noisiest ones (they decide the style)."""
    snr_gamma: float | None = Field(0.1, gt=0, le=1000)
    """Min-SNR weighting: the smaller, the less the nearly clean pictures count. Empty: the plain loss."""
    adam_weight_decay: float = Field(0.01, ge=0, le=1)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0, le=1e6)
    """Longer gradients are shortened to this norm."""
    validation_timesteps: tuple[int, ...] = (50, 150, 250, 400, 550, 700, 850, 950)
    """The fixed ladder of noise levels on which every validation picture is measured after each epoch."""
    sample_prompt: str = Field("", max_length=2000)
    """What the sample picture after each epoch shows. Empty: the first validation picture's prompt."""
    long_captions: Literal["refuse", "cut"] = "refuse"
    """What to do when a caption has more tokens than the model reads."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """Auto: half precision where GPU or processor computes in it, else float32."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""

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
            settings = adapters.method(values.get("method", "")).SETTINGS
            values = {**values, "adapter": settings.checked(values["adapter"])}
        return values


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
    settings = adapters.method(method)
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


class GenerationSettings(Settings):
    """How to draw: the same for the base model and every adapter."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the initial noise; the same seed gives the same picture."""
    num_inference_steps: int = Field(25, ge=1, le=1000)
    """Steps from noise to picture."""
    guidance_scale: float = Field(5.0, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    strength: float = Field(1.0, ge=-2, le=2)
    """How strongly the adapter acts: 0 is its untrained start, 1 as trained."""
    negative_prompt: str = Field("", max_length=2000)
    """What the picture should not show."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""


class EvaluationSettings(Settings):
    """How to evaluate: every variant draws the same pictures from the same noise."""

    tasks: tuple[Literal["prompt", "photo"], ...] = Field(("prompt", "photo"), min_length=1)
    """Draw from the prompt alone, or from the landmark's photograph, or both."""
    landmarks: tuple[str, ...] = ()
    """Names of held-out landmarks. Empty: all of them."""
    seeds: int = Field(1, ge=1, le=100)
    """Pictures of each landmark and task by every variant."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the initial noise; the same for every variant."""
    num_inference_steps: int = Field(25, ge=1, le=1000)
    """Steps from noise to picture."""
    guidance_scale: float = Field(5.0, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    denoising_strength: float = Field(0.6, gt=0, le=1)
    """How much of the photograph is drawn anew."""
    clip_model: str = Field("auto", min_length=1, max_length=500)
    """Auto: the embedded miniature's CLIP, a stand-in; or a folder or hub id of a published one."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""
