"""A study's definition: what it takes, what it refuses in one sentence, and that its hash means what it says."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from study import StudyError
from study.design.definition import CONSENT, Definition, Exclusions

LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")


def refused(**values):
    """The one sentence with which the values are refused."""
    with pytest.raises(StudyError) as told:
        Definition.checked({"landmarks": LANDMARKS, **values})
    assert "\n" not in str(told.value)
    return str(told.value)


def test_five_landmarks_are_all_that_a_study_must_be_told():
    assert Definition.checked({"landmarks": LANDMARKS}).model_dump() == {
        "version": 1,
        "title": "Pictures of landmarks",
        "instrument": "triad",
        "landmarks": LANDMARKS,
        "participants": 48,
        "seed": 0,
        "consent": CONSENT,
        "contact": "",
        "alpha": 0.05,
        "lease_minutes": 120,
        "exclusions": {"max_wrong_catches": 0, "min_median_seconds": 1.5, "max_same_position": 0.9},
    }


def test_every_field_tells_what_it_is():
    for form in (Definition, Exclusions):
        assert {name for name, field in form.model_fields.items() if not field.description} == set()


def test_the_consent_tells_what_is_kept_for_how_long_and_how_to_withdraw():
    for words in ("We keep your answers", "the time of your consent", "no name", "two years", "voluntary", "deletes"):
        assert words in CONSENT


def test_a_definition_cannot_be_changed():
    definition = Definition(landmarks=LANDMARKS)
    with pytest.raises(ValidationError):
        definition.seed = 1
    with pytest.raises(ValidationError):
        definition.exclusions.max_wrong_catches = 1


def test_the_text_is_canonical_and_comes_back_as_the_same_study():
    definition = Definition(landmarks=(*LANDMARKS[:4], "Đà Nẵng"), participants=50, seed=7)
    text = definition.text()
    assert text.startswith('{"alpha":0.05,"consent":"You will see')
    assert "Đà Nẵng" in text
    assert text == json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert Definition.checked(json.loads(text)) == definition
    assert Definition.checked(json.loads(text)).digest() == definition.digest()


def test_equal_studies_have_equal_texts_however_they_were_given():
    one = Definition.checked({"landmarks": list(LANDMARKS), "seed": 3, "alpha": 0.05, "participants": 48})
    two = Definition.checked({"participants": 48.0, "seed": "3", "landmarks": LANDMARKS, "exclusions": {}})
    assert one == two
    assert one.text() == two.text()


def test_the_digest_is_the_sha256_of_the_text_and_stays_what_it_is():
    definition = Definition(landmarks=LANDMARKS)
    assert definition.digest() == hashlib.sha256(definition.text().encode()).hexdigest()
    plain = Definition(landmarks=LANDMARKS, consent="We keep your answers only.")
    assert plain.digest() == "72e00a7ebae9dde20aa2f5d60582d3d259da5fe4e885a8de455837fb216a9c70"


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Pictures"},
        {"instrument": "paper"},
        {"landmarks": LANDMARKS[::-1]},
        {"participants": 54},
        {"seed": 1},
        {"consent": "We keep your answers only."},
        {"contact": "somebody"},
        {"alpha": 0.01},
        {"lease_minutes": 60},
        {"exclusions": {"max_wrong_catches": 1}},
        {"exclusions": {"min_median_seconds": 1}},
        {"exclusions": {"max_same_position": 0.8}},
    ],
    ids=lambda change: "-".join(change),
)
def test_whatever_is_changed_changes_the_digest(change):
    changed = Definition.checked({"landmarks": LANDMARKS, **change})
    assert changed.digest() != Definition(landmarks=LANDMARKS).digest()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((*LANDMARKS[:4], "Big Ben"), "Big Ben, Colosseum, Petra, Bab-e-Khyber, Big Ben"),
        ((*LANDMARKS[:4], "big ben"), "Big Ben, Colosseum, Petra, Bab-e-Khyber, big ben"),
        ((*LANDMARKS[:4], " Big  Ben "), "Big Ben, Colosseum, Petra, Bab-e-Khyber,  Big  Ben "),
        ((*LANDMARKS[:4], " "), "Big Ben, Colosseum, Petra, Bab-e-Khyber,  "),
    ],
    ids=["twice", "other case", "other blanks", "blank"],
)
def test_five_different_landmarks_are_wanted(names, told):
    assert refused(landmarks=names) == f"landmarks are {told}; name five different ones"


@pytest.mark.parametrize("count", [0, 4, 6])
def test_not_fewer_and_not_more_than_five_landmarks(count):
    bound = "at least 5" if count < 5 else "at most 5"
    names = [f"L{number}" for number in range(count)]
    told = refused(landmarks=names)
    assert told == f"landmarks is {names}; tuple should have {bound} items after validation, not {count}"


def test_missing_landmarks_are_told():
    with pytest.raises(StudyError) as told:
        Definition.checked({"seed": 1})
    assert str(told.value) == "landmarks is missing; a study needs it"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"participants": 1}, "participants is 1; input should be greater than or equal to 2"),
        ({"participants": 1001}, "participants is 1001; input should be less than or equal to 1000"),
        (
            {"participants": 2.5},
            "participants is 2.5; input should be a valid integer, got a number with a fractional part",
        ),
        ({"seed": -1}, "seed is -1; input should be greater than or equal to 0"),
        ({"seed": 2**31}, "seed is 2147483648; input should be less than 2147483648"),
        ({"instrument": "quad"}, "instrument is 'quad'; input should be 'triad' or 'paper'"),
        ({"version": 2}, "version is 2; input should be 1"),
        ({"title": ""}, "title is ''; string should have at least 1 character"),
        ({"consent": "yes"}, "consent is 'yes'; string should have at least 20 characters"),
        ({"alpha": 0}, "alpha is 0; input should be greater than 0"),
        ({"alpha": 0.5}, "alpha is 0.5; input should be less than 0.5"),
        ({"alpha": float("nan")}, "alpha is nan; input should be less than 0.5"),
        ({"lease_minutes": 4}, "lease_minutes is 4; input should be greater than or equal to 5"),
        (
            {"exclusions": {"max_wrong_catches": 3}},
            "exclusions.max_wrong_catches is 3; input should be less than or equal to 2",
        ),
        ({"exclusions": {"max_same_position": 0}}, "exclusions.max_same_position is 0; input should be greater than 0"),
        (
            {"exclusions": {"min_median_seconds": -1}},
            "exclusions.min_median_seconds is -1; input should be greater than or equal to 0",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_value_is_told_with_its_name_and_bound(values, told):
    assert refused(**values) == told


def test_a_long_value_is_cut_in_the_sentence():
    assert refused(consent="x" * 5001) == (f"consent is '{'x' * 76}...; string should have at most 5000 characters")


def test_an_unknown_name_is_told_with_the_known_ones_of_its_place():
    assert refused(color="red") == (
        "there is no 'color' in a study; known are version, title, instrument, landmarks, participants, seed, "
        "consent, contact, alpha, lease_minutes, exclusions"
    )
    assert refused(exclusions={"slow": 1}) == (
        "there is no 'exclusions.slow' in a study; known are max_wrong_catches, min_median_seconds, max_same_position"
    )


def test_what_is_no_set_of_values_is_told():
    with pytest.raises(StudyError) as told:
        Definition.checked(["landmarks"])
    assert str(told.value) == (
        "the study is ['landmarks']; input should be a valid dictionary or instance of Definition"
    )
