"""What an adapter is: the host it may touch, the Protocol it satisfies, the settings that every method has.

No method lives here, and no training: an adapter owns its parameters and its place in the host, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import Field

from adapters.settings import Settings, StudioError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Host:
    """All that an adapter may touch; every weight in it is frozen."""

    unet: nn.Module
    text_encoder: nn.Module
    tokenizer: Any


class AdapterSettings(Settings):
    """What every method lets a person choose; a method adds its own."""

    learning_rate: float = Field(1e-3, gt=0, le=10)
    """Peak step size of AdamW."""
    lr_scheduler: Literal["cosine", "constant"] = "cosine"
    """Cosine falls to zero over the run; constant stays."""
    lr_warmup_steps: int = Field(0, ge=0, le=100_000)
    """Steps over which the learning rate rises from zero."""
    num_train_epochs: int = Field(10, ge=1, le=10_000)
    """How often every training picture is seen."""

    @property
    def learns_without_prompt(self) -> bool:
        """True if part of the adapter learns only from pictures that are shown without a prompt."""
        return False


@runtime_checkable
class Adapter(Protocol):
    """A small trainable part grafted onto a frozen Stable Diffusion.

    The contract, tested on every method: base weights stay bit-identical, plain captions encode unchanged while the
    adapter is attached (unless it is the text encoder that is grafted on), equal seeds give equal losses, the state
    round-trips, and detaching restores the base.
    """

    method: str
    """The method's short name, as on the command line."""
    changes_text: bool
    """True if text states depend on the parameters, so that they may not be cached during training."""
    settings: AdapterSettings

    def attach(self, host: Host, seed: int = 0) -> Host:
        """Graft onto the host and return the host to use from now on; `seed` decides the initial values."""

    def detach(self) -> None:
        """Take the graft off; the host computes what it did before."""

    def parameters(self) -> list[nn.Parameter]:
        """The trainable parameters, float32."""

    def state(self) -> dict[str, Tensor]:
        """The parameters by the names under which they are saved."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over saved parameters; names and shapes must match, else StudioError."""

    def caption(self, text: str) -> str:
        """The prompt with the method's trigger at the end."""

    def unconditional(self, text: str = "") -> str:
        """What guidance steers away from: the negative prompt `text`, with the method's negative word if it has one.

        In training the same words stand for a caption that is dropped.
        """

    def trigger_tokens(self, tokenizer: Any) -> int:
        """Tokens that the trigger adds to a prompt, told by the base model's own tokenizer."""

    def set_scale(self, adapter_scale: float) -> None:
        """0 is the untrained start, 1 what was trained; between and beyond is linear in the parameters."""

    def metadata(self) -> dict[str, str]:
        """What the saved file's header must say for other programs to load it right."""


def with_trigger(text: str, trigger: str) -> str:
    """`text, trigger`, unless the text has the trigger already."""
    text = text.strip().rstrip(",")
    if not trigger or trigger in text:
        return text
    return f"{text}, {trigger}" if text else trigger


def match_state(own: dict[str, Tensor], given: dict[str, Tensor]) -> None:
    """Raise StudioError unless both states have the same names and shapes."""
    if missing := sorted(own.keys() - given.keys()):
        raise StudioError(
            f"the adapter file lacks {len(missing)} of {len(own)} expected tensors (first: {missing[0]}); "
            "it was made for another base model or other settings"
        )
    if extra := sorted(given.keys() - own.keys()):
        raise StudioError(
            f"the adapter file has {len(extra)} tensors that have no place here (first: {extra[0]}); "
            "it was made for another base model or other settings"
        )
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            raise StudioError(
                f"tensor {name} of the adapter file has shape {tuple(given[name].shape)}, the base model needs "
                f"{tuple(tensor.shape)}; choose the base model that the adapter was trained on"
            )
