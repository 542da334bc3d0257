"""Paths of a workspace and its projects. With `run` and `paths`, the only module that joins paths of a workspace.

The project folder is the single source of truth: all state lives on disk.
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
from ghibli_studio.workspace.paths import AdapterFolder, CollectionFolder, OutputPaths
from ghibli_studio.workspace.run import Run

__all__ = ["Project", "Run", "StudioError", "Workspace", "default_root"]

NAME = re.compile(r"\w[\w .-]{0,63}")


@dataclass(frozen=True)
class Project:
    """One project's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the project and of its folder."""
        return self.folder.name

    @property
    def workspace(self) -> Workspace:
        """The workspace of the project."""
        return Workspace(self.folder.parent)

    @property
    def marker_file(self) -> Path:
        """The file whose presence makes the folder a project."""
        return self.folder / "project.json"

    def register(self) -> None:
        """Create the marker file, so that others see the project."""
        if not self.marker_file.exists():
            created = datetime.now().astimezone().isoformat(timespec="seconds")
            write_json(self.marker_file, {"name": self.name, "created": created})

    @property
    def sources(self) -> Path:
        """The source images."""
        return self.folder / "sources"

    @property
    def dataset(self) -> Path:
        """Cropped images with a caption file each; other trainers read this folder too."""
        return self.folder / "dataset"

    @property
    def manifest_file(self) -> Path:
        """The dataset's manifest, written last: a dataset with a manifest is complete."""
        return self.dataset / "manifest.json"

    @property
    def dataset_lock(self) -> Path:
        """Held while the dataset is written."""
        return self.folder / ".dataset.lock"

    def previous(self, part: str) -> Path:
        """Return where the previous `sources` or `dataset` is kept until the new one is in place."""
        return self.folder / f".old-{part}"

    def building(self, part: str) -> Path:
        """Return where a dataset is written until it is complete; `part` is `sources` or `dataset`."""
        return self.folder / ".building" / part

    @property
    def collection(self) -> CollectionFolder:
        """Photos on their way to a dataset."""
        return CollectionFolder(self.folder / "collection")

    @property
    def adapters(self) -> AdapterFolder:
        """Adapters that no run trained: imported, merged or scaled."""
        return AdapterFolder(self.folder / "adapters")

    @property
    def outputs(self) -> OutputPaths:
        """X/Y grids, uploads and every generated image."""
        return OutputPaths(self.folder)

    def export(self, name: str) -> Path:
        """Return the path of an exported dataset or adapter."""
        return self.folder / "exports" / name

    def evaluation(self, name: str) -> Path:
        """Return the folder of one evaluation."""
        return self.folder / "evaluations" / name

    def evaluations(self) -> list[Path]:
        """Return the folders of all evaluations, newest first."""
        return sorted((p for p in (self.folder / "evaluations").glob("*") if p.is_dir()), reverse=True)

    def new_evaluation(self) -> Path:
        """Create the folder of a new evaluation."""
        return new_folder(self.folder / "evaluations", "")

    @property
    def study(self) -> Path:
        """The blind study: `study.db`, and `key.db` with the origins."""
        return self.folder / "study"

    @property
    def report_file(self) -> Path:
        """The HTML report; `report.json` beside it has the same values."""
        return self.folder / "report.html"

    def cache_file(self, name: str) -> Path:
        """Return the path of a file that can be recomputed."""
        return self.folder / "cache" / name

    def image_set(self, name: str) -> Path:
        """Return the folder of one image set."""
        return self.folder / "images" / name

    def image_sets(self) -> list[Path]:
        """Return the folders of all image sets, newest first."""
        return sorted((p for p in (self.folder / "images").glob("*") if p.is_dir()), reverse=True)

    def new_image_set(self) -> Path:
        """Create the folder of a new image set."""
        return new_folder(self.folder / "images", "")

    def runs(self, method: str | None = None) -> list[Run]:
        """Return all runs, oldest first; only those of a method if given."""
        folders = sorted(path.parent for path in (self.folder / "runs").glob("*/config.json"))
        return [Run(f) for f in folders if method is None or f.name.split("-")[2:3] == [method]]

    def run(self, run_id: str) -> Run:
        """Return the run with this id; raises StudioError with the ids of all runs."""
        for run in self.runs():
            if run.id == run_id:
                return run
        ids = ", ".join(run.id for run in self.runs()) or "none yet"
        raise StudioError(f"project {self.name!r} has no run {run_id!r}; it has {ids}")

    def new_run(self, config: RunConfig) -> Run:
        """Create the folder of a new run and write its settings."""
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
        """Copies of files that the page serves, and uploads; belongs to no project."""
        return self.root.absolute() / self.SERVED

    @property
    def accelerator_lock(self) -> Path:
        """Held while a process computes: one at a time."""
        return self.root / ".accelerator.lock"

    def projects(self) -> list[str]:
        """Return the names of all projects."""
        return sorted(path.parent.name for path in self.root.glob("*/project.json"))

    def project(self, name: str, new: bool = False) -> Project:
        """Return an existing project, or a new one if `new`; raises StudioError for an invalid or unknown name.

        Others see a new project once it is registered, which its first dataset does.
        """
        if not NAME.fullmatch(name) or name.endswith((".", " ")):
            raise StudioError(
                f"{name!r} cannot be a project's name; use 1 to 64 letters, digits, spaces, '-', '_' or '.', "
                "with a letter or digit first and no space or '.' last"
            )
        project = Project(self.root / name)
        if not new and not project.marker_file.exists():
            names = ", ".join(self.projects()) or "none yet"
            raise StudioError(
                f"there is no project {name!r} in {self.root} (projects: {names}); "
                f"create one with: ghibli-studio dataset sample {name!r}"
            )
        return project

    def runs(self) -> Iterator[Run]:
        """Yield all runs of all projects."""
        for name in self.projects():
            yield from self.project(name).runs()


def project_of(run: Run) -> Project:
    """Return the project of a run."""
    return Project(run.folder.parent.parent)
