"""The header of a file for other programs, which show, sort and verify adapters by it; and its hashes.

`ss_*` are the keys of kohya's sd-scripts, `modelspec.*` those of Stability AI's model metadata standard, `sshs_*` the
hashes by which AUTOMATIC1111 identifies a file. All values are strings; unknown values are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapters.formats.safetensors_file import METADATA_KEY

if TYPE_CHECKING:
    from torch import Tensor


Files = dict[str, bytes]
"""File name -> content."""
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000
ARCHITECTURES = {"sd_v1": "stable-diffusion-v1", "sd_v2": "stable-diffusion-v2-512"}


@dataclass(frozen=True)
class ExportInfo:
    """What a header needs beyond the adapter's own metadata."""

    name: str
    """The name of the files, without extension."""
    family: str = "sd_v1"
    """`sd_v1` or `sd_v2`."""
    resolution: int | None = None
    """Side of the training images, px."""
    date: str | None = None
    """When the adapter was created, ISO 8601."""
    steps: int | None = None
    images: int | None = None
    """Number of training images."""
    tags: Mapping[str, int] | None = None
    """Caption tag -> number of captions with it."""
    trigger: str = ""
    license: str = ""
    parents: tuple[str, ...] = ()
    """The adapters that it was merged or scaled from."""

    def changed(self, **values: Any) -> ExportInfo:
        """Return a copy with some values replaced."""
        return replace(self, **values)


def training_metadata(metadata: Mapping[str, Any], info: ExportInfo) -> dict[str, str]:
    """Return sd-scripts' keys about the training."""
    training, settings = metadata.get("training", {}), metadata.get("adapter", {})
    trained = bool(training)
    keys = {
        "ss_output_name": info.name,
        "ss_base_model_version": info.family,
        "ss_v2": info.family == "sd_v2",
        "ss_resolution": f"({info.resolution}, {info.resolution})" if info.resolution else None,
        "ss_num_train_images": info.images,
        "ss_num_epochs": settings.get("num_train_epochs") if trained else None,
        "ss_epoch": metadata.get("epoch"),
        "ss_steps": info.steps,
        "ss_learning_rate": settings.get("learning_rate") if trained else None,
        "ss_lr_scheduler": settings.get("lr_scheduler") if trained else None,
        "ss_seed": training.get("seed"),
        "ss_total_batch_size": training.get("train_batch_size"),
        "ss_gradient_accumulation_steps": training.get("gradient_accumulation_steps"),
        "ss_min_snr_gamma": training.get("snr_gamma"),
        "ss_noise_offset": training.get("noise_offset"),
        "ss_sd_model_name": metadata.get("base_model", {}).get("model_id"),
        "ss_tag_frequency": json.dumps({"train": dict(info.tags)}, ensure_ascii=False) if info.tags else None,
    }
    return {key: str(value) for key, value in keys.items() if value is not None}


def network_metadata(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return sd-scripts' keys about the network: rank, alpha, those of the convolutions, and whether it is DoRA."""
    rank, alpha = settings["rank"], settings["lora_alpha"]
    arguments: dict[str, str] = {}
    if conv_rank := settings.get("conv_rank"):
        arguments |= {"conv_dim": str(conv_rank), "conv_alpha": f"{alpha * conv_rank / rank:g}"}
    if settings.get("use_dora"):
        arguments["dora_wd"] = "True"
    keys = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": f"{alpha:g}"}
    return {**keys, "ss_network_args": json.dumps(arguments)} if arguments else keys


def modelspec_metadata(kind: str, tensors: bytes, info: ExportInfo) -> dict[str, str]:
    """Return Stability AI's keys, version 1.0.1; `kind` is `lora` or `textual-inversion`, `tensors` their bytes."""
    keys = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{ARCHITECTURES[info.family]}/{kind}",
        "implementation": "https://github.com/Stability-AI/generative-models",
        "title": info.name,
        "date": info.date,
        "resolution": f"{info.resolution}x{info.resolution}" if info.resolution else None,
        "trigger_phrase": info.trigger,
        "license": info.license,
        "merged_from": ", ".join(info.parents),
        "hash_sha256": f"0x{hashlib.sha256(tensors).hexdigest()}",
    }
    return {f"modelspec.{key}": value for key, value in keys.items() if value}


def file_hashes(file: bytes) -> dict[str, str]:
    """Return AUTOMATIC1111's hashes of a file that was saved with the `ss_*` keys alone in its header.

    New: SHA-256 of everything after the header. Old: the first eight digits of the SHA-256 of the 64 KiB that start at
    the first mebibyte; in a smaller file these are no bytes.
    """
    legacy = file[LEGACY_START : LEGACY_START + LEGACY_LENGTH]
    return {
        "sshs_model_hash": hashlib.sha256(tensor_bytes(file)).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(legacy).hexdigest()[:8],
    }


def tensor_bytes(file: bytes) -> bytes:
    """Return the tensors' bytes of a safetensors file: all that follows the header."""
    return file[8 + int.from_bytes(file[:8], "little") :]


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file."""
    from safetensors.torch import save

    return save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, dict(metadata))


def bytes_with_metadata(
    kind: str,
    tensors: Mapping[str, Tensor],
    training_keys: Mapping[str, str],
    info: ExportInfo,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a file with all keys that other programs look for, and this project's metadata if there is any."""
    bare = safetensors_bytes(tensors, training_keys)
    keys = {"format": "pt", **training_keys, **modelspec_metadata(kind, tensor_bytes(bare), info), **file_hashes(bare)}
    return safetensors_bytes(tensors, {**keys, METADATA_KEY: metadata_json(metadata)} if metadata else keys)


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Return this project's metadata as it is written into a header."""
    return json.dumps(metadata, sort_keys=True)


def webui_notes(info: ExportInfo) -> bytes:
    """Return AUTOMATIC1111's JSON file beside a LoRA, whose trigger it adds to the prompt with the LoRA."""
    values = {
        "description": "",
        "sd version": "SD2" if info.family == "sd_v2" else "SD1",
        "activation text": info.trigger,
        "preferred weight": 1,
        "notes": "",
    }
    return (json.dumps(values, indent=4, ensure_ascii=False) + "\n").encode()
