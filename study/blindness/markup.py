"""What the markup of a page tells beside its words for people: every attribute, every hidden thing, and their order.

A page becomes a list of facts; screens that ask alike must have equal facts. What is served besides is `blindness`.
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
"""Names of facts that are no attribute."""


@dataclass(frozen=True)
class Fact:
    """One thing that is written in a page."""

    owner: int | None
    """Position of the option that it belongs to, from 1; None for the rest of the page."""
    tag: str
    name: str
    """Of the attribute; "<" and "</" for an element itself, empty for text."""
    value: str


@dataclass(frozen=True)
class Cut:
    """A part of a screen that is to be compared with the same part of others."""

    kind: str
    """Of the trial."""
    label: str
    """Of the option that the part belongs to; empty for the rest of the page."""
    number: int
    """Of the question."""
    facts: Sequence[Fact]


Difference = tuple[str, str]
"""(kind of leak, what differs)"""


def facts(html: str, masked: Callable[[str], str] = str) -> list[Fact]:
    """Everything in a page in its order, values masked; an option is a label with a picture."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return [replace(fact, value=masked(fact.value)) for fact in reader.facts]


def mask(landmarks: Iterable[str], secrets: Iterable[str]) -> Callable[[str], str]:
    """Takes out of a text what has to differ from screen to screen: names of landmarks and random ids."""
    words = dict.fromkeys(landmarks, "{landmark}") | {one: "{random}" for one in secrets if one}
    pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or "(?!)")
    return lambda text: pattern.sub(lambda found: words[found[0]], text)


def differences(screens: Sequence[Cut]) -> set[Difference]:
    """What differs between parts of screens that should be alike but for the number of the question."""
    shapes = [tuple((fact.tag, fact.name) for fact in one.facts) for one in screens]
    if len(set(shapes)) > 1:
        return {(_by_kind(screens, shapes) or kind, what) for kind, what in _shape(shapes)}
    found = set()
    for column in zip(*(one.facts for one in screens)):
        raw = [fact.value for fact in column]
        numberless = [_numberless(fact.value, one.number) for fact, one in zip(column, screens)]
        if len(set(raw)) > 1 and len(set(numberless)) > 1:
            tag, name = column[0].tag, column[0].name
            some = ", ".join(map(repr, sorted(set(raw))[:3]))
            found.add((_by_kind(screens, raw) or kind_of(tag, name), f"{_told(tag, name)} is {some}"))
    return found


def kind_of(tag: str, name: str) -> str:
    """The kind of leak that a fact would be."""
    if tag in HIDDEN_TAGS or name in HIDDEN_NAMES or name.startswith(("data-", "aria-")):
        return "hidden component"
    if name == TEXT:
        return "title" if tag == "title" else "text"
    return NAMES.get(name, "markup")


def _shape(shapes: Sequence[tuple[tuple[str, str], ...]]) -> Iterator[Difference]:
    """What one of several shapes has and another has not."""
    counts = [Counter(shape) for shape in dict.fromkeys(shapes)]
    odd = {part for count in counts for part in (count - counts[0]) + (counts[0] - count)}
    if not odd:
        yield "DOM order", "the same elements come in another order"
    # an element that is not everywhere brings its attributes and its text along
    tags = {tag for tag, name in odd if name == OPENED}
    for tag, name in sorted(odd):
        if name == OPENED or (tag not in tags and name != CLOSED):
            yield kind_of(tag, name), f"{_told(tag, name)} is not everywhere"


def _by_kind(screens: Sequence[Cut], values: Sequence[object]) -> str | None:
    """`kind of trial` if the value goes with the kinds of trials and not with the pictures."""
    if _goes_with([one.label for one in screens], values) or not _goes_with([one.kind for one in screens], values):
        return None
    return "kind of trial"


def _goes_with(names: Sequence[str], values: Sequence[object]) -> bool:
    of = defaultdict(set)
    for name, value in zip(names, values):
        of[name].add(value)
    return len(of) > 1 and all(len(one) == 1 for one in of.values())


def _numberless(text: str, number: int) -> str:
    """Without the number of the question, and of those before it."""
    return re.sub(rf"(?<!\w)(?:{number}|{number - 1})(?!\w)", "#", text)


def _told(tag: str, name: str) -> str:
    return {OPENED: f"<{tag}>", CLOSED: f"</{tag}>", TEXT: f"the text in <{tag}>"}.get(name, f"{name} of <{tag}>")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Fact] = []
        self._tags = [""]
        self._label: int | None = None
        """Where the facts of an open label begin."""
        self._pictured = False
        self._options = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "label":
            self._label, self._pictured = len(self.facts), False
        self._pictured |= tag == "img"
        told = "input hidden" if tag == "input" and ("type", "hidden") in attributes else tag
        self._add(told, OPENED, "")
        for name, value in attributes:
            self._add(told, name, value or "")
        if tag not in VOID:
            self._tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._add(tag, CLOSED, "")
        if tag in self._tags:
            del self._tags[len(self._tags) - 1 - self._tags[::-1].index(tag) :]
        if tag == "label" and self._label is not None:
            if self._pictured:
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
