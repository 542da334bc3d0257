"""The one way to read and write a file that matters: all or nothing, with one sentence when the disk refuses.

Which file it is, `workspace` knows.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ghibli_studio.config import StudioError


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


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write all or nothing: temporary name, fsync, rename. Raises StudioError for a full or read-only disk."""
    make_folder(path.parent)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise explain_os_error(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON, all or nothing."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; raises StudioError where the file is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise StudioError(f"{path} cannot be read ({error.strerror}); was the project moved or deleted?") from error
    except ValueError as error:
        raise StudioError(f"{path} is damaged ({error}); restore it from a copy or delete it") from error


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Add one JSON line; a reader may see it at once."""
    try:
        with path.open("a") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        raise explain_os_error(error, path) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole JSON lines; a last line cut short by a kill is left out, a missing file is empty."""
    lines = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    return lines
