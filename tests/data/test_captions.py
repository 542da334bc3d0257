"""Captions: the landmark in them, cleaning, token counts and truncation."""

import random

import pytest

from ghibli_studio.data.captions import clean, landmark_of
from ghibli_studio.models.tokenizer import load_tokenizer, token_count, truncate_caption


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("miniature")


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
def test_the_landmark_comes_from_the_caption_or_the_file_name(caption, stem, landmark):
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
def test_cleaning_gives_one_line_and_keeps_all_letters(text, cleaned):
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned


def test_tokens_are_counted_with_start_and_end_and_without_truncation(tokenizer):
    assert token_count(tokenizer, "") == 2
    assert token_count(tokenizer, "tower") == 3
    assert token_count(tokenizer, "tower " * 400) == 402
    assert token_count(tokenizer, "🏯") > 3  # bytes of which the vocabulary has no whole word


def test_a_caption_that_fits_is_unchanged(tokenizer):
    assert truncate_caption(tokenizer, "tower tower", 4) == "tower tower"


@pytest.mark.parametrize("limit", [77, 50, 5, 3])
def test_a_caption_is_truncated_at_a_word_and_as_little_as_possible(tokenizer, limit):
    words = ["tower", "bridge,", "faisalabad", "temple"] * 30
    kept = truncate_caption(tokenizer, " ".join(words), limit)
    count = len(kept.split())
    assert kept == " ".join(words[:count]).rstrip(",")
    assert token_count(tokenizer, kept) <= limit < token_count(tokenizer, " ".join(words[: count + 1]).rstrip(","))


def test_a_word_may_have_fewer_tokens_than_its_prefix(tokenizer):
    """Token counts of prefixes do not grow with their length, so a binary search would be wrong."""
    counts = [token_count(tokenizer, "faisalabad"[:end]) for end in range(11)]
    assert counts[-1] < max(counts)
    assert truncate_caption(tokenizer, "faisalabad tower", counts[-1]) == "faisalabad"


@pytest.mark.parametrize(
    ("caption", "limit", "kept"),
    [
        ("大本钟伦敦泰晤士河畔的石头钟楼", 77, "大本钟伦敦泰晤士河畔的石头钟楼"),
        ("大本钟伦敦泰晤士河畔的石头钟楼", 32, "大本钟伦敦泰晤士河畔"),
        ("大本钟伦敦泰晤士河畔的石头钟楼", 31, "大本钟伦敦泰晤士河"),
        ("大本钟, 伦敦泰晤士河畔的石头钟楼", 32, "大本钟, 伦敦泰晤士河"),
        ("大本钟, 伦敦泰晤士河畔的石头钟楼", 12, "大本钟"),
        ("東京タワー、東京", 20, "東京タワー、"),
        ("Big Ben, 伦敦泰晤士河畔的石头钟楼", 20, "Big Ben, 伦敦泰晤士"),
        ("伦敦 tower temple", 9, "伦敦 tower"),
        ("伦敦tower temple", 9, "伦敦tower"),
        ("tower" * 20, 4, "tower"),
    ],
)
def test_a_caption_without_spaces_is_truncated_between_characters(tokenizer, caption, limit, kept):
    assert truncate_caption(tokenizer, caption, limit) == kept


def test_truncation_never_exceeds_the_limit(tokenizer):
    rng = random.Random(0)
    pieces = [
        "tower",
        "faisalabad",
        "Big Ben,",
        "...",
        "it's",
        "'",
        "1889",
        "大本钟",
        "，",
        "東京タワー",
        "برج",
        "หอนาฬิกา",
        "타워",
        "🏯",
        "👨\u200d👩",
        "Đà",
        ", ",
        " ",
        "  ",
        "x" * 30,
    ]
    for _ in range(150):
        caption = "".join(rng.choice(pieces) + rng.choice(["", " "]) for _ in range(rng.randint(1, 25)))
        limit = rng.randint(2, 60)
        kept = truncate_caption(tokenizer, caption, limit)
        assert token_count(tokenizer, kept) <= limit
        assert caption.startswith(kept)
        if token_count(tokenizer, caption) <= limit:
            assert kept == caption


def test_a_latin_caption_keeps_all_whole_words_that_fit(tokenizer):
    rng = random.Random(1)
    pieces = ["tower", "faisalabad", "Ben,", "(stone)", "it's", "1889", "Đà", "x-ray", "!?"]
    for _ in range(100):
        words = [rng.choice(pieces) for _ in range(rng.randint(8, 40))]
        limit = rng.randint(14, 30)
        fitting = [
            cut
            for end in range(len(words) + 1)
            if token_count(tokenizer, cut := " ".join(words[:end]).rstrip(", ")) <= limit
        ]
        if token_count(tokenizer, " ".join(words)) > limit:
            assert truncate_caption(tokenizer, " ".join(words), limit) == fitting[-1]


def test_nothing_fits_gives_an_empty_caption(tokenizer):
    assert truncate_caption(tokenizer, "tower", 2) == ""
    assert truncate_caption(tokenizer, "大本钟", 2) == ""
    assert truncate_caption(tokenizer, "tower bridge", 0) == ""
