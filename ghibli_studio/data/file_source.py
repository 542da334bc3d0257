"""Named files to import from: a folder, a ZIP, or uploads. No ZIP is ever unpacked to the names in it."""

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


class FileSource(Protocol):
    """A collection of named files."""

    def names(self) -> list[str]:
        """Return relative names with forward slashes, sorted."""

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; raises StudioError for a file over the size limit."""


class FolderSource:
    """Files below a folder on disk; links that leave it are not followed."""

    def __init__(self, root: Path):
        self.root = root

    def names(self) -> list[str]:
        """Return every regular file below the folder; hidden files are skipped."""
        home = self.root.resolve()
        relative = (path.relative_to(self.root) for path in self.root.rglob("*"))
        visible = (path for path in relative if not any(part.startswith(".") for part in path.parts))
        files = (path for path in visible if (self.root / path).is_file())
        inside = (path for path in files if home in (self.root / path).resolve().parents)
        return sorted(path.as_posix() for path in islice(inside, MAX_FILES + 1))  # the folder may be a whole disk

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        return read_file(self.root / name, name)


class UploadSource:
    """Uploaded files, identified by their names alone."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = {path.name: path for path in paths}
        if len(self.paths) < len(paths):
            raise StudioError(
                f"{len(paths) - len(self.paths)} of {len(paths)} files have the same name as another; rename them or "
                "pack them into a ZIP with folders"
            )

    def names(self) -> list[str]:
        """Return the name of every file."""
        return sorted(self.paths)

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        return read_file(self.paths[name], name)


class ZipSource:
    """Members of a ZIP; names are labels only, and no member is read beyond the size limit whatever its header says."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        total = sum(member.file_size for member in archive.infolist())
        if total > MAX_TOTAL_BYTES:
            raise StudioError(
                f"the ZIP has {total / 2**30:.1f} GB unpacked, at most {MAX_TOTAL_BYTES / 2**30:.0f} GB are allowed; "
                "split it"
            )

    def names(self) -> list[str]:
        """Return every member that is a file, without the extra files that macOS adds."""
        names = sorted({member.filename for member in self.archive.infolist() if not member.is_dir()})
        plain = {name: PurePosixPath(name.replace("\\", "/")).name for name in names}  # some programs write backslashes
        return [n for n in names if not n.startswith("__MACOSX/") and not plain[n].startswith(".")]

    def read(self, name: str) -> bytes:
        """Return the bytes of one member."""
        try:
            with self.archive.open(name) as member:
                data = member.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, RuntimeError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise StudioError(
                f"{name} in the ZIP cannot be read ({error}); create the ZIP again without a password"
            ) from error
        check_size(name, len(data))
        return data


def read_file(path: Path, name: str) -> bytes:
    """Return the bytes of a file; raises StudioError if it is over the size limit or cannot be read."""
    try:
        check_size(name, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise StudioError(
            f"{name} cannot be read ({error.strerror}); change its permissions, or leave it out"
        ) from error


def check_size(name: str, size: int) -> None:
    """Raise StudioError for a file over the size limit."""
    if size > MAX_BYTES:
        raise StudioError(f"{name} is larger than {MAX_BYTES // 2**20} MB; make it smaller first")


@contextmanager
def open_source(source: Path | Sequence[Path]) -> Iterator[FileSource]:
    """Open the folder or ZIP at a path, or several files; raises StudioError for anything else."""
    if not isinstance(source, Path) and len(source) != 1:
        yield UploadSource(source)
        return
    path = Path(source if isinstance(source, Path) else source[0])
    with suppress(RuntimeError):  # ~user without a home directory here
        path = path.expanduser()
    if path.is_dir():
        yield FolderSource(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise StudioError(f"{path} is a broken ZIP ({error}); create it again") from error
        with archive:
            yield ZipSource(archive)
    elif path.exists():
        raise StudioError(f"{path} is neither a folder nor a ZIP; put the images and their .txt captions into one")
    else:
        raise StudioError(f"{path} does not exist; give a folder or a ZIP of images with .txt captions")
