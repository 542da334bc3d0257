"""The Textual Inversion layout of AUTOMATIC1111, ComfyUI and kohya: one tensor, `emb_params`, under the file's name.

A file has one word, so that a negative word is a file of its own. There the trigger is the file's name; here it is put
between `<` and `>`, so that it is no word that the model knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import Adapter
from adapters.formats import metadata
from adapters.formats.diffusers_lora import Shapes
from adapters.formats.metadata import Facts, Files
from adapters.formats.safetensors_file import RECIPE_KEY

if TYPE_CHECKING:
    from torch import Tensor


KEY = "emb_params"
NAMELESS = (KEY, "*", "<*>")
"""Names of the one tensor that say nothing of the word; the last two are of files that were pickles once."""
UNFIT = re.compile(r"[^\w.-]+")


def recognizes(shapes: Shapes) -> bool:
    """True for the one tensor without a word of its own."""
    return len(shapes) == 1 and next(iter(shapes)) in NAMELESS


def word_of(path: Path) -> str:
    """The word that a file's name stands for: `my style.safetensors` is `<my-style>`."""
    return f"<{UNFIT.sub('-', path.stem).strip('-').casefold() or 'style'}>"


def file_name_of(word: str) -> str:
    """The file name, without ending, under which other programs know a word: `<my-style>` is `my-style`."""
    return UNFIT.sub("-", word.strip("<>")).strip("-") or "style"


def from_embedding(state: Mapping[str, Tensor], word: str) -> dict[str, Tensor]:
    """The tensor under its word; one vector (width,) becomes (1, width)."""
    vectors = next(iter(state.values()))
    return {word: vectors.reshape(-1, vectors.shape[-1])}


def shapes_from_embedding(shapes: Shapes, word: str) -> Shapes:
    """The shapes that `from_embedding` gives."""
    shape = next(iter(shapes.values()))
    return {word: (1, *shape) if len(shape) == 1 else shape}


def interchange(adapter: Adapter, state: Mapping[str, Tensor], recipe: Mapping[str, Any], facts: Facts) -> Files:
    """Words for diffusers and for AUTOMATIC1111: file name -> bytes, a file of each kind for every word.

    `state` has one word, or a second one that is its negative; only the first carries the recipe.
    """
    first = adapter.settings.placeholder_token
    own = {
        **recipe,
        "adapter": {**recipe.get("adapter", adapter.settings.model_dump(mode="json")), "negative_vectors": 0},
    }
    files: Files = {}
    for word in sorted(state, key=lambda one: one != first):
        vectors, negative = state[word], word != first
        told = facts.changed(name=file_name_of(word), trigger=file_name_of(word))
        kept = None if negative else own
        plain = {"format": "pt"} | ({} if negative else {RECIPE_KEY: json.dumps(own, sort_keys=True)})
        files[f"learned_embeds{'_negative' if negative else ''}.safetensors"] = metadata.saved({word: vectors}, plain)
        files[f"{told.name}.safetensors"] = metadata.for_others(
            "textual-inversion", {KEY: vectors}, metadata.training(recipe, told), told, kept
        )
    return files
