"""Builds and launches the page: `python app.py`, then open the address that it prints. No logic in here."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main() -> int:
    """Start the page; returns the exit code."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from ghibli_studio.files import explain_os_error, make_folder
    from ghibli_studio.ui import build, parts
    from ghibli_studio.workspace import StudioError, Workspace, default_root

    parser = argparse.ArgumentParser(description="Ghibli Studio, a page in the browser.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="%(default)s")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--workspace", type=Path, default=default_root(), help="folder of all projects (%(default)s)")
    chosen = parser.parse_args()
    try:
        make_folder(chosen.workspace)
        build(Workspace(chosen.workspace)).launch(
            server_name=chosen.host, server_port=chosen.port, theme=parts.theme(), css=parts.CSS, ssr_mode=False,
            footer_links=["api", "settings"], max_file_size="2gb",
        )
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        taken = f"port {chosen.port} is taken or not allowed; choose another with --port, or leave it out"
        print(f"error: {taken if 'port' in str(error) else explain_os_error(error, chosen.workspace)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
