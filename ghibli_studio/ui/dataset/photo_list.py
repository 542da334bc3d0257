"""What the steps from photographs to a data set share: pages of photographs, small pictures, bars, filters."""

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
NO_PHOTOGRAPHS = "No photographs yet. Add some in the first step."
SHOWN = {
    "all": "all",
    "new": "not styled yet",
    "styled": "styled, to be looked at",
    "accepted": "accepted",
    "rejected": "rejected",
}


@dataclass(frozen=True)
class Step:
    """One step's widgets that depend on the project, and how they are made to show one."""

    view: Callable[[Project | None], list[Any]]
    """Updates of `outputs`; without a project, or without photographs, they say what to do."""
    outputs: list[Any]


def gathered(project: Project | None) -> Collection | None:
    """The project's photographs; None where there are none."""
    if project is None or not collections.exists(project):
        return None
    collection = collections.load(project)
    return collection if collection.photos else None


def opened(workspace: Workspace, name: str | None) -> tuple[Project, Collection]:
    """The chosen project with its photographs; StudioError says which of them is missing."""
    if not name:
        raise StudioError("no project is chosen; add photographs in the first step, which makes one")
    project = workspace.project(name)
    return project, collections.load(project)


def of_state(collection: Collection, state: str) -> list[Photo]:
    """Photographs of one state (those of SHOWN)."""
    return [photo for photo in collection.photos if state in ("all", photo.state)]


def page_of(photos: Sequence[Photo], number: float) -> tuple[Sequence[Photo], Any]:
    """The photographs of a page, counted from 1, and the update of the page's slider."""
    pages = max(-(-len(photos) // PAGE), 1)
    number = min(max(int(number), 1), pages)
    update = gr.update(value=number, maximum=max(pages, 2), visible=pages > 1)
    return photos[(number - 1) * PAGE : number * PAGE], update


def label(photo: Photo) -> str:
    """What a photograph is called on the page."""
    return f"{photo.id} {photo.name or photo.original}"


def choices(photos: Sequence[Photo]) -> list[tuple[str, str]]:
    """Names and ids for a menu."""
    return [(label(photo), photo.id) for photo in photos]


def summary(collection: Collection) -> str:
    """Counts, what was decided, and what was left out, as HTML."""
    counts = {SHOWN[state]: len(of_state(collection, state)) for state in SHOWN if state != "all"}
    text = html_parts.facts({"photographs": len(collection.photos), **{name: n for name, n in counts.items() if n}})
    text += "".join(f"<p>{html.escape(note)}</p>" for note in collection.notes)
    return text + left_out([problem["reason"] for problem in collection.problems])


def left_out(reasons: Sequence[str], what: str = "files left out or told of") -> str:
    """A list that can be folded; empty without reasons."""
    if not reasons:
        return ""
    more = [f"... and {len(reasons) - 50} more"] if len(reasons) > 50 else []
    lines = "".join(f"<li>{html.escape(reason)}</li>" for reason in [*reasons[:50], *more])
    return f'<details open><summary class="problem">{len(reasons)} {what}</summary><ul>{lines}</ul></details>'


def thumbnail(project: Project, photo: Photo) -> Image.Image:
    """The photograph's square, small."""
    return _square(project, photo.id, photo.sha256, photo.center)


@lru_cache(maxsize=512)  # of 110 KB each; decoding a photograph of twelve megapixels takes 0.1 s
def _square(project: Project, id: str, sha256: str, center: tuple[float, float]) -> Image.Image:
    from ghibli_studio.imaging.crop import crop

    return crop(collections.picture(project, collections.load(project).photo(id)), center, THUMBNAIL)


def pair(project: Project, photo: Photo) -> Image.Image:
    """The photograph's square beside its accepted, else newest, styled picture."""
    from PIL import Image

    attempt = photo.accepted or (photo.attempts[-1] if photo.attempts else None)
    if attempt is None:
        return thumbnail(project, photo)
    both = Image.new("RGB", (2 * THUMBNAIL, THUMBNAIL))
    both.paste(thumbnail(project, photo), (0, 0))
    both.paste(_styled(project.collection.styled(attempt.file), attempt.sha256), (THUMBNAIL, 0))
    return both


@lru_cache(maxsize=512)
def _styled(path: Path, sha256: str) -> Image.Image:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL))
