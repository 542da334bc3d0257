"""Pictures and captions from a folder or a ZIP into a project. Nothing is ever unpacked under a name from outside."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path, PurePosixPath
from typing import Protocol

from ghibli_studio.base_model import MINIATURE, describe
from ghibli_studio.captions import landmark_of
from ghibli_studio.config import StudioError
from ghibli_studio.dataset import Draft, Progress, Split, check_caption, split_by_landmark
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
        path = self.root / name
        check_size(name, path.stat().st_size)
        return path.read_bytes()


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
        check_size(name, self.paths[name].stat().st_size)
        return self.paths[name].read_bytes()


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
        names = sorted(member.filename for member in self.archive.infolist() if not member.is_dir())
        return [n for n in names if not n.startswith("__MACOSX/") and not PurePosixPath(n).name.startswith(".")]

    def read(self, name: str) -> bytes:
        """One member's bytes."""
        try:
            with self.archive.open(name) as member:
                data = member.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, RuntimeError, OSError, NotImplementedError, EOFError) as error:
            raise StudioError(f"{name} in the ZIP cannot be read ({error}); pack it anew without password") from error
        check_size(name, len(data))
        return data


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
    path = Path(source if isinstance(source, Path) else source[0]).expanduser()
    if path.is_dir():
        yield FolderShelf(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
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

    `train.txt` and `val.txt`, one file name a line, fix the split; else it is made by landmark. Files that cannot be
    used are left out and listed with the reason; the rest is kept.
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
        captions, given_split = _listed_captions(shelf, names), _listed_split(shelf, names)
        draft = Draft(project, description, seed)
        shown: list[str] = []
        for done, name in enumerate(pictures, 1):
            try:
                caption = check_caption(_caption(shelf, there, captions, name), name)
                data = shelf.read(name)
                image = open_image(data, name)
            except StudioError as error:
                draft.leave_out(name, str(error))
            else:
                stem = PurePosixPath(name).stem
                shown.append(name)
                draft.add(
                    image, caption, landmark=landmark_of(caption, stem), source=data,
                    suffix=PurePosixPath(name).suffix.lower(), original=name,
                )
            yield Progress(done, len(pictures), f"reading {PurePosixPath(name).name}")
    _apply_split(draft, shown, given_split)
    draft.finish()


def _text(shelf: Shelf, name: str) -> str:
    try:
        return shelf.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudioError(f"{name} is not UTF-8 text; save it as UTF-8") from error


def _listed_captions(shelf: Shelf, names: list[str]) -> dict[str, str]:
    """`file|caption` lines of every captions.txt, by file name."""
    found = {}
    for name in names:
        if PurePosixPath(name).name.lower() == "captions.txt":
            for number, line in enumerate(_text(shelf, name).splitlines(), 1):
                file, bar, caption = line.partition("|")
                if bar:
                    found[file.strip()] = caption
                elif line.strip():
                    raise StudioError(f"line {number} of {name} is {line[:60]!r}; it must be file|caption")
    return found


def _caption(shelf: Shelf, there: set[str], listed: dict[str, str], picture: str) -> str:
    path = PurePosixPath(picture)
    for known in (picture, path.name):
        if known in listed:
            return listed[known]
    beside = path.with_suffix(".txt").as_posix()
    if beside in there:
        return _text(shelf, beside)
    raise StudioError(f"{picture} has no caption; write {path.with_suffix('.txt').name} beside it")


def _listed_split(shelf: Shelf, names: list[str]) -> dict[str, Split]:
    """File name to side, from train.txt and val.txt where they are."""
    sides: dict[str, Split] = {"train.txt": "train", "val.txt": "validation"}
    found: dict[str, Split] = {}
    for name in names:
        side = sides.get(PurePosixPath(name).name.lower())
        if side:
            for line in _text(shelf, name).splitlines():
                if file := line.strip():
                    if found.get(file, side) != side:
                        raise StudioError(f"{file} stands in both train.txt and val.txt; keep it in one")
                    found[file] = side
    return found


def _apply_split(draft: Draft, shown: list[str], given: dict[str, Split]) -> None:
    """The split of the lists where there are any, else a new one; a landmark on both sides is refused."""
    if not given:
        sides = split_by_landmark([item.landmark for item in draft.items], draft.seed)
    else:
        sides = [given.get(name, given.get(PurePosixPath(name).name, "train")) for name in shown]
        side_of: dict[str, tuple[str, Split]] = {}
        for item, name, side in zip(draft.items, shown, sides):
            other, other_side = side_of.setdefault(item.landmark, (name, side))
            if other_side != side:
                raise StudioError(
                    f"{item.landmark} is in training ({name if side == 'train' else other}) and in validation "
                    f"({name if side == 'validation' else other}), so validation would measure memory; "
                    "put all its pictures on one side"
                )
    draft.items = [changed(item, split=side) for item, side in zip(draft.items, sides)]
