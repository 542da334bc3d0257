"""Where the files of a collection lie within its project; `workspace.Project.collection` is one of these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ghibli_studio.config import StudioError

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
