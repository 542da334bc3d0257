"""What an adapter is: the host that it may touch, the Protocol that it satisfies, the settings that every method has.

No method and no training lives here: an adapter owns its parameters and how they attach to the host, nothing else.
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
    """The training settings that every method has; a method adds its own."""

    learning_rate: float = Field(1e-3, gt=0, le=10)
    """Peak learning rate of AdamW."""
    lr_scheduler: Literal["cosine", "constant"] = "cosine"
    """Cosine falls to zero over the run; constant stays the same."""
    lr_warmup_steps: int = Field(0, ge=0, le=100_000)
    """Steps over which the learning rate rises from zero."""
    num_train_epochs: int = Field(10, ge=1, le=10_000)
    """How many times training goes through all training images."""

    @property
    def learns_without_prompt(self) -> bool:
        """True if part of the adapter learns only from images whose caption is dropped."""
        return False


@runtime_checkable
class Adapter(Protocol):
    """A small trainable part that attaches to a frozen Stable Diffusion.

    Every method is tested for this contract: base weights stay bit-identical, plain captions encode unchanged while the
    adapter is attached (unless it changes the text encoder), equal seeds give equal losses, the state round-trips, and
    detaching restores the base model.
    """

    method: str
    """The method's short name, as on the command line."""
    changes_text: bool
    """True if text states depend on the parameters, so that they must not be cached during training."""

    @property
    def settings(self) -> AdapterSettings:
        """The settings, of the method's own class."""

    def attach(self, host: Host, seed: int = 0) -> Host:
        """Attach to the host and return the host to use from now on; `seed` decides the initial values."""

    def detach(self) -> None:
        """Detach, so that the host computes what it did before."""

    def parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters, float32."""

    def state(self) -> dict[str, Tensor]:
        """Return the parameters under the names they are saved with."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load saved parameters; raise StudioError unless names and shapes match."""

    def format_prompt(self, text: str) -> str:
        """Return the prompt with the method's trigger at the end."""

    def unconditional(self, text: str = "") -> str:
        """Return the unconditional prompt: the negative prompt `text`, after the method's negative token if it has one.

        Training uses the same prompt in place of a dropped caption.
        """

    def trigger_tokens(self, tokenizer: Any) -> int:
        """Return how many tokens the trigger adds to a prompt, counted with the base model's own tokenizer."""

    def set_scale(self, adapter_scale: float) -> None:
        """Scale the adapter: 0 is the untrained start, 1 is as trained; between and beyond it is linear."""

    def metadata(self) -> dict[str, str]:
        """Return what the saved file's header must contain for other programs to load it correctly."""


def with_trigger(text: str, trigger: str) -> str:
    """Return `text, trigger`, or the text alone if the trigger is in it already."""
    text = text.strip().rstrip(",")
    if not trigger or trigger in text:
        return text
    return f"{text}, {trigger}" if text else trigger


def match_state(own: dict[str, Tensor], given: dict[str, Tensor]) -> None:
    """Raise StudioError unless both states have the same names and shapes."""
    if missing := sorted(own.keys() - given.keys()):
        raise StudioError(
            f"the adapter file lacks {len(missing)} of {len(own)} expected tensors (first: {missing[0]}); "
            "it was made for another base model or with other settings"
        )
    if extra := sorted(given.keys() - own.keys()):
        raise StudioError(
            f"the adapter file has {len(extra)} unexpected tensors (first: {extra[0]}); "
            "it was made for another base model or with other settings"
        )
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            raise StudioError(
                f"tensor {name} of the adapter file has shape {tuple(given[name].shape)}, but the base model needs "
                f"{tuple(tensor.shape)}; choose the base model that the adapter was trained on"
            )
