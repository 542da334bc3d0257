"""Generate an image again from its own metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.generation import init_image, metadata, model_choice, pipeline
from ghibli_studio.generation.model_cache import loaded_base, on_base
from ghibli_studio.imaging.crop import crop
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.miniature import STYLE_TEACHER
from ghibli_studio.workspace.files import sha256_of
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


def reproduce(project: Project, picture: Path) -> Iterator[pipeline.Drawing]:
    """Draw a picture again from its own recipe; on the same machine and versions it is the same bit for bit."""
    recipe = metadata.read_recipe(picture)
    settings = GenerationSettings.checked(recipe["settings"])
    model = loaded_base(recipe["base_model"]["spec"], settings.device, settings.attention)
    start = _photograph_by_hash(project, recipe["photograph"]) if "photograph" in recipe else None
    file = None if recipe["adapter"] is None else _adapter_by_hash(project, recipe["adapter"])
    with on_base(model, file) as loaded:
        told = dataclasses.replace(loaded, style_words=recipe.get("style_words"))
        yield from pipeline.draw(told, recipe["prompt"], settings, start)


def _photograph_by_hash(project: Project, told: dict[str, Any]) -> init_image.Photograph:
    """The very photograph that a picture was drawn from: uploaded, or among the project's."""
    if (image := init_image.find(project, told["sha256"])) is not None:
        return init_image.Photograph(image, told["strength"])
    for image in _photographs(project):
        start = init_image.Photograph(image, told["strength"])
        if start.sha256 == told["sha256"]:
            return start
    raise StudioError(
        f"project {project.name!r} has no photograph with the hash {told['sha256'][:12]}, from which the picture was "
        "drawn; it was deleted"
    )


def _photographs(project: Project) -> Iterator[Image.Image]:
    """Those of the data set, then the squares of the collection that were styled; what cannot be read is left out."""
    for path in sorted(project.sources.glob("*")):
        with suppress(StudioError):
            yield open_image(path.read_bytes(), path.name)
    collection = collections.load(project) if collections.exists(project) else None
    for photo in collection.photos if collection else ():
        with suppress(StudioError):
            image = collections.picture(project, photo)
            for center in {attempt.center for attempt in photo.attempts}:
                yield crop(image, center, collection.resolution)


def _adapter_by_hash(project: Project, identity: dict[str, Any]) -> Path:
    """The very file that a picture was drawn with: the embedded style teacher, or one of the project's."""
    if STYLE_TEACHER.is_file() and identity.get("sha256") == sha256_of(STYLE_TEACHER):
        return STYLE_TEACHER
    return model_choice.of_identity(project, identity)[1]
