"""Landmarks and near duplicates stay on one side, both sides have every kind, and fixed photos keep theirs."""

from collections import Counter

import pytest

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.split import assign_splits, leaks, split
from tests.support.collection_project import photo, put

HASH = "0" * 16
NEAR = "00000000000000ff"  # eight bits from HASH
FAR = "00000000000001ff"  # nine bits from HASH, one from NEAR


def hundred():
    """Return a hundred landmarks with one photo each, a fifth of them close-ups, from dark to bright."""
    return [
        photo(f"{n:04d}", f"L{n}", composition="close-up" if n % 5 == 0 else "wide shot", brightness=n / 100)
        for n in range(1, 101)
    ]


def landmarks_of(splits, photos, side):
    return {one.name.casefold() for one in photos if splits[one.id] == side}


@pytest.mark.parametrize("seed", range(8))
def test_both_sides_have_every_kind_of_photo(seed):
    photos = hundred()
    splits = assign_splits(photos, seed)
    validation = [one for one in photos if splits[one.id] == "validation"]
    assert list(splits) == [one.id for one in photos]
    assert Counter(one.composition for one in validation) == {"close-up": 4, "wide shot": 16}
    for dark in (0, 0.25, 0.5, 0.75):
        assert 4 <= sum(dark < one.brightness <= dark + 0.25 for one in validation) <= 6


def test_the_seed_determines_the_split():
    photos = hundred()
    assert assign_splits(photos, 1) == assign_splits(photos, 1)
    assert len({tuple(assign_splits(photos, seed).items()) for seed in range(8)}) > 1


@pytest.mark.parametrize(("share", "count"), [(0.05, 5), (0.2, 20), (0.5, 50)])
def test_the_validation_share(share, count):
    assert list(assign_splits(hundred(), 0, share).values()).count("validation") == count


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, float("nan")])
def test_a_share_out_of_bounds_is_refused(share):
    with pytest.raises(StudioError, match="it must be between 0 and 1"):
        assign_splits(hundred(), 0, share)


@pytest.mark.parametrize("seed", range(5))
def test_a_landmark_stays_on_one_side_ignoring_case(seed):
    photos = [photo(f"{n:04d}", ("Petra", "PETRA", "Rome", "Bern", "rome", "Ur")[n % 6]) for n in range(1, 61)]
    splits = assign_splits(photos, seed)
    train, validation = (landmarks_of(splits, photos, side) for side in ("train", "validation"))
    assert not train & validation
    assert train | validation == {"petra", "rome", "bern", "ur"}
    assert train
    assert validation
    assert list(splits.values()).count("validation") == 10, "20 would be too many, and 12 cannot be"


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_few_landmarks_are_split_in_two(count):
    for seed in range(10):
        photos = [photo(f"{n:04d}", f"L{n}") for n in range(1, count + 1)]
        assert list(assign_splits(photos, seed).values()).count("validation") == 1
    large = [photo("0001", "A"), photo("0002", "A"), photo("0003", "B"), photo("0004", "B"), photo("0005", "B")]
    assert assign_splits(large, 0) == {
        "0001": "validation",
        "0002": "validation",
        "0003": "train",
        "0004": "train",
        "0005": "train",
    }


def test_one_landmark_goes_to_training():
    assert assign_splits([photo("0001", "A"), photo("0002", "a")], 0) == {"0001": "train", "0002": "train"}
    assert assign_splits([], 0) == {}


def test_photos_without_a_name_are_their_own_landmarks():
    assert set(assign_splits([photo("0001"), photo("0002")], 0).values()) == {"train", "validation"}


@pytest.mark.parametrize("seed", range(6))
def test_chains_of_near_duplicates_stay_together(seed):
    photos = [
        photo("0001", "A", perceptual_hash=HASH),
        photo("0002", "B", perceptual_hash=NEAR),
        photo("0003", "C", perceptual_hash=FAR),
        photo("0004", "C"),
        photo("0005", "D"),
    ]
    splits = assign_splits(photos, seed, 0.5)
    assert len({splits[id] for id in ("0001", "0002", "0003", "0004")}) == 1
    assert splits["0005"] != splits["0001"]
    assert leaks(photos, splits) == []


def test_a_fixed_photo_keeps_its_split_and_its_landmark_follows():
    photos = [
        photo("0001", "A", split="validation"),
        photo("0002", "a"),
        photo("0003", "B", split="train"),
        photo("0004", "B"),
        photo("0005", "C", perceptual_hash=HASH),
        photo("0006", "D", split="train", perceptual_hash=HASH),
    ]
    assert assign_splits(photos, 0) == {
        "0001": "validation",
        "0002": "validation",
        "0003": "train",
        "0004": "train",
        "0005": "train",
        "0006": "train",
    }


def test_if_all_fixed_photos_are_on_one_side_others_fill_the_other():
    photos = [photo("0001", "A", split="train"), photo("0002", "B")]
    assert assign_splits(photos, 0) == {"0001": "train", "0002": "validation"}
    photos = [photo("0001", "A", split="validation"), photo("0002", "B")]
    assert assign_splits(photos, 0, 0.9) == {"0001": "validation", "0002": "train"}


def test_a_landmark_fixed_on_both_sides_is_refused():
    photos = [photo("0001", "Petra", split="validation"), photo("0002", "B"), photo("0003", "petra", split="train")]
    with pytest.raises(StudioError) as caught:
        assign_splits(photos, 0)
    assert str(caught.value) == (
        "petra is in validation (0001) and in train (0003), so validation would measure memory; put all photos of a "
        "landmark on one side"
    )


def test_leaks_are_pairs_across_the_split():
    photos = [
        photo("0001", perceptual_hash=HASH),
        photo("0002", perceptual_hash=NEAR),
        photo("0003", perceptual_hash=HASH),
        photo("0004", perceptual_hash="f" * 16),
        photo("0005", perceptual_hash=FAR),
    ]
    splits = {"0001": "train", "0002": "validation", "0003": "validation", "0004": "validation", "0005": "train"}
    assert leaks(photos, splits) == [("0001", "0002"), ("0001", "0003"), ("0005", "0002")]
    assert leaks(photos, {}) == []
    assert leaks(photos, {"0001": "train", "0003": "train"}) == []


@pytest.fixture
def project(workspace):
    project = workspace.project("p", new=True)
    put(project, [photo(f"{n:04d}", f"L{n // 2}", rejected=n == 1) for n in range(1, 21)])
    return project


def test_the_split_is_saved(project):
    first = split(project, seed=2)
    assert collections.load(project) == first
    assert first.photo("0001").split is None, "it is rejected"
    chosen = [one.split for one in first.photos[1:]]
    assert (chosen.count("validation"), chosen.count("train")) == (4, 15)
    assert split(project, seed=3) == first, "assigned photos keep their split"
    changed = split(project, seed=3, share=0.5, again=True)
    assert [one.split for one in changed.photos].count("validation") == 10


def test_one_landmark_cannot_be_split(project):
    put(project, [photo("0001", "A"), photo("0002", "A"), photo("0003", "B", rejected=True)])
    with pytest.raises(StudioError, match="2 photos of one landmark cannot be split"):
        split(project)
