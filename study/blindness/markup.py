"""The markup of a page as a list of facts: every element, attribute, text and hidden part, in order.

Screens of the same kind must have equal facts. Everything else that is served is compared in `images` and `pages`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser

HIDDEN_TAGS = {"input hidden", "#comment", "template", "script", "noscript", "meta", "object", "iframe", "style"}
HIDDEN_NAMES = {"hidden", "style"}
NAMES = {
    "alt": "alt",
    "title": "title",
    "id": "id",
    "for": "id",
    "class": "class",
    "value": "value",
    "name": "value",
    "src": "address",
    "href": "address",
    "action": "address",
    "srcset": "address",
}
VOID = {"br", "hr", "img", "input", "link", "meta", "source", "wbr"}
OPENED, CLOSED, TEXT = "<", "</", ""
"""Names of facts that are not attributes."""


@dataclass(frozen=True)
class Fact:
    """One element, attribute or text of a page."""

    owner: int | None
    """Position of its option, from 1; None for the rest of the page."""
    tag: str
    name: str
    """Name of the attribute; "<" and "</" for an element itself, empty for text."""
    value: str


@dataclass(frozen=True)
class ScreenPart:
    """A part of a screen, to be compared with the same part of other screens."""

    kind: str
    """Kind of the trial."""
    label: str
    """Label of the part's option; empty for the rest of the page."""
    number: int
    """Number of the question."""
    facts: Sequence[Fact]


Difference = tuple[str, str]
"""(kind of leak, what differs)"""


def parse_facts(html: str, masked: Callable[[str], str] = str) -> list[Fact]:
    """Return everything in a page in order, values masked; an option is a label with an image."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return [replace(fact, value=masked(fact.value)) for fact in reader.facts]


def mask(landmarks: Iterable[str], secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that masks what has to differ between screens: names of landmarks and random ids."""
    words = dict.fromkeys(landmarks, "{landmark}") | {secret: "{random}" for secret in secrets if secret}
    pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or "(?!)")
    return lambda text: pattern.sub(lambda match: words[match[0]], text)


def differences(screens: Sequence[ScreenPart]) -> set[Difference]:
    """Return the differences between parts of screens that may differ only in the number of the question."""
    shapes = [tuple((fact.tag, fact.name) for fact in screen.facts) for screen in screens]
    if len(set(shapes)) > 1:
        return {(_by_kind(screens, shapes) or kind, what) for kind, what in _shape(shapes)}
    found: set[Difference] = set()
    for column in zip(*(screen.facts for screen in screens)):
        raw = [fact.value for fact in column]
        numberless = [_numberless(fact.value, screen.number) for fact, screen in zip(column, screens)]
        if len(set(raw)) > 1 and len(set(numberless)) > 1:
            tag, name = column[0].tag, column[0].name
            values = ", ".join(map(repr, sorted(set(raw))[:3]))
            found.add((_by_kind(screens, raw) or kind_of(tag, name), f"{_describe(tag, name)} is {values}"))
    return found


def kind_of(tag: str, name: str) -> str:
    """Return the kind of leak that a fact would be."""
    if tag in HIDDEN_TAGS or name in HIDDEN_NAMES or name.startswith(("data-", "aria-")):
        return "hidden component"
    if name == TEXT:
        return "title" if tag == "title" else "text"
    return NAMES.get(name, "markup")


def _shape(shapes: Sequence[tuple[tuple[str, str], ...]]) -> Iterator[Difference]:
    """Yield what one of several shapes has and another does not have."""
    counts = [Counter(shape) for shape in dict.fromkeys(shapes)]
    odd = {part for count in counts for part in (count - counts[0]) + (counts[0] - count)}
    if not odd:
        yield "DOM order", "the same elements are in another order"
    # an element that is not everywhere brings its attributes and its text along
    tags = {tag for tag, name in odd if name == OPENED}
    for tag, name in sorted(odd):
        if name == OPENED or (tag not in tags and name != CLOSED):
            yield kind_of(tag, name), f"{_describe(tag, name)} is not everywhere"


def _by_kind(screens: Sequence[ScreenPart], values: Sequence[object]) -> str | None:
    """Return "kind of trial" if the value depends on the kind of trial and not on the image."""
    if _depends_on([screen.label for screen in screens], values) or not _depends_on(
        [screen.kind for screen in screens], values
    ):
        return None
    return "kind of trial"


def _depends_on(names: Sequence[str], values: Sequence[object]) -> bool:
    by_name: dict[str, set[object]] = defaultdict(set)
    for name, value in zip(names, values):
        by_name[name].add(value)
    return len(by_name) > 1 and all(len(own) == 1 for own in by_name.values())


def _numberless(text: str, number: int) -> str:
    """Remove the number of the question and that of the previous one."""
    return re.sub(rf"(?<!\w)(?:{number}|{number - 1})(?!\w)", "#", text)


def _describe(tag: str, name: str) -> str:
    return {OPENED: f"<{tag}>", CLOSED: f"</{tag}>", TEXT: f"the text in <{tag}>"}.get(name, f"{name} of <{tag}>")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Fact] = []
        self._tags = [""]
        self._label: int | None = None
        """Index where the facts of an open label start."""
        self._has_image = False
        self._options = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "label":
            self._label, self._has_image = len(self.facts), False
        self._has_image |= tag == "img"
        name_of_tag = "input hidden" if tag == "input" and ("type", "hidden") in attrs else tag
        self._add(name_of_tag, OPENED, "")
        for name, value in attrs:
            self._add(name_of_tag, name, value or "")
        if tag not in VOID:
            self._tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._add(tag, CLOSED, "")
        if tag in self._tags:
            del self._tags[len(self._tags) - 1 - self._tags[::-1].index(tag) :]
        if tag == "label" and self._label is not None:
            if self._has_image:
                self._options += 1
                self.facts[self._label :] = [
                    Fact(self._options, fact.tag, fact.name, fact.value) for fact in self.facts[self._label :]
                ]
            self._label = None

    def handle_data(self, data: str) -> None:
        if text := " ".join(data.split()):
            self._add(self._tags[-1], TEXT, text)

    def handle_comment(self, data: str) -> None:
        self._add("#comment", TEXT, data)

    def handle_decl(self, decl: str) -> None:
        self._add("#doctype", TEXT, decl)

    def _add(self, tag: str, name: str, value: str) -> None:
        self.facts.append(Fact(None, tag, name, value))
