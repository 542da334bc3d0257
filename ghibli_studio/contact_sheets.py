"""Many pictures on one, to be looked at: photograph beside styled picture, with names below, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ghibli_studio import collection as collections
from ghibli_studio import dataset as datasets
from ghibli_studio.collection import Photo
from ghibli_studio.config import StudioError
from ghibli_studio.crops import crop
from ghibli_studio.images import open_image
from ghibli_studio.shelves import read_plain
from ghibli_studio.workspace import Project

SIDE, GAP, TEXT = 128, 6, 15
COLUMNS = 6
A_PAGE = 48
"""Pictures, or pairs, on a page; 5,000 on one sheet nobody could look at."""
GROUND, INK = "white", "#333333"


@dataclass(frozen=True)
class Cell:
    """What stands together, with one line below."""

    label: str
    pictures: tuple[Image.Image, ...]


def sheet(cells: Sequence[Cell], columns: int = COLUMNS, side: int = SIDE) -> Image.Image:
    """The cells in rows; every picture fits into a square of `side` px, and a label is cut where its cell ends."""
    if not cells:
        raise StudioError("there is no picture to show; add some first")
    font = ImageFont.load_default(size=TEXT - 3)
    inner = max(len(cell.pictures) for cell in cells) * side
    across, down = inner + GAP, side + TEXT + GAP
    rows = -(-len(cells) // columns)
    page = Image.new("RGB", (min(columns, len(cells)) * across + GAP, rows * down + GAP), GROUND)
    pencil = ImageDraw.Draw(page)
    for number, cell in enumerate(cells):
        left, top = GAP + number % columns * across, GAP + number // columns * down
        for index, picture in enumerate(cell.pictures):
            shown = ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS)
            page.paste(shown, (left + index * side + (side - shown.width) // 2, top + (side - shown.height) // 2))
        pencil.text((left, top + side + 1), _fitting(cell.label, font, inner), fill=INK, font=font)
    return page


def pages(count: int) -> int:
    """Pages of a set of so many pictures, at least one."""
    return max(-(-count // A_PAGE), 1)


def dataset_sheet(project: Project, page: int = 1) -> Image.Image:
    """A page of the data set, counted from 1: the photograph, where there is one, and what is learnt from."""
    items = datasets.load(project).items
    cells = []
    for item in _of_page(items, page):
        picture = next(datasets.images(project, [item]))
        photograph = datasets.photograph(project, item)
        pictures = (picture,) if photograph is None else (crop(photograph, (0.5, 0.5), picture.width), picture)
        cells.append(Cell(f"{item.id} {item.landmark} ({item.split})", pictures))
    return sheet(cells)


def collection_sheet(project: Project, page: int = 1) -> Image.Image:
    """A page of the collection, counted from 1: the crop of each photograph and its accepted, else newest, picture."""
    collection = collections.load(project)
    return sheet([_photo_cell(project, photo, collection.resolution) for photo in _of_page(collection.photos, page)])


def _photo_cell(project: Project, photo: Photo, resolution: int) -> Cell:
    pictures = [crop(collections.picture(project, photo), photo.centre, resolution)]
    attempt = photo.accepted or (photo.attempts[-1] if photo.attempts else None)
    if attempt:
        pictures.append(open_image(read_plain(project.collection.styled(attempt.file), attempt.file), attempt.file))
    return Cell(f"{photo.id} {photo.name or photo.original} ({photo.state})", tuple(pictures))


def _of_page(things: Sequence, page: int) -> Sequence:
    last = pages(len(things))
    if not 1 <= page <= last:
        raise StudioError(f"page is {page}; it must be 1 to {last} ({A_PAGE} pictures a page)")
    return things[(page - 1) * A_PAGE : page * A_PAGE]


def _fitting(label: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The label, cut so that it is no wider than its cell."""
    if font.getlength(label) <= width:
        return label
    return next(cut for end in range(len(label) - 1, -1, -1) if font.getlength(cut := f"{label[:end]}…") <= width)
