"""Small pieces of HTML that several tabs share, and copies of files that the page may download."""

from __future__ import annotations

import html
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradio.processing_utils import save_bytes_to_cache, save_file_to_cache
from gradio.utils import get_upload_folder

from ghibli_studio.plotting.formatting import duration
from ghibli_studio.workspace.project import Workspace

HOUR, DAY = 3600.0, 86_400.0
_last_cleanup = -HOUR


def served(path: Path) -> str:
    """Copy a file to where the page may download it, and return the copy's path; projects are never served directly."""
    return _touch(save_file_to_cache(path, cache_dir=get_upload_folder()))


def served_bytes(data: bytes, name: str) -> str:
    """Write bytes to where the page may download them, and return the path; the same bytes get the same path."""
    return _touch(save_bytes_to_cache(data, name, cache_dir=get_upload_folder()))


def _touch(copy: str) -> str:
    """Mark a copy as just used; once an hour, delete copies that have not been used for a day."""
    global _last_cleanup
    Path(copy).touch()
    if time.monotonic() > _last_cleanup + HOUR:
        _last_cleanup = time.monotonic()
        delete_unused(Path(get_upload_folder()))
    return copy


def delete_unused(folder: Path, seconds: float = DAY) -> None:
    """Delete copies and uploads that have not been used for `seconds`; Gradio itself keeps them forever.

    Only in a workspace: elsewhere the folder is shared by all Gradio apps of the user.
    """
    if folder.name != Workspace.SERVED:
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # a folder's files before the folder
        with suppress(OSError):  # not empty, or deleted by another process
            if path.is_dir():
                path.rmdir()
            elif path.stat().st_mtime < time.time() - seconds:
                path.unlink()


def bar(fraction: float, what: str, seconds_left: float | None = None) -> str:
    """Return a progress bar with a description and the time left (seconds), as HTML."""
    percent = round(100 * min(max(fraction, 0), 1))
    left = f", {duration(seconds_left)} left" if seconds_left is not None else ""
    return (
        f'<div role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-label="{html.escape(what)}" class="bar"><div style="width:{percent}%"></div></div>'
        f'<div class="foot">{html.escape(what)} ({percent} %{left})</div>'
    )


def empty(text: str) -> str:
    """Return a hint for a place where there is nothing yet, as HTML."""
    return f'<div class="empty">{html.escape(text)}</div>'


def text_with_chips(text: str, values: dict[str, Any]) -> str:
    """Return a text, escaped, with its values as chips below, as HTML."""
    chips = "".join(
        f'<span class="chip">{html.escape(f"{name} {value}".strip())}</span> ' for name, value in values.items()
    )
    return f'<p class="prompt">{html.escape(text)}</p><div>{chips}</div>'


def facts(values: dict[str, Any]) -> str:
    """Return a row of values with their names, as HTML."""
    inner = (f"<span><b>{html.escape(str(value))}</b> {html.escape(name)}</span>" for name, value in values.items())
    return f'<div class="facts">{"".join(inner)}</div>'
