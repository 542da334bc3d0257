"""CLIP for scoring: image or text -> features, loaded on first use and then cached.

The embedded miniature's CLIP is always available; a real one is used where it is stored locally. Nothing is downloaded
and no pickle is opened. The other networks are in `reference_network`; `scorer` computes scores from their features.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.settings import StudioError
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.models.location import HUB_ID, files_digest
from ghibli_studio.runtime.device import choose_device

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor


MINIATURE_CLIP = "miniature"
METRICS_VARIABLE = "GHIBLI_METRICS"
"""Environment variable: the folder with the reference networks of published metrics."""
DEPTHS = (1 / 3, 2 / 3, 1)
"""Layers whose feature maps are kept, as fractions of the network's depth; see `tests/evaluation/test_scorer.py`."""
INCEPTION_NAME = "Inception v3"
"""Name of the network that FID and KID are defined by; `reference_network` loads it."""
CLIP_FILES = ["*.json", "*.txt", "model*.safetensors"]


@dataclass(frozen=True)
class Network:
    """The identity of a network."""

    name: str
    proxy: bool
    """True if it replaces the reference network of published metrics."""
    digest: str
    """SHA-256 of the weight files."""

    def to_dict(self) -> dict[str, Any]:
        """Return the values for a result file."""
        return asdict(self)


@dataclass(frozen=True)
class ClipFeatures:
    """CLIP's features of n images from one pass; on the CPU, float32."""

    embeddings: Tensor
    """(n, d), projected, not normalized."""
    maps: tuple[Tensor, ...]
    """For each of DEPTHS (n, positions, width): the patch states after that layer."""


@dataclass(frozen=True)
class Clip:
    """A CLIP model with its preprocessing."""

    network: Network
    model: Any
    processor: Any
    device: torch.device

    @property
    def name(self) -> str:
        """Display name: 'miniature CLIP', or the requested model id or folder."""
        return self.network.name

    @property
    def proxy(self) -> bool:
        """True for the embedded miniature, which was trained on painted landmarks only."""
        return self.network.proxy

    @property
    def digest(self) -> str:
        """SHA-256 of the weight files."""
        return self.network.digest

    def encode_images(self, images: Sequence[Image.Image]) -> ClipFeatures:
        """Return embeddings and feature maps of images, from one pass."""
        import torch

        layers = self.model.config.vision_config.num_hidden_layers
        inputs = self.processor.image_processor([image.convert("RGB") for image in images], return_tensors="pt")
        with torch.no_grad():
            outputs = self.model.get_image_features(inputs["pixel_values"].to(self.device), output_hidden_states=True)
        # the first state is that of the embedding layer; the first position is the class token, not a patch
        states = [outputs.hidden_states[max(1, round(depth * layers))][:, 1:] for depth in DEPTHS]
        return ClipFeatures(outputs.pooler_output.cpu(), tuple(state.cpu() for state in states))

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the embeddings of images, (n, d), projected, not normalized."""
        return self.encode_images(images).embeddings

    def feature_maps(self, images: Sequence[Image.Image]) -> tuple[Tensor, ...]:
        """Return for each of DEPTHS the patch states after that layer, (n, positions, width)."""
        return self.encode_images(images).maps

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings of texts, (n, d), projected, not normalized; long texts are truncated."""
        import torch

        inputs = self.processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
        )
        with torch.no_grad():
            outputs = self.model.get_text_features(
                inputs.input_ids.to(self.device), inputs.attention_mask.to(self.device)
            )
        return outputs.pooler_output.cpu()

    def truncated_tokens(self, text: str) -> int:
        """Return how many tokens at the end of a text are over the limit, so that a score ignores them."""
        return max(0, len(self.processor.tokenizer(text, truncation=False, verbose=False).input_ids) - self._limit)

    @property
    def _limit(self) -> int:
        return self.model.config.text_config.max_position_embeddings


def load_clip(model_id: str = "auto", device: str = "auto") -> Clip:
    """Return a CLIP: 'miniature', a folder in transformers' layout, or a Hub id that is in the local cache.

    'auto' is the folder `clip` in GHIBLI_METRICS if it exists, else the miniature. Raises StudioError if the model is
    missing, is not a CLIP, or has no safetensors.
    """
    if model_id == "auto":
        local_folder = local_clip_folder()
        model_id = str(local_folder) if local_folder else MINIATURE_CLIP
    return _load_cached_clip(model_id, str(choose_device(device)))


@lru_cache(maxsize=2)
def _load_cached_clip(model_id: str, device: str) -> Clip:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, CLIPModel, CLIPProcessor
    from transformers.utils import logging

    folder = _clip_folder(model_id)
    logging.disable_progress_bar()
    try:
        if (kind := AutoConfig.from_pretrained(folder, local_files_only=True).model_type) != "clip":
            raise ValueError(f"it is a {kind}")
        loaded: Any = CLIPModel.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
        model, loading_info = loaded
        if missing := sorted(loading_info["missing_keys"]):  # transformers fills them with random values
            raise ValueError(f"it lacks {len(missing)} of its weights, first {missing[0]}")
        processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudioError(
            f"clip_model {model_id!r} cannot be loaded ({reason}); give a CLIP in transformers' layout with "
            f"safetensors, or use {MINIATURE_CLIP!r}, which is always available"
        ) from error
    proxy = model_id == MINIATURE_CLIP
    name = "miniature CLIP" if proxy else model_id if HUB_ID.fullmatch(model_id) else f"CLIP in {Path(model_id).name}"
    network = Network(name, proxy, files_digest(sorted(folder.glob("model*.safetensors"))))
    model.requires_grad_(False).eval().to(device)
    return Clip(network, model, processor, torch.device(device))


def _clip_folder(model_id: str) -> Path:
    from huggingface_hub import snapshot_download

    if model_id == MINIATURE_CLIP:
        return WEIGHTS / "clip"
    if model_id and Path(model_id).is_dir():
        return Path(model_id)
    if HUB_ID.fullmatch(model_id):
        try:
            return Path(snapshot_download(model_id, allow_patterns=CLIP_FILES, local_files_only=True))
        except OSError as error:
            patterns = " ".join(f'--include "{pattern}"' for pattern in CLIP_FILES)
            raise StudioError(
                f"clip_model {model_id!r} is not on this machine, and an evaluation downloads nothing; download it "
                f"once with `hf download {model_id} {patterns}`, or use {MINIATURE_CLIP!r}"
            ) from error
    raise StudioError(
        f"clip_model is {model_id!r}, which is neither 'auto', {MINIATURE_CLIP!r}, a folder nor a Hub id such as "
        "openai/clip-vit-large-patch14; check the spelling of the path"
    )


def metrics_folder() -> Path | None:
    """Return the folder that GHIBLI_METRICS names, or None."""
    return Path(name).expanduser() if (name := os.environ.get(METRICS_VARIABLE)) else None


def local_clip_folder(folder: Path | None = None) -> Path | None:
    """Return the folder `clip` in the given folder or in GHIBLI_METRICS, or None if it does not exist."""
    place = folder or metrics_folder()
    return place / "clip" if place and (place / "clip").is_dir() else None


def image_tensor(image: Image.Image) -> Tensor:
    """Return the pixel values from 0 to 1, (1, channels, height, width); one channel for a gray image."""
    import torch

    values = torch.from_numpy(np.array(image, dtype=np.float32) / 255)
    return values[None, None] if values.ndim == 2 else values.permute(2, 0, 1)[None]
