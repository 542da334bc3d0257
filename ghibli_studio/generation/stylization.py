"""Photographs into styled pictures: image-to-image with the base model and a style source, batch or single.

How a picture is drawn is `generation`, where it is kept `collection`. Attempts are written one by one, so that a batch
that was stopped goes on where it was; which attempt is learned from, a person decides with `accept`.
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
from ghibli_studio.config.stylization import PhotographStyling, StyleSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Attempt, Photo
from ghibli_studio.curation.prompts import compose
from ghibli_studio.generation import metadata, model_cache, pipeline
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.generation.model_cache import Loaded, loaded_base
from ghibli_studio.generation.pipeline import Drawing
from ghibli_studio.imaging.crop import CENTER, crop
from ghibli_studio.miniature import STYLE_TEACHER
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image

    from ghibli_studio.models.base_model import BaseModel


OWN = tuple(name for name in PhotographStyling.model_fields if name in StyleSettings.model_fields)
"""Settings of the batch that a photograph may have otherwise."""


@dataclass(frozen=True)
class Progress:
    """Steps done of all steps of a batch; `photo` is there when one has just been finished, or failed."""

    done: int
    total: int
    what: str
    seconds_left: float | None = None
    """Estimated; None before the first step."""
    photo: str | None = None
    """Id of the photograph."""
    attempt: Attempt | None = None
    """Its new styled picture."""
    problem: str = ""
    """Why it could not be styled; the batch goes on."""


@contextmanager
def style_source(model: BaseModel, settings: StyleSettings) -> Iterator[Loaded]:
    """The base model with what knows the style; raises StudioError for a source that is missing or does not fit."""
    if settings.source == "prompt":
        yield Loaded(model, style_words=settings.style_words)
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
                f"the style teacher is made for base model {MINIATURE!r} and does not fit "
                f"{model.description.spec!r}; choose an adapter file of your own (source 'adapter'), or describe the "
                "style in words (source 'prompt')"
            ) from error
        yield loaded


def style_one(
    image: Image.Image,
    prompt: str,
    settings: StyleSettings | None = None,
    *,
    base_model: str = MINIATURE,
    center: tuple[float, float] = CENTER,
) -> Iterator[Drawing]:
    """Style a single upright RGB photograph, a step at a time; the last event has the picture and its recipe.

    No project is needed and nothing is kept.
    """
    settings = settings or StyleSettings()
    model = loaded_base(base_model, settings.device, settings.attention)
    with style_source(model, settings) as loaded:
        yield from _draw(loaded, image, center, prompt, settings)


def _draw(
    loaded: Loaded, image: Image.Image, center: tuple[float, float], prompt: str, settings: StyleSettings
) -> Iterator[Drawing]:
    start = Photograph(crop(image, center, loaded.base.description.resolution), settings.strength)
    chosen = settings.model_dump(include=set(GenerationSettings.model_fields))
    return pipeline.draw(loaded, prompt, GenerationSettings.checked(chosen), start)


def prompt_of(photo: Photo) -> str:
    """What is drawn for a photograph: the prompt of its own styling, else the composed one."""
    return photo.styling.get("prompt") or compose(photo)


def settings_of(photo: Photo, batch: StyleSettings) -> StyleSettings:
    """The batch's settings with the photograph's own in their place.

    The batch's seed is counted up by the photograph's number, so that each has noise of its own, whatever is drawn
    before it.
    """
    own = {name: photo.styling[name] for name in OWN if photo.styling.get(name) is not None}
    return batch.changed(**{"seed": (batch.seed + int(photo.id) - 1) % 2**31, **own})


def batch_settings(collection: Collection) -> StyleSettings:
    """The settings that the batch had last, or the default ones."""
    return StyleSettings.checked(dict(collection.style))


def style(
    project: Project, ids: Iterable[str] | None = None, settings: StyleSettings | None = None, again: bool = False
) -> Iterator[Progress]:
    """Style photographs, all but the rejected ones if no ids are given, and keep each picture as an attempt.

    A photograph that has an attempt of its crop is passed over, so that a stopped batch goes on where it was; with
    `again` it gets another one (from other noise if nothing else has changed). What is edited meanwhile counts for the
    photographs that have not had their turn. The settings are remembered for the next batch; without any, the last ones
    count.
    """
    collection = collections.load(project)
    settings = settings or batch_settings(collection)
    if settings.model_dump(mode="json") != collection.style:
        collections.set_style(project, settings.model_dump(mode="json"))
    wanted = None if ids is None else list(ids)
    waiting = [
        photo.id
        for photo in collection.select(wanted)
        if (again or photo.waiting) and (wanted is not None or not photo.rejected)
    ]
    yield from _batch(project, waiting, settings, {}, again)


def redo(project: Project, id: str, settings: StyleSettings | None = None, **changes: Any) -> Iterator[Progress]:
    """Another attempt at one photograph, with other values for this one time (those of `PhotographStyling`).

    Without a seed, what was drawn before with the same values is drawn from other noise. Raises StudioError for
    unknown names and bad values.
    """
    once = PhotographStyling.checked(changes).model_dump(mode="json", exclude_none=True)
    collection = collections.load(project)
    collection.photo(id)
    settings = settings or batch_settings(collection)
    for step in _batch(project, [id], settings, once, True):
        if step.problem:
            raise StudioError(step.problem)
        yield step


def _batch(
    project: Project, waiting: list[str], settings: StyleSettings, once: dict[str, Any], again: bool
) -> Iterator[Progress]:
    """Style photographs by id, each as it is when its turn comes."""
    if not waiting:
        yield Progress(1, 1, "every photograph has a styled picture already")
        return
    first = collections.load(project)
    steps = {id: _steps(settings_of(_with(first.photo(id), once), settings)) for id in waiting}
    done, began = 0, 0.0
    yield Progress(0, sum(steps.values()), "loading the base model")
    model = loaded_base(first.base_model, settings.device, settings.attention)
    with style_source(model, settings) as loaded:
        began = time.monotonic()
        for number, id in enumerate(waiting, 1):
            left = sum(steps[other] for other in waiting[number:])
            what = f"photograph {number} of {len(waiting)}"
            try:
                photo = _with(collections.load(project).photo(id), once)
                what = f"{photo.name or photo.original}, {number} of {len(waiting)}"
                planned = _planned(photo, settings, other_noise=again and "seed" not in once)
                chosen = settings_of(photo, settings).changed(seed=planned.seed)
                image = collections.picture(project, photo)
                for drawing in _draw(loaded, image, photo.center, planned.prompt, chosen):
                    if drawing.image is None:
                        done += 1
                        total = done + drawing.steps - drawing.step + left
                        yield Progress(done, total, what, (time.monotonic() - began) / done * (total - done))
                    else:
                        attempt = _keep(project, photo, planned, drawing)
            except StudioError as error:
                yield Progress(done, done + left, what, photo=id, problem=f"photograph {id}: {error}")
            else:
                seconds_left = (time.monotonic() - began) / done * left
                yield Progress(done, done + left, what, seconds_left, id, attempt)


def _with(photo: Photo, once: dict[str, Any]) -> Photo:
    return replace(photo, styling={**photo.styling, **once}) if once else photo


def _steps(settings: StyleSettings) -> int:
    """Steps that image-to-image does of all steps, as `generation.draw` counts them."""
    return pipeline.steps_drawn(settings.num_inference_steps, settings.strength)


def _planned(photo: Photo, batch: StyleSettings, other_noise: bool = False) -> Attempt:
    """The attempt that these settings make, not drawn yet; with a seed that gives a new picture if that is wanted."""
    chosen = settings_of(photo, batch)
    source = Path(batch.adapter_file).name if batch.source == "adapter" else batch.source
    planned = Attempt(
        "",
        prompt_of(photo),
        source,
        chosen.seed,
        chosen.strength,
        chosen.guidance_scale,
        chosen.num_inference_steps,
        chosen.adapter_scale,
        photo.center,
    )
    there = {_decided(old) for old in photo.attempts}
    while other_noise and _decided(planned) in there:
        planned = replace(planned, seed=(planned.seed + 1) % 2**31)
    return planned


def _decided(attempt: Attempt) -> Attempt:
    """What was chosen, without what came of it."""
    return replace(attempt, file="", sha256="")


def _keep(project: Project, photo: Photo, planned: Attempt, drawing: Drawing) -> Attempt:
    """Write a picture with its recipe, then name it in the collection."""
    data = metadata.to_png(drawing.image, drawing.recipe)
    number = len(collections.load(project).photo(photo.id).attempts) + 1
    attempt = replace(planned, file=f"{photo.id}-{number}.png", sha256=hashlib.sha256(data).hexdigest())
    write_atomic(project.collection.styled(attempt.file), data)
    collections.add_attempt(project, photo.id, attempt)
    return attempt
