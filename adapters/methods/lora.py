"""LoRA: low-rank updates of UNet and text encoder, through peft (Hu et al. 2021, arXiv:2106.09685).

The only module that uses peft's layers. The saved layout is diffusers' own, so that `pipe.load_lora_weights` reads it;
files of other programs are read in `adapters.formats`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, model_validator

from adapters.base import AdapterSettings, Host, match_state, with_trigger
from adapters.formats import diffusers_lora, kohya
from adapters.formats.diffusers_lora import MAX_TRIGGER_LENGTH, TEXT, UNET, peft_name, reshape_like, saved_name
from adapters.methods import lora_merge
from adapters.settings import StudioError

if TYPE_CHECKING:
    from peft import LoraConfig
    from peft.tuners.lora import LoraLayer
    from torch import Tensor, nn


NAME = "lora"
LABEL = SHORT_LABEL = "LoRA"
PEFT_NAME = "default"


class LoraSettings(AdapterSettings):
    """LoRA's training settings."""

    learning_rate: float = Field(2e-3, gt=0, le=10)
    """Peak learning rate of AdamW."""
    num_train_epochs: int = Field(10, ge=1, le=10_000)
    """How many times training goes through all training images."""
    rank: int = Field(8, ge=1, le=512)
    """Inner width of the update: a higher rank can learn more, and overfit more."""
    lora_alpha: float = Field(8, gt=0, le=4096)
    """Every update is scaled by lora_alpha / rank, also in convolutions and the text encoder."""
    lora_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the update's inputs that training drops, in the UNet."""
    target_modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """The UNet's layers that are trained."""
    conv_rank: int = Field(0, ge=0, le=512)
    """Rank of the updates of the UNet's convolutions, which make texture. 0: not trained."""
    conv_modules: tuple[str, ...] = ("conv1", "conv2", "downsamplers.0.conv", "upsamplers.0.conv")
    """The UNet's convolutions that are trained if conv_rank is above 0."""
    text_encoder_rank: int = Field(0, ge=0, le=512)
    """Rank of the text encoder's updates. 0: not trained, and prompts are encoded only once."""
    text_encoder_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj")
    """The text encoder's layers that are trained if text_encoder_rank is above 0."""
    use_dora: bool = False
    """DoRA: also train the magnitude of every row of a weight; slower steps."""
    trigger: str = Field("ghibli style", max_length=MAX_TRIGGER_LENGTH)
    """Words at the end of every prompt that trigger the style."""

    @model_validator(mode="after")
    def _something_to_update(self) -> LoraSettings:
        for rank, modules in (("conv_rank", "conv_modules"), ("text_encoder_rank", "text_encoder_modules")):
            if getattr(self, rank) and not getattr(self, modules):
                raise ValueError(f"{rank} is {getattr(self, rank)} and {modules} is empty; name layers, or set it to 0")
        return self


SETTINGS = LoraSettings

PRESETS: dict[str, dict[str, Any]] = {"quick": {"num_train_epochs": 3}, "default": {}, "paper": {"learning_rate": 1e-4}}


class LoraAdapter:
    """Low-rank updates inside the UNet and, where `text_encoder_rank` is above 0, inside the text encoder.

    With `use_dora` a weight is split into the magnitudes and the directions of its rows, and the update changes the
    directions (Liu et al. 2024, arXiv:2402.09353).
    """

    method = NAME

    def __init__(self, settings: LoraSettings):
        self.settings = settings
        self.changes_text = settings.text_encoder_rank > 0
        self._parts: dict[str, nn.Module] = {}  # by the prefix of their tensors' names
        self._scale = 1.0
        self._start: list[Tensor] = []  # DoRA's magnitudes before training
        self._trained: list[Tensor] = []  # and as trained, while the scale is not 1

    def attach(self, host: Host, seed: int = 0) -> Host:
        """Attach the updates to the target modules; the first prediction equals the base model's."""
        import torch

        self._scale = 1.0
        with torch.random.fork_rng(devices=[]):  # peft draws the initial values from the global generator
            torch.manual_seed(seed)
            fields = {UNET: ("target_modules", "conv_modules"), TEXT: ("text_encoder_modules",)}
            for prefix, config in self._configs().items():
                self._inject(prefix, host.unet if prefix == UNET else host.text_encoder, fields[prefix], config)
        for parameter in self.parameters():
            parameter.data = parameter.data.float()
        self._start = [magnitude.detach().clone() for magnitude in self._magnitudes()]
        return host

    def _inject(self, prefix: str, module: nn.Module, fields: tuple[str, ...], config: LoraConfig) -> None:
        from peft import inject_adapter_in_model

        training = module.training
        names = {name for name, _ in module.named_modules()}
        for field in fields:
            targets = set(getattr(self.settings, field)) & set(config.target_modules or ())
            unknown = sorted(end for end in targets if not any(f".{name}".endswith(f".{end}") for name in names))
            if unknown:
                raise self._misfit(prefix, field, f"it has no {', '.join(unknown)}")
        self._parts[prefix] = module
        try:
            inject_adapter_in_model(config, module, adapter_name=PEFT_NAME)
        except ValueError as error:
            raise self._misfit(prefix, fields[0], str(error)) from error
        # peft builds its dropout layers in training mode, whatever the module's mode is
        module.train(training)

    def _misfit(self, prefix: str, field: str, reason: str) -> StudioError:
        self.detach()
        default = ", ".join(LoraSettings.model_fields[field].default)
        return StudioError(
            f"{field} {list(getattr(self.settings, field))} do not fit this "
            f"{'UNet' if prefix == UNET else 'text encoder'} ({reason}); the default is {default}"
        )

    def _configs(self) -> dict[str, LoraConfig]:
        """Return the configurations by the prefix of the part; the text encoder's only if it is trained."""
        unet = {UNET: self._unet_config()}
        return {**unet, TEXT: self._text_config()} if self.settings.text_encoder_rank else unet

    def _unet_config(self) -> LoraConfig:
        settings = self.settings
        convolutions = settings.conv_modules if settings.conv_rank else ()
        names = [re.escape(name) for name in convolutions]
        return self._config(
            settings.rank,
            [*settings.target_modules, *convolutions],
            lora_dropout=settings.lora_dropout,
            rank_pattern=dict.fromkeys(names, settings.conv_rank),
            alpha_pattern=dict.fromkeys(names, self._alpha(settings.conv_rank)),
        )

    def _text_config(self) -> LoraConfig:
        # no dropout: the training loop keeps the text encoder in evaluation mode
        return self._config(self.settings.text_encoder_rank, list(self.settings.text_encoder_modules))

    def _config(self, rank: int, modules: list[str], **options: Any) -> LoraConfig:
        from peft import LoraConfig

        return LoraConfig(
            r=rank,
            lora_alpha=self._alpha(rank),  # type: ignore[arg-type]  # peft only divides by the rank
            init_lora_weights="gaussian",
            target_modules=modules,
            use_dora=self.settings.use_dora,
            **options,
        )

    def _alpha(self, rank: int) -> float:
        """Return the alpha that gives an update of any rank the same scale."""
        settings = self.settings
        return settings.lora_alpha if rank == settings.rank else settings.lora_alpha * rank / settings.rank

    def detach(self) -> None:
        """Remove the updates; UNet and text encoder have their own layers again."""
        from diffusers.utils.peft_utils import recurse_remove_peft_layers

        for module in self._parts.values():
            recurse_remove_peft_layers(module)
            module.requires_grad_(False)
            if hasattr(module, "peft_config"):
                del module.peft_config
        self._parts = {}

    def parameters(self) -> list[nn.Parameter]:
        """Return down and up matrices of every target module, and with DoRA its rows' magnitudes; float32."""
        return [
            parameter
            for module in self._attached().values()
            for parameter in module.parameters()
            if parameter.requires_grad
        ]

    def state(self) -> dict[str, Tensor]:
        """Return `<part>.<path>.lora_A.weight` (rank, in), `.lora_B.weight` (out, rank), `.lora_magnitude_vector`.

        The part is `unet` or `text_encoder`; the last is DoRA's. A convolution's matrices have two more axes.
        """
        from peft.utils import get_peft_model_state_dict

        scale = self._scale
        self.set_scale(1.0)
        state = {
            saved_name(prefix + name): tensor.detach().clone()
            for prefix, module in self._attached().items()
            for name, tensor in get_peft_model_state_dict(module, adapter_name=PEFT_NAME).items()
        }
        self.set_scale(scale)
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load saved matrices; raise StudioError where names or shapes differ."""
        from peft.utils import set_peft_model_state_dict

        own = self.state()
        state = reshape_like(own, {saved_name(name): tensor for name, tensor in state.items()})
        match_state(own, state)
        scale = self._scale
        self.set_scale(1.0)
        for prefix, module in self._attached().items():
            own = {
                peft_name(module, name.removeprefix(prefix)): tensor
                for name, tensor in state.items()
                if name.startswith(prefix)
            }
            set_peft_model_state_dict(module, own, adapter_name=PEFT_NAME)
        self.set_scale(scale)

    def format_prompt(self, text: str) -> str:
        """Return `text, trigger`."""
        return with_trigger(text, self.settings.trigger)

    def unconditional(self, text: str = "") -> str:
        """Return the text itself: a LoRA learns the prediction for a dropped caption and needs no negative token."""
        return text

    def trigger_tokens(self, tokenizer: Any) -> int:
        """Count the tokens of `, trigger`."""
        return len(tokenizer(self.format_prompt("a")).input_ids) - len(tokenizer("a").input_ids)

    def set_scale(self, adapter_scale: float) -> None:
        """Scale every update; 1 is lora_alpha / rank as trained. DoRA's magnitudes move along a line with it."""
        self._attached()
        magnitudes = list(self._magnitudes())
        if self._scale == 1.0 != adapter_scale:
            self._trained = [magnitude.detach().clone() for magnitude in magnitudes]
        if adapter_scale != self._scale:
            for layer in self._layers():
                layer.set_scale(PEFT_NAME, adapter_scale)
            for magnitude, start, trained in zip(magnitudes, self._start, self._trained, strict=True):
                magnitude.data.copy_(trained if adapter_scale == 1.0 else start + adapter_scale * (trained - start))
        self._scale = adapter_scale

    def metadata(self) -> dict[str, str]:
        """Return the header without which diffusers silently takes alpha to be the rank."""
        from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY

        attached = {prefix: _config_of(module) for prefix, module in self._parts.items()}
        configs = attached or self._configs()
        packed = {
            prefix + name: sorted(value) if isinstance(value, set) else value
            for prefix, config in configs.items()
            for name, value in config.to_dict().items()
        }
        return {LORA_ADAPTER_METADATA_KEY: json.dumps(packed, indent=2, sort_keys=True, default=str)}

    def _attached(self) -> dict[str, nn.Module]:
        if not self._parts:
            raise RuntimeError("call attach(host) first")
        return self._parts

    def _layers(self) -> Iterator[LoraLayer]:
        from peft.tuners.lora import LoraLayer

        for part in self._attached().values():
            yield from (module for module in part.modules() if isinstance(module, LoraLayer))

    def _magnitudes(self) -> Iterator[nn.Parameter]:
        """Yield DoRA's magnitudes, (out,) of a matrix and (1, out, 1, 1) of a convolution; none without DoRA."""
        if self.settings.use_dora:
            for layer in self._layers():
                yield cast("nn.Parameter", cast(Any, layer).lora_magnitude_vector[PEFT_NAME].weight)


def _config_of(module: Any) -> LoraConfig:
    """Return the configuration that peft keeps on a module with updates."""
    config: LoraConfig = module.peft_config[PEFT_NAME]
    return config


ADAPTER = LoraAdapter


def settings_from_file(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> LoraSettings:
    """Read ranks, alpha and target modules from a file without this project's metadata."""
    return LoraSettings.checked(diffusers_lora.settings_from_shapes(shapes, metadata))


recognizes, normalize_state, export_files = diffusers_lora.recognizes, diffusers_lora.pad_ranks, kohya.export_files
scale, merge = lora_merge.scale, lora_merge.merge
