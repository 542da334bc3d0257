"""Pictures, captions and lists from a shelf of named files into a project; what cannot be used is listed with why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace as changed
from pathlib import Path, PurePosixPath

from adapters.settings import StudioError
from ghibli_studio.data import folder_layout
from ghibli_studio.data.captions import landmark_of
from ghibli_studio.data.dataset import Item, Split, check_caption, split_by_landmark
from ghibli_studio.data.file_source import MAX_FILES, Shelf, open_shelf
from ghibli_studio.data.sample_dataset import refuse_to_overwrite
from ghibli_studio.data.writer import Draft
from ghibli_studio.imaging.image_io import HEIF, SUFFIXES, open_image
from ghibli_studio.models.description import describe
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

OTHER_PICTURES = (".svg", ".psd", ".pdf", ".jxl", ".cr2", ".nef", ".arw", ".dng", *(() if HEIF else (".heic", ".heif")))


def import_pictures(
    project: Project,
    source: Path | Sequence[Path],
    base_model: str = MINIATURE,
    *,
    seed: int = 0,
    replace: bool = False,
) -> Iterator[Progress]:
    """Take in pictures with a caption each: `<stem>.txt` beside the picture, or `captions.txt` with `file|caption`.

    `train.txt` and `val.txt`, one file name a line, fix the split (one of the two is enough: the other pictures are on
    the other side); else it is made by landmark. Lists count for their own folder and those below. What `exporting`
    writes is read back, and so are imagefolder's `metadata.jsonl`, folders called train and validation, and the names
    of kohya's folders. Files that cannot be used are left out and listed with the reason; the rest is kept.
    """
    refuse_to_overwrite(project, replace)
    description = describe(base_model)
    place = source if isinstance(source, Path) else f"the choice of {len(source)} files"
    with open_shelf(source) as shelf:
        names = shelf.names()
        if len(names) > MAX_FILES:
            raise StudioError(f"{place} holds more than {MAX_FILES} files; split it")
        pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
        if not pictures:
            raise StudioError(f"{place} holds no picture ({len(names)} files); pictures end in {', '.join(SUFFIXES)}")
        there = set(names)
        told = folder_layout.told(shelf, names, pictures)
        pictures = [name for name in pictures if name in told]
        captions = {name: one.caption for name, one in told.items() if one.caption} | _listed_captions(shelf, names)
        sides = _listed_split(shelf, names, pictures)
        if not sides and (sides := {name: one.split for name, one in told.items() if one.split}):
            pictures.sort(key=lambda name: (PurePosixPath(name).name, name))  # not one side behind the other
        with Draft.of(project, description, seed) as draft:
            refuse_to_overwrite(project, replace)  # somebody else may have made one since
            for name in names:
                if name.lower().endswith(OTHER_PICTURES):
                    draft.leave_out(name, f"{name} is of a kind that cannot be read; save it as PNG, JPEG or WebP")
            for done, name in enumerate(pictures, 1):
                path = PurePosixPath(name)
                try:
                    side = _side(sides, name)
                    caption = check_caption(_caption(shelf, there, captions, name), name)
                    caption = folder_layout.without_trigger(name, caption)
                    data = shelf.read(name)
                    image = open_image(data, name)
                    if (source := told[name].source or name) != name:
                        data = shelf.read(source)
                        open_image(data, source)
                except StudioError as error:
                    draft.leave_out(name, str(error))
                else:
                    draft.add(
                        image,
                        caption,
                        landmark=told[name].landmark or landmark_of(caption, path.stem),
                        source=data,
                        suffix=PurePosixPath(source).suffix.lower(),
                        original=told[name].original or name,
                        split=side,
                    )
                yield Progress(done, len(pictures), f"reading {path.name}")
            if len(draft.items) > 1 and len({item.landmark.casefold() for item in draft.items}) == 1:
                draft.tell_pictures_apart()
            if sides:
                _refuse_split_landmarks(draft)
            else:
                split = split_by_landmark([item.landmark for item in draft.items], seed)
                draft.items = [changed(item, split=side) for item, side in zip(draft.items, split)]
            draft.finish()


def _text(shelf: Shelf, name: str) -> str:
    try:
        return shelf.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudioError(f"{name} is not UTF-8 text; save it as UTF-8") from error


def listed_key(listing: str, file: str) -> str:
    """What a line of a list names: a path from the list's own folder on."""
    return (PurePosixPath(listing).parent / file.strip()).as_posix()


def picture_keys(picture: str) -> list[str]:
    """What lines may name a picture: its path, or its bare name in a list of its folder or one above, nearest first."""
    path = PurePosixPath(picture)
    return [path.as_posix(), *((folder / path.name).as_posix() for folder in path.parents)]


def _listed_captions(shelf: Shelf, names: list[str]) -> dict[str, str]:
    """`file|caption` lines of every captions.txt."""
    found = {}
    for name in names:
        if PurePosixPath(name).name.lower() == "captions.txt":
            for number, line in enumerate(_text(shelf, name).splitlines(), 1):
                file, bar, caption = line.partition("|")
                if bar:
                    found[listed_key(name, file)] = caption
                elif line.strip():
                    raise StudioError(f"line {number} of {name} is {line[:60]!r}; it must be file|caption")
    return found


def _caption(shelf: Shelf, there: set[str], listed: dict[str, str], picture: str) -> str:
    path = PurePosixPath(picture)
    for key in picture_keys(picture):
        if key in listed:
            return listed[key]
    beside = path.with_suffix(".txt").as_posix()
    if beside in there:
        return _text(shelf, beside)
    raise StudioError(f"{picture} has no caption; write {path.with_suffix('.txt').name} beside it")


def _listed_split(shelf: Shelf, names: list[str], pictures: list[str]) -> dict[str, Split]:
    """Side by what the lines of train.txt and val.txt name, where they are."""
    files: dict[str, Split] = {"train.txt": "train", "val.txt": "validation"}
    there = {key for picture in pictures for key in picture_keys(picture)}
    found: dict[str, Split] = {}
    for name in names:
        side = files.get(PurePosixPath(name).name.lower())
        for file in _text(shelf, name).splitlines() if side else ():
            if not file.strip():
                continue
            if (key := listed_key(name, file)) not in there:
                raise StudioError(
                    f"{file.strip()} stands in {name} but is not there; list one picture a line, with its ending"
                )
            if found.setdefault(key, side) != side:
                raise StudioError(f"{file.strip()} stands in both train.txt and val.txt; keep it in one")
    return found


def _side(listed: dict[str, Split], picture: str) -> Split:
    """The side that the lists give a picture; raises StudioError if there are two lists and it is in neither."""
    for key in picture_keys(picture):
        if key in listed:
            return listed[key]
    if len(sides := set(listed.values())) == 2:
        raise StudioError(f"{picture} stands in neither train.txt nor val.txt; add it to one of them")
    return "validation" if sides == {"train"} else "train"


def _refuse_split_landmarks(draft: Draft) -> None:
    """Raise StudioError if a landmark is on both sides."""
    first: dict[str, Item] = {}
    for item in draft.items:
        other = first.setdefault(item.landmark.casefold(), item)
        if other.split != item.split:
            train, validation = sorted((other, item), key=lambda i: i.split)
            raise StudioError(
                f"{item.landmark} is in training ({train.original}) and in validation ({validation.original}), so "
                "validation would measure memory; put all its pictures on one side"
            )
