"""The `images` commands: list, pack, delete, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.settings import StudioError
from ghibli_studio.cli.console import Console
from ghibli_studio.cli.options import AsJson, ProjectName, WorkspaceFolder, given, open_workspace
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ghibli_studio.generation.gallery import Entry

app = typer.Typer(no_args_is_help=True, help="Find, pack, delete and reproduce generated images.")

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[WORD]...", help="Words in the prompt, the file's name or the adapter.")
]
Method = Annotated[str, typer.Option("--method", help="base, lora, ti.")]
OfSeed = Annotated[int | None, typer.Option("--seed", help="Seed of the noise.")]
OfAdapter = Annotated[str, typer.Option("--adapter", help="Part of the adapter's file name, run or hash.")]
OfType = Annotated[str, typer.Option("--type", help="generated, grid, sample, stylized or evaluation.")]
Since = Annotated[str | None, typer.Option("--since", metavar="DAY", help="A day, such as 2026-01-31.")]
Until = Annotated[str | None, typer.Option("--until", metavar="DAY", help="A day.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Only the newest so many.")]


@app.command("list")
def list_(
    project: ProjectName,
    words: Words = None,
    method: Method = "",
    seed: OfSeed = None,
    adapter: OfAdapter = "",
    kind: OfType = "",
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """List generated images, the newest first."""
    console, target = Console(as_json), open_workspace(workspace).project(project)
    entries = _search(target, words, method, seed, adapter, kind, since, until, limit)
    _print(entries, "found", console)


@app.command()
def pack(
    project: ProjectName,
    file: Annotated[Path, typer.Argument(metavar="ZIP", help="The ZIP file to write.")],
    words: Words = None,
    method: Method = "",
    seed: OfSeed = None,
    adapter: OfAdapter = "",
    kind: OfType = "",
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Pack generated images into a ZIP."""
    from ghibli_studio.generation import gallery
    from ghibli_studio.workspace.files import write_atomic

    console, target = Console(as_json), open_workspace(workspace).project(project)
    entries = _search(target, words, method, seed, adapter, kind, since, until, limit)
    write_atomic(file, gallery.zip_images(entries))
    _print(entries, "packed", console)


@app.command()
def delete(
    project: ProjectName,
    words: Words = None,
    method: Method = "",
    seed: OfSeed = None,
    adapter: OfAdapter = "",
    kind: OfType = "",
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the deletion.")] = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Delete generated images for good; asks for --yes."""
    from ghibli_studio.generation import gallery
    from ghibli_studio.plotting.formatting import pluralize

    console, target = Console(as_json), open_workspace(workspace).project(project)
    entries = _search(target, words, method, seed, adapter, kind, since, until, limit)
    if not yes:
        raise StudioError(f"this would delete {pluralize(len(entries), 'image')} for good; add --yes to confirm")
    gallery.remove(target, [entry.id for entry in entries])
    _print(entries, "deleted", console)


@app.command()
def reproduce(
    project: ProjectName,
    file: Annotated[Path, typer.Argument(metavar="PNG", help="An image that this program generated.")],
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> int:
    """Generate an image again from its own metadata; exit code 1 if it is not the same bit for bit."""
    from ghibli_studio.generation import metadata, reproduction
    from ghibli_studio.workspace.files import write_atomic

    console, target = Console(as_json), open_workspace(workspace).project(project)
    event = console.generated(reproduction.reproduce(target, file), target.workspace, "generating again")
    data = metadata.to_png(event.image, event.metadata)
    copy = target.new_image_set() / file.name
    write_atomic(copy, data)
    same = data == file.read_bytes()
    verdict = "the same bit for bit" if same else "not the same: made on another machine or with other versions"
    console.line(f"{copy}: {verdict}", event="image", file=str(copy), same=same)
    return 0 if same else 1


def _search(
    project: Project,
    words: Sequence[str] | None,
    method: str,
    seed: int | None,
    adapter: str,
    kind: str,
    since: str | None,
    until: str | None,
    limit: int | None,
) -> list[Entry]:
    """The images that fit, the newest first."""
    from ghibli_studio.generation import gallery

    if limit is not None and limit < 1:
        raise StudioError(f"--limit is {limit}; it must be 1 or more")
    search = gallery.Search.checked(
        {
            "words": " ".join(words or ()),
            "method": method,
            "adapter": adapter,
            "kind": kind,
            **given(seed=seed, since=since, until=until),
        }
    )
    return gallery.search(project, search)[:limit]


def _print(entries: Sequence[Entry], verb: str, console: Console) -> None:
    from ghibli_studio.plotting.formatting import pluralize

    for entry in entries:
        seed = "" if entry.seed is None else f", seed {entry.seed}"
        console.line(
            f"{entry.created:%Y-%m-%d %H:%M}  {entry.title}{seed}  {entry.id}",
            event="image",
            **entry.to_dict(),
            metadata=entry.metadata,
        )
    console.line(
        f"{pluralize(len(entries), 'image')} {verb}", event="done", count=len(entries), deleted=verb == "deleted"
    )
