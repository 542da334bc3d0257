"""The verbs `adapters`, `import-adapter`, `export-adapter`, `average`, `at-strength` and `push` of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.merge import read_weights
from ghibli_studio.cli.console import Told
from ghibli_studio.config.export import SharingSettings
from ghibli_studio.workspace.project import Workspace

EXPORTED = ("license", "description", "pictures")


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verbs into the parser."""
    every = verb("adapters", adapters_, "list all adapters of the project: of runs, imported, averaged")
    every.add_argument("--compare", nargs=2, metavar=("ONE", "OTHER"), help="say what differs between two of them")
    take = verb("import-adapter", import_, "take an adapter file of diffusers, kohya or AUTOMATIC1111 into the project")
    take.add_argument("file", type=Path, help="a .safetensors file")
    take.add_argument("--name", default="", help="what to call it (default: the file's name)")
    take.add_argument("--trigger", help="words that call the style, for a LoRA whose file does not tell them")
    give = verb("export-adapter", export, "write an adapter for other programs: both layouts, card, pictures")
    give.add_argument("adapter", help="its name, a run's name, or RUN@EPOCH")
    give.add_argument("--out", type=Path, metavar="DIR", help="where to (default: exports/ in the project)")
    give.add_argument("--zip", action="store_true", dest="zipped", help="one ZIP instead of a folder")
    give.add_argument("--strength", type=float, help="as it is at this strength")
    fields = SharingSettings.model_fields
    give.add_argument("--name", help=fields["name"].description)
    give.add_argument("--license", help=fields["license"].description)
    give.add_argument("--description", help=fields["description"].description)
    give.add_argument("--pictures", type=int, help=fields["pictures"].description)
    mean = verb("average", average, "save the average of several adapters of one method")
    mean.add_argument("adapters", nargs="+", metavar="ADAPTER", help="names, two or more")
    mean.add_argument("--name", required=True, help="what to call it")
    mean.add_argument("--weights", help="one for each, as 0.7,0.3 (default: equal)")
    mean.add_argument("--rank", type=int, help="LoRA: bring it back to this rank (default: exact, ranks added up)")
    scale = verb("at-strength", at_strength, "save an adapter as it is at a strength")
    scale.add_argument("adapter", help="its name")
    scale.add_argument("adapter_scale", type=float, help="from -2 to 2")
    scale.add_argument("--name", required=True, help="what to call it")
    send = verb("push", push, "send an exported adapter to the Hugging Face Hub, private by default")
    send.add_argument("folder", type=Path, help="a folder that export-adapter wrote, or its name in exports/")
    send.add_argument("repository", help="your-name/my-style")
    send.add_argument("--public", action="store_true", help="everybody may see it")
    send.add_argument("--token-file", type=Path, help="a file with the token (default: $HF_TOKEN)")
    send.add_argument("--dry-run", action="store_true", help="only say what would be sent")


def adapters_(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """A line an adapter, the newest first; or a line for everything that differs between two."""
    from ghibli_studio.adapter_library import catalog, comparison
    from ghibli_studio.plotting.formatting import size

    project = workspace.project(chosen.project)
    if chosen.compare:
        one, other = (catalog.find(project, name) for name in chosen.compare)
        for name, left, right in comparison.compare(project, one, other).rows:
            told.line(f"{name}: {left} | {right}", event="difference", name=name, one=left, other=right)
        return 0
    for entry in catalog.entries(project):
        values = entry.told()
        about = entry.problem or f"{catalog.ORIGINS[entry.origin]}, {size(values['bytes'])}, {values['trigger']}"
        told.line(f"{entry.name:32} {entry.label:18} {about}", event="adapter", **values)
    return 0


def import_(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Import a file."""
    from ghibli_studio.adapter_library import catalog

    project = workspace.project(chosen.project)
    entry = catalog.import_adapter(project, chosen.file, chosen.name, chosen.trigger)
    return _made(entry, told)


def _made(entry: Any, told: Told) -> int:
    values = entry.told()
    told.line(f"{entry.file}: {entry.label}, {values['trigger'] or 'no trigger'}", event="adapter", **values)
    return 0


def export(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Write the folder or the ZIP."""
    from ghibli_studio.adapter_library import catalog
    from ghibli_studio.adapter_library import export as adapter_export

    project = workspace.project(chosen.project)
    entry = catalog.find(project, chosen.adapter)
    given = {name: value for name in ("name", *EXPORTED) if (value := getattr(chosen, name)) is not None}
    settings = SharingSettings.checked({**given, "zipped": chosen.zipped})
    if chosen.adapter_scale is not None:
        name = f"{entry.name.replace('@', '-epoch-')}-x{chosen.adapter_scale:g}"
        entry = catalog.at_strength(project, chosen.adapter, name, chosen.adapter_scale, _base(project, entry))
    for step in adapter_export.export(project, entry, settings, chosen.out):
        told.progress(step.done, step.total, step.what)
    place = chosen.out or adapter_export.default_place(project, entry, settings)
    told.line(str(place), event="done", place=str(place))
    return 0


def _base(project: Any, entry: Any) -> Callable[[], Any]:
    """The base model of an adapter, loaded when it is asked for."""
    from ghibli_studio.generation import model_cache

    return lambda: model_cache.loaded_base(model_cache.base_of(project, {entry.method: entry.file}))


def average(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Save the average."""
    from ghibli_studio.adapter_library import catalog

    weights = None if chosen.weights is None else read_weights(chosen.weights)
    project = workspace.project(chosen.project)
    return _made(catalog.average(project, chosen.adapters, chosen.name, weights, chosen.rank), told)


def at_strength(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Save an adapter at a strength."""
    from ghibli_studio.adapter_library import catalog

    project = workspace.project(chosen.project)
    base = _base(project, catalog.find(project, chosen.adapter))
    return _made(catalog.at_strength(project, chosen.adapter, chosen.name, chosen.adapter_scale, base), told)


def push(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Send a folder, or say what would be sent."""
    from ghibli_studio.adapter_library import hub
    from ghibli_studio.plotting.formatting import size

    project = workspace.project(chosen.project)
    folder = chosen.folder if chosen.folder.is_dir() else project.export(chosen.folder.name)
    if chosen.dry_run:
        for name, count in hub.files(folder):
            told.line(f"would send {name} ({size(count)})", event="would_send", file=name, bytes=count)
        return 0
    target = hub.Target(chosen.repository, hub.token_of(chosen.token_file), private=not chosen.public)
    address = ""
    for step in hub.push(folder, target):
        told.progress(step.done, step.total, step.what)
        address = step.what
    told.line(address, event="done", repository=chosen.repository, address=address, private=target.private)
    return 0
