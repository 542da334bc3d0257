"""Whole landmarks on one side, look-alikes with them, both sides of every kind, and what a person fixed stays."""

from collections import Counter

import pytest

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.split import leaks, sides, split
from tests.support.collection_project import photo, put

ALIKE = "0" * 16
NEAR = "00000000000000ff"  # eight bits from ALIKE
FAR = "00000000000001ff"  # nine bits from ALIKE, one from NEAR


def hundred():
    """Landmarks of one photograph each; a fifth of them close-ups, from dark to bright."""
    return [
        photo(f"{n:04d}", f"L{n}", composition="close-up" if n % 5 == 0 else "wide shot", brightness=n / 100)
        for n in range(1, 101)
    ]


def landmarks_of(found, photos, side):
    return {one.name.casefold() for one in photos if found[one.id] == side}


@pytest.mark.parametrize("seed", range(8))
def test_both_sides_have_some_of_every_kind(seed):
    photos = hundred()
    found = sides(photos, seed)
    validation = [one for one in photos if found[one.id] == "validation"]
    assert list(found) == [one.id for one in photos]
    assert Counter(one.composition for one in validation) == {"close-up": 4, "wide shot": 16}
    for dark in (0, 0.25, 0.5, 0.75):
        assert 4 <= sum(dark < one.brightness <= dark + 0.25 for one in validation) <= 6


def test_the_seed_decides():
    photos = hundred()
    assert sides(photos, 1) == sides(photos, 1)
    assert len({tuple(sides(photos, seed).items()) for seed in range(8)}) > 1


@pytest.mark.parametrize(("share", "count"), [(0.05, 5), (0.2, 20), (0.5, 50)])
def test_the_share(share, count):
    assert list(sides(hundred(), 0, share).values()).count("validation") == count


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, float("nan")])
def test_a_share_that_is_none(share):
    with pytest.raises(StudioError, match="it must be between 0 and 1"):
        sides(hundred(), 0, share)


@pytest.mark.parametrize("seed", range(5))
def test_a_landmark_is_whole_whatever_the_case_of_its_name(seed):
    photos = [photo(f"{n:04d}", ("Petra", "PETRA", "Rome", "Bern", "rome", "Ur")[n % 6]) for n in range(1, 61)]
    found = sides(photos, seed)
    train, validation = (landmarks_of(found, photos, side) for side in ("train", "validation"))
    assert not train & validation
    assert train | validation == {"petra", "rome", "bern", "ur"}
    assert train
    assert validation
    assert list(found.values()).count("validation") == 10, "20 would be too many, and 12 cannot be"


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_landmarks_have_two_sides(count):
    for seed in range(10):
        photos = [photo(f"{n:04d}", f"L{n}") for n in range(1, count + 1)]
        assert list(sides(photos, seed).values()).count("validation") == 1
    large = [photo("0001", "A"), photo("0002", "A"), photo("0003", "B"), photo("0004", "B"), photo("0005", "B")]
    assert sides(large, 0) == {
        "0001": "validation",
        "0002": "validation",
        "0003": "train",
        "0004": "train",
        "0005": "train",
    }


def test_one_landmark_has_one_side():
    assert sides([photo("0001", "A"), photo("0002", "a")], 0) == {"0001": "train", "0002": "train"}
    assert sides([], 0) == {}


def test_photographs_without_a_name_stand_for_themselves():
    assert set(sides([photo("0001"), photo("0002")], 0).values()) == {"train", "validation"}


@pytest.mark.parametrize("seed", range(6))
def test_what_looks_alike_stays_together_through_others(seed):
    photos = [
        photo("0001", "A", likeness=ALIKE),
        photo("0002", "B", likeness=NEAR),
        photo("0003", "C", likeness=FAR),
        photo("0004", "C"),
        photo("0005", "D"),
    ]
    found = sides(photos, seed, 0.5)
    assert len({found[id] for id in ("0001", "0002", "0003", "0004")}) == 1
    assert found["0005"] != found["0001"]
    assert leaks(photos, found) == []


def test_what_was_fixed_stays_and_takes_its_landmark_along():
    photos = [
        photo("0001", "A", split="validation"),
        photo("0002", "a"),
        photo("0003", "B", split="train"),
        photo("0004", "B"),
        photo("0005", "C", likeness=ALIKE),
        photo("0006", "D", split="train", likeness=ALIKE),
    ]
    assert sides(photos, 0) == {
        "0001": "validation",
        "0002": "validation",
        "0003": "train",
        "0004": "train",
        "0005": "train",
        "0006": "train",
    }


def test_if_all_that_was_fixed_is_on_one_side_the_others_give_the_other():
    photos = [photo("0001", "A", split="train"), photo("0002", "B")]
    assert sides(photos, 0) == {"0001": "train", "0002": "validation"}
    photos = [photo("0001", "A", split="validation"), photo("0002", "B")]
    assert sides(photos, 0, 0.9) == {"0001": "validation", "0002": "train"}


def test_a_landmark_fixed_on_both_sides_is_refused():
    photos = [photo("0001", "Petra", split="validation"), photo("0002", "B"), photo("0003", "petra", split="train")]
    with pytest.raises(StudioError) as told:
        sides(photos, 0)
    assert str(told.value) == (
        "petra is in validation (0001) and in train (0003), so validation would measure memory; put all photographs of "
        "a landmark on one side"
    )


def test_leaks_are_pairs_across():
    photos = [
        photo("0001", likeness=ALIKE),
        photo("0002", likeness=NEAR),
        photo("0003", likeness=ALIKE),
        photo("0004", likeness="f" * 16),
        photo("0005", likeness=FAR),
    ]
    side = {"0001": "train", "0002": "validation", "0003": "validation", "0004": "validation", "0005": "train"}
    assert leaks(photos, side) == [("0001", "0002"), ("0001", "0003"), ("0005", "0002")]
    assert leaks(photos, {}) == []
    assert leaks(photos, {"0001": "train", "0003": "train"}) == []


@pytest.fixture
def project(workspace):
    project = workspace.project("p", new=True)
    put(project, [photo(f"{n:04d}", f"L{n // 2}", rejected=n == 1) for n in range(1, 21)])
    return project


def test_the_split_is_written_down(project):
    made = split(project, seed=2)
    assert collections.load(project) == made
    assert made.photo("0001").split is None, "it was rejected"
    chosen = [one.split for one in made.photos[1:]]
    assert (chosen.count("validation"), chosen.count("train")) == (4, 15)
    assert split(project, seed=3) == made, "what was decided stays"
    changed = split(project, seed=3, share=0.5, again=True)
    assert [one.split for one in changed.photos].count("validation") == 10


def test_one_landmark_cannot_be_split(project):
    put(project, [photo("0001", "A"), photo("0002", "A"), photo("0003", "B", rejected=True)])
    with pytest.raises(StudioError, match="2 photographs of one landmark cannot be split"):
        split(project)
