"""What one participant gets of a served study: every answer of the server, screen by screen, picture by picture.

How it is got is `blindness_walk`; what of it would tell the origins apart is `blindness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from study.design.spec import Picture
from study.web.html_form import Form

UNKNOWN = "unknown"
GUESS = (2, 0)
"""Two options and nothing beside them."""


@dataclass(frozen=True)
class Reply:
    """What came back for one request."""

    method: str
    path: str
    """With the query."""
    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in small letters, in their order."""
    body: bytes
    length: int
    """Bytes of the body as they came over the line."""
    seconds: float

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> str:
        """All values of a header; empty if there is none."""
        return ", ".join(value for known, value in self.headers if known == name)


@dataclass(frozen=True)
class View:
    """One picture on one screen."""

    label: str
    """original | lora | ti, the role of a picture that is no candidate, or unknown."""
    position: int | None
    """Among the options, from 1; None beside them."""
    reply: Reply

    @property
    def token(self) -> str:
        """The last part of the address."""
        return urlsplit(self.reply.path).path.rpartition("/")[2]


@dataclass
class Screen:
    """One question."""

    number: int
    """From 1."""
    page: Reply
    form: Form
    options: list[View]
    beside: list[View]
    refused: tuple[int, Reply] | None = None
    """A position, and what the server says to an answer with it that it cannot take."""
    kind: str = ""
    """As the pictures tell it: practice, catch, repeat, guess or main."""

    @property
    def views(self) -> list[View]:
        """All pictures."""
        return [*self.options, *self.beside]

    @property
    def layout(self) -> tuple[int, int]:
        """How many options and how many pictures beside them; alike for all trials of a block."""
        return len(self.options), len(self.beside)


@dataclass
class Visit:
    """Everything that one participant got."""

    screens: list[Screen] = field(default_factory=list)
    before: list[Reply] = field(default_factory=list)
    """Consent, redirects, acknowledgements, style sheets and scripts."""
    after: list[Reply] = field(default_factory=list)
    """Debrief and withdrawal."""
    forged: list[tuple[str, str, Reply]] = field(default_factory=list)
    """(how, label of the picture in question, answer) for addresses that are none."""
    again: list[tuple[View, list[Reply]]] = field(default_factory=list)
    """Pictures that were asked for several times, in a shuffled order."""
    withdrawal_code: str = ""
    secrets: set[str] = field(default_factory=set)
    """Random and nobody else's: the personal link's secret, ids, addresses of pictures, codes."""

    @property
    def views(self) -> list[View]:
        """All pictures in the order of the screens."""
        return [view for screen in self.screens for view in screen.views]

    def where(self, reply: Reply) -> str:
        """The path of a reply as it may be told: without what is random."""
        if any(reply is forged for _, _, forged in self.forged):
            return f"{reply.method} of a forged address"
        path = reply.path.partition("?")[0]
        for secret in sorted(self.secrets, key=len):  # an id before the address that it is in
            path = path.replace(secret, "...")
        return f"{reply.method} {path}"

    @property
    def replies(self) -> list[Reply]:
        """Everything that came."""
        refused = [screen.refused[1] for screen in self.screens if screen.refused]
        pictures = [view.reply for view in self.views]
        return [
            *self.before,
            *self.after,
            *(screen.page for screen in self.screens),
            *pictures,
            *refused,
            *(reply for _, _, reply in self.forged),
            *(reply for _, replies in self.again for reply in replies),
        ]


def name_kinds(screens: Sequence[Screen]) -> None:
    """Tell from the pictures what kind of trial each screen is, which nothing else on it may tell."""
    seen: set[tuple[Any, ...]] = set()
    for screen in screens:
        labels = {view.label for view in screen.options}
        pictures = (screen.layout, frozenset(view.reply.body for view in screen.options))
        if labels == {"practice"}:
            screen.kind = "practice"
        elif labels & {"practice", "photo", "reference"}:
            screen.kind = "catch"
        else:
            screen.kind = "repeat" if pictures in seen else "main"
        seen.add(pictures)
    for screen in reversed(screens):
        if screen.kind != "main" or screen.layout != GUESS:
            break
        screen.kind = "guess"


def label(picture: Picture | None) -> str:
    """What a picture is, for comparing."""
    if picture is None:
        return UNKNOWN
    return picture.origin or "" if picture.role == "candidate" else picture.role
