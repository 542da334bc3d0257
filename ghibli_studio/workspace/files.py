"""Reads and writes every file that matters: all or nothing, with one sentence when the disk refuses.

The paths are in `project`, `run` and `paths`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.settings import StudioError


def explain_os_error(error: OSError, path: Path) -> StudioError:
    """Return one sentence on what the file system refused, with the way out."""
    where = Path(error.filename or path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(_existing(where)).free / 2**20
        return StudioError(
            f"the disk is full ({free:.0f} MB free, cannot write {where}); free some space or choose another "
            "--workspace. Finished work is kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StudioError(f"no permission to write {where}; choose another folder with --workspace")
    return StudioError(f"{where} cannot be used ({error.strerror or error}); choose another folder with --workspace")


def _existing(path: Path) -> Path:
    """Return the nearest parent folder that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def make_folder(path: Path) -> Path:
    """Create a folder and its parents; raises StudioError where that is refused."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error
    return path


def new_folder(parent: Path, suffix: str) -> Path:
    """Create `<date>-<time><suffix>`, numbered if one second creates several."""
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
    raise StudioError(f"{parent} already has 999 folders with this second in their name; wait a moment and try again")


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write all or nothing: temporary name, fsync, rename; raises StudioError for a full or read-only disk."""
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
    """Append one JSON line, visible to readers at once; a line truncated by a kill stays a line of its own."""
    try:
        with path.open("ab+") as file:
            line_ended = file.tell() == 0 or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n")
            file.write((b"" if line_ended else b"\n") + json.dumps(value).encode() + b"\n")
    except OSError as error:
        raise explain_os_error(error, path) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return all complete JSON lines; skips a line truncated by a kill, and a missing file is empty."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return []
    return list(_parsed(path, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=16)  # a page asks every second, and mostly nothing has changed
def _parsed(path: Path, size: int, modified: int) -> tuple[dict[str, Any], ...]:
    lines = []
    for line in path.read_bytes().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return tuple(lines)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; an unchanged file is read once."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_plain(path: Path, data: bytes) -> None:
    """Write a file without fsync and rename; for files that do not count before a manifest lists them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise explain_os_error(error, path) from error


@contextmanager
def file_lock(path: Path, taken: str, timeout: float = 0) -> Iterator[None]:
    """Hold the lock of a file; raises StudioError with the sentence `taken` if it is not free within `timeout`, s."""
    from filelock import FileLock, Timeout

    make_folder(path.parent)
    lock = FileLock(path, thread_local=False)  # several threads drive a generator of the page
    try:
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise StudioError(taken) from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        yield
    finally:
        lock.release()
