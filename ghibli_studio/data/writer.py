"""Writes a new dataset and moves it into place all at once; the old one is kept until then."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item, Split
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import png_bytes
from ghibli_studio.models.description import Description
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from ghibli_studio.plotting.formatting import pluralize
from ghibli_studio.workspace.files import write_json, write_plain
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


@dataclass
class DatasetWriter:
    """Writes a new dataset: images go to disk at once, the manifest comes last; an unfinished dataset is removed."""

    project: Project
    description: Description
    seed: int
    items: list[Item] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    enlarged: int = 0

    @classmethod
    @contextmanager
    def create(cls, project: Project, description: Description, seed: int) -> Iterator[DatasetWriter]:
        """Open a writer; afterwards the finished dataset remains, and no temporary file."""
        with datasets.edit_lock(project):
            building = project.building("dataset").parent
            shutil.rmtree(building, ignore_errors=True)
            try:
                yield cls(project, description, seed)
            finally:
                shutil.rmtree(building, ignore_errors=True)

    def add(
        self,
        image: Image.Image,
        caption: str,
        *,
        landmark: str,
        source: bytes,
        suffix: str,
        original: str,
        split: Split = "train",
    ) -> None:
        """Crop and write one image, its caption and its source."""
        name = f"{len(self.items) + 1:04d}"
        tokenizer = load_tokenizer(self.description.model_id)
        data = png_bytes(square(image, self.description.resolution))
        self.enlarged += min(image.size) < self.description.resolution
        folder = self.project.building("dataset")
        write_plain(self.project.building("sources") / (name + suffix), source)
        write_plain(folder / f"{name}.png", data)
        write_plain(folder / f"{name}.txt", (caption + "\n").encode())
        self.items.append(
            Item(
                name,
                landmark,
                caption,
                token_count(tokenizer, caption),
                split,
                name + suffix,
                original,
                hashlib.sha256(data).hexdigest(),
            )
        )

    def skip(self, file: str, reason: str) -> None:
        """Record a file that cannot be used, and the reason."""
        self.skipped.append({"file": file, "reason": reason})

    def use_one_landmark_per_image(self) -> None:
        """Count every image as its own landmark, where captions and names give the same landmark for all."""
        self.notes.append(
            f"All captions or file names start with the same words ({self.items[0].landmark}), so every image counts "
            "as its own landmark. If several images show the same thing, start their captions with its name and a "
            "comma."
        )
        self.items = [replace(item, landmark=f"{item.landmark} {item.id}") for item in self.items]

    def build(self) -> Dataset:
        """Write the manifest and move the dataset into place; raises StudioError where a split would be empty."""
        if len({item.split for item in self.items}) < 2:
            reasons = "; ".join(file["reason"] for file in self.skipped[:3])
            raise StudioError(self._too_few() + (f". Skipped: {len(self.skipped)} ({reasons})" if reasons else ""))
        if self.enlarged:
            self.notes.append(
                f"{self.enlarged} images are smaller than {self.description.resolution} px and were enlarged; larger "
                "ones would be sharper."
            )
        dataset = Dataset(
            self.description.model_id,
            self.description.resolution,
            self.description.token_limit,
            self.seed,
            tuple(self.items),
            tuple(self.skipped),
            tuple(self.notes),
        )
        project = self.project
        write_json(project.building("dataset") / "manifest.json", datasets.to_json(dataset))
        project.register()
        folders = {"dataset": project.dataset, "sources": project.sources}
        for part, folder in folders.items():
            if folder.exists():
                folder.rename(project.previous(part))
        for part in ("sources", "dataset"):  # the dataset last: once it is in place, the old one may be deleted
            project.building(part).rename(folders[part])
        datasets.restore(project)
        return dataset

    def _too_few(self) -> str:
        landmarks = sorted({item.landmark for item in self.items})
        if len(landmarks) > 1:
            return (
                f"all {len(self.items)} usable images are in the {self.items[0].split} split; list images of one "
                "landmark in train.txt and of another in val.txt, or remove both files"
            )
        of = f" of one landmark ({landmarks[0]})" if landmarks else ""
        return (
            f"only {pluralize(len(self.items), 'usable image')}{of}: training and validation need a landmark each; the "
            "landmark is the caption up to its first comma, or else the file name without its number"
        )
