"""Definition of a study: accepted and rejected values, error messages, and the hash."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from study import StudyError
from study.design.definition import CONSENT, Definition, Exclusions

LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")


def refused(**values):
    """Return the error message for the values."""
    with pytest.raises(StudyError) as raised:
        Definition.checked({"landmarks": LANDMARKS, **values})
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_only_the_five_landmarks_are_required():
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
        "exclusions": {"max_failed_attention_checks": 0, "min_median_seconds": 1.5, "max_same_position": 0.9},
    }


def test_every_field_has_a_description():
    for form in (Definition, Exclusions):
        assert {name for name, field in form.model_fields.items() if not field.description} == set()


def test_the_consent_says_what_is_stored_for_how_long_and_how_to_withdraw():
    for words in ("We keep your answers", "the time of your consent", "no name", "two years", "voluntary", "deletes"):
        assert words in CONSENT


def test_a_definition_cannot_be_changed():
    definition = Definition(landmarks=LANDMARKS)
    with pytest.raises(ValidationError):
        definition.seed = 1
    with pytest.raises(ValidationError):
        definition.exclusions.max_failed_attention_checks = 1


def test_the_text_is_canonical_and_gives_the_same_definition_again():
    definition = Definition(landmarks=(*LANDMARKS[:4], "Đà Nẵng"), participants=50, seed=7)
    text = definition.text()
    assert text.startswith('{"alpha":0.05,"consent":"You will see')
    assert "Đà Nẵng" in text
    assert text == json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert Definition.checked(json.loads(text)) == definition
    assert Definition.checked(json.loads(text)).digest() == definition.digest()


def test_equal_definitions_have_equal_texts():
    one = Definition.checked({"landmarks": list(LANDMARKS), "seed": 3, "alpha": 0.05, "participants": 48})
    two = Definition.checked({"participants": 48.0, "seed": "3", "landmarks": LANDMARKS, "exclusions": {}})
    assert one == two
    assert one.text() == two.text()


def test_the_digest_is_the_sha256_of_the_text_and_never_changes():
    definition = Definition(landmarks=LANDMARKS)
    assert definition.digest() == hashlib.sha256(definition.text().encode()).hexdigest()
    plain = Definition(landmarks=LANDMARKS, consent="We keep your answers only.")
    assert plain.digest() == "47b946de7cfb0784dbf14fe22d4dd9c68b1da0ab889b15e0f8de1863415e2315"


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
        {"exclusions": {"max_failed_attention_checks": 1}},
        {"exclusions": {"min_median_seconds": 1}},
        {"exclusions": {"max_same_position": 0.8}},
    ],
    ids=lambda change: "-".join(change),
)
def test_every_change_changes_the_digest(change):
    changed = Definition.checked({"landmarks": LANDMARKS, **change})
    assert changed.digest() != Definition(landmarks=LANDMARKS).digest()


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        ((*LANDMARKS[:4], "Big Ben"), "Big Ben, Colosseum, Petra, Bab-e-Khyber, Big Ben"),
        ((*LANDMARKS[:4], "big ben"), "Big Ben, Colosseum, Petra, Bab-e-Khyber, big ben"),
        ((*LANDMARKS[:4], " Big  Ben "), "Big Ben, Colosseum, Petra, Bab-e-Khyber,  Big  Ben "),
        ((*LANDMARKS[:4], " "), "Big Ben, Colosseum, Petra, Bab-e-Khyber,  "),
    ],
    ids=["twice", "other case", "other blanks", "blank"],
)
def test_five_different_landmarks_are_required(names, listed):
    assert refused(landmarks=names) == f"the landmarks are {listed}; name five different ones"


@pytest.mark.parametrize("count", [0, 4, 6])
def test_fewer_or_more_than_five_landmarks_are_an_error(count):
    bound = "at least 5" if count < 5 else "at most 5"
    names = [f"L{number}" for number in range(count)]
    assert (
        refused(landmarks=names)
        == f"landmarks is {names}; tuple should have {bound} items after validation, not {count}"
    )


def test_missing_landmarks_are_an_error():
    with pytest.raises(StudyError) as raised:
        Definition.checked({"seed": 1})
    assert str(raised.value) == "landmarks is missing; add it to the definition"


@pytest.mark.parametrize(
    ("values", "message"),
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
            {"exclusions": {"max_failed_attention_checks": 3}},
            "exclusions.max_failed_attention_checks is 3; input should be less than or equal to 2",
        ),
        ({"exclusions": {"max_same_position": 0}}, "exclusions.max_same_position is 0; input should be greater than 0"),
        (
            {"exclusions": {"min_median_seconds": -1}},
            "exclusions.min_median_seconds is -1; input should be greater than or equal to 0",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_error_has_name_value_and_bound(values, message):
    assert refused(**values) == message


def test_a_long_value_is_shortened_in_the_error():
    assert refused(consent="x" * 5001) == (f"consent is '{'x' * 76}...; string should have at most 5000 characters")


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    assert refused(color="red") == (
        "'color' is not a setting of a study; use version, title, instrument, landmarks, participants, seed, "
        "consent, contact, alpha, lease_minutes, exclusions"
    )
    assert refused(exclusions={"slow": 1}) == (
        "'exclusions.slow' is not a setting of a study; use max_failed_attention_checks, min_median_seconds, "
        "max_same_position"
    )


def test_a_list_is_not_a_definition():
    with pytest.raises(StudyError) as raised:
        Definition.checked(["landmarks"])
    assert str(raised.value) == (
        "the definition is ['landmarks']; input should be a valid dictionary or instance of Definition"
    )
