"""The `space`, `doctor` and `serve` commands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from ghibli_studio.cli.console import Console
from ghibli_studio.cli.options import AsJson, WorkspaceFolder, open_workspace

app = typer.Typer()
space_app = typer.Typer(no_args_is_help=True, help="Prepare a Hugging Face Space.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(envvar="GRADIO_SERVER_NAME", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default: the first free one from 7860.")] = None,
    study_only: Annotated[bool, typer.Option("--study-only", help="Serve the blind study and nothing else.")] = False,
    workspace: WorkspaceFolder = None,
) -> None:
    """Start the page; open the address that it prints."""
    from ghibli_studio.ui.launch import launch

    launch(open_workspace(workspace), host, port, study_only=study_only)


@space_app.command()
def create(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    study_only: Annotated[
        bool, typer.Option("--study-only", help="A Space that serves the study and nothing else.")
    ] = False,
    hardware: Annotated[Literal["cpu", "gpu", "zero"], typer.Option(help="What it runs on.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Write the files of a Hugging Face Space."""
    from ghibli_studio.deployment import space

    files = space.write(folder, study_only=study_only, hardware=hardware)
    size = sum(file.stat().st_size for file in files)
    Console(as_json).line(
        f"{folder}: {len(files)} files, {size / 2**20:.0f} MB; its README.md lists what to set. Push it "
        f"with: hf upload NAME/SPACE {folder} . --repo-type space",
        event="written",
        folder=str(folder),
        files=len(files),
        bytes=size,
    )


@app.command()
def doctor(workspace: WorkspaceFolder = None, as_json: AsJson = False) -> int:
    """Check this machine and show what will be used; exit code 1 if something is wrong."""
    from ghibli_studio.deployment.doctor import run_checks

    console, all_fine = Console(as_json), True
    for check in run_checks(open_workspace(workspace)):
        all_fine = all_fine and check.ok
        console.line(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.message}", **asdict(check))
    return 0 if all_fine else 1
