"""An image's generation metadata: everything needed to generate it again, stored in the PNG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.generation.model_cache import Loaded
from ghibli_studio.imaging.image_io import png_bytes, png_text
from ghibli_studio.runtime.environment import versions

if TYPE_CHECKING:
    from PIL import Image


RECIPE = "recipe"


def recipe_for(
    loaded: Loaded, prompt: str, caption: str, settings: GenerationSettings, photograph: Photograph | None = None
) -> dict[str, Any]:
    """Everything that decides a picture, as JSON values; of a photograph its hash."""
    import torch

    base = loaded.base
    started: dict[str, Any] = {}
    if photograph is not None:
        started["photograph"] = {"sha256": photograph.sha256, "strength": photograph.strength}
    if loaded.adapter is None and loaded.style_words is not None:
        started["style_words"] = loaded.style_words
    if (unconditional := loaded.unconditional(settings.negative_prompt)) != settings.negative_prompt:
        started["negative_caption"] = unconditional
    return {
        "prompt": prompt,
        "caption": caption,
        "method": loaded.method,
        "settings": settings.model_dump(),
        **started,
        "base_model": {"spec": base.description.spec, "digest": base.digest},
        "adapter": loaded.identity,
        "scheduler": "DPMSolverMultistepScheduler",
        "machine": {"device": base.device.type, "dtype": str(base.dtype), "threads": torch.get_num_threads()},
        "versions": versions(),
    }


def to_png(image: Image.Image, recipe: dict[str, Any]) -> bytes:
    """The picture with its recipe as a text chunk."""
    return png_bytes(image, {RECIPE: json.dumps(recipe, ensure_ascii=False, sort_keys=True)})


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe in a picture; raises StudioError for a picture without one."""
    text = png_text(path)
    if RECIPE not in text:
        raise StudioError(f"{path} carries no recipe; it was not drawn by this studio, or something stripped its text")
    return json.loads(text[RECIPE])
