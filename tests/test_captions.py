"""The template, the landmark that a prompt names, the gauge of tokens."""

import pytest

from ghibli_studio.base_model import load_tokenizer
from ghibli_studio.captions import clean, compose, fit, landmark_of, token_count


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("miniature")


def test_the_template():
    assert compose("Big Ben", "London", "a clock tower", "wide shot") == "Big Ben, London, a clock tower, wide shot"
    assert compose(" Petra ", "", "  ", "close-up") == "Petra, close-up"
    assert compose("", "", "", "") == ""


@pytest.mark.parametrize(
    ("caption", "stem", "landmark"),
    [
        ("Big Ben, London", "0001", "Big Ben"),
        ("  Big Ben , London", "x", "Big Ben"),
        ("Big Ben at night", "petra_01", "petra"),
        (", London", "petra-2", "petra"),
        ("", "Petra (3)", "Petra"),
        ("no comma", "Taj Mahal 12", "Taj Mahal"),
        ("no comma", "Taj.Mahal._(12)", "Taj.Mahal"),
        ("no comma", "0001", "0001"),
        ("no comma", "(1)", "(1)"),
        ("no comma", "Burj Khalifa", "Burj Khalifa"),
        ("東京タワー, 東京", "1", "東京タワー"),
    ],
)
def test_the_landmark_is_the_caption_up_to_its_comma_or_else_the_file_without_its_number(caption, stem, landmark):
    assert landmark_of(caption, stem) == landmark


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  a \t b\r\nc\n\n", "a b c"),
        ("a\x00b\x1b[31mc", "a b [31mc"),
        ("a\u00a0b\u2028c\u3000d", "a b c d"),
        ("\ufeffa", "a"),
        ("a\u202eb", "a b"),
        ("a\ud800b", "a b"),
        ("Đà Nẵng 🏯", "Đà Nẵng 🏯"),
        ("برج بيغ بن، لندن", "برج بيغ بن، لندن"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        (" \n ", ""),
    ],
)
def test_cleaning_makes_one_line_and_spoils_no_letter(text, cleaned):
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned


def test_tokens_are_counted_with_start_and_end_and_never_cut(tokenizer):
    assert token_count(tokenizer, "") == 2
    assert token_count(tokenizer, "tower") == 3
    assert token_count(tokenizer, "tower " * 400) == 402
    assert token_count(tokenizer, "🏯") > 3  # bytes of which the vocabulary has no whole word


def test_a_caption_that_fits_is_left_as_it_is(tokenizer):
    assert fit(tokenizer, "tower tower", 4) == "tower tower"


@pytest.mark.parametrize("limit", [77, 50, 5, 3])
def test_a_caption_is_cut_at_a_word_and_as_little_as_can_be(tokenizer, limit):
    words = ["tower", "bridge,", "faisalabad", "temple"] * 30
    kept = fit(tokenizer, " ".join(words), limit)
    count = len(kept.split())
    assert kept == " ".join(words[:count]).rstrip(",")
    assert token_count(tokenizer, kept) <= limit < token_count(tokenizer, " ".join(words[: count + 1]))


def test_what_cannot_fit_is_empty(tokenizer):
    assert fit(tokenizer, "tower", 2) == ""
