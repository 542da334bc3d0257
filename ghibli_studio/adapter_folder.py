"""Where a project's own and imported adapter files lie; `workspace.Project.adapters` is one of these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ghibli_studio.config import StudioError

NAME = re.compile(r"\w[\w. -]{0,79}")
ENDING = ".safetensors"


@dataclass(frozen=True)
class AdapterFolder:
    """The folder of adapters that no run of the project trained: imported, averaged, saved at a strength."""

    folder: Path

    def file(self, name: str) -> Path:
        """The file of that name; raises StudioError for a name that is none."""
        if not NAME.fullmatch(name) or name.endswith((".", " ")):
            raise StudioError(
                f"{name!r} cannot be an adapter's name; use 1 to 80 letters, digits, spaces, '-', '_' or '.', with a "
                "letter or digit first and no space or '.' last"
            )
        return self.folder / f"{name}{ENDING}"

    def files(self) -> list[Path]:
        """All of them, by name."""
        return sorted(self.folder.glob(f"*{ENDING}"))

    def new(self, name: str) -> Path:
        """The file of a name that is not taken yet; raises StudioError for one that is."""
        if (path := self.file(name)).exists():
            raise StudioError(f"there is an adapter {name!r} already; choose another name")
        return path
