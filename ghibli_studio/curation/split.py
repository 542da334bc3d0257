"""The split into training and validation: whole landmarks, and near duplicates, stay on one side.

Only `split` touches the disk.
"""

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
from ghibli_studio.imaging.perceptual_hash import NEAR_DUPLICATE_BITS, UnionFind, near_duplicate_groups, near_duplicates
from ghibli_studio.workspace.project import Project


def landmark(photo: Photo) -> str:
    """Return the key that determines the split: the name, ignoring case, or the id of a photo without a name."""
    return photo.name.casefold() or photo.id


def assign_splits(photos: Sequence[Photo], seed: int, share: float = VALIDATION_SHARE) -> dict[str, Split]:
    """Return the split of every photo by id; fixed photos keep theirs, and their landmark goes with them.

    Landmarks with near duplicates among their photos stay together. The others are ordered by composition, then
    brightness, and taken for validation at equal distances from a random start, so that both sides have every kind
    (systematic sampling, an implicit stratification; Cochran 1977, "Sampling Techniques", chapter 8). Raises
    StudioError for a landmark that was fixed on both sides.
    """
    if not 0 < share < 1:
        raise StudioError(f"the validation share is {share:g}; it must be between 0 and 1, such as 0.2")
    fixed = fixed_splits(photos)
    assigned: dict[str, Split] = {photo.id: fixed[landmark(photo)] for photo in photos if landmark(photo) in fixed}
    free = []
    for cluster in _clusters(photos):
        rest = [photo for photo in cluster if photo.id not in assigned]
        settled = {assigned[photo.id] for photo in cluster if photo.id in assigned}
        if settled:  # near duplicates follow; if the user put them on both sides, `review.check` reports it
            assigned |= dict.fromkeys((photo.id for photo in rest), "train" if len(settled) > 1 else settled.pop())
        else:
            free.append(cluster)
    room = round(share * len(photos)) - sum(split == "validation" for split in assigned.values())
    chosen = _spread(free, room, random.Random(seed))
    settled = set(assigned.values())
    if not chosen and "validation" not in settled and len(free) > ("train" not in settled):  # training needs one too
        chosen = {min(range(len(free)), key=lambda index: len(free[index]))}
    for index, cluster in enumerate(free):
        assigned |= dict.fromkeys((photo.id for photo in cluster), "validation" if index in chosen else "train")
    return {photo.id: assigned[photo.id] for photo in photos}


def fixed_splits(photos: Iterable[Photo]) -> dict[str, Split]:
    """Return the split that each landmark was fixed on; raises StudioError for a landmark on both sides."""
    first: dict[str, Photo] = {}
    for photo in photos:
        if photo.split and (other := first.setdefault(landmark(photo), photo)).split != photo.split:
            raise StudioError(
                f"{photo.name or 'a photo'} is in {other.split} ({other.id}) and in {photo.split} ({photo.id}), so "
                "validation would measure memory; put all photos of a landmark on one side"
            )
    return {name: photo.split for name, photo in first.items() if photo.split}


def _clusters(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Return the groups of photos that must stay on one side: of one landmark, or linked by near duplicates."""
    union = UnionFind(range(len(photos)))
    first: dict[str, int] = {}
    for index, photo in enumerate(photos):
        union.join(first.setdefault(landmark(photo), index), index)
    position = {photo.id: index for index, photo in enumerate(photos)}
    for group in near_duplicate_groups({photo.id: photo.perceptual_hash for photo in photos}):
        for id in group[1:]:
            union.join(position[group[0]], position[id])
    return [[photos[index] for index in group] for group in union.groups()]


def _spread(clusters: list[list[Photo]], room: int, rng: random.Random) -> set[int]:
    """Return indices of clusters with about `room` photos, taken at equal distances from a random start."""
    fitting = [index for index, cluster in enumerate(clusters) if len(cluster) <= room]
    fitting.sort(key=lambda index: _sort_key(clusters[index]))
    total = sum(len(clusters[index]) for index in fitting)
    if room <= 0 or not total:
        return set()
    distance = max(total / room, 1.0)
    tick, passed, taken = rng.random() * distance, 0, 0
    chosen: set[int] = set()
    for index in fitting:
        passed += (size := len(clusters[index]))
        if tick < passed:
            if taken + size <= room and len(chosen) + 1 < len(clusters):
                chosen.add(index)
                taken += size
            while tick < passed:
                tick += distance
    return chosen


def _sort_key(cluster: list[Photo]) -> tuple[str, float, str]:
    """Return the cluster's most common composition, its mean brightness, and an id to break ties."""
    composition = Counter(photo.composition.casefold() for photo in cluster).most_common(1)[0][0]
    return composition, sum(photo.brightness for photo in cluster) / len(cluster), cluster[0].id


def leaks(photos: Sequence[Photo], splits: dict[str, Split], bits: int = NEAR_DUPLICATE_BITS) -> list[tuple[str, str]]:
    """Return pairs of ids of near duplicates on different sides, the training photo first."""
    by_split: dict[str, dict[str, list[str]]] = {"train": {}, "validation": {}}
    for photo in photos:
        if (split := splits.get(photo.id)) is not None:
            by_split[split].setdefault(photo.perceptual_hash, []).append(photo.id)
    hashes = sorted({*by_split["train"], *by_split["validation"]})
    near = [(a, a) for a in hashes] + [(hashes[a], hashes[b]) for a, b in near_duplicates(hashes, bits)]
    near += [(b, a) for a, b in near if a != b]
    train, validation = by_split["train"], by_split["validation"]
    return sorted((first, second) for a, b in near for first in train.get(a, ()) for second in validation.get(b, ()))


def split(project: Project, *, seed: int = 0, share: float = VALIDATION_SHARE, again: bool = False) -> Collection:
    """Assign and save the split of every photo that is not rejected; with `again` also of those already assigned.

    Raises StudioError if there are fewer than two landmarks.
    """

    def assigned(collection: Collection) -> Collection:
        photos = [photo for photo in collection.photos if photo.state != "rejected"]
        if len({landmark(photo) for photo in photos}) < 2:
            raise StudioError(
                f"{len(photos)} photos of one landmark cannot be split, because training and validation need one "
                "landmark each; add another landmark, or rename photos that show different ones"
            )
        if again:
            photos = [curation_photos.edited(photo, {"split": None}) for photo in photos]
        splits = assign_splits(photos, seed, share)
        return collections.apply_edits(collection, {id: {"split": side} for id, side in splits.items()})

    return collections.change(project, assigned)
