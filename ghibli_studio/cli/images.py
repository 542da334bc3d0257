"""The `images` commands: list, delete, pack."""

from __future__ import annotations

import argparse

from adapters.settings import StudioError
from ghibli_studio.cli.console import Told
from ghibli_studio.workspace.project import Workspace


def pictures(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Tell the pictures that were found, the newest first; pack them, or take them away."""
    from ghibli_studio.generation import gallery
    from ghibli_studio.plotting.formatting import counted
    from ghibli_studio.workspace.files import write_atomic

    project = workspace.project(chosen.project)
    names = ("method", "seed", "adapter", "kind", "since", "until")
    wanted = gallery.Search.checked({"words": " ".join(chosen.words), **{n: getattr(chosen, n) for n in names}})
    found = gallery.search(project, wanted)
    if chosen.limit is not None:
        if chosen.limit < 1:
            raise StudioError(f"--limit is {chosen.limit}; it must be 1 or more")
        found = found[: chosen.limit]
    if chosen.delete and not chosen.yes:
        raise StudioError(
            f"--delete would take {counted(len(found), 'picture')} away for good; say --yes if that is meant"
        )
    for entry in found:
        seed = "" if entry.seed is None else f", seed {entry.seed}"
        told.line(
            f"{entry.made:%Y-%m-%d %H:%M}  {entry.title}{seed}  {entry.id}",
            event="picture",
            **entry.told(),
            recipe=entry.recipe,
        )
    if chosen.zip:
        write_atomic(chosen.zip, gallery.pack(found))
    if chosen.delete:
        gallery.remove(project, [entry.id for entry in found])
    what = "taken away" if chosen.delete else "found"
    told.line(f"{counted(len(found), 'picture')} {what}", event="done", count=len(found), deleted=chosen.delete)
    return 0
