"""Paths of collections, adapters that were not trained here, and generated images within a project."""

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
    """The folder of adapters that no run of the project trained: imported, merged or scaled."""

    folder: Path

    def file(self, name: str) -> Path:
        """Return the file of that name; raises StudioError for an invalid name."""
        if not NAME.fullmatch(name) or name.endswith((".", " ")):
            raise StudioError(
                f"{name!r} cannot be an adapter's name; use 1 to 80 letters, digits, spaces, '-', '_' or '.', with a "
                "letter or digit first and no space or '.' last"
            )
        return self.folder / f"{name}{ENDING}"

    def files(self) -> list[Path]:
        """Return all adapter files, by name."""
        return sorted(self.folder.glob(f"*{ENDING}"))

    def new(self, name: str) -> Path:
        """Return the file of a new name; raises StudioError for a name that is taken."""
        if (path := self.file(name)).exists():
            raise StudioError(f"an adapter named {name!r} exists already; choose another name")
        return path


FILE_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class CollectionFolder:
    """The folder of photos on their way to a dataset."""

    folder: Path

    @property
    def file(self) -> Path:
        """Photos, prompts and decisions."""
        return self.folder / "collection.json"

    @property
    def lock(self) -> Path:
        """Held during a change."""
        return self.folder / ".lock"

    @property
    def ingest_lock(self) -> Path:
        """Held while photos are added."""
        return self.folder / ".ingest.lock"

    def source(self, name: str) -> Path:
        """Return the path of a source photo."""
        return self.folder / "sources" / _checked_name(name)

    def stylized(self, name: str) -> Path:
        """Return the path of a stylized image."""
        return self.folder / "stylized" / _checked_name(name)


def _checked_name(name: str) -> str:
    """Return the name if it is no path: it comes from a file that may have been edited."""
    if not FILE_NAME.fullmatch(name):
        raise StudioError(f"{name!r} cannot be a file of a collection; add the photos again")
    return name


HASH = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class OutputPaths:
    """X/Y grids, uploaded photos and thumbnails."""

    folder: Path
    """The project's folder."""

    def new_grid(self) -> Path:
        """Create the folder of a new X/Y grid."""
        return new_folder(self.folder / "grids", "")

    def grid(self, name: str) -> Path:
        """Return the folder of a grid; raises StudioError with the names of all grids."""
        for folder in self.grids():
            if folder.name == name:
                return folder
        names = ", ".join(folder.name for folder in self.grids()) or "none yet"
        raise StudioError(f"project {self.folder.name!r} has no grid {name!r}; it has {names}")

    def grids(self) -> list[Path]:
        """Return the folders of all grids, newest first."""
        return sorted((p for p in (self.folder / "grids").glob("*") if p.is_dir()), reverse=True)

    def upload(self, sha256: str) -> Path:
        """Return the path of an init image by the hash of its pixels."""
        if not HASH.fullmatch(sha256):
            raise StudioError(f"{sha256!r} is no hash of a photo; take it from the metadata of an image")
        return self.folder / "uploads" / f"{sha256}.png"

    def images(self) -> dict[str, list[Path]]:
        """Return all images by kind: `generated`, `grid`, `sample`, `stylized`, `evaluation`."""
        patterns = {
            "generated": "images/*/*.png",
            "grid": "grids/*/images/*.png",
            "sample": "runs/*/samples/*.png",
            "stylized": "collection/stylized/*.png",
            "evaluation": "evaluations/*/images/*.png",
        }
        return {kind: list(self.folder.glob(pattern)) for kind, pattern in patterns.items()}

    def thumbnail(self, key: str) -> Path:
        """Return the path of a thumbnail by a hash; thumbnails can be regenerated."""
        return self.folder / "cache" / "thumbnails" / f"{key}.webp"
