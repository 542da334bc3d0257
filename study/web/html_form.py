"""A page of the study as a browser has it: what is written, which pictures it loads, what its form would send.

Nothing is fetched here, and nothing is known of the study: only of HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Option:
    """A label: its text, and the picture and the button inside it."""

    text: str = ""
    image: str | None = None
    """Address of the picture."""
    name: str | None = None
    """Of the button; None for a label without one."""
    value: str = ""
    """What the button sends."""


@dataclass
class Form:
    """A form with everything that a person could change."""

    method: str
    action: str
    data: dict[str, str]
    """The form's own attributes `data-...`, without these letters."""
    fields: dict[str, str] = field(default_factory=dict)
    """What is sent when nothing is touched: hidden and text fields, and buttons that are on."""
    boxes: dict[str, str] = field(default_factory=dict)
    """What a tick in each box would add."""
    options: list[Option] = field(default_factory=list)


@dataclass
class Page:
    """A page that has been read."""

    heading: str = ""
    paragraphs: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    form: Form | None = None
    """The page's only form, or none."""
    beside: list[str] = field(default_factory=list)
    """Addresses of pictures outside labels."""
    files: list[str] = field(default_factory=list)
    """Addresses of everything that a browser loads by itself, pictures included."""


def read(html: str) -> Page:
    """The page behind a text of HTML."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    """Walks through the tags once; the study nests neither forms nor labels."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._label: Option | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag in ("h1", "p", "code"):
            self._text = []
        elif tag == "form":
            data = {name.removeprefix("data-"): value for name, value in given.items() if name.startswith("data-")}
            self.page.form = Form(given.get("method", "get"), given.get("action", ""), data)
        elif tag == "label":
            self._label, self._text = Option(), []
        elif tag == "link" and given.get("rel") == "stylesheet":
            self.page.files.append(given["href"])
        elif tag == "script" and "src" in given:
            self.page.files.append(given["src"])
        elif tag == "img":
            self._image(given["src"])
        elif tag == "input" and self.page.form is not None:
            self._input(self.page.form, given)

    def handle_endtag(self, tag: str) -> None:
        text = " ".join("".join(self._text).split())
        if tag == "h1":
            self.page.heading = text
        elif tag == "p":
            self.page.paragraphs.append(text)
        elif tag == "code":
            self.page.codes.append(text)
        elif tag == "label" and self._label is not None:
            self._label.text = text
            if self.page.form is not None:
                self.page.form.options.append(self._label)
            self._label = None

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def _image(self, address: str) -> None:
        self.page.files.append(address)
        if self._label is None:
            self.page.beside.append(address)
        else:
            self._label.image = address

    def _input(self, form: Form, given: dict[str, str]) -> None:
        name, value = given.get("name", ""), given.get("value", "")
        kind = given.get("type", "text")
        if kind == "checkbox":
            form.boxes[name] = value
        if kind == "radio" and self._label is not None:
            self._label.name, self._label.value = name, value
        if kind not in ("radio", "checkbox") or "checked" in given:
            form.fields[name] = value
