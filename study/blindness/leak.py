"""The kinds of leaks that the blindness audit can find, and the leak for a difference between origins.

The comparisons are in `images`, `pages` and `rank_test`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

KINDS = {
    "file name": "the address of an image contains a file name",
    "address": "addresses of images are not random, or are used twice",
    "cache folder": "images have different folders in their addresses",
    "orig_name": "Gradio's key for the name of an uploaded file",
    "Content-Disposition": "a header with a file name",
    "Last-Modified": "a header with the time of a file",
    "ETag": "a header with a hash of the content",
    "header": "other headers",
    "EXIF": "a camera's metadata",
    "XMP": "an editor's metadata",
    "ICC": "a color profile",
    "PNG text": "text chunks",
    "C2PA": "a provenance manifest",
    "codec": "the format of the images",
    "encoder": "the settings of their encoder",
    "byte length": "their size as a file and on the wire",
    "pixel size": "their width and height",
    "alteration": "images that are not the study's own bytes",
    "alt": "alternative texts of images",
    "title": "titles (tooltips)",
    "id": "ids of elements, trials and answers",
    "class": "CSS classes",
    "value": "names and values of form fields",
    "text": "words beside the images",
    "markup": "other elements and attributes",
    "DOM order": "the order of the options",
    "hidden component": "parts of a page that are not visible",
    "kind of trial": "differences between attention checks, retests and main trials",
    "word": "words that name an origin before the last block, and hashes anywhere",
    "hidden page": "pages of Gradio, of an API, and files",
    "experimenter's page": "pages that only the experimenter needs",
    "order of ids": "ids that are not random",
    "load time": "the time that an image takes to load",
    "browser cache": "replies that a browser may cache",
    "local storage": "scripts that store something in the browser",
    "cookie": "cookies",
    "error text": "error messages",
    "log": "the server's log",
    "repository": "files that a public Space would publish",
}
"""Every kind of leak -> its description."""


@dataclass(frozen=True)
class Leak:
    """Something that reveals an origin, or may reveal it."""

    kind: str
    """One of KINDS."""
    what: str
    """Where it is."""
    detail: str
    """What it is, and for which origins."""


def leak_if_different(kind: str, what: str, pairs: Iterable[tuple[str, Any]]) -> Iterator[Leak]:
    """Yield a leak if the values of (label, value) are not all equal."""
    labels: dict[Any, set[str]] = defaultdict(set)
    for label, value in pairs:
        labels[value].add(label)
    if len(labels) > 1:
        listed = sorted(f"{str(value)[:80]} ({', '.join(sorted(own))})" for value, own in labels.items())
        yield Leak(kind, what, "; ".join(listed[:3]) + (f"; {len(listed) - 3} more" if len(listed) > 3 else ""))
