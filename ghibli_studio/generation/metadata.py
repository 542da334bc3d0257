"""Generation metadata of an image: everything needed to generate it again, as JSON in a text chunk of the PNG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.generation.model_cache import LoadedModel
from ghibli_studio.imaging.image_io import png_bytes, png_text
from ghibli_studio.runtime.environment import versions

if TYPE_CHECKING:
    from PIL import Image


METADATA_KEY = "generation_metadata"
"""Key of the PNG's text chunk."""


def build_metadata(
    loaded: LoadedModel, prompt: str, caption: str, settings: GenerationSettings, init_image: InitImage | None = None
) -> dict[str, Any]:
    """Return everything that determines an image, as JSON values; of an init image its hash and strength."""
    import torch

    base = loaded.base
    extra: dict[str, Any] = {}
    if init_image is not None:
        extra["init_image"] = {"sha256": init_image.sha256, "strength": init_image.strength}
    if loaded.adapter is None and loaded.style_words is not None:
        extra["style_words"] = loaded.style_words
    if (unconditional := loaded.unconditional(settings.negative_prompt)) != settings.negative_prompt:
        extra["negative_caption"] = unconditional
    return {
        "prompt": prompt,
        "caption": caption,
        "method": loaded.method,
        "settings": settings.model_dump(),
        **extra,
        "base_model": {"model_id": base.description.model_id, "digest": base.digest},
        "adapter": loaded.identity,
        "scheduler": "DPMSolverMultistepScheduler",
        "machine": {"device": base.device.type, "dtype": str(base.dtype), "threads": torch.get_num_threads()},
        "versions": versions(),
    }


def to_png(image: Image.Image, metadata: dict[str, Any]) -> bytes:
    """Return the image as a PNG with its metadata in a text chunk."""
    return png_bytes(image, {METADATA_KEY: json.dumps(metadata, ensure_ascii=False, sort_keys=True)})


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of a PNG; raises StudioError if it has none."""
    text = png_text(path)
    if METADATA_KEY not in text:
        raise StudioError(
            f"{path} has no generation metadata: this studio did not generate it, or another program removed its text"
        )
    return json.loads(text[METADATA_KEY])
