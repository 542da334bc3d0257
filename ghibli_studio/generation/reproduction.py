"""Generate an image again from its own generation metadata."""

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
from ghibli_studio.generation.model_cache import load_base_model, with_optional_adapter
from ghibli_studio.imaging.crop import crop
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.miniature import STYLE_TEACHER
from ghibli_studio.workspace.files import sha256_of
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


def reproduce(project: Project, file: Path) -> Iterator[pipeline.GenerationEvent]:
    """Generate an image again from its metadata; the same machine and versions give the same pixels bit for bit."""
    values = metadata.read_metadata(file)
    settings = GenerationSettings.checked(values["settings"])
    model = load_base_model(values["base_model"]["model_id"], settings.device, settings.attention)
    start = _init_image_by_hash(project, values["init_image"]) if "init_image" in values else None
    adapter = None if values["adapter"] is None else _adapter_by_hash(project, values["adapter"])
    with with_optional_adapter(model, adapter) as loaded:
        loaded = dataclasses.replace(loaded, style_words=values.get("style_words"))
        yield from pipeline.generate(loaded, values["prompt"], settings, start)


def _init_image_by_hash(project: Project, values: dict[str, Any]) -> init_image.InitImage:
    """Return the photo that an image was generated from: an upload, a dataset source or a crop of a photo."""
    if (image := init_image.find(project, values["sha256"])) is not None:
        return init_image.InitImage(image, values["strength"])
    for image in _candidate_images(project):
        start = init_image.InitImage(image, values["strength"])
        if start.sha256 == values["sha256"]:
            return start
    raise StudioError(
        f"project {project.name!r} has no photo with the hash {values['sha256'][:12]} that this image was generated "
        "from; it was deleted, so add the photo again"
    )


def _candidate_images(project: Project) -> Iterator[Image.Image]:
    """Yield the dataset's source photos, then the stylized crops of the collection; unreadable files are skipped."""
    for path in sorted(project.sources.glob("*")):
        with suppress(StudioError):
            yield open_image(path.read_bytes(), path.name)
    if not collections.exists(project):
        return
    collection = collections.load(project)
    for photo in collection.photos:
        with suppress(StudioError):
            image = collections.load_photo(project, photo)
            for center in {attempt.center for attempt in photo.attempts}:
                yield crop(image, center, collection.resolution)


def _adapter_by_hash(project: Project, identity: dict[str, Any]) -> Path:
    """Return the adapter file that an image was generated with: the embedded style teacher or one of the project's."""
    if STYLE_TEACHER.is_file() and identity.get("sha256") == sha256_of(STYLE_TEACHER):
        return STYLE_TEACHER
    return model_choice.find_adapter(project, identity)[1]
