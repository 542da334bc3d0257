"""What is wrong with a collection, or may be, and the way out of each. Looks only; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Photo
from ghibli_studio.curation.prompts import compose, gauges
from ghibli_studio.curation.split import fixed_sides, landmark, leaks
from ghibli_studio.data.statistics import Entry, Survey, survey
from ghibli_studio.imaging.perceptual_hash import groups
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from ghibli_studio.workspace.project import Project

DARK, BRIGHT = 0.12, 0.88  # mean luma; the 45 bundled photographs have .32 to .71
LONG_SIDE = 2.0  # a longer picture loses more than half of itself to the square
FEW = 20
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be."""

    severity: Severity
    """"error" keeps training from being right, "warning" makes it worse, "note" is worth a look."""
    kind: str
    """A short name, the same for all findings of the kind."""
    message: str
    """What is wrong, with numbers."""
    way_out: str
    """What to do about it."""
    ids: tuple[str, ...] = ()
    """The photographs that it is about."""


def check(project: Project) -> list[Finding]:
    """All findings, errors first; photographs that were rejected are not looked at."""
    return findings(collections.load(project))


def findings(collection: Collection) -> list[Finding]:
    """All findings of a collection, errors first; none where all is well."""
    photos = [photo for photo in collection.photos if photo.state != "rejected"]
    found = [*_prompts(collection, photos), *_landmarks(photos), *_likeness(photos), *_pictures(collection, photos)]
    if collection.problems:
        found.append(
            Finding(
                "note",
                "left out",
                f"{len(collection.problems)} files were left out or told of",
                "look at the list, mend those that you want, and gather them again",
            )
        )
    order = ("error", "warning", "note")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _prompts(collection: Collection, photos: Sequence[Photo]) -> Iterator[Finding]:
    if long := [(photo, gauge) for photo, gauge in zip(photos, gauges(collection, photos)) if gauge.over]:
        most = max(gauge.tokens for _, gauge in long)
        yield Finding(
            "error",
            "long prompt",
            f"{len(long)} prompts are longer than the {collection.token_limit} tokens that the model reads (the "
            f"longest has {most}, trigger included)",
            "shorten them",
            _ids(photo for photo, _ in long),
        )
    if empty := [photo for photo in photos if not compose(photo)]:
        yield Finding(
            "error", "no prompt", f"{len(empty)} photographs have no prompt", "say what they show", _ids(empty)
        )
    if nameless := [photo for photo in photos if compose(photo) and not photo.name]:
        yield Finding(
            "warning",
            "no name",
            f"{len(nameless)} photographs have no name, so each counts as a landmark of its own",
            "name what they show; photographs of one landmark then stay on one side of the split",
            _ids(nameless),
        )


def _landmarks(photos: Sequence[Photo]) -> Iterator[Finding]:
    if photos and len({landmark(photo) for photo in photos}) == 1:
        yield Finding(
            "error",
            "one landmark",
            f"all {len(photos)} photographs show one landmark ({photos[0].name or 'without a name'})",
            "add another landmark: training and validation need one each",
            _ids(photos),
        )
    elif len(photos) < FEW:
        yield Finding(
            "note",
            "few",
            f"{len(photos)} photographs are few; the paper had 115",
            f"add some; below {FEW} a style is hardly learned, and validation says little",
        )
    try:
        fixed_sides(photos)
    except StudioError as error:
        message, _, way_out = str(error).partition("; ")
        yield Finding("error", "landmark on both sides", message, way_out)


def _likeness(photos: Sequence[Photo]) -> Iterator[Finding]:
    side = {photo.id: photo.split for photo in photos if photo.split}
    across = leaks(photos, side)
    if across:
        listed = "; ".join(f"{a} and {b}" for a, b in across[:5]) + ("; ..." if len(across) > 5 else "")
        yield Finding(
            "error",
            "leak",
            f"{len(across)} pairs that look alike are on both sides of the split ({listed}), so "
            "validation would measure memory",
            "put both on one side, or reject one",
            tuple(sorted({id for pair in across for id in pair})),
        )
    for group in groups({photo.id: photo.likeness for photo in photos}):
        yield Finding(
            "warning",
            "near-duplicates",
            f"{', '.join(group[:8])}{', ...' if len(group) > 8 else ''} look alike",
            "keep one and reject the others, or leave them: they stay on one side of the split",
            tuple(group),
        )


def _pictures(collection: Collection, photos: Sequence[Photo]) -> Iterator[Finding]:
    if small := [photo for photo in photos if min(photo.width, photo.height) < collection.resolution]:
        least = min(min(photo.width, photo.height) for photo in small)
        yield Finding(
            "warning",
            "small",
            f"{len(small)} photographs are smaller than {collection.resolution} px and will be "
            f"enlarged (the smallest side is {least} px)",
            "use larger ones where there are any",
            _ids(small),
        )
    if moved := [photo for photo in photos if photo.accepted and photo.accepted.center != photo.center]:
        yield Finding(
            "warning",
            "crop moved",
            f"the crop of {len(moved)} photographs was moved after the accepted picture was drawn",
            "style them again, or leave them: the data set gets the crop that was styled",
            _ids(moved),
        )
    for kind, chosen in (
        ("dark", [photo for photo in photos if photo.brightness < DARK]),
        ("bright", [photo for photo in photos if photo.brightness > BRIGHT]),
    ):
        if chosen:
            yield Finding(
                "note",
                kind,
                f"{len(chosen)} photographs are very {kind}",
                "look whether the landmark can be seen",
                _ids(chosen),
            )
    sides = [(max(photo.width, photo.height), min(photo.width, photo.height)) for photo in photos]
    if long := [photo for photo, (longer, shorter) in zip(photos, sides) if longer > LONG_SIDE * shorter]:
        yield Finding(
            "note",
            "long",
            f"{len(long)} photographs are more than {LONG_SIDE:g} times as long as wide, so that the "
            "square keeps less than half",
            "look at the crop, and move its center to the landmark",
            _ids(long),
        )


def _ids(photos) -> tuple[str, ...]:
    return tuple(photo.id for photo in photos)


def accept(project: Project, ids: Iterable[str] | None = None, attempt: int | None = None) -> Collection:
    """Choose the styled picture to learn from: the attempt of that number (from 0), or the newest.

    Without ids, all photographs that are styled and neither accepted nor rejected. Raises StudioError for a photograph
    without a styled picture.
    """
    collection = collections.load(project)
    photos = collection.select(ids) if ids is not None else [p for p in collection.photos if p.state == "styled"]
    for photo in photos:
        if not photo.attempts:
            raise StudioError(f"photograph {photo.id} has no styled picture yet; style it first")
    newest = {photo.id: len(photo.attempts) - 1 for photo in photos}
    return collections.edit_many(
        project, {id: {"chosen": last if attempt is None else attempt} for id, last in newest.items()}
    )


def reject(project: Project, ids: Iterable[str]) -> Collection:
    """Leave photographs out of the data set; their pictures are kept, and `accept` takes them back in."""
    return collections.edit_many(project, {id: {"rejected": True} for id in ids})


def survey_collection(collection: Collection) -> Survey:
    """The photographs that are not rejected; reads no picture."""
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
            (photo.likeness,),
        )
        for photo in collection.photos
        if not photo.rejected
    ]
    return survey(entries, collection.resolution, collection.token_limit)
