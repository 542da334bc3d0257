"""Pictures and captions from a folder or a ZIP into a project. Nothing is ever unpacked under a name from outside."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace as changed
from pathlib import Path, PurePosixPath
from typing import Protocol

from ghibli_studio.base_model import MINIATURE, describe
from ghibli_studio.captions import landmark_of
from ghibli_studio.config import StudioError
from ghibli_studio.dataset import Draft, Item, Progress, Split, check_caption, split_by_landmark
from ghibli_studio.images import MAX_BYTES, SUFFIXES, open_image
from ghibli_studio.sample import refuse_to_overwrite
from ghibli_studio.workspace import Project

MAX_FILES = 20_000
MAX_TOTAL_BYTES = 8 * 2**30


class Shelf(Protocol):
    """Named files to read from."""

    def names(self) -> list[str]:
        """Relative names with forward slashes, in order."""

    def read(self, name: str) -> bytes:
        """One file's bytes; raises StudioError for one over the bound."""


class FolderShelf:
    """Files below a folder on disk; links that lead out of it are not followed."""

    def __init__(self, root: Path):
        self.root = root

    def names(self) -> list[str]:
        """Every plain file below the folder, hidden ones left out."""
        home = self.root.resolve()
        files = (path for path in sorted(self.root.rglob("*")) if path.is_file() and home in path.resolve().parents)
        relative = (path.relative_to(self.root) for path in files)
        return [path.as_posix() for path in relative if not any(part.startswith(".") for part in path.parts)]

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        return read_plain(self.root / name, name)


class FilesShelf:
    """Single files from anywhere, told by their names alone, as a browser sends them."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = {path.name: path for path in paths}
        if len(self.paths) < len(paths):
            raise StudioError(
                f"{len(paths) - len(self.paths)} of {len(paths)} files share a name with another; rename them or pack "
                "them into a ZIP with folders"
            )

    def names(self) -> list[str]:
        """Every file's name."""
        return sorted(self.paths)

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        return read_plain(self.paths[name], name)


class ZipShelf:
    """Members of a ZIP; a name is only a label, and no member is read beyond its bound whatever its header says."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        total = sum(member.file_size for member in archive.infolist())
        if total > MAX_TOTAL_BYTES:
            raise StudioError(
                f"the ZIP holds {total / 2**30:.1f} GB unpacked, at most {MAX_TOTAL_BYTES / 2**30:.0f} GB are read; "
                "split it"
            )

    def names(self) -> list[str]:
        """Every member that is a file, without the rubbish that macOS adds."""
        names = sorted({member.filename for member in self.archive.infolist() if not member.is_dir()})
        return [n for n in names if not n.startswith("__MACOSX/") and not PurePosixPath(n).name.startswith(".")]

    def read(self, name: str) -> bytes:
        """One member's bytes."""
        try:
            with self.archive.open(name) as member:
                data = member.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, RuntimeError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise StudioError(f"{name} in the ZIP cannot be read ({error}); pack it anew without password") from error
        check_size(name, len(data))
        return data


def read_plain(path: Path, name: str) -> bytes:
    """A plain file's bytes; raises StudioError for one over the bound or one that may not be read."""
    try:
        check_size(name, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise StudioError(f"{name} cannot be read ({error.strerror}); allow it, or leave it out") from error


def check_size(name: str, size: int) -> None:
    """Raise StudioError for a file over the bound."""
    if size > MAX_BYTES:
        raise StudioError(f"{name} has more than {MAX_BYTES // 2**20} MB; make it smaller first")


@contextmanager
def open_shelf(source: Path | Sequence[Path]) -> Iterator[Shelf]:
    """The folder or ZIP at a path, or several files; raises StudioError for anything else."""
    if not isinstance(source, Path) and len(source) != 1:
        yield FilesShelf(source)
        return
    path = Path(source if isinstance(source, Path) else source[0])
    with suppress(RuntimeError):  # ~somebody who has no home here
        path = path.expanduser()
    if path.is_dir():
        yield FolderShelf(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise StudioError(f"{path} is a broken ZIP ({error}); pack it anew") from error
        with archive:
            yield ZipShelf(archive)
    elif path.exists():
        raise StudioError(f"{path} is neither a folder nor a ZIP; put the pictures and their .txt captions into one")
    else:
        raise StudioError(f"{path} does not exist; give a folder or a ZIP of pictures with .txt captions beside them")


def import_pictures(
    project: Project, source: Path | Sequence[Path], base_model: str = MINIATURE, *, seed: int = 0,
    replace: bool = False,
) -> Iterator[Progress]:
    """Take in pictures with a caption each: `<stem>.txt` beside the picture, or `captions.txt` with `file|caption`.

    `train.txt` and `val.txt`, one file name a line, fix the split (one of the two is enough: the other pictures are on
    the other side); else it is made by landmark. Lists count for their own folder and those below. Files that cannot
    be used are left out and listed with the reason; the rest is kept.
    """
    refuse_to_overwrite(project, replace)
    description = describe(base_model)
    place = source if isinstance(source, Path) else f"the choice of {len(source)} files"
    with open_shelf(source) as shelf:
        names = shelf.names()
        if len(names) > MAX_FILES:
            raise StudioError(f"{place} holds {len(names)} files, at most {MAX_FILES} are read; split it")
        pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
        if not pictures:
            raise StudioError(f"{place} holds no picture ({len(names)} files); pictures end in {', '.join(SUFFIXES)}")
        there = set(names)
        captions, sides = _listed_captions(shelf, names), _listed_split(shelf, names, pictures)
        with Draft(project, description, seed) as draft:
            for done, name in enumerate(pictures, 1):
                path = PurePosixPath(name)
                try:
                    side = _side(sides, name)
                    caption = check_caption(_caption(shelf, there, captions, name), name)
                    data = shelf.read(name)
                    image = open_image(data, name)
                except StudioError as error:
                    draft.leave_out(name, str(error))
                else:
                    draft.add(
                        image, caption, landmark=landmark_of(caption, path.stem), source=data,
                        suffix=path.suffix.lower(), original=name, split=side,
                    )
                yield Progress(done, len(pictures), f"reading {path.name}")
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


def _key(listing: str, file: str) -> str:
    """What a line of a list names: a path from the list's own folder on."""
    return (PurePosixPath(listing).parent / file.strip()).as_posix()


def _keys(picture: str) -> list[str]:
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
                    found[_key(name, file)] = caption
                elif line.strip():
                    raise StudioError(f"line {number} of {name} is {line[:60]!r}; it must be file|caption")
    return found


def _caption(shelf: Shelf, there: set[str], listed: dict[str, str], picture: str) -> str:
    path = PurePosixPath(picture)
    for key in _keys(picture):
        if key in listed:
            return listed[key]
    beside = path.with_suffix(".txt").as_posix()
    if beside in there:
        return _text(shelf, beside)
    raise StudioError(f"{picture} has no caption; write {path.with_suffix('.txt').name} beside it")


def _listed_split(shelf: Shelf, names: list[str], pictures: list[str]) -> dict[str, Split]:
    """Side by what the lines of train.txt and val.txt name, where they are."""
    files: dict[str, Split] = {"train.txt": "train", "val.txt": "validation"}
    there = {key for picture in pictures for key in _keys(picture)}
    found: dict[str, Split] = {}
    for name in names:
        side = files.get(PurePosixPath(name).name.lower())
        for file in _text(shelf, name).splitlines() if side else ():
            if not file.strip():
                continue
            if (key := _key(name, file)) not in there:
                raise StudioError(
                    f"{file.strip()} stands in {name} but is not there; list one picture a line, with its ending"
                )
            if found.setdefault(key, side) != side:
                raise StudioError(f"{file.strip()} stands in both train.txt and val.txt; keep it in one")
    return found


def _side(listed: dict[str, Split], picture: str) -> Split:
    """The side that the lists give a picture; raises StudioError if there are two lists and it is in neither."""
    for key in _keys(picture):
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
