"""Textual Inversion: new word vectors, everything else frozen (Gal et al. 2022, arXiv:2208.01618).

The vectors are parameters of their own behind the frozen embedding table (after OneTrainer's
`AdditionalEmbeddingWrapper`), so there is no row to put back after a step.

The negative word. Guidance (Ho & Salimans 2022, arXiv:2207.12598) steers from the prediction without a caption towards
the one with it, and both should be those of one distribution: the style's pictures. A LoRA gets there by itself when
captions are dropped in training. Textual Inversion cannot, since the empty prompt has no word to learn, so it drops to
a second word, which is learned on the same loss; in drawing it leads the negative prompt. Its vectors begin as the
tokens that end and fill the empty prompt, so untrained, or at strength 0, it is the empty prompt. (DreamArtist, Dong et
al. 2022, arXiv:2211.11337, learns a negative word too, but with guidance inside the loss, which is another loss than
LoRA's and twice the work.) diffusers loads a file of one word; one with both is given to it word by word:
`pipe.load_textual_inversion({word: vectors})`.
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
LAYER = re.compile(r"\.(lora_|weight|bias|alpha)|^lora_")
"""What no word's name has, and a tensor of another kind of file may."""
SHORT_LABEL = "TI"


class TextualInversionSettings(AdapterSettings):
    """What a person may choose for Textual Inversion."""

    learning_rate: float = Field(1e-3, gt=0, le=10)
    """Peak step size of AdamW."""
    num_train_epochs: int = Field(15, ge=1, le=10_000)
    """How often every training picture is seen."""
    num_vectors: int = Field(4, ge=1, le=64)
    """How many tokens of the prompt the new word takes; more can say more."""
    initializer_token: str = Field("style", min_length=1, max_length=60)
    """The known words whose vectors the new word starts from."""
    placeholder_token: str = Field("<ghiblivis>", min_length=1, max_length=60)
    """The new word, at the end of every prompt."""

    negative_vectors: int = Field(0, ge=0, le=64)
    """Tokens of a second word, for the negative prompt; unconditional_dropout says how often it learns. 0: none."""

    @property
    def learns_without_prompt(self) -> bool:
        """True where there is a negative word."""
        return self.negative_vectors > 0

    @field_validator("placeholder_token")
    @classmethod
    def _one_word(cls, token: str) -> str:
        if any(character.isspace() or character == "," for character in token):
            raise ValueError(f"placeholder_token is {token!r}; it must be one word, such as <my-style>")
        return token


SETTINGS = TextualInversionSettings

PRESETS = {
    "quick": {"num_train_epochs": 3},
    "default": {},
    "paper": {
        "learning_rate": 5e-6,
        "lr_scheduler": "constant",
        "num_vectors": 1,
        "placeholder_token": "<ghiblivis-style>",
    },
}


def negative_word(word: str) -> str:
    """The name of a word's negative: `<monet>` has `<monet-negative>`."""
    return f"{word[:-1]}-negative>" if word.endswith(">") else f"{word}-negative"


def _tokens(word: str, count: int) -> list[str]:
    """`<name>, <name>_1, ...`: diffusers' names for the vectors of one word."""
    return [word, *(f"{word}_{i}" for i in range(1, count))][:count]


class TextualInversionAdapter:
    """`num_vectors` new word vectors; UNet, text encoder and embedding table stay as they are."""

    method = NAME
    # The states before the new word do not depend on it (the mask is causal) and could be kept from step to step. That
    # would save 2 to 3 % of a step of the miniature, where the text encoder takes 7 % and the words before the trigger
    # are 34 of 77 tokens, and under 1 % with Stable Diffusion 1.5: not worth a text encoder's forward pass of our own.
    changes_text = True

    def __init__(self, settings: TextualInversionSettings):
        self.settings = settings
        self._vectors: nn.Parameter | None = None  # (num_vectors + negative_vectors, width)
        self._start: Tensor | None = None  # the same shape: what training began with
        self._strength = 1.0
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    @property
    def tokens(self) -> list[str]:
        """The new word's tokens."""
        return _tokens(self.settings.placeholder_token, self.settings.num_vectors)

    @property
    def negative_tokens(self) -> list[str]:
        """The negative word's tokens; none where there is no such word."""
        return _tokens(negative_word(self.settings.placeholder_token), self.settings.negative_vectors)

    def attach(self, host: Host, seed: int = 0) -> Host:
        """Teach a copy of the tokenizer the new word and slip its vectors in behind the embedding table.

        The first vectors are those of `initializer_token`; where more are needed they repeat with a little noise,
        drawn from `seed`, since equal vectors would stay equal.
        """
        import torch
        from tokenizers import AddedToken

        tokenizer, words = copy.deepcopy(host.tokenizer), [*self.tokens, *self.negative_tokens]
        if known := [token for token in words if token in tokenizer.get_vocab()]:
            raise StudioError(f"placeholder_token {known[0]!r} is a word that the model knows; choose another")
        # not normalized, so that the tokenizer's lower-casing does not touch the word
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in words])
        first_new = min(tokenizer.convert_tokens_to_ids(words))

        table = host.text_encoder.get_input_embeddings()
        start_ids = host.tokenizer(self.settings.initializer_token, add_special_tokens=False).input_ids
        if not start_ids:
            raise StudioError(
                f"initializer_token {self.settings.initializer_token!r} has no token in this model; use a plain word"
            )
        count = self.settings.num_vectors
        generator = torch.Generator().manual_seed(seed)
        known_rows = table.weight.detach().float().cpu()[start_ids]  # (words, width)
        start = known_rows.repeat(-(-count // len(known_rows)), 1)[:count].clone()
        repeated = slice(len(known_rows), None)
        start[repeated] += 0.1 * start.std() * torch.randn(start[repeated].shape, generator=generator)
        if negative := self.settings.negative_vectors:
            ids = [host.tokenizer.eos_token_id, *[host.tokenizer.pad_token_id] * (negative - 1)]
            start = torch.cat([start, table.weight.detach().float().cpu()[ids]])
        start = start.to(table.weight.device)
        self._start = start
        self._vectors = torch.nn.Parameter(start.clone())

        def keep_ids(module, arguments):
            # the table has no rows for the new ids: look up row 0 there and replace it in `put_vectors`
            module.new_ids = arguments[0] - first_new  # (batch, length)
            return (arguments[0].masked_fill(module.new_ids >= 0, 0),)

        def put_vectors(module, arguments, output):
            new_ids = module.new_ids
            del module.new_ids
            vectors = self._effective().to(output.dtype)
            return torch.where((new_ids >= 0).unsqueeze(-1), vectors[new_ids.clamp(min=0)], output)

        self._hooks = [table.register_forward_pre_hook(keep_ids), table.register_forward_hook(put_vectors)]
        return Host(host.unet, host.text_encoder, tokenizer)

    def detach(self) -> None:
        """Take the vectors out; the host's own tokenizer never knew the word."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def parameters(self) -> list[nn.Parameter]:
        """The vectors, (num_vectors + negative_vectors, width), float32."""
        return [self._attached()]

    def state(self) -> dict[str, Tensor]:
        """`{placeholder_token: (num_vectors, width)}`, diffusers' layout; the negative word, if any, under its name."""
        vectors, count = self._attached().detach(), self.settings.num_vectors
        state = {self.settings.placeholder_token: vectors[:count].clone()}
        if self.settings.negative_vectors:
            state[negative_word(self.settings.placeholder_token)] = vectors[count:].clone()
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over saved vectors; raises StudioError where name or shape differ."""
        import torch

        match_state(own := self.state(), state)
        self._attached().data.copy_(torch.cat([state[name] for name in own]))

    def caption(self, text: str) -> str:
        """`text, <name> <name>_1 ...`."""
        return with_trigger(text, " ".join(self.tokens))

    def unconditional(self, text: str = "") -> str:
        """`<negative word>, text`; the text itself where there is no negative word."""
        word = " ".join(self.negative_tokens)
        return f"{word}, {text}" if word and text.strip() else word or text

    def trigger_tokens(self, tokenizer: Any) -> int:
        """One a vector, and the comma."""
        return self.settings.num_vectors + 1

    def set_scale(self, adapter_scale: float) -> None:
        """Move along the line from the starting vectors (0) to the trained ones (1)."""
        self._strength = adapter_scale

    def metadata(self) -> dict[str, str]:
        """Nothing: the tensor's name is the word and its shape says the rest."""
        return {}

    def _attached(self) -> nn.Parameter:
        if self._vectors is None:
            raise RuntimeError("call attach(host) first")
        return self._vectors

    def _effective(self) -> Tensor:
        if self._strength == 1.0:
            return self._attached()
        return self._start + self._strength * (self._attached() - self._start)


ADAPTER = TextualInversionAdapter


def recognizes(shapes: dict[str, tuple[int, ...]]) -> bool:
    """True for one (n, width) tensor whose name is a word, not a module path; its negative word may come along."""
    words = all(len(shape) == 2 and not LAYER.search(name) for name, shape in shapes.items())
    return words and (len(shapes) == 1 or (len(shapes) == 2 and _both_words(shapes) is not None))


def _both_words(shapes: dict[str, tuple[int, ...]]) -> tuple[str, str] | None:
    """(word, its negative) of a file with two tensors; None where one is not the other's negative."""
    return next(((word, other) for word in shapes if (other := negative_word(word)) in shapes), None)


def settings_from_file(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> TextualInversionSettings:
    """Read the words and the numbers of vectors from a file that does not carry this project's own recipe."""
    word, negative = _both_words(shapes) or (next(iter(shapes)), None)
    return TextualInversionSettings.checked(
        {
            "placeholder_token": word,
            "num_vectors": shapes[word][0],
            "negative_vectors": shapes[negative][0] if negative else 0,
        }
    )


interchange = embedding.interchange


def scaled(
    settings: TextualInversionSettings, state: dict[str, Tensor], weight: float, start: Callable[[], dict[str, Tensor]]
) -> tuple[TextualInversionSettings, dict[str, Tensor]]:
    """The vectors at a strength: on the line from the starting ones (0) to the trained ones (1)."""
    first = start()
    return settings, {name: first[name] + weight * (vectors - first[name]) for name, vectors in state.items()}


def averaged(
    parents: Sequence[tuple[TextualInversionSettings, dict[str, Tensor]]],
    weights: Sequence[float],
    rank: int | None = None,
) -> tuple[TextualInversionSettings, dict[str, Tensor], dict[str, Any]]:
    """The weighted sum of the vectors, place by place, under the first parent's word.

    Raises StudioError where the parents have different numbers of vectors, and for a rank, which only LoRA has.
    """
    if rank is not None:
        raise StudioError(f"rank is {rank}, and words have none; leave it out")
    first = parents[0][0]
    counts = [(settings.num_vectors, settings.negative_vectors) for settings, _ in parents]
    if len(set(counts)) > 1:
        told = ", ".join(f"{own} and {negative} negative" for own, negative in counts)
        raise StudioError(f"the words have different numbers of vectors ({told}); average words of one length")
    rows = [
        [state[name] for name in (s.placeholder_token, negative_word(s.placeholder_token)) if name in state]
        for s, state in parents
    ]
    if len({tuple(vectors.shape[1] for vectors in row) for row in rows}) > 1:
        raise StudioError("the words were trained on base models of different widths; average those of one model")
    names = (first.placeholder_token, negative_word(first.placeholder_token))
    return (
        first,
        {name: sum(w * vectors for w, vectors in zip(weights, column)) for name, column in zip(names, zip(*rows))},
        {"way": "vector by vector"},
    )
