"""Grids of images with labeled rows and columns. No project and no model here."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

BACKGROUND, INK, QUIET, MISSING = "white", "#1f2933", "#52606d", "#d9dee3"
GAP, FONT = 6, 15
LINE = FONT + 4
MAX_LINES = 6
LEFT = 150
"""Width of the row labels, px."""
MAX_SIDE = 8000
"""Images are scaled down where the grid would have a longer side, px."""
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def render_grid(
    rows: Sequence[Sequence[Image.Image | None]],
    column_labels: Sequence[str],
    row_labels: Sequence[str],
    x_title: str,
    y_title: str,
    footer: str = "",
) -> Image.Image:
    """Return the images (None is left gray) with a label above each column and left of each row.

    `x_title` and `y_title` name what varies along the axes; `footer` is a text below the grid.
    """
    side = _image_side(rows)
    font = ImageFont.load_default(size=FONT)
    heads = [wrap_text(label, font, side) for label in column_labels]
    width = LEFT + len(column_labels) * (side + GAP) + GAP
    foot = wrap_text(footer, font, width - 2 * GAP) if footer else []
    top = 2 * GAP + LINE + max(map(len, heads)) * LINE
    height = top + len(row_labels) * (side + GAP) + GAP + len(foot) * LINE + (GAP if foot else 0)
    page = Image.new("RGB", (width, height), BACKGROUND)
    pencil = ImageDraw.Draw(page)
    pencil.text((LEFT, GAP), f"{x_title} (across)", fill=QUIET, font=font)
    pencil.text((GAP, GAP), f"{y_title} (down)", fill=QUIET, font=font)
    for column, head in enumerate(heads):
        _write_lines(pencil, head, LEFT + column * (side + GAP), GAP + LINE, font)
    for row, label in enumerate(row_labels):
        y = top + row * (side + GAP)
        _write_lines(pencil, wrap_text(label, font, LEFT - 2 * GAP), GAP, y, font)
        for column in range(len(column_labels)):
            x, image = LEFT + column * (side + GAP), rows[row][column]
            if image is None:
                pencil.rectangle((x, y, x + side - 1, y + side - 1), fill=MISSING)
            else:
                page.paste(ImageOps.pad(image.convert("RGB"), (side, side), color=BACKGROUND), (x, y))
    _write_lines(pencil, foot, GAP, top + len(row_labels) * (side + GAP) + GAP, font)
    return page


def _image_side(rows: Sequence[Sequence[Image.Image | None]]) -> int:
    """Return the side of each image in the grid, px: its own, unless the grid would become too large."""
    own = max((max(image.size) for row in rows for image in row if image is not None), default=128)
    most = max(len(rows), max(map(len, rows)))
    return max(min(own, (MAX_SIDE - LEFT) // most - GAP), 16)


def _write_lines(pencil: ImageDraw.ImageDraw, lines: Sequence[str], x: int, y: int, font: Font) -> None:
    for number, line in enumerate(lines):
        pencil.text((x, y + number * LINE), line, fill=INK, font=font)


def wrap_text(text: str, font: Font, width: int) -> list[str]:
    """Return the text in at most six lines of at most `width` px; longer words and texts are cut with an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            while len(word) > 1 and font.getlength(word) > width:
                word = f"{word[:-2]}…"
            lines.append(word)
    if len(lines) > MAX_LINES:
        lines = lines[:MAX_LINES]
        while len(lines[-1]) > 1 and font.getlength(f"{lines[-1]}…") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "…"
    return lines
