"""Many pictures on one, in rows and columns with labeled axes. No project and no model in here."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

GROUND, INK, QUIET, MISSING = "white", "#1f2933", "#52606d", "#d9dee3"
GAP, FONT = 6, 15
LINE = FONT + 4
MOST_LINES = 6
LEFT = 150
"""Px for the rows' labels."""
LARGEST = 8000
"""Px: a larger whole is drawn with smaller pictures."""


def sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    columns: Sequence[str],
    lines: Sequence[str],
    across: str,
    down: str,
    told: str = "",
) -> Image.Image:
    """The pictures (None is left gray) with a label above each column and left of each row.

    `across` and `down` name what varies; `told` stands below everything.
    """
    side = _side(rows)
    font = ImageFont.load_default(size=FONT)
    heads = [wrapped(text, font, side) for text in columns]
    width = LEFT + len(columns) * (side + GAP) + GAP
    foot = wrapped(told, font, width - 2 * GAP) if told else []
    top = 2 * GAP + LINE + max(map(len, heads)) * LINE
    height = top + len(lines) * (side + GAP) + GAP + len(foot) * LINE + (GAP if foot else 0)
    page = Image.new("RGB", (width, height), GROUND)
    pencil = ImageDraw.Draw(page)
    pencil.text((LEFT, GAP), f"{across} (across)", fill=QUIET, font=font)
    pencil.text((GAP, GAP), f"{down} (down)", fill=QUIET, font=font)
    for column, head in enumerate(heads):
        _write(pencil, head, LEFT + column * (side + GAP), GAP + LINE, font)
    for row, label in enumerate(lines):
        y = top + row * (side + GAP)
        _write(pencil, wrapped(label, font, LEFT - 2 * GAP), GAP, y, font)
        for column in range(len(columns)):
            x, picture = LEFT + column * (side + GAP), rows[row][column]
            if picture is None:
                pencil.rectangle((x, y, x + side - 1, y + side - 1), fill=MISSING)
            else:
                page.paste(ImageOps.pad(picture.convert("RGB"), (side, side), color=GROUND), (x, y))
    _write(pencil, foot, GAP, top + len(lines) * (side + GAP) + GAP, font)
    return page


def _side(rows: Sequence[Sequence[Image.Image | None]]) -> int:
    """Of each picture, px: as it is, unless the whole would be too large."""
    own = max((max(one.size) for row in rows for one in row if one is not None), default=128)
    most = max(len(rows), max(map(len, rows)))
    return max(min(own, (LARGEST - LEFT) // most - GAP), 16)


def _write(pencil: ImageDraw.ImageDraw, lines: Sequence[str], x: int, y: int, font: ImageFont.FreeTypeFont) -> None:
    for number, line in enumerate(lines):
        pencil.text((x, y + number * LINE), line, fill=INK, font=font)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines no wider than `width` px; a word that is wider is cut, and so is what is over six lines."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            while len(word) > 1 and font.getlength(word) > width:
                word = f"{word[:-2]}…"
            lines.append(word)
    if len(lines) > MOST_LINES:
        lines = lines[:MOST_LINES]
        while len(lines[-1]) > 1 and font.getlength(f"{lines[-1]}…") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "…"
    return lines
