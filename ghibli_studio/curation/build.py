"""From a collection to the project's data set: what was accepted, each with the crop that it was styled from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Attempt, Photo
from ghibli_studio.curation.prompts import compose
from ghibli_studio.curation.split import leaks, sides
from ghibli_studio.data.dataset import VALIDATION_SHARE, check_caption
from ghibli_studio.data.file_source import read_plain
from ghibli_studio.data.sample_dataset import refuse_to_overwrite
from ghibli_studio.data.writer import Draft
from ghibli_studio.imaging.crop import CENTER, steps
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.models.description import describe
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


def finish(
    project: Project, *, seed: int = 0, share: float = VALIDATION_SHARE, replace: bool = False
) -> Iterator[Progress]:
    """Make the data set of the accepted photographs; the collection stays as it is, to go on with later.

    Where the crop was moved, the square that was styled is the source, so that the source's center is what was styled.
    Landmarks are whole on one side, `share` of the photographs to validation (see `splitting`). Raises StudioError if
    nothing was accepted, if a landmark was put on both sides, or if there is a data set and `replace` is not said.
    """
    refuse_to_overwrite(project, replace)
    collection = collections.load(project)
    accepted = [photo for photo in collection.photos if photo.accepted]
    if not accepted:
        raise StudioError(
            f"none of the {len(collection.photos)} photographs of project {project.name!r} has an accepted styled "
            "picture; style them, and accept those that are good"
        )
    side = sides(accepted, seed, share)
    description = describe(collection.base_model)
    with Draft.of(project, description, seed) as draft:
        refuse_to_overwrite(project, replace)  # somebody else may have made one since
        for done, photo in enumerate(accepted, 1):
            try:
                caption = check_caption(compose(photo), f"photograph {photo.id} ({photo.original})")
                styled, (source, suffix) = _styled(project, photo.accepted), _source(project, photo)
            except StudioError as error:
                draft.leave_out(photo.original, str(error))
            else:
                name = photo.name or f"photograph {photo.id}"  # as in the split: without a name it stands for itself
                draft.add(
                    styled,
                    caption,
                    landmark=name,
                    source=source,
                    suffix=suffix,
                    original=photo.original,
                    split=side[photo.id],
                )
            yield Progress(done, len(accepted), f"taking {photo.name or photo.original}")
        if waiting := sum(photo.state in ("new", "styled") for photo in collection.photos):
            draft.notes.append(f"{waiting} photographs are neither accepted nor rejected yet; they are not in the set.")
        if pairs := leaks(accepted, side):
            listed = "; ".join(f"{a} and {b}" for a, b in pairs[:5]) + ("; ..." if len(pairs) > 5 else "")
            draft.notes.append(
                f"{len(pairs)} pairs of photographs that look alike were put on both sides of the split ({listed}), so "
                "validation measures memory too; put them on one side, or reject one, and finish again."
            )
        draft.finish()


def _styled(project: Project, attempt: Attempt) -> Image.Image:
    path = project.collection.styled(attempt.file)
    data = read_plain(path, attempt.file)
    if attempt.sha256 and hashlib.sha256(data).hexdigest() != attempt.sha256:
        raise StudioError(f"{path} was changed after it was styled; style the photograph again")
    return open_image(data, attempt.file)


def _source(project: Project, photo: Photo) -> tuple[bytes, str]:
    """The photograph as it came, or the square that was styled where it is not the middle; and the file's ending."""
    data = read_plain(project.collection.source(photo.file), photo.original)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise StudioError(f"{photo.original} was changed after it was gathered; gather it again")
    center = photo.accepted.center  # the crop may have been moved since
    if center == CENTER:
        return data, PurePosixPath(photo.file).suffix
    return png_bytes(steps(open_image(data, photo.original), center, 1).square), ".png"
