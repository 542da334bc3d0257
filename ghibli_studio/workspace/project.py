"""Where things lie on disk. With the `..._folder` modules, the only one that joins the paths of a workspace.

The project folder is the whole truth: nobody keeps state that is not a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from adapters.settings import StudioError
from ghibli_studio.config.training import RunConfig
from ghibli_studio.runtime.environment import default_root
from ghibli_studio.workspace.files import new_folder, write_json
from ghibli_studio.workspace.paths import AdapterFolder, CollectionFolder, MadeFolder
from ghibli_studio.workspace.run import Run

__all__ = ["Project", "Run", "StudioError", "Workspace", "default_root"]

NAME = re.compile(r"\w[\w .-]{0,63}")


@dataclass(frozen=True)
class Project:
    """One project's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The project's name is its folder's."""
        return self.folder.name

    @property
    def workspace(self) -> Workspace:
        """The workspace that the project belongs to."""
        return Workspace(self.folder.parent)

    @property
    def marker_file(self) -> Path:
        """Its presence makes the folder a project."""
        return self.folder / "project.json"

    def register(self) -> None:
        """Make the project known."""
        if not self.marker_file.exists():
            created = datetime.now().astimezone().isoformat(timespec="seconds")
            write_json(self.marker_file, {"name": self.name, "created": created})

    @property
    def sources(self) -> Path:
        """The pictures as they came."""
        return self.folder / "sources"

    @property
    def dataset(self) -> Path:
        """Cropped pictures with a caption file each; a folder that other trainers read too."""
        return self.folder / "dataset"

    @property
    def manifest_file(self) -> Path:
        """Written last: a data set is complete if it is there."""
        return self.dataset / "manifest.json"

    @property
    def dataset_lock(self) -> Path:
        """Held by whoever makes the data set."""
        return self.folder / ".dataset.lock"

    def replaced(self, part: str) -> Path:
        """Where the old `sources` or `dataset` waits until the new one is in its place."""
        return self.folder / f".old-{part}"

    def building(self, part: str) -> Path:
        """Where a data set grows until it is complete; `part` is `sources` or `dataset`."""
        return self.folder / ".building" / part

    @property
    def collection(self) -> CollectionFolder:
        """A data set in the making."""
        return CollectionFolder(self.folder / "collection")

    @property
    def adapters(self) -> AdapterFolder:
        """Adapters that no run trained: imported, averaged, saved at a strength."""
        return AdapterFolder(self.folder / "adapters")

    @property
    def made(self) -> MadeFolder:
        """Grids, uploads, and every picture that was drawn."""
        return MadeFolder(self.folder)

    def export(self, name: str) -> Path:
        """A copy of the data set, or of an adapter, for other programs."""
        return self.folder / "exports" / name

    def evaluation(self, name: str) -> Path:
        """The folder of one comparison of adapters."""
        return self.folder / "evaluations" / name

    def evaluations(self) -> list[Path]:
        """All comparisons of adapters, the newest first."""
        return sorted((p for p in (self.folder / "evaluations").glob("*") if p.is_dir()), reverse=True)

    def new_evaluation(self) -> Path:
        """Create the folder of a new comparison."""
        return new_folder(self.folder / "evaluations", "")

    @property
    def study(self) -> Path:
        """The blind study: `study.db`, and `key.db` with the origins."""
        return self.folder / "study"

    @property
    def report_file(self) -> Path:
        """The report as a page; `report.json` beside it has the same as values."""
        return self.folder / "report.html"

    def cache_file(self, name: str) -> Path:
        """Something that can be computed again."""
        return self.folder / "cache" / name

    def image_set(self, name: str) -> Path:
        """The folder of one generated set."""
        return self.folder / "images" / name

    def image_sets(self) -> list[Path]:
        """All generated sets, the newest first."""
        return sorted((p for p in (self.folder / "images").glob("*") if p.is_dir()), reverse=True)

    def new_image_set(self) -> Path:
        """Create the folder of a new generated set."""
        return new_folder(self.folder / "images", "")

    def runs(self, method: str | None = None) -> list[Run]:
        """All runs, the oldest first; of one method if given."""
        folders = sorted(path.parent for path in (self.folder / "runs").glob("*/config.json"))
        return [Run(f) for f in folders if method is None or f.name.split("-")[2:3] == [method]]

    def run(self, run_id: str) -> Run:
        """The run of that name; raises StudioError with the names there are."""
        for run in self.runs():
            if run.id == run_id:
                return run
        known = ", ".join(run.id for run in self.runs()) or "none yet"
        raise StudioError(f"project {self.name!r} has no run {run_id!r}; it has {known}")

    def new_run(self, config: RunConfig) -> Run:
        """Create a run's folder with its settings."""
        run = Run(new_folder(self.folder / "runs", f"-{config.method}"))
        write_json(run.config_file, config.model_dump(mode="json"))
        return run


@dataclass(frozen=True)
class Workspace:
    """The folder of all projects."""

    root: Path
    SERVED: ClassVar[str] = ".served"

    @property
    def served(self) -> Path:
        """Copies of what the page shows, and what was uploaded; no project's."""
        return self.root.absolute() / self.SERVED

    @property
    def accelerator_lock(self) -> Path:
        """Held by whoever computes: one at a time."""
        return self.root / ".accelerator.lock"

    def projects(self) -> list[str]:
        """Names of all projects."""
        return sorted(path.parent.name for path in self.root.glob("*/project.json"))

    def project(self, name: str, new: bool = False) -> Project:
        """Open a project, or name a new one; raises StudioError for a bad or unknown name.

        A new project is there for others once it is registered, which its first data set does.
        """
        if not NAME.fullmatch(name) or name.endswith((".", " ")):
            raise StudioError(
                f"{name!r} cannot be a project's name; use 1 to 64 letters, digits, spaces, '-', '_' or '.', "
                "with a letter or digit first and no space or '.' last"
            )
        project = Project(self.root / name)
        if not new and not project.marker_file.exists():
            known = ", ".join(self.projects()) or "none yet"
            raise StudioError(
                f"there is no project {name!r} in {self.root} (there: {known}); "
                f"make one with: python -m ghibli_studio sample {name!r}"
            )
        return project

    def runs(self) -> Iterator[Run]:
        """All runs of all projects."""
        for name in self.projects():
            yield from self.project(name).runs()


def project_of(run: Run) -> Project:
    """The project that a run belongs to."""
    return Project(run.folder.parent.parent)
