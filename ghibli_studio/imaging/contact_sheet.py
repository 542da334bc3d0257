"""Many pictures on one, to be looked at: photograph beside styled picture, with names below, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from adapters.settings import StudioError

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


def page_cells(things: Sequence, page: int) -> Sequence:
    """The cells of one page, counted from 1; StudioError for a page that does not exist."""
    last = pages(len(things))
    if not 1 <= page <= last:
        raise StudioError(f"page is {page}; it must be 1 to {last} ({A_PAGE} pictures a page)")
    return things[(page - 1) * A_PAGE : page * A_PAGE]


def _fitting(label: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The label, cut so that it is no wider than its cell."""
    if font.getlength(label) <= width:
        return label
    return next(cut for end in range(len(label) - 1, -1, -1) if font.getlength(cut := f"{label[:end]}…") <= width)
