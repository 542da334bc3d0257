"""What the event handlers of all tabs share: error messages, progress of long work, the selected project."""

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
    """Yield a progress bar with the time left for each step of `work`; with a workspace, first wait for the GPU lock.

    The time left is estimated from the steps since the first one, because resumed work starts with some steps done.
    """
    before, started = None, time.monotonic()
    for step in work if workspace is None else lock.gpu_lock(workspace, work):
        if isinstance(step, lock.Queued):
            yield html_parts.bar(
                0, f"queued: waiting for {f'run {step.run.id}' if step.run else 'another generation'} to finish"
            )
            continue
        if before is None:
            before, started = step.done, time.monotonic()
        left = getattr(step, "seconds_left", None)
        if left is None and step.done > before:
            left = (time.monotonic() - started) / (step.done - before) * (step.total - step.done)
        yield html_parts.bar(step.done / max(step.total, 1), step.what, left)


def friendly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler so that a StudioError, StudyError or OSError is shown as a message that stays until closed."""

    def as_gradio_error(error: StudioError | StudyError | OSError) -> gr.Error:
        sentence = explain_os_error(error, Path("the workspace")) if isinstance(error, OSError) else error
        return gr.Error(html.escape(str(sentence)), duration=None, title="Error", print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                yield from function(*arguments)
            except (StudioError, StudyError, OSError) as error:
                raise as_gradio_error(error) from error

    else:

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (StudioError, StudyError, OSError) as error:
                raise as_gradio_error(error) from error

    return wrapped


def chosen_project(workspace: Workspace, name: str | None) -> Project:
    """Return the project of that name; raise StudioError if none is selected."""
    if not name:
        raise StudioError("no project is selected; create one in the Dataset tab")
    return workspace.project(name)
