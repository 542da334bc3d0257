"""What the blindness audit can find: kinds of leaks, and how a difference between origins is told.

What is compared is `blindness` and the rooms that it names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

KINDS = {
    "file name": "the address of a picture has a file name in it",
    "address": "addresses of pictures are not random, or come back",
    "cache folder": "pictures lie in different folders",
    "orig_name": "Gradio's name of an uploaded file",
    "Content-Disposition": "a header with a file name",
    "Last-Modified": "a header with the time of a file",
    "ETag": "a header with a fingerprint of the content",
    "header": "other headers",
    "EXIF": "a camera's metadata",
    "XMP": "an editor's metadata",
    "ICC": "a color profile",
    "PNG text": "text chunks",
    "C2PA": "a manifest of provenance",
    "codec": "the format of pictures",
    "encoder": "the settings of their encoder",
    "byte length": "their length in the file and on the line",
    "pixel size": "their width and height",
    "alteration": "pictures that are not the study's own bytes",
    "alt": "alternative texts",
    "title": "titles",
    "id": "ids of elements, trials and answers",
    "class": "classes",
    "value": "names and values of form fields",
    "text": "words beside the pictures",
    "markup": "other elements and attributes",
    "DOM order": "the order of the options",
    "hidden component": "what a page has and does not show",
    "kind of trial": "what tells catch, repeat and main trials apart",
    "word": "words of origins before the last block, and hashes anywhere",
    "hidden page": "pages of Gradio, of an API, and files",
    "experimenter's page": "pages for the experimenter",
    "order of ids": "random ids that are not",
    "load time": "how long a picture takes",
    "browser cache": "answers that a browser may keep",
    "local storage": "scripts that keep something in the browser",
    "cookie": "cookies",
    "error text": "refusals",
    "log": "the server's log",
    "repository": "files that a public Space would show",
}
"""Every kind that is looked for -> what it is."""


@dataclass(frozen=True)
class Leak:
    """Something that tells, or may tell, origins apart."""

    kind: str
    """One of KINDS."""
    what: str
    """Where it was found."""
    detail: str
    """What it is, and for which origins."""


def unlike(kind: str, what: str, pairs: Iterable[tuple[str, Any]]) -> Iterator[Leak]:
    """A leak if the values of (label, value) are not all equal."""
    labels = defaultdict(set)
    for label, value in pairs:
        labels[value].add(label)
    if len(labels) > 1:
        some = [f"{str(value)[:80]} ({', '.join(sorted(of))})" for value, of in labels.items()]
        yield Leak(kind, what, "; ".join(sorted(some)[:3]) + (f"; {len(some) - 3} more" if len(some) > 3 else ""))
