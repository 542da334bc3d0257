"""CLIP, the network that only looks: picture or text -> tensor, loaded when first asked for and then kept.

The embedded miniature's CLIP is always there; a real one is used where it is at hand. Nothing is downloaded and no
pickle is opened. The other networks are in `published`; the numbers made from all of them, in `scores`.
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
VARIABLE = "GHIBLI_METRICS"
"""Environment variable: the folder with the networks that published numbers are computed with."""
DEPTHS = (1 / 3, 2 / 3, 1)
"""Which layers' maps are kept, as parts of the way through the network; measured in `tests/test_scores.py`."""
INCEPTION = "Inception v3"
"""Name of the network that FID and KID are defined by; it is loaded in `published`."""
CLIP_FILES = ["*.json", "*.txt", "model*.safetensors"]


@dataclass(frozen=True)
class Network:
    """Which network looked."""

    name: str
    stand_in: bool
    """True where it stands for another that published numbers are computed with."""
    digest: str
    """SHA-256 over the weight files."""

    def json(self) -> dict[str, Any]:
        """As a dictionary for a result's file."""
        return asdict(self)


@dataclass(frozen=True)
class Seen:
    """What CLIP makes of n pictures in one pass; on the CPU, float32."""

    embeddings: Tensor
    """(n, d), projected, not normalized."""
    maps: tuple[Tensor, ...]
    """For each of DEPTHS (n, positions, width): the states of the patches after that layer."""


@dataclass(frozen=True)
class Clip:
    """A CLIP with the preparation that belongs to it."""

    network: Network
    model: Any
    processor: Any
    device: torch.device

    @property
    def name(self) -> str:
        """What people read: 'miniature CLIP', or what was asked for."""
        return self.network.name

    @property
    def stand_in(self) -> bool:
        """True for the embedded miniature, which knows painted landmarks only."""
        return self.network.stand_in

    @property
    def digest(self) -> str:
        """SHA-256 over the weight files."""
        return self.network.digest

    def see(self, images: Sequence[Image.Image]) -> Seen:
        """Embeddings and maps of some pictures, from one pass."""
        import torch

        layers = self.model.config.vision_config.num_hidden_layers
        given = self.processor.image_processor([image.convert("RGB") for image in images], return_tensors="pt")
        with torch.no_grad():
            told = self.model.get_image_features(given["pixel_values"].to(self.device), output_hidden_states=True)
        # the first state is that of the embedding layer; the first position is the class token, not a patch
        states = [told.hidden_states[max(1, round(depth * layers))][:, 1:] for depth in DEPTHS]
        return Seen(told.pooler_output.cpu(), tuple(state.cpu() for state in states))

    def images(self, images: Sequence[Image.Image]) -> Tensor:
        """(n, d) embeddings of pictures, projected, not normalized."""
        return self.see(images).embeddings

    def maps(self, images: Sequence[Image.Image]) -> tuple[Tensor, ...]:
        """For each of DEPTHS (n, positions, width): the states of the patches after that layer."""
        return self.see(images).maps

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(n, d) embeddings of texts, projected, not normalized; what is over the limit is not read (`unread`)."""
        import torch

        given = self.processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
        )
        with torch.no_grad():
            told = self.model.get_text_features(given.input_ids.to(self.device), given.attention_mask.to(self.device))
        return told.pooler_output.cpu()

    def unread(self, text: str) -> int:
        """How many tokens at the end of a text are over the limit, so that a score does not know of them."""
        return max(0, len(self.processor.tokenizer(text, truncation=False, verbose=False).input_ids) - self._limit)

    @property
    def _limit(self) -> int:
        return self.model.config.text_config.max_position_embeddings


def clip(spec: str = "auto", device: str = "auto") -> Clip:
    """The CLIP to look with: 'miniature', a folder in transformers' layout, or a hub id that is in the local cache.

    'auto' is the folder `clip` in GHIBLI_METRICS where there is one, else the miniature. Raises StudioError for what
    is not there, is no CLIP, or has no safetensors.
    """
    if spec == "auto":
        found = clip_at_hand()
        spec = str(found) if found else MINIATURE_CLIP
    return _load_clip(spec, str(choose_device(device)))


@lru_cache(maxsize=2)
def _load_clip(spec: str, device: str) -> Clip:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, CLIPModel, CLIPProcessor
    from transformers.utils import logging

    folder = _clip_folder(spec)
    logging.disable_progress_bar()
    try:
        if (kind := AutoConfig.from_pretrained(folder, local_files_only=True).model_type) != "clip":
            raise ValueError(f"it is a {kind}")
        model, told = CLIPModel.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
        if missing := sorted(told["missing_keys"]):  # transformers fills them with random values
            raise ValueError(f"it lacks {len(missing)} of its weights, first {missing[0]}")
        processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StudioError(
            f"clip_model {spec!r} cannot be loaded ({reason}); give a CLIP in transformers' layout with safetensors, "
            f"or use {MINIATURE_CLIP!r}, which is always here"
        ) from error
    stand_in = spec == MINIATURE_CLIP
    name = "miniature CLIP" if stand_in else spec if HUB_ID.fullmatch(spec) else f"CLIP in {Path(spec).name}"
    network = Network(name, stand_in, files_digest(sorted(folder.glob("model*.safetensors"))))
    model.requires_grad_(False).eval().to(device)
    return Clip(network, model, processor, torch.device(device))


def _clip_folder(spec: str) -> Path:
    from huggingface_hub import snapshot_download

    if spec == MINIATURE_CLIP:
        return WEIGHTS / "clip"
    if spec and Path(spec).is_dir():
        return Path(spec)
    if HUB_ID.fullmatch(spec):
        try:
            return Path(snapshot_download(spec, allow_patterns=CLIP_FILES, local_files_only=True))
        except OSError as error:
            patterns = " ".join(f'--include "{pattern}"' for pattern in CLIP_FILES)
            raise StudioError(
                f"clip_model {spec!r} is not on this machine, and nothing is downloaded for an evaluation; fetch it "
                f"once with `hf download {spec} {patterns}`, or use {MINIATURE_CLIP!r}"
            ) from error
    raise StudioError(
        f"clip_model is {spec!r}, which is neither 'auto', {MINIATURE_CLIP!r}, a folder nor a hub id such as "
        "openai/clip-vit-large-patch14; check the spelling of the path"
    )


def metrics_folder() -> Path | None:
    """The folder that GHIBLI_METRICS names, if it names one."""
    return Path(named).expanduser() if (named := os.environ.get(VARIABLE)) else None


def clip_at_hand(folder: Path | None = None) -> Path | None:
    """The folder `clip` in the given folder or in GHIBLI_METRICS, if it is there."""
    place = folder or metrics_folder()
    return place / "clip" if place and (place / "clip").is_dir() else None


def pixels(image: Image.Image) -> Tensor:
    """(1, channels, height, width) from 0 to 1; one channel for a gray picture."""
    import torch

    values = torch.from_numpy(np.array(image, dtype=np.float32) / 255)
    return values[None, None] if values.ndim == 2 else values.permute(2, 0, 1)[None]
