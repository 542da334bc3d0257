"""Contact sheets: many images on one page, with a label below each image or pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont, ImageOps

from adapters.settings import StudioError

SIDE, GAP, TEXT = 128, 6, 15
COLUMNS = 6
PER_PAGE = 48
"""Images, or pairs, per page."""
BACKGROUND, INK = "white", "#333333"
T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One or more images side by side, with one line of text below."""

    label: str
    images: tuple[Image.Image, ...]


def render_sheet(cells: Sequence[Cell], columns: int = COLUMNS, side: int = SIDE) -> Image.Image:
    """Return the cells in rows; every image fits into a square of `side` px, long labels are cut with an ellipsis."""
    if not cells:
        raise StudioError("there is no image to show; add some first")
    font = ImageFont.load_default(size=TEXT - 3)
    inner = max(len(cell.images) for cell in cells) * side
    cell_width, cell_height = inner + GAP, side + TEXT + GAP
    rows = -(-len(cells) // columns)
    size = (min(columns, len(cells)) * cell_width + GAP, rows * cell_height + GAP)
    page = Image.new("RGB", size, BACKGROUND)
    pencil = ImageDraw.Draw(page)
    for number, cell in enumerate(cells):
        left, top = GAP + number % columns * cell_width, GAP + number // columns * cell_height
        for index, image in enumerate(cell.images):
            fitted = ImageOps.contain(image, (side, side), Image.Resampling.LANCZOS)
            page.paste(fitted, (left + index * side + (side - fitted.width) // 2, top + (side - fitted.height) // 2))
        pencil.text((left, top + side + 1), _shortened(cell.label, font, inner), fill=INK, font=font)
    return page


def page_count(count: int) -> int:
    """Return the number of pages for `count` images, at least one."""
    return max(-(-count // PER_PAGE), 1)


def page_slice(items: Sequence[T], page: int) -> Sequence[T]:
    """Return the items of one page, counted from 1; raises StudioError for a page that does not exist."""
    last = page_count(len(items))
    if not 1 <= page <= last:
        raise StudioError(f"page is {page}; it must be 1 to {last} ({PER_PAGE} images per page)")
    return items[(page - 1) * PER_PAGE : page * PER_PAGE]


def _shortened(label: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """Return the label, cut so that it is at most `width` px wide."""
    if font.getlength(label) <= width:
        return label
    return next(cut for end in range(len(label) - 1, -1, -1) if font.getlength(cut := f"{label[:end]}…") <= width)
