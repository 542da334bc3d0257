"""Adapter files: safetensors with this project's metadata in the header. No pickle is ever loaded.

Tensor names are the method's business; which method a file belongs to is decided in `adapters.registry`.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import Adapter
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


METADATA_KEY = "ghibli_studio"
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
MAX_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 100 * 2**20  # the bound of the safetensors format itself


def to_bytes(adapter: Adapter, metadata: dict[str, Any]) -> bytes:
    """Return an attached adapter's file: its state, what other programs need, and our metadata in the header."""
    from safetensors.torch import save

    state = {name: tensor.contiguous().cpu() for name, tensor in adapter.state().items()}
    return save(state, {"format": "pt", **adapter.metadata(), METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def read_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return tensor shapes and metadata of a safetensors file, without reading a tensor or importing torch.

    Raises StudioError for a pickle, a file that is not a safetensors file, or one over 4 GB.
    """
    path = Path(path)
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise StudioError(f"{path.name} is a pickle, which can run code when it is opened; convert it to .safetensors")
    if not path.is_file():
        raise StudioError(f"there is no adapter file {path}; train one first or give the path of a .safetensors file")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise StudioError(
            f"{path.name} is {size / 2**30:.1f} GB; an adapter may be at most {MAX_BYTES / 2**30:.0f} GB, so choose "
            "another file"
        )
    broken = f"{path.name} is not a safetensors file or is cut short ({size} bytes); download or export it again"
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise StudioError(broken)
        try:
            header = json.loads(file.read(length))
            metadata = header.pop("__metadata__", {})
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
            shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise StudioError(broken) from error
    if not isinstance(end, int) or end != size - 8 - length:
        raise StudioError(broken)
    return shapes, metadata


def read_adapter_metadata(path: Path) -> dict[str, Any]:
    """Return this project's metadata in an adapter file's header; empty for a file of another program."""
    _, header = read_header(path)
    return parse_adapter_metadata(header)


def parse_adapter_metadata(header: dict[str, str]) -> dict[str, Any]:
    """Return this project's metadata in a header; empty where there is none."""
    metadata: dict[str, Any] = json.loads(header.get(METADATA_KEY, "{}"))
    return metadata


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a checked file, float32, on the CPU; raise StudioError where a value is not finite."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        state = {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise StudioError(f"{Path(path).name} cannot be read ({error}); download or export it again") from error
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise StudioError(f"tensor {name} of {Path(path).name} holds values that are not finite; train it again")
    return state


def with_metadata(file: bytes, changes: dict[str, str]) -> bytes:
    """Return the file with these keys in its header and every tensor's bytes unchanged."""
    length = struct.unpack("<Q", file[:8])[0]
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = {**header.get("__metadata__", {}), **changes}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format requires that the tensors begin at a multiple of eight
    return struct.pack("<Q", len(text)) + text + file[8 + length :]
