"""A data set while it grows, and how it takes its place: all at once, with the old one kept until then."""

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
from ghibli_studio.workspace.files import write_json, write_plain
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


@dataclass
class Draft:
    """A data set while it grows: pictures are on disk, the manifest is not yet. Left unfinished, it goes away."""

    project: Project
    description: Description
    seed: int
    items: list[Item] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    enlarged: int = 0

    @classmethod
    @contextmanager
    def of(cls, project: Project, description: Description, seed: int) -> Iterator[Draft]:
        """A new draft; whether it is finished or not, nothing of it is left behind but the data set."""
        with datasets.changing(project):
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
        """Crop and write one picture, its caption and its source."""
        name = f"{len(self.items) + 1:04d}"
        tokenizer = load_tokenizer(self.description.spec)
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

    def leave_out(self, file: str, reason: str) -> None:
        """Note a file that cannot be used, and why."""
        self.problems.append({"file": file, "reason": reason})

    def tell_pictures_apart(self) -> None:
        """Take every picture for a landmark of its own, where captions and names tell none apart."""
        self.notes.append(
            f"All captions or file names begin alike ({self.items[0].landmark}), so every picture counts as a landmark "
            "of its own. If several show the same, begin their captions with what it is, and a comma."
        )
        self.items = [replace(item, landmark=f"{item.landmark} {item.id}") for item in self.items]

    def finish(self) -> Dataset:
        """Write the manifest and put the data set in its place; raises StudioError if nothing can be learned from it."""
        if len({item.split for item in self.items}) < 2:
            reasons = "; ".join(problem["reason"] for problem in self.problems[:3])
            raise StudioError(self._too_few() + (f". Left out: {len(self.problems)} ({reasons})" if reasons else ""))
        if self.enlarged:
            self.notes.append(
                f"{self.enlarged} pictures are smaller than {self.description.resolution} px and were enlarged; larger "
                "ones would be sharper."
            )
        dataset = Dataset(
            self.description.spec,
            self.description.resolution,
            self.description.token_limit,
            self.seed,
            tuple(self.items),
            tuple(self.problems),
            tuple(self.notes),
        )
        project = self.project
        write_json(project.building("dataset") / "manifest.json", datasets.to_json(dataset))
        project.register()
        places = {"dataset": project.dataset, "sources": project.sources}
        for part, place in places.items():
            if place.exists():
                place.rename(project.replaced(part))
        for part in ("sources", "dataset"):  # the data set last: once it is in place, the old one may go
            project.building(part).rename(places[part])
        datasets.restore(project)
        return dataset

    def _too_few(self) -> str:
        landmarks = sorted({item.landmark for item in self.items})
        if len(landmarks) > 1:
            return (
                f"all {len(self.items)} usable pictures are for {self.items[0].split}; "
                "name some of them in train.txt and those of another landmark in val.txt, or leave both files out"
            )
        of = f" of one landmark ({landmarks[0]})" if landmarks else ""
        return (
            f"{len(self.items)} usable pictures{of} are too few: training and validation need a landmark each; the "
            "landmark is the caption up to its first comma, or else the file's name without its number"
        )
