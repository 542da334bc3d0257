"""Start of the server: the studio, or a blind study alone."""

from __future__ import annotations

import gc
import inspect
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.workspace.files import explain_os_error, make_folder
from ghibli_studio.workspace.project import Workspace


def launch(workspace: Workspace, host: str, port: int | None, *, study_only: bool = False) -> None:
    """Serve the studio, or its study alone, until the process is stopped; raise StudioError if the port is taken."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    make_folder(workspace.root)
    try:
        if study_only:
            from ghibli_studio.evaluation.blind_study import served_study
            from study.web.server import serve

            serve(served_study(workspace), host, port or 7860)
        else:
            _launch_studio(workspace, host, port)
    except OSError as error:
        if "port" in str(error):
            raise StudioError(
                f"port {port} is taken or not allowed; choose another with --port, or leave it out"
            ) from error
        raise explain_os_error(error, workspace.root) from error


def _launch_studio(workspace: Workspace, host: str, port: int | None) -> None:
    os.environ.setdefault("GRADIO_TEMP_DIR", str(workspace.served))
    pilot_key = secrets.token_urlsafe(12)
    with _paused_garbage_collection():
        from ghibli_studio.ui import api
        from ghibli_studio.ui.app import build
        from ghibli_studio.ui.components import theme
        from ghibli_studio.ui.server.auth import server_options

        _store_signatures()
        page = build(workspace, pilot_key)
    page.launch(
        server_name=host,
        server_port=port,
        theme=theme.theme(),
        css=theme.style_sheet(),
        ssr_mode=False,
        footer_links=["api", "settings"],
        max_file_size="2gb",
        mcp_server=api.speaks_mcp(),
        app_kwargs=server_options(workspace, host, pilot_key),
    )


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Pause the collector: it would take 0.5 s of the start, and what imports and the page create is kept anyway."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _store_signatures() -> None:
    """Store the signatures of Gradio's constructors, which it derives anew for each component: 0.1 s of the start."""
    from gradio.blocks import Block

    classes: list[type] = [Block]
    for kind in classes:
        classes += kind.__subclasses__()
        function: Any = vars(kind).get("__init__")
        while function is not None:
            function.__signature__ = inspect.signature(function)
            function = getattr(function, "__wrapped__", None)
