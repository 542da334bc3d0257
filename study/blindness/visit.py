"""Everything that one participant gets from a served study: every reply of the server, by screen and image.

`walker` collects it; `images`, `pages` and `rank_test` look for what reveals an origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from study.design.spec import StimulusImage
from study.web.html_form import Form

UNKNOWN = "unknown"
BLINDING_CHECK_LAYOUT = (2, 0)
"""Layout of the blinding check: two options and no images beside them."""


@dataclass(frozen=True)
class Reply:
    """The reply to one request."""

    method: str
    path: str
    """Path with the query."""
    status: int
    headers: tuple[tuple[str, str], ...]
    """Lowercase names and values, in order."""
    body: bytes
    length: int
    """Bytes of the body on the wire."""
    seconds: float

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> str:
        """Return all values of a header; empty without the header."""
        return ", ".join(value for own, value in self.headers if own == name)


@dataclass(frozen=True)
class ImageView:
    """One image on one screen."""

    label: str
    """original | lora | ti, the role of an image that is not a candidate, or unknown."""
    position: int | None
    """Position among the options, from 1; None for an image beside them."""
    reply: Reply

    @property
    def token(self) -> str:
        """Last part of the address."""
        return urlsplit(self.reply.path).path.rpartition("/")[2]


@dataclass
class Screen:
    """One question on one screen."""

    number: int
    """From 1."""
    page: Reply
    form: Form
    options: list[ImageView]
    beside: list[ImageView]
    refused: tuple[int, Reply] | None = None
    """A position, and the server's reply to an invalid answer with it."""
    kind: str = ""
    """Inferred from the images: practice, attention_check, retest, blinding_check or main."""

    @property
    def views(self) -> list[ImageView]:
        """All images of the screen."""
        return [*self.options, *self.beside]

    @property
    def layout(self) -> tuple[int, int]:
        """Number of options and of images beside them; equal for all trials of a block."""
        return len(self.options), len(self.beside)


@dataclass
class Visit:
    """Everything that one participant gets."""

    screens: list[Screen] = field(default_factory=list)
    before: list[Reply] = field(default_factory=list)
    """Consent, redirects, acknowledgements, style sheets and scripts."""
    after: list[Reply] = field(default_factory=list)
    """Debriefing and withdrawal."""
    forged: list[tuple[str, str, Reply]] = field(default_factory=list)
    """(how, label of the real image, reply) for forged addresses."""
    repeated: list[tuple[ImageView, list[Reply]]] = field(default_factory=list)
    """Images that were requested several times, in random order."""
    withdrawal_code: str = ""
    secrets: set[str] = field(default_factory=set)
    """Random values of this participant: the secret of the personal link, ids, addresses of images, codes."""

    @property
    def views(self) -> list[ImageView]:
        """All images in the order of the screens."""
        return [view for screen in self.screens for view in screen.views]

    def describe(self, reply: Reply) -> str:
        """Return the method and path of a reply without random parts."""
        if any(reply is forged for _, _, forged in self.forged):
            return f"{reply.method} of a forged address"
        path = reply.path.partition("?")[0]
        for secret in sorted(self.secrets, key=len):  # an id before the address that contains it
            path = path.replace(secret, "...")
        return f"{reply.method} {path}"

    @property
    def replies(self) -> list[Reply]:
        """All replies."""
        refused = [screen.refused[1] for screen in self.screens if screen.refused]
        images = [view.reply for view in self.views]
        return [
            *self.before,
            *self.after,
            *(screen.page for screen in self.screens),
            *images,
            *refused,
            *(reply for _, _, reply in self.forged),
            *(reply for _, replies in self.repeated for reply in replies),
        ]


def infer_kinds(screens: Sequence[Screen]) -> None:
    """Infer the kind of each screen's trial from the images; nothing else on a screen may show it."""
    seen: set[tuple[Any, ...]] = set()
    for screen in screens:
        labels = {view.label for view in screen.options}
        images = (screen.layout, frozenset(view.reply.body for view in screen.options))
        if labels == {"practice"}:
            screen.kind = "practice"
        elif labels & {"practice", "photo", "reference"}:
            screen.kind = "attention_check"
        else:
            screen.kind = "retest" if images in seen else "main"
        seen.add(images)
    for screen in reversed(screens):
        if screen.kind != "main" or screen.layout != BLINDING_CHECK_LAYOUT:
            break
        screen.kind = "blinding_check"


def label(image: StimulusImage | None) -> str:
    """Return the label by which an image is compared."""
    if image is None:
        return UNKNOWN
    return image.origin or "" if image.role == "candidate" else image.role
