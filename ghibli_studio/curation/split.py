"""Who is learned from and who validates: whole landmarks, and what looks alike, on one side. No disk but `split`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation import photos as curation_photos
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Photo
from ghibli_studio.data.dataset import VALIDATION_SHARE, Split
from ghibli_studio.imaging.perceptual_hash import ALIKE_BITS, Union, alike, groups
from ghibli_studio.workspace.project import Project


def landmark(photo: Photo) -> str:
    """What decides the side: the name, whatever its case; a photograph without one stands for itself."""
    return photo.name.casefold() or photo.id


def sides(photos: Sequence[Photo], seed: int, share: float = VALIDATION_SHARE) -> dict[str, Split]:
    """A side for every photograph, by id; what was fixed before stays, and its landmark goes with it.

    Landmarks of which photographs look alike stay together. The others are ordered by composition, then brightness,
    and taken for validation at equal distances from a random start, so that both sides have some of every kind
    (systematic sampling, an implicit stratification; Cochran 1977, "Sampling Techniques", chapter 8). Raises
    StudioError for a landmark that was fixed on both sides.
    """
    if not 0 < share < 1:
        raise StudioError(f"the share for validation is {share:g}; it must be between 0 and 1, such as 0.2")
    fixed = fixed_sides(photos)
    found = {photo.id: fixed[landmark(photo)] for photo in photos if landmark(photo) in fixed}
    free = []
    for cluster in _clusters(photos):
        rest = [photo for photo in cluster if photo.id not in found]
        settled = {found[photo.id] for photo in cluster if photo.id in found}
        if settled:  # what looks alike goes along; where the person put such on both sides, `check` tells
            found |= dict.fromkeys((photo.id for photo in rest), "train" if len(settled) > 1 else settled.pop())
        else:
            free.append(cluster)
    room = round(share * len(photos)) - sum(side == "validation" for side in found.values())
    chosen = _spread(free, room, random.Random(seed))
    settled = set(found.values())
    if not chosen and "validation" not in settled and len(free) > ("train" not in settled):  # training needs one too
        chosen = {min(range(len(free)), key=lambda index: len(free[index]))}
    for index, cluster in enumerate(free):
        found |= dict.fromkeys((photo.id for photo in cluster), "validation" if index in chosen else "train")
    return {photo.id: found[photo.id] for photo in photos}


def fixed_sides(photos: Iterable[Photo]) -> dict[str, Split]:
    """Landmark -> the side that it was put on; raises StudioError where that is both."""
    first: dict[str, Photo] = {}
    for photo in photos:
        if photo.split and (other := first.setdefault(landmark(photo), photo)).split != photo.split:
            raise StudioError(
                f"{photo.name or 'a photograph'} is in {other.split} ({other.id}) and in {photo.split} ({photo.id}), "
                "so validation would measure memory; put all photographs of a landmark on one side"
            )
    return {name: photo.split for name, photo in first.items() if photo.split}


def _clusters(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Photographs that have to be on one side: of one landmark, or of landmarks of which some look alike."""
    together = Union(range(len(photos)))
    first: dict[str, int] = {}
    for index, photo in enumerate(photos):
        together.join(first.setdefault(landmark(photo), index), index)
    position = {photo.id: index for index, photo in enumerate(photos)}
    for group in groups({photo.id: photo.likeness for photo in photos}):
        for id in group[1:]:
            together.join(position[group[0]], position[id])
    return [[photos[index] for index in group] for group in together.groups()]


def _spread(clusters: list[list[Photo]], room: int, rng: random.Random) -> set[int]:
    """Indices of clusters with about `room` photographs, taken at equal distances from a random start."""
    fitting = [index for index, cluster in enumerate(clusters) if len(cluster) <= room]
    fitting.sort(key=lambda index: _kind(clusters[index]))
    total = sum(len(clusters[index]) for index in fitting)
    if room <= 0 or not total:
        return set()
    distance = max(total / room, 1.0)
    tick, passed, taken = rng.random() * distance, 0, 0
    chosen = set()
    for index in fitting:
        passed += (size := len(clusters[index]))
        if tick < passed:
            if taken + size <= room and len(chosen) + 1 < len(clusters):
                chosen.add(index)
                taken += size
            while tick < passed:
                tick += distance
    return chosen


def _kind(cluster: list[Photo]) -> tuple[str, float, str]:
    """What a cluster shows: its commonest composition, its brightness, and its id so that the order is the same."""
    composition = Counter(photo.composition.casefold() for photo in cluster).most_common(1)[0][0]
    return composition, sum(photo.brightness for photo in cluster) / len(cluster), cluster[0].id


def leaks(photos: Sequence[Photo], side: dict[str, Split], bits: int = ALIKE_BITS) -> list[tuple[str, str]]:
    """Pairs of ids that look alike and stand on different sides, training first."""
    by_side: dict[str, dict[str, list[str]]] = {"train": {}, "validation": {}}
    for photo in photos:
        if (where := side.get(photo.id)) is not None:
            by_side[where].setdefault(photo.likeness, []).append(photo.id)
    hashes = sorted({*by_side["train"], *by_side["validation"]})
    near = [(a, a) for a in hashes] + [(hashes[a], hashes[b]) for a, b in alike(hashes, bits)]
    near += [(b, a) for a, b in near if a != b]
    train, validation = by_side["train"], by_side["validation"]
    return sorted((one, other) for a, b in near for one in train.get(a, ()) for other in validation.get(b, ()))


def split(project: Project, *, seed: int = 0, share: float = VALIDATION_SHARE, again: bool = False) -> Collection:
    """Decide the side of every photograph that is not rejected, and write it down; with `again` of those decided too.

    Raises StudioError where there are fewer than two landmarks.
    """

    def decided(collection: Collection) -> Collection:
        photos = [photo for photo in collection.photos if photo.state != "rejected"]
        if len({landmark(photo) for photo in photos}) < 2:
            raise StudioError(
                f"{len(photos)} photographs of one landmark cannot be split: training and validation need a landmark "
                "each; add another, or give those that show different things different names"
            )
        if again:
            photos = [curation_photos.changed(photo, {"split": None}) for photo in photos]
        found = sides(photos, seed, share)
        return collections.with_changes(collection, {id: {"split": side} for id, side in found.items()})

    return collections.change(project, decided)
