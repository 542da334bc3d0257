"""The data set of a project: items with their captions and split, the manifest, the checks before training.

How pictures get in is `importing.py` and `sample.py`; what is in a picture is `images.py`.
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

from filelock import FileLock, Timeout
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data.captions import MAX_CHARACTERS, clean
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.models.description import Description
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from ghibli_studio.workspace.files import explain_os_error, make_folder, read_json, write_atomic, write_json
from ghibli_studio.workspace.project import Project

VERSION = 1
VALIDATION_SHARE = 0.2
Split = Literal["train", "validation"]


@dataclass(frozen=True)
class Item:
    """One picture to learn from."""

    id: str
    """Four digits: `<id>.png` and `<id>.txt` in the data set's folder."""
    landmark: str
    """Pictures of one landmark are on one side of the split."""
    caption: str
    """The prompt, without style word or trigger."""
    tokens: int
    """Tokens of the prompt in the base model's tokenizer, start and end included."""
    split: Split
    source: str
    """File name in `sources/`: the picture as it came, or the photograph behind a styled one."""
    original: str
    """What the file was called where it came from."""
    sha256: str
    """Of `<id>.png`."""


@dataclass(frozen=True)
class Dataset:
    """All items, and what they were made for."""

    base_model: str
    resolution: int
    token_limit: int
    seed: int
    items: tuple[Item, ...]
    problems: tuple[dict[str, str], ...] = ()
    """Files that were left out: `{"file": ..., "reason": ...}`."""
    notes: tuple[str, ...] = ()
    """What was decided on the person's behalf, in sentences."""

    def part(self, split: Split) -> list[Item]:
        """The items of one side of the split."""
        return [item for item in self.items if item.split == split]

    def too_long(self) -> list[Item]:
        """Items whose bare prompt is over the token limit already."""
        return [item for item in self.items if item.tokens > self.token_limit]

    def by_landmark(self, name: str) -> Item | None:
        """The first item that shows a landmark, whatever the case of its name."""
        return next((item for item in self.items if item.landmark.casefold() == name.strip().casefold()), None)


def split_by_landmark(
    landmarks: Sequence[str], seed: int, *, share: float = VALIDATION_SHARE, held_out: Iterable[str] = ()
) -> list[Split]:
    """A side for each picture: whole landmarks go to validation, `held_out` first, until about `share` is reached.

    Names that differ in case alone are one landmark.
    """
    shown = [name.casefold() for name in landmarks]
    counts = Counter(shown)
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
    return ["validation" if name in validation else "train" for name in shown]


def to_json(dataset: Dataset) -> dict[str, Any]:
    """The manifest's content."""
    return {"version": VERSION, **asdict(dataset)}


def exists(project: Project) -> bool:
    """Whether the project has a data set; one that a kill left aside is put back."""
    if not project.manifest_file.exists() and project.replaced("dataset").exists():
        with suppress(StudioError), changing(project):
            pass
    return project.manifest_file.exists()


def load(project: Project) -> Dataset:
    """The project's data set; raises StudioError where there is none or its manifest is of another version."""
    if not exists(project):
        raise StudioError(
            f"project {project.name!r} has no data set yet; make one in the Data set tab, or with: "
            f"python -m ghibli_studio sample {project.name!r}"
        )
    manifest = read_json(project.manifest_file)
    try:
        if manifest.pop("version", None) != VERSION:
            raise StudioError(
                f"{project.manifest_file} is of another version than {VERSION}; import the pictures again"
            )
        items = tuple(Item(**item) for item in manifest.pop("items"))
        lists = {name: tuple(manifest[name]) for name in ("problems", "notes")}
        return Dataset(**{**manifest, "items": items, **lists})
    except (AttributeError, KeyError, TypeError) as error:
        raise StudioError(f"{project.manifest_file} is damaged ({error}); import the pictures again") from error


@contextmanager
def changing(project: Project) -> Iterator[None]:
    """Hold the right to change the project's data set, which is whole again; raises StudioError if another does."""
    make_folder(project.folder)
    lock = FileLock(project.dataset_lock, thread_local=False)  # a page's generator is driven by several threads
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise StudioError(f"project {project.name!r} is getting a data set just now; wait until it is done") from error
    except OSError as error:
        raise explain_os_error(error, project.dataset_lock) from error
    try:
        restore(project)
        yield
    finally:
        lock.release()


def restore(project: Project) -> None:
    """Finish what a kill left in the middle of a replacement: the new data set if it is in place, else the old one."""
    old, old_sources = project.replaced("dataset"), project.replaced("sources")
    if not project.manifest_file.exists() and old.exists():
        if old_sources.exists():
            shutil.rmtree(project.sources, ignore_errors=True)
            old_sources.rename(project.sources)
        old.rename(project.dataset)
    for leftover in (old, old_sources):
        shutil.rmtree(leftover, ignore_errors=True)


def refuse_other_size(dataset: Dataset, description: Description) -> None:
    """Raise StudioError if the pictures were cropped for a model of another size."""
    if dataset.resolution != description.resolution:
        raise StudioError(
            f"the data set has {dataset.resolution} px pictures, base model {description.spec!r} wants "
            f"{description.resolution}; make the data set again for this base model"
        )


def digest(dataset: Dataset) -> str:
    """SHA-256 over everything that training sees of the data set."""
    seen = [[item.id, item.caption, item.split, item.sha256] for item in dataset.items]
    return hashlib.sha256(json.dumps([dataset.resolution, seen]).encode()).hexdigest()


def picture_bytes(project: Project, item: Item) -> bytes:
    """The item's PNG; raises StudioError where it is missing or not the one of the manifest."""
    path = project.dataset / f"{item.id}.png"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StudioError(f"{path} of the data set is missing; import the pictures again") from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise StudioError(f"{path} was changed after it was checked; import the pictures again")
    return data


def images(project: Project, items: Sequence[Item]) -> Iterator[Image.Image]:
    """The items' pictures; raises StudioError where one is missing or not the one of the manifest."""
    for item in items:
        with Image.open(io.BytesIO(picture_bytes(project, item))) as image:
            yield image.convert("RGB")


def photograph(project: Project, item: Item) -> Image.Image | None:
    """The photograph behind a styled picture, upright RGB; None where the picture itself is what came in."""
    source = _source(project, item)
    return None if source is None or _is_cut_from(project, item, source) else source


def uncut(project: Project, item: Item) -> Image.Image | None:
    """The whole picture that the square was cut out of, upright RGB; None where the source is another picture."""
    source = _source(project, item)
    return source if source is not None and _is_cut_from(project, item, source) else None


def _source(project: Project, item: Item) -> Image.Image | None:
    if not item.source:
        return None
    path = project.sources / item.source
    try:
        return open_image(path.read_bytes(), path.name)
    except OSError as error:
        raise StudioError(f"{path} of the data set is missing; import the pictures again") from error


def _is_cut_from(project: Project, item: Item, source: Image.Image) -> bool:
    with Image.open(project.dataset / f"{item.id}.png") as picture:
        return square(source, picture.width).tobytes() == picture.convert("RGB").tobytes()


def set_captions(project: Project, captions: dict[str, str]) -> Dataset:
    """Replace prompts by item id, count their tokens and write the caption files and the manifest."""
    with changing(project):
        dataset = load(project)
        known = {item.id for item in dataset.items}
        if unknown := sorted(captions.keys() - known):
            raise StudioError(
                f"the data set has no picture {unknown[0]!r}; its pictures are {min(known)} to {max(known)}"
            )
        tokenizer = load_tokenizer(dataset.base_model)
        items = []
        for item in dataset.items:
            caption = check_caption(captions.get(item.id, item.caption), f"picture {item.id}")
            items.append(replace(item, caption=caption, tokens=token_count(tokenizer, caption)))
        for old, new in zip(dataset.items, items):
            if new.caption != old.caption:
                write_atomic(project.dataset / f"{new.id}.txt", new.caption + "\n")
        dataset = replace(dataset, items=tuple(items))
        write_json(project.manifest_file, to_json(dataset))
    return dataset


def check_caption(caption: str, name: str) -> str:
    """The caption on one line; raises StudioError for an empty or absurdly long one."""
    caption = clean(caption)
    if not caption:
        raise StudioError(f"{name} has no caption; write what it shows, such as 'Big Ben, London, a stone clock tower'")
    if len(caption) > MAX_CHARACTERS:
        raise StudioError(f"the caption of {name} has {len(caption)} characters, at most {MAX_CHARACTERS}; shorten it")
    return caption
