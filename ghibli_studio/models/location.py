"""Finds the files of a base model: the embedded miniature, a diffusers folder, a checkpoint, or a Hub id.

Reads configuration and hashes; loads no model and imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.miniature import WEIGHTS

MINIATURE = "miniature"
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
SINGLE_FILE_CONFIG = "stable-diffusion-v1-5/stable-diffusion-v1-5"
COMPONENTS = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
HUB_FILES = ["model_index.json", "studio.json", "scheduler/*.json", "tokenizer/*"]
HUB_FILES += [f"{part}/{pattern}" for part in COMPONENTS for pattern in ("*.json", "*.safetensors")]


@dataclass(frozen=True)
class Location:
    """Files of a base model: a diffusers folder with the configuration, and possibly a checkpoint with the weights."""

    model_id: str
    folder: Path
    checkpoint: Path | None = None


def locate(model_id: str) -> Location:
    """Return the location of a model, downloaded if it has a Hub id; raises StudioError with the way out."""
    if model_id == MINIATURE:
        return Location(model_id, WEIGHTS / "base")
    path = Path(model_id)
    with suppress(RuntimeError):  # ~user without a home directory here
        path = path.expanduser()
    if path.suffix.lower() in (".ckpt", ".pt", ".pth", ".bin"):
        raise StudioError(f"base_model {model_id!r} is a pickle, which can run code; use a .safetensors checkpoint")
    if path.suffix.lower() == ".safetensors":
        if not path.is_file():
            raise StudioError(f"base_model {model_id!r} does not exist; give the path of a .safetensors checkpoint")
        return Location(model_id, _configuration_for(path), path)
    if model_id and path.is_dir():
        if not (path / "model_index.json").is_file():
            raise StudioError(
                f"base_model {model_id!r} has no model_index.json; give a folder in diffusers layout "
                "(unet/, vae/, text_encoder/, tokenizer/, scheduler/)"
            )
        return Location(model_id, path)
    if HUB_ID.fullmatch(model_id):
        return Location(model_id, _download(model_id, HUB_FILES))
    raise StudioError(
        f"base_model {model_id!r} is neither {MINIATURE!r}, a folder, a .safetensors file nor a Hub id such as "
        f"{SINGLE_FILE_CONFIG}; check the spelling of the path"
    )


def _download(repository: str, patterns: list[str]) -> Path:
    """Return the folder of a repository's files, from the Hub or the local cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    ignored = ["*.fp16.*", "*.non_ema*", "*.bin"]
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns, ignore_patterns=ignored))
    except (OSError, HFValidationError) as error:
        reason = "this machine is offline and has no local copy"
        if isinstance(error, HFValidationError):
            reason = "a repository cannot have that name"
        elif isinstance(error, HfHubHTTPError) and error.response is not None:
            reason = f"the Hub answered {error.response.status_code}"
        elif error.strerror:
            reason = error.strerror
        raise StudioError(
            f"base_model {repository!r} is not available: {reason}; download it once while online, give a local "
            f"folder, or use {MINIATURE!r}, which is always available"
        ) from error


def _configuration_for(checkpoint: Path) -> Path:
    """Return the configuration for a checkpoint: the folder beside it, or Stable Diffusion 1.5's from the Hub."""
    for folder in (checkpoint.with_suffix(""), checkpoint.parent):
        if (folder / "model_index.json").is_file():
            return folder
    try:
        return _download(SINGLE_FILE_CONFIG, ["model_index.json", "scheduler/*.json", "tokenizer/*", "*/config.json"])
    except StudioError as error:
        raise StudioError(
            f"checkpoint {checkpoint.name} has weights only, and the configuration of {SINGLE_FILE_CONFIG} is not on "
            f"this machine; put a diffusers folder without weights at {checkpoint.with_suffix('')}"
        ) from error


def read_config(location: Location, part: str, file: str = "config.json") -> dict[str, Any]:
    """Return the configuration of one component; raises StudioError if it is missing or damaged."""
    path = Path(part) / file
    try:
        config = json.loads((location.folder / path).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__} instead of an object")
    except (OSError, ValueError) as error:
        raise StudioError(
            f"base_model {location.model_id!r} has no {path}, or it is damaged; copy or download the model again"
        ) from error
    return config


def weights_digest(location: Location) -> str:
    """Return the SHA-256 over names and bytes of the weight files; unchanged files are read once."""
    files = (
        [location.checkpoint]
        if location.checkpoint
        else sorted(file for part in COMPONENTS for file in (location.folder / part).glob("*.safetensors"))
    )
    return files_digest(files)


def files_digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 over names and bytes of files in the given order; unchanged files are read once."""
    return _digest(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=8)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            total.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
