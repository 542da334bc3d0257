"""LoRA: low-rank updates of the UNet's attention, through peft (Hu et al. 2021, arXiv:2106.09685).

The only file that knows peft. The saved layout is diffusers' own, so that `pipe.load_lora_weights` reads it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from adapters.base import AdapterSettings, Host, StudioError, match_state, with_trigger

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "lora"
LABEL = SHORT_LABEL = "LoRA"
PREFIX = "unet."
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
    """The update is scaled by lora_alpha / rank."""
    lora_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the update's inputs dropped in training."""
    target_modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """The UNet's layers that get an update."""
    trigger: str = Field("ghibli style", max_length=60)
    """Words at the end of every prompt that call the style."""


SETTINGS = LoraSettings

PRESETS = {
    "quick": {"num_train_epochs": 3},
    "default": {},
    "paper": {"learning_rate": 1e-4},
}


class LoraAdapter:
    """Low-rank updates inside the UNet; the text encoder stays as it is."""

    method = NAME
    changes_text = False

    def __init__(self, settings: LoraSettings):
        self.settings = settings
        self._unet: nn.Module | None = None

    def attach(self, host: Host, seed: int = 0) -> Host:
        """Graft the updates onto the UNet's target modules; the first prediction equals the base's."""
        import torch
        from peft import LoraConfig

        config = LoraConfig(
            r=self.settings.rank,
            lora_alpha=self.settings.lora_alpha,
            lora_dropout=self.settings.lora_dropout,
            init_lora_weights="gaussian",
            target_modules=list(self.settings.target_modules),
        )
        training = host.unet.training
        with torch.random.fork_rng(devices=[]):  # peft draws the initial values from the global generator
            torch.manual_seed(seed)
            try:
                host.unet.add_adapter(config, adapter_name=PEFT_NAME)
            except ValueError as error:
                host.unet.unload_lora()
                raise StudioError(
                    f"target_modules {list(self.settings.target_modules)} do not fit this UNet ({error}); "
                    "the default is to_q, to_k, to_v, to_out.0"
                ) from error
        self._unet = host.unet
        # peft builds its dropout layers in training mode whatever the UNet's mode is
        host.unet.train(training)
        for parameter in self.parameters():
            parameter.data = parameter.data.float()
        return host

    def detach(self) -> None:
        """Take the updates out; the UNet's own layers are back in their places."""
        if self._unet is not None:
            self._unet.unload_lora()
            self._unet.requires_grad_(False)
            self._unet = None

    def parameters(self) -> list[nn.Parameter]:
        """Down and up matrices of every target module, float32."""
        return [parameter for parameter in self._attached().parameters() if parameter.requires_grad]

    def state(self) -> dict[str, Tensor]:
        """`unet.<path>.lora_A.weight` (rank, in) and `unet.<path>.lora_B.weight` (out, rank)."""
        from peft.utils import get_peft_model_state_dict

        state = get_peft_model_state_dict(self._attached(), adapter_name=PEFT_NAME)
        return {PREFIX + name: tensor.detach().clone() for name, tensor in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over saved matrices; raises StudioError where names or shapes differ."""
        from peft.utils import set_peft_model_state_dict

        match_state(self.state(), state)
        bare = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
        set_peft_model_state_dict(self._attached(), bare, adapter_name=PEFT_NAME)

    def caption(self, text: str) -> str:
        """`text, trigger`."""
        return with_trigger(text, self.settings.trigger)

    def trigger_tokens(self, tokenizer: Any) -> int:
        """Tokens of `, trigger`."""
        return len(tokenizer(self.caption("a")).input_ids) - len(tokenizer("a").input_ids)

    def set_strength(self, strength: float) -> None:
        """Scale every update; 1 is lora_alpha / rank as trained."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for module in self._attached().modules():
            if isinstance(module, BaseTunerLayer):
                module.set_scale(PEFT_NAME, strength)

    def metadata(self) -> dict[str, str]:
        """Without this header diffusers takes alpha to be the rank, silently."""
        from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY

        config = self._attached().peft_config[PEFT_NAME].to_dict()
        packed = {PREFIX + name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
        return {LORA_ADAPTER_METADATA_KEY: json.dumps(packed, indent=2, sort_keys=True, default=str)}

    def _attached(self) -> nn.Module:
        if self._unet is None:
            raise RuntimeError("call attach(host) first")
        return self._unet


ADAPTER = LoraAdapter


def recognises(shapes: dict[str, tuple[int, ...]]) -> bool:
    """True for diffusers' layout of a UNet LoRA."""
    return bool(shapes) and all(
        name.startswith(PREFIX) and name.endswith((".lora_A.weight", ".lora_B.weight")) for name in shapes
    )


def settings_from_file(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> LoraSettings:
    """Read rank, alpha and target modules from a file that does not carry this project's own recipe."""
    down = {name: shape for name, shape in shapes.items() if name.endswith(".lora_A.weight")}
    ranks = {shape[0] for shape in down.values()}
    if len(ranks) != 1:
        raise StudioError(f"the LoRA file mixes the ranks {sorted(ranks)}; files of one rank can be loaded")
    packed = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    modules = {name.removeprefix(PREFIX).removesuffix(".lora_A.weight") for name in down}
    rank = ranks.pop()
    return LoraSettings.checked(
        {"rank": rank, "lora_alpha": packed.get(PREFIX + "lora_alpha", rank), "target_modules": tuple(sorted(modules))}
    )
