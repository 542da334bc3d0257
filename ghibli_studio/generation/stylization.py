"""Photos to stylized images: img2img with the base model and a style source, for one photo or a whole batch.

The sampling is in `pipeline`, and the images are kept in `curation.collection`. Attempts are written one by one, so
that a stopped batch resumes where it was; which attempt is trained on is decided with `curation.review.accept`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.stylization import PhotoStylization, StylizationSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Attempt, Photo
from ghibli_studio.curation.prompts import compose
from ghibli_studio.generation import metadata, model_cache, pipeline
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.generation.model_cache import LoadedModel, load_base_model
from ghibli_studio.generation.pipeline import GenerationEvent
from ghibli_studio.imaging.crop import CENTER, crop
from ghibli_studio.miniature import STYLE_TEACHER
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image

    from ghibli_studio.models.base_model import BaseModel


OVERRIDABLE = tuple(name for name in PhotoStylization.model_fields if name in StylizationSettings.model_fields)
"""Batch settings that a photo can override."""


@dataclass(frozen=True)
class Progress:
    """Steps done of all steps of a batch, with the photo that was just finished or failed, if any."""

    done: int
    total: int
    what: str
    seconds_left: float | None = None
    """Estimate; None before the first step."""
    photo: str | None = None
    """Id of the photo."""
    attempt: Attempt | None = None
    """Its new stylized image."""
    error: str = ""
    """Why it could not be stylized; the batch continues."""


@contextmanager
def style_source(model: BaseModel, settings: StylizationSettings) -> Iterator[LoadedModel]:
    """Yield the base model with the style source; raises StudioError for one that is missing or does not fit."""
    if settings.source == "prompt":
        yield LoadedModel(model, style_words=settings.style_words)
        return
    if settings.source == "adapter" and not settings.adapter_file:
        raise StudioError("source is 'adapter', but adapter_file is empty; give the .safetensors file of the style")
    file = STYLE_TEACHER if settings.source == "teacher" else Path(settings.adapter_file)
    with ExitStack() as stack:
        try:
            loaded = stack.enter_context(model_cache.with_adapter(model, file))
        except StudioError as error:
            if settings.source == "adapter":
                raise
            raise StudioError(
                f"the style teacher was trained for base model {MINIATURE!r} and does not fit "
                f"{model.description.model_id!r}; choose your own adapter file (source 'adapter'), or describe the "
                "style in words (source 'prompt')"
            ) from error
        yield loaded


def stylize_photo(
    image: Image.Image,
    prompt: str,
    settings: StylizationSettings | None = None,
    *,
    base_model: str = MINIATURE,
    center: tuple[float, float] = CENTER,
) -> Iterator[GenerationEvent]:
    """Stylize one upright RGB photo step by step; the last event has the image and its metadata.

    It needs no project and saves nothing.
    """
    settings = settings or StylizationSettings.checked({})
    model = load_base_model(base_model, settings.device, settings.attention)
    with style_source(model, settings) as loaded:
        yield from _generate(loaded, image, center, prompt, settings)


def _generate(
    loaded: LoadedModel, image: Image.Image, center: tuple[float, float], prompt: str, settings: StylizationSettings
) -> Iterator[GenerationEvent]:
    start = InitImage(crop(image, center, loaded.base.description.resolution), settings.strength)
    values = settings.model_dump(include=set(GenerationSettings.model_fields))
    return pipeline.generate(loaded, prompt, GenerationSettings.checked(values), start)


def photo_prompt(photo: Photo) -> str:
    """Return the prompt that a photo is stylized with: its own override, else the composed prompt."""
    return photo.overrides.get("prompt") or compose(photo)


def photo_settings(photo: Photo, batch: StylizationSettings) -> StylizationSettings:
    """Return the batch settings with the photo's overrides.

    The photo's number is added to the batch seed, so that each photo has its own noise in whatever order they are
    stylized.
    """
    overrides = {name: photo.overrides[name] for name in OVERRIDABLE if photo.overrides.get(name) is not None}
    return batch.changed(**{"seed": (batch.seed + int(photo.id) - 1) % 2**31, **overrides})


def batch_settings(collection: Collection) -> StylizationSettings:
    """Return the settings of the last batch, or the defaults."""
    return StylizationSettings.checked(dict(collection.stylization))


def stylize_photos(
    project: Project, ids: Iterable[str] | None = None, settings: StylizationSettings | None = None, again: bool = False
) -> Iterator[Progress]:
    """Stylize photos and keep each image as an attempt; without ids, all photos but the rejected ones.

    A photo that already has an attempt of its crop is skipped, so that a stopped batch resumes where it was; with
    `again` it gets another attempt (with other noise if nothing else has changed). Edits made meanwhile apply to the
    photos that are still pending. The settings are remembered for the next batch; without any, the last ones apply.
    """
    collection = collections.load(project)
    settings = settings or batch_settings(collection)
    if settings.model_dump(mode="json") != collection.stylization:
        collections.save_stylization_settings(project, settings.model_dump(mode="json"))
    selected = None if ids is None else list(ids)
    pending = [
        photo.id
        for photo in collection.select(selected)
        if (again or photo.pending) and (selected is not None or not photo.rejected)
    ]
    yield from _batch(project, pending, settings, {}, again)


def restylize(
    project: Project, id: str, settings: StylizationSettings | None = None, **changes: Any
) -> Iterator[Progress]:
    """Stylize one photo again, with other values for this attempt only (fields of `PhotoStylization`).

    Without a seed, an attempt with the same values uses other noise. Raises StudioError for unknown names and bad
    values.
    """
    once = PhotoStylization.checked(changes).model_dump(mode="json", exclude_none=True)
    collection = collections.load(project)
    collection.photo(id)
    settings = settings or batch_settings(collection)
    for step in _batch(project, [id], settings, once, True):
        if step.error:
            raise StudioError(step.error)
        yield step


def _batch(
    project: Project, pending: list[str], settings: StylizationSettings, once: dict[str, Any], again: bool
) -> Iterator[Progress]:
    """Stylize photos by id, each with its state at the moment it starts."""
    if not pending:
        yield Progress(1, 1, "every photo already has a stylized image")
        return
    first = collections.load(project)
    steps = {id: _steps(photo_settings(_with_overrides(first.photo(id), once), settings)) for id in pending}
    done, started = 0, 0.0
    yield Progress(0, sum(steps.values()), "loading the base model")
    model = load_base_model(first.base_model, settings.device, settings.attention)
    with style_source(model, settings) as loaded:
        started = time.monotonic()
        for number, id in enumerate(pending, 1):
            left = sum(steps[other] for other in pending[number:])
            what = f"photo {number} of {len(pending)}"
            try:
                photo = _with_overrides(collections.load(project).photo(id), once)
                what = f"{photo.name or photo.original}, {number} of {len(pending)}"
                planned = _plan_attempt(photo, settings, other_noise=again and "seed" not in once)
                seeded = photo_settings(photo, settings).changed(seed=planned.seed)
                image = collections.load_photo(project, photo)
                for event in _generate(loaded, image, photo.center, planned.prompt, seeded):
                    if event.image is None or event.metadata is None:
                        done += 1
                        total = done + event.steps - event.step + left
                        yield Progress(done, total, what, (time.monotonic() - started) / done * (total - done))
                    else:
                        png = metadata.to_png(event.image, event.metadata)
                        attempt = _save_attempt(project, photo, planned, png)
            except StudioError as error:
                yield Progress(done, done + left, what, photo=id, error=f"photo {id}: {error}")
            else:
                seconds_left = (time.monotonic() - started) / done * left
                yield Progress(done, done + left, what, seconds_left, id, attempt)


def _with_overrides(photo: Photo, once: dict[str, Any]) -> Photo:
    return replace(photo, overrides={**photo.overrides, **once}) if once else photo


def _steps(settings: StylizationSettings) -> int:
    """Return the steps that img2img takes, as `pipeline.generate` counts them."""
    return pipeline.steps_taken(settings.num_inference_steps, settings.strength)


def _plan_attempt(photo: Photo, batch: StylizationSettings, other_noise: bool = False) -> Attempt:
    """Return the attempt that these settings make, without a file; with `other_noise` its seed gives a new image."""
    settings = photo_settings(photo, batch)
    source = Path(batch.adapter_file).name if batch.source == "adapter" else batch.source
    planned = Attempt(
        "",
        photo_prompt(photo),
        source,
        settings.seed,
        settings.strength,
        settings.guidance_scale,
        settings.num_inference_steps,
        settings.adapter_scale,
        photo.center,
    )
    existing = {_settings_only(attempt) for attempt in photo.attempts}
    while other_noise and _settings_only(planned) in existing:
        planned = replace(planned, seed=(planned.seed + 1) % 2**31)
    return planned


def _settings_only(attempt: Attempt) -> Attempt:
    """Return the attempt without its result."""
    return replace(attempt, file="", sha256="")


def _save_attempt(project: Project, photo: Photo, planned: Attempt, png: bytes) -> Attempt:
    """Write the PNG of an attempt, then add the attempt to the collection."""
    number = len(collections.load(project).photo(photo.id).attempts) + 1
    attempt = replace(planned, file=f"{photo.id}-{number}.png", sha256=hashlib.sha256(png).hexdigest())
    write_atomic(project.collection.stylized(attempt.file), png)
    collections.add_attempt(project, photo.id, attempt)
    return attempt
