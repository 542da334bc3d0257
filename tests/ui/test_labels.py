"""The page's words: every text that it shows uses the field's terms, and no help text is longer than a line."""

import re

import pytest

from ghibli_studio.ui.app import build
from ghibli_studio.ui.components import shortcuts, theme

TEXTS = ("label", "value", "placeholder", "info", "title", "caption", "choices", "headers", "x_title", "y_title")
"""The properties of a component that the page shows."""
BANNED = (
    r"data set",
    r"pictures?",
    r"photographs?",
    r"draw(s|n|ing|ings)?(?! your attention)",
    r"drew",
    r"told",
    r"taken? in",
    r"taken? out",
    r"learnt",
    r"stylise[ds]?",
    r"stylising",
    r"styled",
    r"by lot",
    r"drawn anew",
    r"anew",
    r"recipes?",
    r"hand(ed)? on",
    r"set aside",
    r"whom",
    r"people",
    r"somebody",
    r"everybody may",
    r"look-alikes?",
    r"likeness",
    r"left out",
    r"the middle",
    r"go on",
    r"how much is",
    r"say what",
    r"a (row|column) a (prompt|method)",
    r"one a (line|seed)",
    r"num (train|inference|vectors)",
)
BANNED_LABELS = (
    "Snr gamma",
    "Ema decay",
    "Lora alpha",
    "Use dora",
    "Lr scheduler",
    "Clip model",
    "Kind",
    "Keys",
    "Style",
)
"""Labels that have another spelling in the glossary."""
ALLOWED = ("drawing style",)
"""Phrases of the field that contain a banned word."""
PARTICIPANT_TEXTS = ("study-consent",)
"""Texts for participants, who are not users of the field's terms; the wording is part of the study."""
MAX_INFO = 90


@pytest.fixture(scope="module")
def components(tmp_path_factory):
    from ghibli_studio.workspace.project import Workspace

    return build(Workspace(tmp_path_factory.mktemp("labels"))).get_config_file()["components"]


def texts_of(value):
    """Every text inside a property's value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_of(item)


def shown_texts(components):
    """(component's type and id, property, text) of everything that a component shows."""
    for component in components:
        properties = component["props"]
        if properties.get("elem_id") in PARTICIPANT_TEXTS:
            continue
        where = f"{component['type']} {properties.get('elem_id') or component['id']}"
        for name in TEXTS:
            value = properties.get(name)
            if name == "choices" and value:
                value = [choice[0] if isinstance(choice, list | tuple) else choice for choice in value]
            for text in texts_of(value):
                yield where, name, text


def banned_words(text):
    if text in BANNED_LABELS:
        return [text]
    for phrase in ALLOWED:
        text = text.replace(phrase, "")
    return [match[0] for word in BANNED for match in re.finditer(rf"\b{word}\b", text, re.IGNORECASE)]


def test_no_label_uses_a_banned_word(components):
    found = [(*shown, words) for shown in shown_texts(components) if (words := banned_words(shown[2]))]
    assert found == []


def test_the_walk_sees_tabs_buttons_help_and_markdown(components):
    texts = {text for _, _, text in shown_texts(components)}
    assert {"Dataset", "Train", "Generate", "Evaluate", "Library", "Study"} <= texts  # tabs
    assert {"Create sample project", "Stylize pending", "Build dataset", "Generate grid"} <= texts  # buttons
    assert "Min-SNR gamma" in texts
    assert "LoRA alpha" in texts
    assert any("Creates a project with 115 landmarks" in text for text in texts)  # Markdown
    assert len(texts) > 300


def test_the_list_catches_todays_words_of_the_glossary():
    for text in (
        "Make or take in a data set",
        "A row a prompt, a column a method",
        "Choose by lot",
        "Draw the grid",
        "One photograph",
        "Use dora",
        "Snr gamma",
        "How much is drawn anew",
        "Pack all that was found: pictures",
    ):
        assert banned_words(text), text


@pytest.mark.parametrize("text", [*shortcuts.SHORTCUTS.values(), shortcuts.BUTTON, shortcuts.SCRIPT, theme.CSS])
def test_scripts_and_styles_show_no_banned_word(text):
    assert banned_words(text) == []


def test_help_texts_are_one_short_sentence(components):
    long = [(where, len(text), text) for where, name, text in shown_texts(components) if name == "info"]
    assert [shown for shown in long if shown[1] > MAX_INFO] == []
