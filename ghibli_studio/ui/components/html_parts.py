"""The style sheet, the small pieces of HTML that several tabs share, and how handlers tell what went wrong."""

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
_tidied = -HOUR


def served(path: Path) -> str:
    """A copy of the file where the page may fetch it; no project is ever opened to the page."""
    return _used(save_file_to_cache(path, cache_dir=get_upload_folder()))


def served_bytes(data: bytes, name: str) -> str:
    """The same for a file that is not on the disk yet; the same bytes get the same place."""
    return _used(save_bytes_to_cache(data, name, cache_dir=get_upload_folder()))


def _used(copy: str) -> str:
    """A copy is as old as its last use; now and then those that are too old go."""
    global _tidied
    Path(copy).touch()
    if time.monotonic() > _tidied + HOUR:
        _tidied = time.monotonic()
        tidy(Path(get_upload_folder()))
    return copy


def tidy(folder: Path, seconds: float = DAY) -> None:
    """Delete copies and uploads that nobody has used for so long, which Gradio itself keeps for ever.

    Only in a workspace: elsewhere the folder is one that all of a person's Gradio apps share.
    """
    if folder.name != Workspace.SERVED:
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):  # it is not empty, or somebody else was quicker
            if path.is_dir():
                path.rmdir()
            elif path.stat().st_mtime < time.time() - seconds:
                path.unlink()


def bar(fraction: float, what: str, seconds_left: float | None = None) -> str:
    """A progress bar with what is being done and the time left."""
    percent = round(100 * min(max(fraction, 0), 1))
    left = f", {duration(seconds_left)} left" if seconds_left is not None else ""
    return (
        f'<div role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-label="{html.escape(what)}" class="bar"><div style="width:{percent}%"></div></div>'
        f'<div class="foot">{html.escape(what)} ({percent} %{left})</div>'
    )


def empty(text: str) -> str:
    """What to do where there is nothing yet."""
    return f'<div class="empty">{html.escape(text)}</div>'


def told(text: str, values: dict[str, Any]) -> str:
    """A text from outside with what is known of it below, as HTML."""
    chips = "".join(
        f'<span class="chip">{html.escape(f"{name} {value}".strip())}</span> ' for name, value in values.items()
    )
    return f'<p class="prompt">{html.escape(text)}</p><div>{chips}</div>'


def facts(values: dict[str, Any]) -> str:
    """A row of figures with their names."""
    inner = (f"<span><b>{html.escape(str(value))}</b> {html.escape(name)}</span>" for name, value in values.items())
    return f'<div class="facts">{"".join(inner)}</div>'
