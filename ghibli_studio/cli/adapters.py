"""The `adapters` commands: list, compare, import, export, merge, scale, push."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.merge import parse_weights
from ghibli_studio.cli.console import Console
from ghibli_studio.cli.options import AsJson, ProjectName, WorkspaceFolder, given, open_workspace
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from ghibli_studio.adapter_library.catalog import Entry

app = typer.Typer(no_args_is_help=True, help="List, compare, import, export, merge, scale and publish adapters.")

AdapterName = Annotated[str, typer.Argument(metavar="ADAPTER", help="Its name, a run's name, or RUN@EPOCH.")]
NewName = Annotated[str, typer.Option("--name", help="Name of the new adapter.")]


@app.command("list")
def list_(project: ProjectName, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """List all adapters of the project: trained, imported, merged."""
    from ghibli_studio.adapter_library import catalog
    from ghibli_studio.plotting.formatting import size

    console = Console(as_json)
    for entry in catalog.entries(open_workspace(workspace).project(project)):
        values = entry.to_dict()
        about = entry.problem or f"{catalog.ORIGINS[entry.origin]}, {size(values['bytes'])}, {values['trigger']}"
        console.line(f"{entry.name:32} {entry.label:18} {about}", event="adapter", **values)


@app.command()
def compare(
    project: ProjectName,
    first: AdapterName,
    second: AdapterName,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two adapters."""
    from ghibli_studio.adapter_library import catalog, comparison

    console, target = Console(as_json), open_workspace(workspace).project(project)
    rows = comparison.compare(target, catalog.find(target, first), catalog.find(target, second)).rows
    for name, left, right in rows:
        console.line(f"{name}: {left} | {right}", event="difference", name=name, first=left, second=right)


@app.command("import")
def import_(
    project: ProjectName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors file of diffusers, kohya or A1111.")],
    name: Annotated[str, typer.Option(help="Name of the adapter. Default: the file's.")] = "",
    trigger: Annotated[
        str | None, typer.Option(help="Trigger words, for a LoRA whose file does not name them.")
    ] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Import an adapter file into the project."""
    from ghibli_studio.adapter_library import catalog

    entry = catalog.import_adapter(open_workspace(workspace).project(project), file, name, trigger)
    _print_new(entry, Console(as_json))


def _print_new(entry: Entry, console: Console) -> None:
    values = entry.to_dict()
    console.line(f"{entry.file}: {entry.label}, {values['trigger'] or 'no trigger'}", event="adapter", **values)


@app.command()
def export(
    project: ProjectName,
    adapter: AdapterName,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to. Default: the project's exports.")] = None,
    zipped: Annotated[bool, typer.Option("--zip", help="One ZIP instead of a folder.")] = False,
    scale: Annotated[float | None, typer.Option(help="Export it scaled, -2 to 2.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the exported adapter.")] = None,
    license: Annotated[str | None, typer.Option(help="License id for the model card.")] = None,
    description: Annotated[str | None, typer.Option(help="Description for the model card.")] = None,
    images: Annotated[int | None, typer.Option(help="Sample images on the model card.")] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Export an adapter for other programs: diffusers and kohya files, model card, sample images."""
    from ghibli_studio.adapter_library import catalog
    from ghibli_studio.adapter_library import export as adapter_export
    from ghibli_studio.config.export import AdapterExportSettings

    console, target = Console(as_json), open_workspace(workspace).project(project)
    entry = catalog.find(target, adapter)
    settings = AdapterExportSettings.checked(
        {**given(name=name, license=license, description=description, images=images), "zipped": zipped}
    )
    if scale is not None:
        scaled_name = f"{entry.name.replace('@', '-epoch-')}-x{scale:g}"
        entry = catalog.scale_adapter(target, adapter, scaled_name, scale, _base(target, entry))
    for step in adapter_export.export(target, entry, settings, out):
        console.progress(step.done, step.total, step.what)
    path = str(out or adapter_export.default_target(target, entry, settings))
    console.line(path, event="done", path=path)


def _base(project: Project, entry: Entry) -> Callable[[], Any]:
    """The base model of an adapter, loaded when it is asked for."""
    from ghibli_studio.generation import model_cache

    return lambda: model_cache.load_base_model(model_cache.base_model_of(project, {entry.method: entry.file}))


@app.command()
def merge(
    project: ProjectName,
    adapters: Annotated[list[str], typer.Argument(metavar="ADAPTER...", help="Names, two or more of one method.")],
    name: NewName,
    weights: Annotated[str | None, typer.Option(help="One for each, as 0.7,0.3. Default: equal.")] = None,
    rank: Annotated[int | None, typer.Option(help="LoRA: reduce to this rank. Default: exact, ranks add up.")] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Save the weighted mean of several adapters of one method."""
    from ghibli_studio.adapter_library import catalog

    numbers = None if weights is None else parse_weights(weights)
    entry = catalog.merge_adapters(open_workspace(workspace).project(project), adapters, name, numbers, rank)
    _print_new(entry, Console(as_json))


@app.command()
def scale(
    project: ProjectName,
    adapter: AdapterName,
    factor: Annotated[float, typer.Argument(metavar="SCALE", help="From -2 to 2.")],
    name: NewName,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Save an adapter scaled: the new file at 1 does what the old one does at SCALE."""
    from ghibli_studio.adapter_library import catalog

    target = open_workspace(workspace).project(project)
    entry = catalog.scale_adapter(target, adapter, name, factor, _base(target, catalog.find(target, adapter)))
    _print_new(entry, Console(as_json))


@app.command()
def push(
    project: ProjectName,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An exported folder, or its name in exports/.")],
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="your-name/my-style.")],
    public: Annotated[bool, typer.Option("--public", help="Make the repository public.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the token. Default: $HF_TOKEN.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be sent.")] = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Push an exported adapter to the Hugging Face Hub; private by default."""
    from ghibli_studio.adapter_library import hub
    from ghibli_studio.plotting.formatting import size

    console, target = Console(as_json), open_workspace(workspace).project(project)
    source = folder if folder.is_dir() else target.export(folder.name)
    if dry_run:
        for name, count in hub.files_to_push(source):
            console.line(f"would send {name} ({size(count)})", event="would_send", file=name, bytes=count)
        return
    destination = hub.Target(repository, hub.read_token(token_file), private=not public)
    address = ""
    for step in hub.push(source, destination):
        console.progress(step.done, step.total, step.what)
        address = step.what
    console.line(address, event="done", repository=repository, address=address, private=destination.private)
