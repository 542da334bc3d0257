"""The 45 photographs that come with the project, and who took them. Reads text; decodes no picture."""

from __future__ import annotations

from pathlib import Path

PHOTOGRAPHS = Path(__file__).parent / "photos"
"""Pictures with `captions.txt`; SOURCES.md is a table of file, landmark, pixels, author, license and source."""


def credits_of() -> dict[str, str]:
    """File -> 'author, license, source' of every photograph."""
    found = {}
    for line in (PHOTOGRAPHS / "SOURCES.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and (PHOTOGRAPHS / cells[0]).is_file():
            file, _, _, author, license, source = cells
            found[file] = f"{author}, {license}, {source}"
    return found
