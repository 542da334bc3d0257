"""Builds and launches the page: `python app.py`, then open the address that it prints. No logic in here."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path


def main() -> int:
    """Start the page; returns the exit code."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from adapters.settings import StudioError
    from ghibli_studio.runtime.environment import default_root
    from ghibli_studio.workspace.files import explain_os_error, make_folder
    from ghibli_studio.workspace.project import Workspace
    from study import StudyError

    parser = argparse.ArgumentParser(description="Ghibli Studio, a page in the browser.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="%(default)s")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--workspace", type=Path, default=default_root(), help="folder of all projects (%(default)s)")
    parser.add_argument("--study-only", action="store_true", help="serve the blind study and nothing else")
    chosen = parser.parse_args()
    try:
        make_folder(chosen.workspace)
        workspace, pilot_key = Workspace(chosen.workspace), secrets.token_urlsafe(12)
        if chosen.study_only:
            from ghibli_studio.evaluation.blind_study import served_study
            from study.web.server import serve

            serve(served_study(workspace), chosen.host, chosen.port or 7860)
        else:
            os.environ.setdefault("GRADIO_TEMP_DIR", str(workspace.served))
            from ghibli_studio.ui import api
            from ghibli_studio.ui.app import build
            from ghibli_studio.ui.components import theme
            from ghibli_studio.ui.server.auth import in_front

            build(workspace, pilot_key).launch(
                server_name=chosen.host,
                server_port=chosen.port,
                theme=theme.theme(),
                css=theme.style_sheet(),
                ssr_mode=False,
                footer_links=["api", "settings"],
                max_file_size="2gb",
                mcp_server=api.speaks_mcp(),
                app_kwargs=in_front(workspace, chosen.host, pilot_key),
            )
    except (StudioError, StudyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        taken = f"port {chosen.port} is taken or not allowed; choose another with --port, or leave it out"
        print(f"error: {taken if 'port' in str(error) else explain_os_error(error, chosen.workspace)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
