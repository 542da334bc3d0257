"""Any adapter file -> its tensors under this project's names, whoever wrote it; what the names are, the layouts know.

Known are diffusers' layout, old and new, kohya's, and the one of AUTOMATIC1111's embeddings. Nothing is guessed: a file
of another family or another method is refused in one sentence.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adapters.formats import embedding, kohya
from adapters.formats.compatibility import refuse_others
from adapters.formats.diffusers_lora import DOWN, LONGEST_TRIGGER, TEXT, TRIGGER, UNET, UP, Shapes
from adapters.formats.safetensors_file import RECIPE_KEY, read_header, read_tensors
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


Layout = Literal["diffusers", "kohya", "embedding"]
OLD_ATTENTION = {"to_q_lora": "to_q", "to_k_lora": "to_k", "to_v_lora": "to_v", "to_out_lora": "to_out.0"}
OLD_TEXT = {"to_q_lora": "q_proj", "to_k_lora": "k_proj", "to_v_lora": "v_proj", "to_out_lora": "out_proj"}
OLD_ENDINGS = {
    ".lora.down.weight": DOWN,
    ".lora.up.weight": UP,
    ".lora_linear_layer.down.weight": DOWN,
    ".lora_linear_layer.up.weight": UP,
    ".down.weight": DOWN,
    ".up.weight": UP,
}
NOTES = 65_536
"""Bytes of a file of notes beside an adapter that are read at most."""


@dataclass(frozen=True)
class Content:
    """What a file holds, by diffusers' names."""

    layout: Layout
    """How it is written."""
    shapes: Shapes
    metadata: dict[str, str]
    """Its header, with what another layout says in tensors or beside the file put where diffusers has it."""
    tensors: dict[str, Tensor] | None = None
    """float32, on the CPU; None where only the header was asked for."""

    @property
    def recipe(self) -> dict[str, Any]:
        """This project's recipe; empty for a foreign file."""
        return json.loads(self.metadata.get(RECIPE_KEY, "{}"))


def read(path: Path, *, tensors: bool = True) -> Content:
    """Read a file of any known layout, its tensors only if asked; raises StudioError for what cannot be used."""
    path = Path(path)
    shapes, metadata = read_header(path)
    refuse_others(path.name, shapes, metadata)
    metadata |= _noted(path)
    if kohya.recognizes(shapes):
        values = read_tensors(path) if tensors else None
        alphas = _alphas(path, [name for name in shapes if name.endswith(kohya.ALPHA)])
        metadata |= kohya.header_of(shapes, alphas)
        return Content("kohya", kohya.shapes_from_kohya(shapes), metadata, values and kohya.from_kohya(values))
    values = read_tensors(path) if tensors else None
    if embedding.recognizes(shapes):
        told = json.loads(metadata.get(RECIPE_KEY, "{}"))
        word = told.get("adapter", {}).get("placeholder_token") or embedding.word_of(path)
        found = values and embedding.from_embedding(values, word)
        return Content("embedding", embedding.shapes_from_embedding(shapes, word), metadata, found)
    names = {name: _new_name(name) for name in shapes}
    return Content(
        "diffusers",
        {names[name]: shape for name, shape in shapes.items()},
        metadata,
        values and {names[name]: tensor for name, tensor in values.items()},
    )


def _new_name(name: str) -> str:
    """Diffusers' names of today for those of 2023; any other name as it is."""
    if not name.startswith((UNET, TEXT)) or ".lora_A." in name or ".lora_B." in name:
        return name
    for old, new in OLD_ENDINGS.items():
        if name.endswith(old):
            layer = name.removesuffix(old)
            for theirs, ours in (OLD_ATTENTION if name.startswith(UNET) else OLD_TEXT).items():
                layer = re.sub(rf"(\.processor)?\.{theirs}$", f".{ours}", layer)
            return layer + new
    return name


def _alphas(path: Path, names: list[str]) -> dict[str, float]:
    """Layer's key -> alpha; raises StudioError for one that is no finite number."""
    import numpy as np
    from safetensors import safe_open

    found = {}
    with safe_open(path, "pt") as file:
        for name in names:
            tensor = file.get_tensor(name)
            if tensor.numel() != 1 or not tensor.isfinite().all():
                raise StudioError(f"{name} of {path.name} must be one number; export it again where it was made")
            # the number that was meant: a float32 of 0.1 is 0.100000001 to the ninth digit
            found[name.removesuffix(kohya.ALPHA)] = float(str(np.float32(tensor.item())))
    return found


def _noted(path: Path) -> dict[str, str]:
    """The trigger that a person gave the file in AUTOMATIC1111: `activation text` in a .json file beside it."""
    notes = path.with_suffix(".json")
    try:
        if not notes.is_file() or notes.stat().st_size > NOTES:
            return {}
        told = json.loads(notes.read_text(encoding="utf-8"))
        words = told.get("activation text") if isinstance(told, dict) else None
    except (OSError, ValueError):
        return {}  # notes are for people; a file is not refused for them
    words = words.strip() if isinstance(words, str) else ""
    return {TRIGGER: words} if 0 < len(words) <= LONGEST_TRIGGER else {}
