"""What the steps of building a dataset share: pages of photos, thumbnails, lists of skipped files, filters."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Photo
from ghibli_studio.ui.components import html_parts
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from PIL import Image


PAGE = 24
THUMBNAIL = 192
NO_PHOTOS = "No photos yet. Add some in step 1."
SHOWN = {"all": "all", "new": "pending", "stylized": "to review", "accepted": "accepted", "rejected": "rejected"}


@dataclass(frozen=True)
class Step:
    """The widgets of a step that depend on the project, and the function that updates them."""

    view: Callable[[Project | None], list[Any]]
    """Return updates of `outputs`; without a project or photos they show a hint."""
    outputs: list[Any]


def photos_of(project: Project | None) -> Collection | None:
    """Return the project's photos, or None if it has none."""
    if project is None or not collections.exists(project):
        return None
    collection = collections.load(project)
    return collection if collection.photos else None


def open_collection(workspace: Workspace, name: str | None) -> tuple[Project, Collection]:
    """Return the selected project and its photos; raise StudioError if one of them is missing."""
    if not name:
        raise StudioError("no project is selected; add photos in step 1, which creates one")
    project = workspace.project(name)
    return project, collections.load(project)


def of_state(collection: Collection, state: str) -> list[Photo]:
    """Return the photos of one state (a key of SHOWN)."""
    return [photo for photo in collection.photos if state in ("all", photo.state)]


def page_of(photos: Sequence[Photo], number: float) -> tuple[Sequence[Photo], Any]:
    """Return the photos of a page, counted from 1, and the update of the page slider."""
    pages = max(-(-len(photos) // PAGE), 1)
    number = min(max(int(number), 1), pages)
    update = gr.update(value=number, maximum=max(pages, 2), visible=pages > 1)
    return photos[(number - 1) * PAGE : number * PAGE], update


def label(photo: Photo) -> str:
    """Return the label of a photo."""
    return f"{photo.id} {photo.name or photo.original}"


def choices(photos: Sequence[Photo]) -> list[tuple[str, str]]:
    """Return (label, id) of photos for a dropdown."""
    return [(label(photo), photo.id) for photo in photos]


def summary(collection: Collection) -> str:
    """Return counts, notes and skipped files, as HTML."""
    counts = {SHOWN[state]: len(of_state(collection, state)) for state in SHOWN if state != "all"}
    text = html_parts.facts({"photos": len(collection.photos), **{name: n for name, n in counts.items() if n}})
    text += "".join(f"<p>{html.escape(note)}</p>" for note in collection.notes)
    return text + skipped_list([problem["reason"] for problem in collection.skipped])


def skipped_list(reasons: Sequence[str], what: str = "files skipped or with notes") -> str:
    """Return a collapsible list as HTML; an empty text without reasons."""
    if not reasons:
        return ""
    more = [f"... and {len(reasons) - 50} more"] if len(reasons) > 50 else []
    lines = "".join(f"<li>{html.escape(reason)}</li>" for reason in [*reasons[:50], *more])
    return f'<details open><summary class="problem">{len(reasons)} {what}</summary><ul>{lines}</ul></details>'


def thumbnail(project: Project, photo: Photo) -> Image.Image:
    """Return a thumbnail of the photo's crop."""
    return _square(project, photo.id, photo.sha256, photo.center)


@lru_cache(maxsize=512)  # 110 KB each; decoding a photo of 12 megapixels takes 0.1 s
def _square(project: Project, id: str, sha256: str, center: tuple[float, float]) -> Image.Image:
    from ghibli_studio.imaging.crop import crop

    return crop(collections.load_photo(project, collections.load(project).photo(id)), center, THUMBNAIL)


def pair(project: Project, photo: Photo) -> Image.Image:
    """Return the photo's crop next to its accepted, else newest, stylized image."""
    from PIL import Image

    attempt = photo.accepted or (photo.attempts[-1] if photo.attempts else None)
    if attempt is None:
        return thumbnail(project, photo)
    both = Image.new("RGB", (2 * THUMBNAIL, THUMBNAIL))
    both.paste(thumbnail(project, photo), (0, 0))
    both.paste(_stylized_thumbnail(project.collection.stylized(attempt.file), attempt.sha256), (THUMBNAIL, 0))
    return both


@lru_cache(maxsize=512)
def _stylized_thumbnail(path: Path, sha256: str) -> Image.Image:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB").resize((THUMBNAIL, THUMBNAIL))
