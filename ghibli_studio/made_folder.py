"""Where what a project's people made lies within it, beside runs and sets; `workspace.Project.made` is one of these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ghibli_studio.config import StudioError
from ghibli_studio.files import new_folder

HASH = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class MadeFolder:
    """Grids, uploaded photographs, small copies of pictures."""

    folder: Path
    """The project's."""

    def new_grid(self) -> Path:
        """Create the folder of a new X/Y grid."""
        return new_folder(self.folder / "grids", "")

    def grid(self, name: str) -> Path:
        """The folder of a grid; raises StudioError with the names there are."""
        for folder in self.grids():
            if folder.name == name:
                return folder
        known = ", ".join(folder.name for folder in self.grids()) or "none yet"
        raise StudioError(f"project {self.folder.name!r} has no grid {name!r}; it has {known}")

    def grids(self) -> list[Path]:
        """All grids, the newest first."""
        return sorted((p for p in (self.folder / "grids").glob("*") if p.is_dir()), reverse=True)

    def upload(self, sha256: str) -> Path:
        """A photograph that pictures were drawn from, by the hash of its pixels."""
        if not HASH.fullmatch(sha256):
            raise StudioError(f"{sha256!r} is no hash of a photograph; take it from the recipe of a picture")
        return self.folder / "uploads" / f"{sha256}.png"

    def pictures(self) -> dict[str, list[Path]]:
        """Every picture by its kind: `generated`, `grid`, `sample`, `styled`, `evaluation`."""
        places = {
            "generated": "images/*/*.png", "grid": "grids/*/pictures/*.png", "sample": "runs/*/samples/*.png",
            "styled": "collection/styled/*.png", "evaluation": "evaluations/*/pictures/*.png",
        }
        return {kind: list(self.folder.glob(pattern)) for kind, pattern in places.items()}

    def thumbnail(self, key: str) -> Path:
        """A small copy of a picture, by a hash; it can be made again."""
        return self.folder / "cache" / "thumbnails" / f"{key}.webp"
