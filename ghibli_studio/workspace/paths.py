"""Where the files of a collection, of imported adapters and of generated images lie within a project."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from adapters.settings import StudioError
from ghibli_studio.workspace.files import new_folder

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


BARE = re.compile(r"\w[\w.-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class CollectionFolder:
    """The folder of a data set in the making."""

    folder: Path

    @property
    def file(self) -> Path:
        """Photographs, prompts, and what was decided about them."""
        return self.folder / "collection.json"

    @property
    def lock(self) -> Path:
        """Held for the moment of a change."""
        return self.folder / ".lock"

    @property
    def gathering_lock(self) -> Path:
        """Held by whoever adds photographs."""
        return self.folder / ".gathering.lock"

    def source(self, name: str) -> Path:
        """A photograph as it came."""
        return self.folder / "sources" / _bare(name)

    def styled(self, name: str) -> Path:
        """A styled picture."""
        return self.folder / "styled" / _bare(name)


def _bare(name: str) -> str:
    """The name, if it is one and no way elsewhere: it comes from a file that somebody may have changed."""
    if not BARE.fullmatch(name):
        raise StudioError(f"{name!r} cannot be a file of a collection; gather the photographs again")
    return name


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
            "generated": "images/*/*.png",
            "grid": "grids/*/pictures/*.png",
            "sample": "runs/*/samples/*.png",
            "styled": "collection/styled/*.png",
            "evaluation": "evaluations/*/pictures/*.png",
        }
        return {kind: list(self.folder.glob(pattern)) for kind, pattern in places.items()}

    def thumbnail(self, key: str) -> Path:
        """A small copy of a picture, by a hash; it can be made again."""
        return self.folder / "cache" / "thumbnails" / f"{key}.webp"
