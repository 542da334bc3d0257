"""The 45 bundled photos and their credits. Reads text; decodes no image."""

from __future__ import annotations

from pathlib import Path

PHOTOS = Path(__file__).parent / "photos"
"""Photos with `captions.txt`; SOURCES.md is a table of file, landmark, pixels, author, license and source."""


def read_credits() -> dict[str, str]:
    """Return 'author, license, source' of every photo by file name."""
    credits = {}
    for line in (PHOTOS / "SOURCES.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and (PHOTOS / cells[0]).is_file():
            file, _, _, author, license, source = cells
            credits[file] = f"{author}, {license}, {source}"
    return credits
