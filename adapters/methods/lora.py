"""LoRA: low-rank updates of UNet and text encoder, through peft (Hu et al. 2021, arXiv:2106.09685).

The only file that knows peft. The saved layout is diffusers' own, so that `pipe.load_lora_weights` reads it; how a file
of someone else's is understood stands in `lora_files`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from adapters.base import AdapterSettings, Host, match_state, with_trigger
from adapters.formats import kohya
from adapters.formats.diffusers_lora import (
    LONGEST_TRIGGER,
    TEXT,
    UNET,
    described,
    evened,
    name_in,
    of_the_layout,
    of_the_shapes,
    saved_name,
)
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
    """What a person may choose for LoRA."""

    learning_rate: float = Field(2e-3, gt=0, le=10)
    """Peak step size of AdamW."""
    num_train_epochs: int = Field(10, ge=1, le=10_000)
    """How often every training picture is seen."""
    rank: int = Field(8, ge=1, le=512)
    """Inner width of the update: more can learn more, and over-fit more."""
    lora_alpha: float = Field(8, gt=0, le=4096)
    """Every update is scaled by lora_alpha / rank, those of convolutions and text encoder too."""
    lora_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the update's inputs dropped in training, in the UNet."""
    target_modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """The UNet's layers that get an update."""
    conv_rank: int = Field(0, ge=0, le=512)
    """Inner width of the updates of the UNet's convolutions, which draw texture. 0: they stay as they are."""
    conv_modules: tuple[str, ...] = ("conv1", "conv2", "downsamplers.0.conv", "upsamplers.0.conv")
    """The UNet's convolutions that get an update where conv_rank is above 0."""
    text_encoder_rank: int = Field(0, ge=0, le=512)
    """Inner width of the text encoder's updates. 0: it stays as it is, and its states need computing only once."""
    text_encoder_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj")
    """The text encoder's layers that get an update where text_encoder_rank is above 0."""
    use_dora: bool = False
    """DoRA: also learn the length of every row of a weight, apart from its direction; a step does more work."""
    trigger: str = Field("ghibli style", max_length=LONGEST_TRIGGER)
    """Words at the end of every prompt that call the style."""

    @model_validator(mode="after")
    def _something_to_update(self) -> LoraSettings:
        for rank, modules in (("conv_rank", "conv_modules"), ("text_encoder_rank", "text_encoder_modules")):
            if getattr(self, rank) and not getattr(self, modules):
                raise ValueError(f"{rank} is {getattr(self, rank)} and {modules} is empty; name layers, or set it to 0")
        return self


SETTINGS = LoraSettings

PRESETS = {"quick": {"num_train_epochs": 3}, "default": {}, "paper": {"learning_rate": 1e-4}}


class LoraAdapter:
    """Low-rank updates inside the UNet and, where `text_encoder_rank` is above 0, inside the text encoder.

    With `use_dora` a weight is split into the lengths and the directions of its rows, and the update turns the
    directions (Liu et al. 2024, arXiv:2402.09353).
    """

    method = NAME

    def __init__(self, settings: LoraSettings):
        self.settings = settings
        self.changes_text = settings.text_encoder_rank > 0
        self._parts: dict[str, nn.Module] = {}  # by the prefix of their tensors' names
        self._strength = 1.0
        self._start: list[Tensor] = []  # DoRA's lengths as they were before training
        self._trained: list[Tensor] = []  # and as trained, while the strength is another than 1

    def attach(self, host: Host, seed: int = 0) -> Host:
        """Graft the updates onto the target modules; the first prediction equals the base's."""
        import torch

        self._strength = 1.0
        with torch.random.fork_rng(devices=[]):  # peft draws the initial values from the global generator
            torch.manual_seed(seed)
            lists = {UNET: ("target_modules", "conv_modules"), TEXT: ("text_encoder_modules",)}
            for prefix, config in self._configs().items():
                self._graft(prefix, host.unet if prefix == UNET else host.text_encoder, lists[prefix], config)
        for parameter in self.parameters():
            parameter.data = parameter.data.float()
        self._start = [length.detach().clone() for length in self._lengths()]
        return host

    def _graft(self, prefix: str, module: nn.Module, lists: tuple[str, ...], config: LoraConfig) -> None:
        from peft import inject_adapter_in_model

        training = module.training
        names = {name for name, _ in module.named_modules()}
        for chosen in lists:
            wanted = set(getattr(self.settings, chosen)) & set(config.target_modules)
            unknown = sorted(end for end in wanted if not any(f".{name}".endswith(f".{end}") for name in names))
            if unknown:
                self._refuse(prefix, chosen, f"it has no {', '.join(unknown)}")
        self._parts[prefix] = module
        try:
            inject_adapter_in_model(config, module, adapter_name=PEFT_NAME)
        except ValueError as error:
            self._refuse(prefix, lists[0], str(error))
        # peft builds its dropout layers in training mode whatever the module's mode is
        module.train(training)

    def _refuse(self, prefix: str, chosen: str, reason: str) -> None:
        self.detach()
        default = ", ".join(LoraSettings.model_fields[chosen].default)
        raise StudioError(
            f"{chosen} {list(getattr(self.settings, chosen))} do not fit this "
            f"{'UNet' if prefix == UNET else 'text encoder'} ({reason}); the default is {default}"
        )

    def _configs(self) -> dict[str, LoraConfig]:
        """By the prefix of the part; the text encoder's only where it is updated."""
        told = {UNET: self._unet_config()}
        return {**told, TEXT: self._text_config()} if self.settings.text_encoder_rank else told

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
        # no dropout: the loop leaves the frozen text encoder in evaluation mode
        return self._config(self.settings.text_encoder_rank, list(self.settings.text_encoder_modules))

    def _config(self, rank: int, modules: list[str], **more: Any) -> LoraConfig:
        from peft import LoraConfig

        return LoraConfig(
            r=rank,
            lora_alpha=self._alpha(rank),
            init_lora_weights="gaussian",
            target_modules=modules,
            use_dora=self.settings.use_dora,
            **more,
        )

    def _alpha(self, rank: int) -> float:
        """The alpha that gives an update of any rank the one scale."""
        settings = self.settings
        return settings.lora_alpha if rank == settings.rank else settings.lora_alpha * rank / settings.rank

    def detach(self) -> None:
        """Take the updates out; UNet and text encoder have their own layers back in their places."""
        from diffusers.utils.peft_utils import recurse_remove_peft_layers

        for module in self._parts.values():
            recurse_remove_peft_layers(module)
            module.requires_grad_(False)
            if hasattr(module, "peft_config"):
                del module.peft_config
        self._parts = {}

    def parameters(self) -> list[nn.Parameter]:
        """Down and up matrices of every target module, and with DoRA its rows' lengths; float32."""
        return [
            parameter
            for module in self._attached().values()
            for parameter in module.parameters()
            if parameter.requires_grad
        ]

    def state(self) -> dict[str, Tensor]:
        """`<part>.<path>.lora_A.weight` (rank, in), `.lora_B.weight` (out, rank), DoRA's `.lora_magnitude_vector`.

        The part is `unet` or `text_encoder`. A convolution's matrices have two more axes, its kernel's.
        """
        from peft.utils import get_peft_model_state_dict

        strength = self._strength
        self.set_scale(1.0)
        state = {
            saved_name(prefix + name): tensor.detach().clone()
            for prefix, module in self._attached().items()
            for name, tensor in get_peft_model_state_dict(module, adapter_name=PEFT_NAME).items()
        }
        self.set_scale(strength)
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over saved matrices; raises StudioError where names or shapes differ."""
        from peft.utils import set_peft_model_state_dict

        own = self.state()
        state = of_the_shapes(own, {saved_name(name): tensor for name, tensor in state.items()})
        match_state(own, state)
        strength = self._strength
        self.set_scale(1.0)
        for prefix, module in self._attached().items():
            own = {
                name_in(module, name.removeprefix(prefix)): tensor
                for name, tensor in state.items()
                if name.startswith(prefix)
            }
            set_peft_model_state_dict(module, own, adapter_name=PEFT_NAME)
        self.set_scale(strength)

    def caption(self, text: str) -> str:
        """`text, trigger`."""
        return with_trigger(text, self.settings.trigger)

    def unconditional(self, text: str = "") -> str:
        """The text itself: a LoRA learns the prediction for a dropped caption, not words for it."""
        return text

    def trigger_tokens(self, tokenizer: Any) -> int:
        """Tokens of `, trigger`."""
        return len(tokenizer(self.caption("a")).input_ids) - len(tokenizer("a").input_ids)

    def set_scale(self, adapter_scale: float) -> None:
        """Scale every update; 1 is lora_alpha / rank as trained. DoRA's lengths move along a line with it."""
        self._attached()
        lengths = list(self._lengths())
        if self._strength == 1.0 != adapter_scale:
            self._trained = [length.detach().clone() for length in lengths]
        if adapter_scale != self._strength:
            for layer in self._layers():
                layer.set_scale(PEFT_NAME, adapter_scale)
            for length, start, trained in zip(lengths, self._start, self._trained, strict=True):
                length.data.copy_(trained if adapter_scale == 1.0 else start + adapter_scale * (trained - start))
        self._strength = adapter_scale

    def metadata(self) -> dict[str, str]:
        """Without this header diffusers takes alpha to be the rank, silently."""
        from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY

        configs = {prefix: module.peft_config[PEFT_NAME] for prefix, module in self._parts.items()} or self._configs()
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

    def _lengths(self) -> Iterator[nn.Parameter]:
        """DoRA's lengths, (out,) of a matrix and (1, out, 1, 1) of a convolution; none without it."""
        if self.settings.use_dora:
            for layer in self._layers():
                yield layer.lora_magnitude_vector[PEFT_NAME].weight


ADAPTER = LoraAdapter


def settings_from_file(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> LoraSettings:
    """Read ranks, alpha and target modules from a file that does not carry this project's own recipe."""
    return LoraSettings.checked(described(shapes, metadata))


recognizes, fitted, interchange = of_the_layout, evened, kohya.interchange
scaled, averaged = lora_merge.scaled, lora_merge.averaged
