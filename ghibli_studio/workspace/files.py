"""The one way to read and write a file that matters: all or nothing, with one sentence when the disk refuses.

Which file it is, `workspace` knows.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.settings import StudioError


def explain_os_error(error: OSError, path: Path) -> StudioError:
    """One sentence for what the file system refused, with the way out."""
    where = Path(error.filename or path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(_existing(where)).free / 2**20
        return StudioError(
            f"the disk is full ({free:.0f} MB free where {where} was to be written); free some space or choose another "
            "--workspace. What was finished before is kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StudioError(f"{where} may not be written here; choose another folder with --workspace")
    return StudioError(f"{where} cannot be used ({error.strerror or error}); choose another folder with --workspace")


def _existing(path: Path) -> Path:
    """The nearest folder above that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def make_folder(path: Path) -> Path:
    """Create a folder and those above it; raises StudioError where that is refused."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error
    return path


def new_folder(parent: Path, suffix: str) -> Path:
    """Create `<date>-<time><suffix>`, numbered where one second sees several."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    make_folder(parent)
    for number in range(1, 1000):
        folder = parent / (stamp + suffix + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise explain_os_error(error, folder) from error
    raise StudioError(f"{parent} already has 999 folders of this second; wait a moment and try again")


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write all or nothing: temporary name, fsync, rename. Raises StudioError for a full or read-only disk."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise explain_os_error(OSError(error.errno, error.strerror), path) from error  # not the temporary name


def write_json(path: Path, value: Any) -> None:
    """Write JSON, all or nothing."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; raises StudioError where the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudioError(f"{path} cannot be read ({error.strerror}); was the project moved or deleted?") from error
    except ValueError as error:
        raise StudioError(f"{path} is damaged ({error}); restore it from a copy or delete it") from error


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Add one JSON line; a reader may see it at once. A line cut short by a kill stays on a line of its own."""
    try:
        with path.open("ab+") as file:
            whole = file.tell() == 0 or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n")
            file.write((b"" if whole else b"\n") + json.dumps(value).encode() + b"\n")
    except OSError as error:
        raise explain_os_error(error, path) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole JSON lines; a last line cut short by a kill is left out, a missing file is empty."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return []
    return list(_parsed(path, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=16)  # a page asks every second for what mostly has not changed
def _parsed(path: Path, size: int, modified: int) -> tuple[dict[str, Any], ...]:
    lines = []
    for line in path.read_bytes().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return tuple(lines)


def sha256_of(path: Path) -> str:
    """Of a file's bytes; read once while it does not change."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_plain(path: Path, data: bytes) -> None:
    """Write a file that does not count before the manifest names it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise explain_os_error(error, path) from error
