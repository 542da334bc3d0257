"""What a file says of itself in its header, for programs that show, sort and check adapters; and its hashes.

`ss_*` are the keys of kohya's sd-scripts, `modelspec.*` those of Stability AI's model metadata standard, `sshs_*` the
hashes by which AUTOMATIC1111 knows a file. All values are texts; what is not known is left out, never made up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapters.formats.safetensors_file import RECIPE_KEY

if TYPE_CHECKING:
    from torch import Tensor


Files = dict[str, bytes]
"""File name -> content."""
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000
ARCHITECTURES = {"sd_v1": "stable-diffusion-v1", "sd_v2": "stable-diffusion-v2-512"}


@dataclass(frozen=True)
class Facts:
    """What an adapter's recipe does not say and a header wants to."""

    name: str
    """What the files are called, without ending."""
    family: str = "sd_v1"
    """`sd_v1` or `sd_v2`."""
    resolution: int | None = None
    """Side of the training pictures, px."""
    date: str | None = None
    """When it was made, ISO 8601."""
    steps: int | None = None
    pictures: int | None = None
    tags: Mapping[str, int] | None = None
    """Words of the captions -> how many captions have them."""
    trigger: str = ""
    license: str = ""
    parents: tuple[str, ...] = ()
    """What it was averaged from or scaled of."""

    def changed(self, **values: Any) -> Facts:
        """A copy with some values replaced."""
        return replace(self, **values)


def training(recipe: Mapping[str, Any], facts: Facts) -> dict[str, str]:
    """sd-scripts' keys about how it was trained."""
    chosen, settings = recipe.get("training", {}), recipe.get("adapter", {})
    trained = bool(chosen)
    told = {
        "ss_output_name": facts.name,
        "ss_base_model_version": facts.family,
        "ss_v2": facts.family == "sd_v2",
        "ss_resolution": f"({facts.resolution}, {facts.resolution})" if facts.resolution else None,
        "ss_num_train_images": facts.pictures,
        "ss_num_epochs": settings.get("num_train_epochs") if trained else None,
        "ss_epoch": recipe.get("epoch"),
        "ss_steps": facts.steps,
        "ss_learning_rate": settings.get("learning_rate") if trained else None,
        "ss_lr_scheduler": settings.get("lr_scheduler") if trained else None,
        "ss_seed": chosen.get("seed"),
        "ss_total_batch_size": chosen.get("train_batch_size"),
        "ss_gradient_accumulation_steps": chosen.get("gradient_accumulation_steps"),
        "ss_min_snr_gamma": chosen.get("snr_gamma"),
        "ss_noise_offset": chosen.get("noise_offset"),
        "ss_sd_model_name": recipe.get("base_model", {}).get("spec"),
        "ss_tag_frequency": json.dumps({"train": dict(facts.tags)}, ensure_ascii=False) if facts.tags else None,
    }
    return {key: str(value) for key, value in told.items() if value is not None}


def network(settings: Mapping[str, Any]) -> dict[str, str]:
    """sd-scripts' keys that say which network it is: rank, alpha, those of the convolutions, and whether it is DoRA."""
    rank, alpha = settings["rank"], settings["lora_alpha"]
    more: dict[str, str] = {}
    if conv_rank := settings.get("conv_rank"):
        more |= {"conv_dim": str(conv_rank), "conv_alpha": f"{alpha * conv_rank / rank:g}"}
    if settings.get("use_dora"):
        more["dora_wd"] = "True"
    told = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": f"{alpha:g}"}
    return {**told, "ss_network_args": json.dumps(more)} if more else told


def modelspec(kind: str, tensors: bytes, facts: Facts) -> dict[str, str]:
    """Stability AI's keys, version 1.0.1; `kind` is `lora` or `textual-inversion`, `tensors` the bytes of them."""
    told = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{ARCHITECTURES[facts.family]}/{kind}",
        "implementation": "https://github.com/Stability-AI/generative-models",
        "title": facts.name,
        "date": facts.date,
        "resolution": f"{facts.resolution}x{facts.resolution}" if facts.resolution else None,
        "trigger_phrase": facts.trigger,
        "license": facts.license,
        "merged_from": ", ".join(facts.parents),
        "hash_sha256": f"0x{hashlib.sha256(tensors).hexdigest()}",
    }
    return {f"modelspec.{key}": value for key, value in told.items() if value}


def hashes(file: bytes) -> dict[str, str]:
    """AUTOMATIC1111's hashes, from the file's bytes as saved with the `ss_*` keys alone in its header.

    New: SHA-256 of everything after the header. Old: the first eight digits of that of 64 KiB from the first mebibyte
    on, which of a smaller file are those of nothing.
    """
    legacy = file[LEGACY_START : LEGACY_START + LEGACY_LENGTH]
    return {
        "sshs_model_hash": hashlib.sha256(after_header(file)).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(legacy).hexdigest()[:8],
    }


def after_header(file: bytes) -> bytes:
    """The tensors' bytes of a safetensors file."""
    return file[8 + int.from_bytes(file[:8], "little") :]


def saved(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file."""
    from safetensors.torch import save

    return save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, dict(metadata))


def for_others(
    kind: str,
    tensors: Mapping[str, Tensor],
    training_keys: Mapping[str, str],
    facts: Facts,
    recipe: Mapping[str, Any] | None = None,
) -> bytes:
    """A file with all keys that other programs look for, and this project's recipe if there is one."""
    bare = saved(tensors, training_keys)
    keys = {"format": "pt", **training_keys, **modelspec(kind, after_header(bare), facts), **hashes(bare)}
    return saved(tensors, {**keys, RECIPE_KEY: recipe_text(recipe)} if recipe else keys)


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """A recipe as it stands in a header."""
    return json.dumps(recipe, sort_keys=True)


def notes(facts: Facts) -> bytes:
    """AUTOMATIC1111's file of notes beside a LoRA: the trigger, put into the prompt with the LoRA."""
    told = {
        "description": "",
        "sd version": "SD2" if facts.family == "sd_v2" else "SD1",
        "activation text": facts.trigger,
        "preferred weight": 1,
        "notes": "",
    }
    return (json.dumps(told, indent=4, ensure_ascii=False) + "\n").encode()
