"""Named files to read from: a folder, a ZIP, a choice of files. Nothing is ever unpacked under a name from outside."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Protocol

from adapters.settings import StudioError

MAX_FILES = 20_000
MAX_BYTES = 100 * 2**20
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
        relative = (path.relative_to(self.root) for path in self.root.rglob("*"))
        shown = (path for path in relative if not any(part.startswith(".") for part in path.parts))
        files = (path for path in shown if (self.root / path).is_file())
        inside = (path for path in files if home in (self.root / path).resolve().parents)
        return sorted(path.as_posix() for path in islice(inside, MAX_FILES + 1))  # somebody may name the whole disk

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
        plain = {name: PurePosixPath(name.replace("\\", "/")).name for name in names}  # some packers write backslashes
        return [n for n in names if not n.startswith("__MACOSX/") and not plain[n].startswith(".")]

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
