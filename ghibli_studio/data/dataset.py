"""The dataset of a project: items with captions and split, the manifest, and the checks before training.

Import is in `importer` and `sample_dataset`; decoding images is in `imaging.image_io`.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data.captions import MAX_CHARACTERS, clean
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.models.description import Description
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from ghibli_studio.workspace.files import file_lock, read_json, write_atomic, write_json
from ghibli_studio.workspace.project import Project

VERSION = 1
VALIDATION_SHARE = 0.2
Split = Literal["train", "validation"]


@dataclass(frozen=True)
class Item:
    """One image of the dataset."""

    id: str
    """Four digits: `<id>.png` and `<id>.txt` in the dataset folder."""
    landmark: str
    """What the image shows; all images of a landmark are in the same split."""
    caption: str
    """The prompt, without style words and trigger."""
    tokens: int
    """Tokens of the caption in the base model's tokenizer, start and end included."""
    split: Split
    source: str
    """File name in `sources/`: the uncropped image, or the photo behind a stylized one."""
    original: str
    """Original file name, as it was imported."""
    sha256: str
    """SHA-256 of `<id>.png`."""


@dataclass(frozen=True)
class Dataset:
    """All items, and the base model that they were prepared for."""

    base_model: str
    resolution: int
    token_limit: int
    seed: int
    items: tuple[Item, ...]
    skipped: tuple[dict[str, str], ...] = ()
    """Files that were not imported: `{"file": ..., "reason": ...}`."""
    notes: tuple[str, ...] = ()
    """Decisions that the import took for the user, in sentences."""

    def part(self, split: Split) -> list[Item]:
        """Return the items of one split."""
        return [item for item in self.items if item.split == split]

    def too_long(self) -> list[Item]:
        """Return the items whose caption alone is over the token limit."""
        return [item for item in self.items if item.tokens > self.token_limit]

    def by_landmark(self, name: str) -> Item | None:
        """Return the first item of a landmark, ignoring case; None if there is none."""
        return next((item for item in self.items if item.landmark.casefold() == name.strip().casefold()), None)


def split_by_landmark(
    landmarks: Sequence[str], seed: int, *, share: float = VALIDATION_SHARE, held_out: Iterable[str] = ()
) -> list[Split]:
    """Return the split of each image: whole landmarks go to validation, `held_out` first, up to about `share`.

    Names that differ only in case are one landmark.
    """
    names = [name.casefold() for name in landmarks]
    counts = Counter(names)
    first = [name.casefold() for name in held_out if name.casefold() in counts]
    rest = sorted(counts.keys() - set(first))
    random.Random(seed).shuffle(rest)
    validation: set[str] = set()
    room = round(share * len(landmarks)) or 1
    for name in [*first, *rest]:
        if len(validation) + 1 < len(counts) and sum(counts[n] for n in validation) + counts[name] <= room:
            validation.add(name)
    if not validation and len(counts) > 1:
        validation.add(min([*first, *rest], key=counts.__getitem__))
    return ["validation" if name in validation else "train" for name in names]


def to_json(dataset: Dataset) -> dict[str, Any]:
    """Return the content of the manifest."""
    return {"version": VERSION, **asdict(dataset)}


def exists(project: Project) -> bool:
    """Report whether the project has a dataset; restores one that an interrupted replacement moved away."""
    if not project.manifest_file.exists() and project.previous("dataset").exists():
        with suppress(StudioError), edit_lock(project):
            pass
    return project.manifest_file.exists()


def load(project: Project) -> Dataset:
    """Return the project's dataset; raises StudioError if there is none or its manifest has another version."""
    if not exists(project):
        raise StudioError(
            f"project {project.name!r} has no dataset yet; create one in the Dataset tab, or with: "
            f"ghibli-studio dataset sample {project.name!r}"
        )
    manifest = read_json(project.manifest_file)
    try:
        if manifest.pop("version", None) != VERSION:
            raise StudioError(f"{project.manifest_file} does not have version {VERSION}; import the images again")
        items = tuple(Item(**item) for item in manifest.pop("items"))
        lists = {name: tuple(manifest[name]) for name in ("skipped", "notes")}
        return Dataset(**{**manifest, "items": items, **lists})
    except (AttributeError, KeyError, TypeError) as error:
        raise StudioError(f"{project.manifest_file} is damaged ({error}); import the images again") from error


@contextmanager
def edit_lock(project: Project) -> Iterator[None]:
    """Lock the dataset for a change and repair it; raises StudioError if it is locked already."""
    with file_lock(
        project.dataset_lock, f"the dataset of project {project.name!r} is being written; wait until that is done"
    ):
        restore(project)
        yield


def restore(project: Project) -> None:
    """Repair an interrupted replacement: keep the new dataset if it is in place, else move the old one back."""
    old, old_sources = project.previous("dataset"), project.previous("sources")
    if not project.manifest_file.exists() and old.exists():
        if old_sources.exists():
            shutil.rmtree(project.sources, ignore_errors=True)
            old_sources.rename(project.sources)
        old.rename(project.dataset)
    for leftover in (old, old_sources):
        shutil.rmtree(leftover, ignore_errors=True)


def check_resolution(dataset: Dataset, description: Description) -> None:
    """Raise StudioError if the images were cropped for a model of another resolution."""
    if dataset.resolution != description.resolution:
        raise StudioError(
            f"the dataset has images of {dataset.resolution} px, base model {description.model_id!r} needs "
            f"{description.resolution} px; create the dataset again for this base model"
        )


def digest(dataset: Dataset) -> str:
    """Return the SHA-256 over everything of the dataset that training sees."""
    content = [[item.id, item.caption, item.split, item.sha256] for item in dataset.items]
    return hashlib.sha256(json.dumps([dataset.resolution, content]).encode()).hexdigest()


def image_bytes(project: Project, item: Item) -> bytes:
    """Return the item's PNG; raises StudioError if it is missing or differs from the manifest."""
    path = project.dataset / f"{item.id}.png"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StudioError(f"{path} of the dataset is missing; import the images again") from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise StudioError(f"{path} was changed after the import; import the images again")
    return data


def images(project: Project, items: Sequence[Item]) -> Iterator[Image.Image]:
    """Yield the items' images, RGB; raises StudioError if one is missing or differs from the manifest."""
    for item in items:
        with Image.open(io.BytesIO(image_bytes(project, item))) as image:
            yield image.convert("RGB")


def source_photo(project: Project, item: Item) -> Image.Image | None:
    """Return the photo behind a stylized image, upright RGB; None where the item is cropped from its source."""
    source = _source(project, item)
    return None if source is None or _is_cropped_from(project, item, source) else source


def uncropped_image(project: Project, item: Item) -> Image.Image | None:
    """Return the image in its original aspect ratio, upright RGB; None where the source is a different image."""
    source = _source(project, item)
    return source if source is not None and _is_cropped_from(project, item, source) else None


def _source(project: Project, item: Item) -> Image.Image | None:
    if not item.source:
        return None
    path = project.sources / item.source
    try:
        return open_image(path.read_bytes(), path.name)
    except OSError as error:
        raise StudioError(f"{path} of the dataset is missing; import the images again") from error


def _is_cropped_from(project: Project, item: Item, source: Image.Image) -> bool:
    with Image.open(project.dataset / f"{item.id}.png") as image:
        return square(source, image.width).tobytes() == image.convert("RGB").tobytes()


def set_captions(project: Project, captions: dict[str, str]) -> Dataset:
    """Replace captions by item id, count their tokens, and write the caption files and the manifest."""
    with edit_lock(project):
        dataset = load(project)
        ids = {item.id for item in dataset.items}
        if unknown := sorted(captions.keys() - ids):
            raise StudioError(f"the dataset has no image {unknown[0]!r}; its images are {min(ids)} to {max(ids)}")
        tokenizer = load_tokenizer(dataset.base_model)
        items = []
        for item in dataset.items:
            caption = check_caption(captions.get(item.id, item.caption), f"image {item.id}")
            items.append(replace(item, caption=caption, tokens=token_count(tokenizer, caption)))
        for old, new in zip(dataset.items, items):
            if new.caption != old.caption:
                write_atomic(project.dataset / f"{new.id}.txt", new.caption + "\n")
        dataset = replace(dataset, items=tuple(items))
        write_json(project.manifest_file, to_json(dataset))
    return dataset


def check_caption(caption: str, name: str) -> str:
    """Return the caption on one line; raises StudioError if it is empty or far too long."""
    caption = clean(caption)
    if not caption:
        raise StudioError(f"{name} has no caption; describe the image, such as 'Big Ben, London, a stone clock tower'")
    if len(caption) > MAX_CHARACTERS:
        raise StudioError(
            f"the caption of {name} has {len(caption)} characters, at most {MAX_CHARACTERS} are allowed; shorten it"
        )
    return caption
