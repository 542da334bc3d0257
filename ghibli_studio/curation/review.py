"""Checks of a collection with a fix for each issue, its statistics, and accepting and rejecting photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Photo
from ghibli_studio.curation.prompts import compose, token_usage
from ghibli_studio.curation.split import fixed_splits, landmark, leaks
from ghibli_studio.data.statistics import DatasetStatistics, Entry, compute_statistics
from ghibli_studio.imaging.perceptual_hash import near_duplicate_groups
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from ghibli_studio.plotting.formatting import pluralize
from ghibli_studio.workspace.project import Project

DARK, BRIGHT = 0.12, 0.88  # mean luma; the 45 bundled photos have .32 to .71
MAX_ASPECT_RATIO = 2.0  # a longer image loses more than half of itself to the square crop
FEW_PHOTOS = 20
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Issue:
    """A certain or possible problem of a collection."""

    severity: Severity
    """An "error" makes training wrong, a "warning" makes it worse, a "note" is worth checking."""
    kind: str
    """A short name, the same for all issues of the kind."""
    message: str
    """What is wrong, with numbers."""
    fix: str
    """What to do about it."""
    ids: tuple[str, ...] = ()
    """The photos with the issue."""


def check(project: Project) -> list[Issue]:
    """Return the issues of the project's collection, errors first; rejected photos are not checked."""
    return find_issues(collections.load(project))


def find_issues(collection: Collection) -> list[Issue]:
    """Return the issues of a collection, errors first; rejected photos are not checked."""
    photos = [photo for photo in collection.photos if photo.state != "rejected"]
    issues = [
        *_prompts(collection, photos),
        *_landmarks(photos),
        *_near_duplicates(photos),
        *_images(collection, photos),
    ]
    if collection.skipped:
        issues.append(
            Issue(
                "note",
                "skipped files",
                f"{pluralize(len(collection.skipped), 'file')} skipped or with a problem",
                "check the list, correct the files that you need, and add them again",
            )
        )
    order = ("error", "warning", "note")
    return sorted(issues, key=lambda issue: order.index(issue.severity))


def _prompts(collection: Collection, photos: Sequence[Photo]) -> Iterator[Issue]:
    if long := [(photo, usage) for photo, usage in zip(photos, token_usage(collection, photos)) if usage.over]:
        most = max(usage.tokens for _, usage in long)
        yield Issue(
            "error",
            "long prompt",
            f"{pluralize(len(long), 'prompt')} over the limit of {collection.token_limit} tokens (the longest has "
            f"{most}, trigger included)",
            "shorten them",
            _ids(photo for photo, _ in long),
        )
    if empty := [photo for photo in photos if not compose(photo)]:
        yield Issue(
            "error",
            "no prompt",
            f"{pluralize(len(empty), 'photo')} without a prompt",
            "write what they show",
            _ids(empty),
        )
    if nameless := [photo for photo in photos if compose(photo) and not photo.name]:
        yield Issue(
            "warning",
            "no name",
            f"{pluralize(len(nameless), 'photo')} without a name (each counts as its own landmark)",
            "name what they show; photos of one landmark then stay on one side of the split",
            _ids(nameless),
        )


def _landmarks(photos: Sequence[Photo]) -> Iterator[Issue]:
    if photos and len({landmark(photo) for photo in photos}) == 1:
        yield Issue(
            "error",
            "one landmark",
            f"all {len(photos)} photos show one landmark ({photos[0].name or 'without a name'})",
            "add another landmark: training and validation need one each",
            _ids(photos),
        )
    elif len(photos) < FEW_PHOTOS:
        yield Issue(
            "note",
            "few",
            f"only {pluralize(len(photos), 'photo')} (the paper had 115)",
            f"add some, because fewer than {FEW_PHOTOS} hardly teach a style, and validation says little",
        )
    try:
        fixed_splits(photos)
    except StudioError as error:
        message, _, fix = str(error).partition("; ")
        yield Issue("error", "landmark on both sides", message, fix)


def _near_duplicates(photos: Sequence[Photo]) -> Iterator[Issue]:
    across = leaks(photos, {photo.id: photo.split for photo in photos if photo.split})
    if across:
        listed = "; ".join(f"{a} and {b}" for a, b in across[:5]) + ("; ..." if len(across) > 5 else "")
        yield Issue(
            "error",
            "leak",
            f"{pluralize(len(across), 'pair')} of near duplicates on both sides of the split ({listed}), so "
            "validation would measure memory",
            "put each pair on one side, or reject one",
            tuple(sorted({id for pair in across for id in pair})),
        )
    for group in near_duplicate_groups({photo.id: photo.perceptual_hash for photo in photos}):
        yield Issue(
            "warning",
            "near-duplicates",
            f"{', '.join(group[:8])}{', ...' if len(group) > 8 else ''} are near duplicates",
            "keep one and reject the others, or leave them: they stay on one side of the split",
            tuple(group),
        )


def _images(collection: Collection, photos: Sequence[Photo]) -> Iterator[Issue]:
    if small := [photo for photo in photos if min(photo.width, photo.height) < collection.resolution]:
        least = min(min(photo.width, photo.height) for photo in small)
        yield Issue(
            "warning",
            "small",
            f"{pluralize(len(small), 'photo')} smaller than {collection.resolution} px, to be enlarged (the smallest "
            f"side is {least} px)",
            "use larger ones if you can",
            _ids(small),
        )
    if moved := [photo for photo in photos if photo.accepted and photo.accepted.center != photo.center]:
        yield Issue(
            "warning",
            "crop moved",
            f"{pluralize(len(moved), 'photo')} with a crop that was moved after the accepted image was generated",
            "stylize them again, or leave them: the dataset gets the crop that was stylized",
            _ids(moved),
        )
    for kind, matching in (
        ("dark", [photo for photo in photos if photo.brightness < DARK]),
        ("bright", [photo for photo in photos if photo.brightness > BRIGHT]),
    ):
        if matching:
            yield Issue(
                "note",
                kind,
                pluralize(len(matching), f"very {kind} photo"),
                "check that the landmark is visible",
                _ids(matching),
            )
    sides = [(max(photo.width, photo.height), min(photo.width, photo.height)) for photo in photos]
    if long := [photo for photo, (longer, shorter) in zip(photos, sides) if longer > MAX_ASPECT_RATIO * shorter]:
        yield Issue(
            "note",
            "long",
            f"{pluralize(len(long), 'photo')} with an aspect ratio over {MAX_ASPECT_RATIO:g}, so the square crop "
            "keeps less than half",
            "check the crop, and move its center to the landmark",
            _ids(long),
        )


def _ids(photos: Iterable[Photo]) -> tuple[str, ...]:
    return tuple(photo.id for photo in photos)


def accept(project: Project, ids: Iterable[str] | None = None, attempt: int | None = None) -> Collection:
    """Accept the stylized image to train on: the attempt with this index (from 0), or the newest.

    Without ids, all photos that are stylized and neither accepted nor rejected. Raises StudioError for a photo without
    a stylized image.
    """
    collection = collections.load(project)
    photos = collection.select(ids) if ids is not None else [p for p in collection.photos if p.state == "stylized"]
    for photo in photos:
        if not photo.attempts:
            raise StudioError(f"photo {photo.id} has no stylized image yet; stylize it first")
    newest = {photo.id: len(photo.attempts) - 1 for photo in photos}
    return collections.edit_many(
        project, {id: {"accepted_index": last if attempt is None else attempt} for id, last in newest.items()}
    )


def reject(project: Project, ids: Iterable[str]) -> Collection:
    """Exclude photos from the dataset; their images are kept, and `accept` includes them again."""
    return collections.edit_many(project, {id: {"rejected": True} for id in ids})


def collection_statistics(collection: Collection) -> DatasetStatistics:
    """Return the statistics of the photos that are not rejected; no image is read."""
    tokenizer = load_tokenizer(collection.base_model)
    entries = [
        Entry(
            photo.id,
            photo.name,
            photo.split,
            token_count(tokenizer, compose(photo)),
            photo.width,
            photo.height,
            photo.brightness,
            (photo.perceptual_hash,),
        )
        for photo in collection.photos
        if not photo.rejected
    ]
    return compute_statistics(entries, collection.resolution, collection.token_limit)
