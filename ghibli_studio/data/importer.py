"""Imports images, captions and lists from a file source into a project; unusable files are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace as changed
from pathlib import Path, PurePosixPath

from adapters.settings import StudioError
from ghibli_studio.data import folder_layout
from ghibli_studio.data.captions import landmark_of
from ghibli_studio.data.dataset import Item, Split, check_caption, split_by_landmark
from ghibli_studio.data.file_source import MAX_FILES, FileSource, open_source
from ghibli_studio.data.sample_dataset import refuse_to_overwrite
from ghibli_studio.data.writer import DatasetWriter
from ghibli_studio.imaging.image_io import HEIF, SUFFIXES, open_image
from ghibli_studio.models.description import describe
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

UNSUPPORTED_SUFFIXES = (
    *(".svg", ".psd", ".pdf", ".jxl", ".cr2", ".nef", ".arw", ".dng"),
    *(() if HEIF else (".heic", ".heif")),
)


def import_images(
    project: Project,
    source: Path | Sequence[Path],
    base_model: str = MINIATURE,
    *,
    seed: int = 0,
    replace: bool = False,
) -> Iterator[Progress]:
    """Import images with one caption each: `<stem>.txt` beside the image, or `captions.txt` with `file|caption`.

    `train.txt` and `val.txt`, one file name per line, fix the split (with one of the two, all other images are in the
    other split); otherwise images are split by landmark. Lists apply to their own folder and the folders below. The
    exports of `exporter` can be imported, and so can imagefolder's `metadata.jsonl`, folders called train and
    validation, and kohya's folder names. Files that cannot be used are skipped and listed with the reason.
    """
    refuse_to_overwrite(project, replace)
    description = describe(base_model)
    label = source if isinstance(source, Path) else f"the selection of {len(source)} files"
    with open_source(source) as files:
        names = files.names()
        if len(names) > MAX_FILES:
            raise StudioError(f"{label} has more than {MAX_FILES} files; split it")
        images = [name for name in names if name.lower().endswith(SUFFIXES)]
        if not images:
            raise StudioError(f"{label} has no images ({len(names)} files); images end in {', '.join(SUFFIXES)}")
        all_names = set(names)
        infos = folder_layout.read_layout(files, names, images)
        images = [name for name in images if name in infos]
        captions = {name: info.caption for name, info in infos.items() if info.caption}
        captions |= _listed_captions(files, names)
        splits = _listed_split(files, names, images)
        if not splits and (splits := {name: info.split for name, info in infos.items() if info.split}):
            images.sort(key=lambda name: (PurePosixPath(name).name, name))  # mix the two splits' folders
        with DatasetWriter.create(project, description, seed) as writer:
            refuse_to_overwrite(project, replace)  # another process may have created one meanwhile
            for name in names:
                if name.lower().endswith(UNSUPPORTED_SUFFIXES):
                    writer.skip(name, f"{name} has an unsupported file type; save it as PNG, JPEG or WebP")
            for done, name in enumerate(images, 1):
                path = PurePosixPath(name)
                try:
                    split = _split_of(splits, name)
                    caption = check_caption(_caption(files, all_names, captions, name), name)
                    caption = folder_layout.strip_trigger(name, caption)
                    data = files.read(name)
                    image = open_image(data, name)
                    if (source_name := infos[name].source or name) != name:
                        data = files.read(source_name)
                        open_image(data, source_name)
                except StudioError as error:
                    writer.skip(name, str(error))
                else:
                    writer.add(
                        image,
                        caption,
                        landmark=infos[name].landmark or landmark_of(caption, path.stem),
                        source=data,
                        suffix=PurePosixPath(source_name).suffix.lower(),
                        original=infos[name].original or name,
                        split=split,
                    )
                yield Progress(done, len(images), f"reading {path.name}")
            if len(writer.items) > 1 and len({item.landmark.casefold() for item in writer.items}) == 1:
                writer.use_one_landmark_per_image()
            if splits:
                _refuse_landmarks_in_both_splits(writer)
            else:
                by_landmark = split_by_landmark([item.landmark for item in writer.items], seed)
                writer.items = [changed(item, split=split) for item, split in zip(writer.items, by_landmark)]
            writer.build()


def _text(files: FileSource, name: str) -> str:
    try:
        return files.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudioError(f"{name} is not UTF-8 text; save it as UTF-8") from error


def listed_key(listing: str, file: str) -> str:
    """Return the path that a line of a list names: relative to the folder of the list."""
    return (PurePosixPath(listing).parent / file.strip()).as_posix()


def image_keys(image: str) -> list[str]:
    """Return the keys by which lists may name an image: its path, then its name in its own and every parent folder."""
    path = PurePosixPath(image)
    return [path.as_posix(), *((folder / path.name).as_posix() for folder in path.parents)]


def _listed_captions(files: FileSource, names: list[str]) -> dict[str, str]:
    """Return the `file|caption` lines of every captions.txt."""
    captions = {}
    for name in names:
        if PurePosixPath(name).name.lower() == "captions.txt":
            for number, line in enumerate(_text(files, name).splitlines(), 1):
                file, bar, caption = line.partition("|")
                if bar:
                    captions[listed_key(name, file)] = caption
                elif line.strip():
                    raise StudioError(f"line {number} of {name} is {line[:60]!r}; it must be file|caption")
    return captions


def _caption(files: FileSource, all_names: set[str], listed: dict[str, str], image: str) -> str:
    path = PurePosixPath(image)
    for key in image_keys(image):
        if key in listed:
            return listed[key]
    caption_file = path.with_suffix(".txt").as_posix()
    if caption_file in all_names:
        return _text(files, caption_file)
    raise StudioError(f"{image} has no caption; add {path.with_suffix('.txt').name} beside it")


def _listed_split(files: FileSource, names: list[str], images: list[str]) -> dict[str, Split]:
    """Return the split by the lines of train.txt and val.txt, where these exist."""
    lists: dict[str, Split] = {"train.txt": "train", "val.txt": "validation"}
    all_keys = {key for image in images for key in image_keys(image)}
    splits: dict[str, Split] = {}
    for name in names:
        split = lists.get(PurePosixPath(name).name.lower())
        if split is None:
            continue
        for file in _text(files, name).splitlines():
            if not file.strip():
                continue
            if (key := listed_key(name, file)) not in all_keys:
                raise StudioError(
                    f"{file.strip()} is listed in {name} but does not exist; list one file name per line, with its "
                    "extension"
                )
            if splits.setdefault(key, split) != split:
                raise StudioError(f"{file.strip()} is listed in both train.txt and val.txt; keep it in one")
    return splits


def _split_of(listed: dict[str, Split], image: str) -> Split:
    """Return the split that the lists give an image; raises StudioError if there are two lists and it is in neither."""
    for key in image_keys(image):
        if key in listed:
            return listed[key]
    if len(splits := set(listed.values())) == 2:
        raise StudioError(f"{image} is listed in neither train.txt nor val.txt; add it to one of them")
    return "validation" if splits == {"train"} else "train"


def _refuse_landmarks_in_both_splits(writer: DatasetWriter) -> None:
    """Raise StudioError if a landmark is in both splits."""
    first: dict[str, Item] = {}
    for item in writer.items:
        other = first.setdefault(item.landmark.casefold(), item)
        if other.split != item.split:
            train, validation = sorted((other, item), key=lambda i: i.split)
            raise StudioError(
                f"{item.landmark} is in training ({train.original}) and in validation ({validation.original}), so "
                "validation would measure memorization; put all its images into one split"
            )
