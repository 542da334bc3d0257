"""A parsed page of the study as a browser sees it: texts, images, and the fields of its form.

It parses HTML only, fetches nothing, and is independent of the study's data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Option:
    """A label: its text, and the image and the radio button inside it."""

    text: str = ""
    image: str | None = None
    """Address of the image."""
    name: str | None = None
    """Name of the button; None for a label without one."""
    value: str = ""
    """Value that the button sends."""


@dataclass
class Form:
    """A form with everything that a participant could change."""

    method: str
    action: str
    data: dict[str, str]
    """Attributes `data-...` of the form, without the prefix."""
    fields: dict[str, str] = field(default_factory=dict)
    """Fields that are sent without any input: hidden and text fields, and selected buttons."""
    checkboxes: dict[str, str] = field(default_factory=dict)
    """Checkbox -> the value that checking it would add."""
    options: list[Option] = field(default_factory=list)


@dataclass
class Page:
    """A parsed page."""

    heading: str = ""
    paragraphs: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    form: Form | None = None
    """The only form of the page; None without one."""
    beside: list[str] = field(default_factory=list)
    """Addresses of images outside labels."""
    files: list[str] = field(default_factory=list)
    """Addresses of everything that a browser loads automatically, images included."""


def parse_page(html: str) -> Page:
    """Return the page of an HTML text."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    """Parses the tags in one pass; the pages of the study nest neither forms nor labels."""

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
            form.checkboxes[name] = value
        if kind == "radio" and self._label is not None:
            self._label.name, self._label.value = name, value
        if kind not in ("radio", "checkbox") or "checked" in given:
            form.fields[name] = value
