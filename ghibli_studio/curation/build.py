"""From a collection to the project's dataset: the accepted images, each with the crop that it was stylized from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Attempt, Photo
from ghibli_studio.curation.prompts import compose
from ghibli_studio.curation.split import assign_splits, leaks
from ghibli_studio.data.dataset import VALIDATION_SHARE, check_caption
from ghibli_studio.data.file_source import read_file
from ghibli_studio.data.sample_dataset import refuse_to_overwrite
from ghibli_studio.data.writer import DatasetWriter
from ghibli_studio.imaging.crop import CENTER, crop_preview
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.models.description import describe
from ghibli_studio.plotting.formatting import pluralize
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


def build_dataset(
    project: Project, *, seed: int = 0, share: float = VALIDATION_SHARE, replace: bool = False
) -> Iterator[Progress]:
    """Build the dataset from the accepted photos; the collection stays, so that you can continue with it later.

    If the crop was moved, the stylized square becomes the source, so that the source's center is what was stylized.
    Each landmark is on one side, and `share` of the photos go to validation (see `split`). Raises StudioError if no
    photo is accepted, if a landmark is fixed on both sides, or if there is a dataset and `replace` is not set.
    """
    refuse_to_overwrite(project, replace)
    collection = collections.load(project)
    accepted = [(photo, attempt) for photo in collection.photos if (attempt := photo.accepted)]
    photos = [photo for photo, _ in accepted]
    if not accepted:
        raise StudioError(
            f"none of the {len(collection.photos)} photos of project {project.name!r} has an accepted stylized image; "
            "stylize them and accept the good ones"
        )
    splits = assign_splits(photos, seed, share)
    description = describe(collection.base_model)
    with DatasetWriter.create(project, description, seed) as writer:
        refuse_to_overwrite(project, replace)  # another user may have built one meanwhile
        for done, (photo, attempt) in enumerate(accepted, 1):
            try:
                caption = check_caption(compose(photo), f"photo {photo.id} ({photo.original})")
                image, (source, suffix) = _stylized_image(project, attempt), _source(project, photo, attempt)
            except StudioError as error:
                writer.skip(photo.original, str(error))
            else:
                name = photo.name or f"photo {photo.id}"  # as in the split, a photo without a name is its own landmark
                writer.add(
                    image,
                    caption,
                    landmark=name,
                    source=source,
                    suffix=suffix,
                    original=photo.original,
                    split=splits[photo.id],
                )
            yield Progress(done, len(accepted), f"adding {photo.name or photo.original}")
        if unreviewed := sum(photo.state in ("new", "stylized") for photo in collection.photos):
            writer.notes.append(
                f"{pluralize(unreviewed, 'photo')} not in the dataset, because neither accepted nor rejected yet."
            )
        if pairs := leaks(photos, splits):
            listed = "; ".join(f"{a} and {b}" for a, b in pairs[:5]) + ("; ..." if len(pairs) > 5 else "")
            writer.notes.append(
                f"{pluralize(len(pairs), 'pair')} of near duplicates on both sides of the split ({listed}), so "
                "validation measures memory too; put each pair on one side, or reject one, and build again."
            )
        writer.build()


def _stylized_image(project: Project, attempt: Attempt) -> Image.Image:
    path = project.collection.stylized(attempt.file)
    data = read_file(path, attempt.file)
    if attempt.sha256 and hashlib.sha256(data).hexdigest() != attempt.sha256:
        raise StudioError(f"{path} was changed after it was stylized; stylize the photo again")
    return open_image(data, attempt.file)


def _source(project: Project, photo: Photo, attempt: Attempt) -> tuple[bytes, str]:
    """Return (the original photo, or the stylized square if the crop is off-center; the file suffix)."""
    data = read_file(project.collection.source(photo.file), photo.original)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise StudioError(f"{photo.original} was changed after it was added; add it again")
    center = attempt.center  # the photo's crop may have been moved since
    if center == CENTER:
        return data, PurePosixPath(photo.file).suffix
    return png_bytes(crop_preview(open_image(data, photo.original), center, 1).square), ".png"
