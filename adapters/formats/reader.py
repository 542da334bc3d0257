"""Reads any adapter file into tensors under this project's names; the layouts' own modules know the names.

Supported are diffusers' layout (old and new), kohya's, and AUTOMATIC1111's embeddings. Nothing is guessed: a file of
another family or method is refused with an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adapters.formats import embedding, kohya
from adapters.formats.compatibility import check_supported
from adapters.formats.diffusers_lora import DOWN, MAX_TRIGGER_LENGTH, TEXT, TRIGGER, UNET, UP, Shapes
from adapters.formats.safetensors_file import parse_adapter_metadata, read_header, read_tensors
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
MAX_NOTES_BYTES = 65_536
"""Size of the largest JSON file beside an adapter that is read."""


@dataclass(frozen=True)
class Content:
    """What a file holds, by diffusers' names."""

    layout: Layout
    """The layout that it is written in."""
    shapes: Shapes
    metadata: dict[str, str]
    """Its header; what another layout keeps in tensors or in a JSON file is put where diffusers has it."""
    tensors: dict[str, Tensor] | None = None
    """float32, on the CPU; None if only the header was read."""

    @property
    def adapter_metadata(self) -> dict[str, Any]:
        """This project's metadata; empty for a file of another program."""
        return parse_adapter_metadata(self.metadata)


def read(path: Path, *, tensors: bool = True) -> Content:
    """Read a file in any supported layout, with or without tensors; raise StudioError for one that cannot be used."""
    path = Path(path)
    shapes, metadata = read_header(path)
    check_supported(path.name, shapes, metadata)
    metadata |= _read_notes(path)
    if kohya.recognizes(shapes):
        values = read_tensors(path) if tensors else None
        alphas = _alphas(path, [name for name in shapes if name.endswith(kohya.ALPHA)])
        metadata |= kohya.diffusers_header(shapes, alphas)
        return Content("kohya", kohya.shapes_from_kohya(shapes), metadata, values and kohya.from_kohya(values))
    values = read_tensors(path) if tensors else None
    if embedding.recognizes(shapes):
        settings = parse_adapter_metadata(metadata).get("adapter", {})
        token = settings.get("placeholder_token") or embedding.token_from_file(path)
        vectors = values and embedding.from_embedding(values, token)
        return Content("embedding", embedding.shapes_from_embedding(shapes, token), metadata, vectors)
    names = {name: _current_name(name) for name in shapes}
    return Content(
        "diffusers",
        {names[name]: shape for name, shape in shapes.items()},
        metadata,
        values and {names[name]: tensor for name, tensor in values.items()},
    )


def _current_name(name: str) -> str:
    """Return diffusers' current name for one of 2023; any other name unchanged."""
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
    """Return layer's key -> alpha; raise StudioError for an alpha that is not a finite number."""
    import numpy as np
    from safetensors import safe_open

    alphas = {}
    with safe_open(path, "pt") as file:
        for name in names:
            tensor = file.get_tensor(name)
            if tensor.numel() != 1 or not tensor.isfinite().all():
                raise StudioError(f"{name} of {path.name} must be one number; download or export the file again")
            # the shortest decimal: a float32 of 0.1 is 0.100000001 to the ninth digit
            alphas[name.removesuffix(kohya.ALPHA)] = float(str(np.float32(tensor.item())))
    return alphas


def _read_notes(path: Path) -> dict[str, str]:
    """Return the trigger that a user set in AUTOMATIC1111: `activation text` in a .json file beside the adapter."""
    notes = path.with_suffix(".json")
    try:
        if not notes.is_file() or notes.stat().st_size > MAX_NOTES_BYTES:
            return {}
        values = json.loads(notes.read_text(encoding="utf-8"))
        trigger = values.get("activation text") if isinstance(values, dict) else None
    except (OSError, ValueError):
        return {}  # a file is not refused because of its notes
    trigger = trigger.strip() if isinstance(trigger, str) else ""
    return {TRIGGER: trigger} if 0 < len(trigger) <= MAX_TRIGGER_LENGTH else {}
