"""Adapter files: exported ones of the tiny model, and files as other programs write them."""

import json
import struct

import torch
from safetensors.torch import load_file, save_file

from adapters import registry
from adapters.formats.metadata import ExportInfo
from adapters.formats.safetensors_file import METADATA_KEY
from adapters.methods.lora import LoraSettings
from adapters.registry import load_file as load_adapter
from tests.support.adapter_training import VARIANTS, save_trained

LORA_VARIANTS = ["lora", *sorted(name for name in VARIANTS if name.startswith("lora"))]


INFO = ExportInfo(
    "my-style",
    resolution=64,
    date="2026-01-02T03:04:05",
    steps=30,
    images=8,
    license="other",
    tags={"Big Ben": 3, "sunset": 2},
)


METADATA = {"training": {"seed": 5, "train_batch_size": 4}, "epoch": 3, "base_model": {"model_id": "tiny"}}


ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_"


def lora_settings(name):
    """Return the settings of a LoRA variant."""
    return LoraSettings(rank=2, lora_alpha=3, lora_dropout=0.5, trigger="my words", **VARIANTS.get(name, {}))


def export_trained(tiny, tmp_path, method, settings, **changes):
    """Return (our prediction, the folder with the exported files, our own file)."""
    ours = tmp_path / "adapter.safetensors"
    expected = save_trained(tiny, method, settings, ours)
    adapter, state = load_adapter(ours)
    metadata = {**METADATA, "method": method, "adapter": settings.model_dump(mode="json")}
    folder = tmp_path / "out"
    folder.mkdir()
    for name, data in registry.method(method).export_files(adapter, state, metadata, INFO.changed(**changes)).items():
        (folder / name).write_bytes(data)
    return expected, folder, ours


def header_of(path):
    """Return a safetensors file's header."""
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


def kohya_file(path, layers, alphas, metadata=None):
    """Write a file as sd-scripts does: layers are key -> (rank, in, out), alphas by key."""
    source, state = torch.Generator().manual_seed(4), {}
    for key, (rank, width, out) in layers.items():
        state[f"{key}.lora_down.weight"] = torch.randn(rank, width, generator=source)
        state[f"{key}.lora_up.weight"] = torch.randn(out, rank, generator=source)
        if key in alphas:
            state[f"{key}.alpha"] = torch.tensor(float(alphas[key]))
    save_file(state, path, metadata)
    return path


def small_kohya_file(tmp_path, name="theirs", metadata=None):
    """Write a kohya file with two layers of the tiny model."""
    return kohya_file(
        tmp_path / f"{name}.safetensors",
        {f"{ATTENTION}attn1_to_q": (2, 32, 32), f"{ATTENTION}attn2_to_k": (3, 32, 32)},
        {f"{ATTENTION}attn1_to_q": 1},
        metadata,
    )


def without_our_metadata(source, target):
    """Write the same file as another program would have written it."""
    from safetensors import safe_open

    with safe_open(source, "pt") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != METADATA_KEY}
    save_file(load_file(source), target, metadata)
    return target
