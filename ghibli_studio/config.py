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
    "ExportSettings",
    "GenerationSettings",
    "PhotographStyling",
    "RunConfig",
    "StudioError",
    "StyleSettings",
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
            settings = adapters.method(values.get("method", "")).SETTINGS
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


class PhotographStyling(Settings):
    """What one photograph wants otherwise than its batch when it is styled; empty is the batch's."""

    prompt: str | None = Field(None, max_length=4000)
    """What to draw, instead of the photograph's own prompt."""
    negative_prompt: str | None = Field(None, max_length=2000)
    """What the picture should not show."""
    denoising_strength: float | None = Field(None, gt=0, le=1)
    """How much of the photograph is drawn anew."""
    guidance_scale: float | None = Field(None, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    """Steps from noise to picture."""
    seed: int | None = Field(None, ge=0, lt=2**31)
    """Decides the noise."""
    strength: float | None = Field(None, ge=-2, le=2)
    """How strongly the adapter acts."""


class StyleSettings(Settings):
    """How to style photographs: image-to-image, for a whole batch; a photograph may want some of it otherwise."""

    source: Literal["teacher", "prompt", "adapter"] = "teacher"
    """Where the style comes from: the embedded style teacher, words in the prompt alone, or an adapter file."""
    adapter_file: str = Field("", max_length=4000)
    """The LoRA or Textual Inversion (.safetensors) that knows the style, for the source 'adapter'."""
    style_words: str = Field("oil painting", max_length=200)
    """Words at the end of every prompt that ask for the style, for the source 'prompt'."""
    denoising_strength: float = Field(0.2, gt=0, le=1)
    """How much is drawn anew: little keeps the landmark, much brings the style; 0.5 for drawn landmarks."""
    guidance_scale: float = Field(5.0, ge=0, le=50)
    """How strongly the picture follows the prompt; 1 switches guidance off."""
    num_inference_steps: int = Field(25, ge=1, le=1000)
    """Steps from noise to picture; of these the share of denoising_strength is done."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the noise, together with the photograph's number."""
    strength: float = Field(1.0, ge=-2, le=2)
    """How strongly the teacher or the adapter acts."""
    negative_prompt: str = Field("", max_length=2000)
    """What the pictures should not show."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    attention: Attention = "sdpa"
    """PyTorch's own attention, or xformers (needs a CUDA GPU)."""


class ExportSettings(Settings):
    """How a data set is handed to another program."""

    layout: Literal["folder", "imagefolder", "kohya"] = "folder"
    """Pictures with .txt files, as this studio imports them; for the `datasets` library; or for kohya's sd-scripts."""
    zipped: bool = False
    """One ZIP instead of a folder; the same data set gives the same bytes."""
    manifest: bool = True
    """Also manifest.json, which says of every picture its landmark, its side and where it came from."""
    sources: bool = False
    """Also the pictures as they came, or the photographs behind styled ones; needs the manifest."""
    trigger: str = Field("ghibli style", max_length=60)
    """Words at the end of every prompt that shall call the style; the layout 'folder' has the prompts as they are."""
    class_word: str = Field("landmark", max_length=60)
    """What the pictures show, in the name of kohya's folder."""
    repeats: int = Field(10, ge=1, le=1000)
    """How often kohya's sd-scripts show every picture in an epoch."""

    @model_validator(mode="after")
    def _sources_are_told_by_the_manifest(self) -> ExportSettings:
        if self.sources and not self.manifest:
            raise ValueError("sources need the manifest, which says whose they are; switch it on, or leave them out")
        return self


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
