"""The Textual Inversion layout of AUTOMATIC1111, ComfyUI and kohya: one tensor, `emb_params`, named by its file.

A file has one token, so a negative token is a file of its own. In those programs the trigger is the file's name; here
it is put between `<` and `>`, so that it is not a word of the tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import Adapter
from adapters.formats import metadata as file_metadata
from adapters.formats.diffusers_lora import Shapes
from adapters.formats.metadata import ExportInfo, Files
from adapters.formats.safetensors_file import METADATA_KEY

if TYPE_CHECKING:
    from torch import Tensor


KEY = "emb_params"
NAMELESS = (KEY, "*", "<*>")
"""Names of the one tensor that do not name the token; the last two are in files converted from pickles."""
UNSAFE = re.compile(r"[^\w.-]+")


def recognizes(shapes: Shapes) -> bool:
    """Return whether the file has one tensor without a token of its own."""
    return len(shapes) == 1 and next(iter(shapes)) in NAMELESS


def token_from_file(path: Path) -> str:
    """Return the token that a file's name stands for: `my style.safetensors` is `<my-style>`."""
    return f"<{UNSAFE.sub('-', path.stem).strip('-').casefold() or 'style'}>"


def file_name_of_token(token: str) -> str:
    """Return the file name, without extension, by which other programs call a token: `<my-style>` is `my-style`."""
    return UNSAFE.sub("-", token.strip("<>")).strip("-") or "style"


def from_embedding(state: Mapping[str, Tensor], token: str) -> dict[str, Tensor]:
    """Return the tensor under its token; one vector (width,) becomes (1, width)."""
    vectors = next(iter(state.values()))
    return {token: vectors.reshape(-1, vectors.shape[-1])}


def shapes_from_embedding(shapes: Shapes, token: str) -> Shapes:
    """Return the shapes of what `from_embedding` returns."""
    shape = next(iter(shapes.values()))
    return {token: (1, *shape) if len(shape) == 1 else shape}


def export_files(adapter: Adapter, state: Mapping[str, Tensor], metadata: Mapping[str, Any], info: ExportInfo) -> Files:
    """Return the files of a Textual Inversion for diffusers and for AUTOMATIC1111, one of each for every token.

    `state` has one token, or also its negative token; only the first token's files carry this project's metadata.
    """
    settings = adapter.settings.model_dump(mode="json")
    first = settings["placeholder_token"]
    own = {**metadata, "adapter": {**metadata.get("adapter", settings), "negative_vectors": 0}}
    files: Files = {}
    for token in sorted(state, key=lambda name: name != first):
        vectors, negative = state[token], token != first
        name = file_name_of_token(token)
        token_info = info.changed(name=name, trigger=name)
        plain = {"format": "pt"} | ({} if negative else {METADATA_KEY: json.dumps(own, sort_keys=True)})
        files[f"learned_embeds{'_negative' if negative else ''}.safetensors"] = file_metadata.safetensors_bytes(
            {token: vectors}, plain
        )
        files[f"{name}.safetensors"] = file_metadata.bytes_with_metadata(
            "textual-inversion",
            {KEY: vectors},
            file_metadata.training_metadata(metadata, token_info),
            token_info,
            None if negative else own,
        )
    return files
