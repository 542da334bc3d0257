"""Textual Inversion: new word vectors, everything else frozen (Gal et al. 2022, arXiv:2208.01618).

The vectors are separate parameters behind the frozen embedding table (after OneTrainer's
`AdditionalEmbeddingWrapper`), so no row has to be restored after a step.

The negative token. Guidance (Ho & Salimans 2022, arXiv:2207.12598) steers from the prediction without a caption towards
the one with it, and both should come from one distribution: the style's images. A LoRA learns this by itself when
training drops captions. Textual Inversion cannot, since the empty prompt has no token to learn, so a dropped caption
becomes a second token, which is learned on the same loss; in generation it starts the negative prompt. Its vectors
begin as the tokens that end and pad the empty prompt, so untrained, or at scale 0, it is the empty prompt.
(DreamArtist, Dong et al. 2022, arXiv:2211.11337, learns a negative token too, but with guidance inside the loss, which
is another loss than LoRA's and twice the work.) diffusers loads a file of one token; a file with both is loaded token
by token: `pipe.load_textual_inversion({token: vectors})`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from adapters.base import AdapterSettings, Host, match_state, with_trigger
from adapters.formats import embedding
from adapters.settings import StudioError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


NAME = "ti"
LABEL = "Textual Inversion"
MODULE_PATH = re.compile(r"\.(lora_|weight|bias|alpha)|^lora_")
"""What a token never contains, and a tensor's name in another kind of file may."""
SHORT_LABEL = "TI"


class TextualInversionSettings(AdapterSettings):
    """Textual Inversion's training settings."""

    learning_rate: float = Field(1e-3, gt=0, le=10)
    """Peak learning rate of AdamW."""
    num_train_epochs: int = Field(15, ge=1, le=10_000)
    """How many times training goes through all training images."""
    num_vectors: int = Field(4, ge=1, le=64)
    """Vectors, and prompt tokens, of the embedding; more can describe more."""
    initializer_token: str = Field("style", min_length=1, max_length=60)
    """Existing words whose vectors the embedding starts from."""
    placeholder_token: str = Field("<ghiblivis>", min_length=1, max_length=60)
    """The new token, at the end of every prompt."""
    negative_vectors: int = Field(0, ge=0, le=64)
    """Vectors of a negative-prompt token, trained by unconditional_dropout. 0: none."""

    @property
    def learns_without_prompt(self) -> bool:
        """True if there is a negative token."""
        return self.negative_vectors > 0

    @field_validator("placeholder_token")
    @classmethod
    def _without_spaces(cls, token: str) -> str:
        if any(character.isspace() or character == "," for character in token):
            raise ValueError(f"placeholder_token is {token!r}; it must be one word, such as <my-style>")
        return token


SETTINGS = TextualInversionSettings

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"num_train_epochs": 3},
    "default": {},
    "paper": {
        "learning_rate": 5e-6,
        "lr_scheduler": "constant",
        "num_vectors": 1,
        "placeholder_token": "<ghiblivis-style>",
    },
}


def negative_token(token: str) -> str:
    """Return the negative token of a token: `<monet-negative>` for `<monet>`."""
    return f"{token[:-1]}-negative>" if token.endswith(">") else f"{token}-negative"


def _tokens(token: str, count: int) -> list[str]:
    """Return `<name>, <name>_1, ...`: diffusers' names for the vectors of one token."""
    return [token, *(f"{token}_{i}" for i in range(1, count))][:count]


class TextualInversionAdapter:
    """`num_vectors` new word vectors; UNet, text encoder and embedding table stay unchanged."""

    method = NAME
    # The states before the new token do not depend on it (the mask is causal) and could be cached from step to step.
    # That would save 2 to 3 % of a step of the miniature, where the text encoder takes 7 % and 34 of 77 tokens are
    # before the trigger, and under 1 % with Stable Diffusion 1.5: not worth our own forward pass of the text encoder.
    changes_text = True

    def __init__(self, settings: TextualInversionSettings):
        self.settings = settings
        self._vectors: nn.Parameter | None = None  # (num_vectors + negative_vectors, width)
        self._start: Tensor | None = None  # the same shape: the values before training
        self._scale = 1.0
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    @property
    def tokens(self) -> list[str]:
        """The prompt tokens of the embedding, one per vector."""
        return _tokens(self.settings.placeholder_token, self.settings.num_vectors)

    @property
    def negative_tokens(self) -> list[str]:
        """The prompt tokens of the negative token; empty if there is none."""
        return _tokens(negative_token(self.settings.placeholder_token), self.settings.negative_vectors)

    def attach(self, host: Host, seed: int = 0) -> Host:
        """Add the new token to a copy of the tokenizer and its vectors behind the embedding table.

        The first vectors are those of `initializer_token`; if more are needed, they repeat with a little noise from
        `seed`, since equal vectors would stay equal.
        """
        import torch
        from tokenizers import AddedToken

        tokenizer, tokens = copy.deepcopy(host.tokenizer), [*self.tokens, *self.negative_tokens]
        if taken := [token for token in tokens if token in tokenizer.get_vocab()]:
            raise StudioError(f"placeholder_token {taken[0]!r} is already a token of the model; choose another one")
        # not normalized, so that the tokenizer does not lower-case the token
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in tokens])
        first_new = min(tokenizer.convert_tokens_to_ids(tokens))

        text_encoder: Any = host.text_encoder
        table = text_encoder.get_input_embeddings()
        start_ids = host.tokenizer(self.settings.initializer_token, add_special_tokens=False).input_ids
        if not start_ids:
            raise StudioError(
                f"initializer_token {self.settings.initializer_token!r} has no token in this model; use a common word"
            )
        count = self.settings.num_vectors
        generator = torch.Generator().manual_seed(seed)
        rows = table.weight.detach().float().cpu()[start_ids]  # (start_ids, width)
        start = rows.repeat(-(-count // len(rows)), 1)[:count].clone()
        repeated = slice(len(rows), None)
        start[repeated] += 0.1 * start.std() * torch.randn(start[repeated].shape, generator=generator)
        if negative := self.settings.negative_vectors:
            ids = [host.tokenizer.eos_token_id, *[host.tokenizer.pad_token_id] * (negative - 1)]
            start = torch.cat([start, table.weight.detach().float().cpu()[ids]])
        start = start.to(table.weight.device)
        self._start = start
        self._vectors = torch.nn.Parameter(start.clone())

        def keep_ids(module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
            # the table has no rows for the new ids: look up row 0 instead and replace it in `put_vectors`
            module.new_ids = arguments[0] - first_new  # (batch, length)
            return (arguments[0].masked_fill(module.new_ids >= 0, 0),)

        def put_vectors(module: Any, arguments: Any, output: Tensor) -> Tensor:
            new_ids = module.new_ids
            del module.new_ids
            vectors = self._effective().to(output.dtype)
            return torch.where((new_ids >= 0).unsqueeze(-1), vectors[new_ids.clamp(min=0)], output)

        self._hooks = [table.register_forward_pre_hook(keep_ids), table.register_forward_hook(put_vectors)]
        return Host(host.unet, host.text_encoder, tokenizer)

    def detach(self) -> None:
        """Remove the vectors; the host's own tokenizer never had the token."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def parameters(self) -> list[nn.Parameter]:
        """Return the vectors, (num_vectors + negative_vectors, width), float32."""
        return [self._attached()]

    def state(self) -> dict[str, Tensor]:
        """Return `{placeholder_token: (num_vectors, width)}`, diffusers' layout, and the negative token's, if any."""
        vectors, count = self._attached().detach(), self.settings.num_vectors
        state = {self.settings.placeholder_token: vectors[:count].clone()}
        if self.settings.negative_vectors:
            state[negative_token(self.settings.placeholder_token)] = vectors[count:].clone()
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load saved vectors; raise StudioError where name or shape differ."""
        import torch

        match_state(own := self.state(), state)
        self._attached().data.copy_(torch.cat([state[name] for name in own]))

    def format_prompt(self, text: str) -> str:
        """Return `text, <name> <name>_1 ...`."""
        return with_trigger(text, " ".join(self.tokens))

    def unconditional(self, text: str = "") -> str:
        """Return `<negative token>, text`; the text itself if there is no negative token."""
        negative = " ".join(self.negative_tokens)
        return f"{negative}, {text}" if negative and text.strip() else negative or text

    def trigger_tokens(self, tokenizer: Any) -> int:
        """Return one token per vector, and one for the comma."""
        return self.settings.num_vectors + 1

    def set_scale(self, adapter_scale: float) -> None:
        """Move along the line from the starting vectors (0) to the trained ones (1)."""
        self._scale = adapter_scale

    def metadata(self) -> dict[str, str]:
        """Return nothing: the tensor's name is the token and its shape says the rest."""
        return {}

    def _attached(self) -> nn.Parameter:
        if self._vectors is None:
            raise RuntimeError("call attach(host) first")
        return self._vectors

    def _effective(self) -> Tensor:
        if self._scale == 1.0 or self._start is None:
            return self._attached()
        return self._start + self._scale * (self._attached() - self._start)


ADAPTER = TextualInversionAdapter


def recognizes(shapes: dict[str, tuple[int, ...]]) -> bool:
    """Return whether there is one (n, width) tensor named by a token, not a module path, or also its negative token."""
    tokens = all(len(shape) == 2 and not MODULE_PATH.search(name) for name, shape in shapes.items())
    return tokens and (len(shapes) == 1 or (len(shapes) == 2 and _both_tokens(shapes) is not None))


def _both_tokens(shapes: dict[str, tuple[int, ...]]) -> tuple[str, str] | None:
    """Return (token, its negative) of a file with two tensors; None if neither is the other's negative."""
    return next(((token, other) for token in shapes if (other := negative_token(token)) in shapes), None)


def settings_from_file(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> TextualInversionSettings:
    """Read the tokens and the numbers of vectors from a file without this project's metadata."""
    token, negative = _both_tokens(shapes) or (next(iter(shapes)), None)
    return TextualInversionSettings.checked(
        {
            "placeholder_token": token,
            "num_vectors": shapes[token][0],
            "negative_vectors": shapes[negative][0] if negative else 0,
        }
    )


export_files = embedding.export_files


def scale(
    settings: TextualInversionSettings, state: dict[str, Tensor], weight: float, start: Callable[[], dict[str, Tensor]]
) -> tuple[TextualInversionSettings, dict[str, Tensor]]:
    """Return the vectors scaled by `weight`, on the line from the starting ones (0) to the trained ones (1)."""
    first = start()
    return settings, {name: first[name] + weight * (vectors - first[name]) for name, vectors in state.items()}


def merge(
    parents: Sequence[tuple[TextualInversionSettings, dict[str, Tensor]]],
    weights: Sequence[float],
    rank: int | None = None,
) -> tuple[TextualInversionSettings, dict[str, Tensor], dict[str, Any]]:
    """Return the weighted sum of the vectors, one by one, under the first parent's token.

    Raises StudioError if the parents have different numbers of vectors, and for a rank, which only LoRA has.
    """
    import torch

    if rank is not None:
        raise StudioError(f"rank is {rank}, but Textual Inversion has no rank; leave it out")
    first = parents[0][0]
    counts = [(settings.num_vectors, settings.negative_vectors) for settings, _ in parents]
    if len(set(counts)) > 1:
        numbers = ", ".join(f"{own} and {negative} negative" for own, negative in counts)
        raise StudioError(
            f"the adapters have different numbers of vectors ({numbers}); merge those with the same number"
        )
    rows = [
        [state[name] for name in (s.placeholder_token, negative_token(s.placeholder_token)) if name in state]
        for s, state in parents
    ]
    if len({tuple(vectors.shape[1] for vectors in row) for row in rows}) > 1:
        raise StudioError("the adapters were trained on base models of different widths; merge those of one base model")
    names = (first.placeholder_token, negative_token(first.placeholder_token))
    return (
        first,
        {
            name: sum((weight * vectors for weight, vectors in zip(weights, column)), torch.zeros(()))
            for name, column in zip(names, zip(*rows))
        },
        {"how": "vector by vector"},
    )
