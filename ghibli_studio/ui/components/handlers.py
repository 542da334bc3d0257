"""Event handlers that tabs share: friendly errors, progress of long work, the chosen project."""

from __future__ import annotations

import functools
import html
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.jobs import lock
from ghibli_studio.ui.components import html_parts
from ghibli_studio.workspace.files import explain_os_error
from ghibli_studio.workspace.project import Project, Workspace
from study import StudyError

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
COMPUTING: dict[str, Any] = {"concurrency_id": "accelerator", "concurrency_limit": 1, **QUIET}


def follow(workspace: Workspace | None, work: Iterator[Any]) -> Iterator[str]:
    """A bar with the time left whenever there is something new; with a workspace, it waits for its turn to compute.

    The time is judged by what was done since the first step: what was there before a resumption took none now.
    """
    before, started = None, time.monotonic()
    for step in work if workspace is None else lock.in_turn(workspace, work):
        if isinstance(step, lock.Waiting):
            yield html_parts.bar(
                0, f"waiting until {f'run {step.run.id}' if step.run else 'another drawing'} has ended"
            )
            continue
        if before is None:
            before, started = step.done, time.monotonic()
        left = getattr(step, "seconds_left", None)
        if left is None and step.done > before:
            left = (time.monotonic() - started) / (step.done - before) * (step.total - step.done)
        yield html_parts.bar(step.done / max(step.total, 1), step.what, left)


def friendly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose StudioError or StudyError becomes the page's own message; it stays until it is closed."""

    def shown(error: StudioError | StudyError | OSError) -> gr.Error:
        sentence = explain_os_error(error, Path("the workspace")) if isinstance(error, OSError) else error
        return gr.Error(html.escape(str(sentence)), duration=None, title="That did not work", print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                yield from function(*arguments)
            except (StudioError, StudyError, OSError) as error:
                raise shown(error) from error

    else:

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (StudioError, StudyError, OSError) as error:
                raise shown(error) from error

    return wrapped


def chosen_project(workspace: Workspace, name: str | None) -> Project:
    """The project of that name; raises StudioError where none is chosen."""
    if not name:
        raise StudioError("no project is chosen; make one in the Data set tab")
    return workspace.project(name)
