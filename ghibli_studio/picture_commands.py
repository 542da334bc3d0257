"""The verbs `grid` and `pictures` of the command line, and the photograph that `generate` and `grid` start from."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ghibli_studio.config import GenerationSettings, StudioError
from ghibli_studio.telling import Told
from ghibli_studio.workspace import Project, Workspace

if TYPE_CHECKING:
    from ghibli_studio.generation import Photograph

DENOISING = 0.6
SETTINGS = {"seed": int, "num_inference_steps": int, "guidance_scale": float, "strength": float}


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verbs into the parser."""
    draw = verb("grid", grid, "draw every combination of two settings' values, on one picture with labelled axes")
    for side, text in (("x", "across"), ("y", "down")):
        draw.add_argument(f"--{side}", metavar="NAME=VALUES", help=f"what varies {text}, such as strength=0,0.5,1")
    draw.add_argument("--prompt", default="", help="what the pictures show; or vary it: --y 'prompt=one | another'")
    draw.add_argument("--with", dest="drawer", default="lora", help="base, a method, a run, RUN@EPOCH (%(default)s)")
    draw.add_argument("--photograph", type=Path, metavar="FILE", help="start from a photograph")
    draw.add_argument("--denoising-strength", type=float, default=DENOISING,
                      help="how much of the photograph is drawn anew, above 0 to 1 (%(default)s)")
    for name, kind in SETTINGS.items():
        option = "--steps" if name == "num_inference_steps" else f"--{name.replace('_', '-')}"
        draw.add_argument(option, type=kind, dest=name, help=GenerationSettings.model_fields[name].description)
    draw.add_argument("--resume", metavar="GRID", help="go on with one that was stopped")
    draw.add_argument("--out", type=Path, metavar="PNG", help="also write the whole there")

    find = verb("pictures", pictures, "find what was drawn in a project")
    find.add_argument("words", nargs="*", help="all of them stand in the prompt, the file's name or the adapter")
    find.add_argument("--method", default="", help="base, lora, ti")
    find.add_argument("--seed", type=int, help="of the noise")
    find.add_argument("--adapter", default="", help="part of its file name, run or hash")
    find.add_argument("--kind", default="", help="generated, grid, sample, styled or evaluation")
    find.add_argument("--since", help="a day, such as 2026-01-31")
    find.add_argument("--until", help="a day")
    find.add_argument("--limit", type=int, help="the newest so many")
    find.add_argument("--zip", type=Path, metavar="FILE", help="pack what was found")
    find.add_argument("--delete", action="store_true", help="take away what was found; asks for --yes")
    find.add_argument("--yes", action="store_true", help="really")


def photograph(file: Path | None, denoising_strength: float) -> Photograph | None:
    """The photograph to start from; None where none was named."""
    from ghibli_studio import uploads
    from ghibli_studio.generation import Photograph

    return None if file is None else Photograph(uploads.read(file), denoising_strength)


def grid(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Draw a grid, or go on with one; tells each picture, then the whole."""
    from ghibli_studio.files import write_atomic

    project = workspace.project(chosen.project)
    for step in told.followed(_work(chosen, project), workspace):
        if step.picture:
            told.line(str(step.picture), event="picture", file=str(step.picture))
    if chosen.out:
        write_atomic(chosen.out, step.whole.read_bytes())
    place = str(chosen.out or step.whole)
    told.line(place, event="done", file=place, grid=step.whole.parent.name)
    return 0


def _work(chosen: argparse.Namespace, project: Project) -> Iterator[Any]:
    from ghibli_studio import uploads, xy_grid

    if chosen.resume:
        return xy_grid.resume(project, project.made.grid(chosen.resume))
    sides = []
    for side in "xy":
        name, equals, values = (getattr(chosen, side) or "").partition("=")
        if not equals:
            raise StudioError(f"--{side} does not say what varies; write it as --{side} strength=0,0.5,1")
        sides.append(xy_grid.read_axis(name, values))
    given = {name: value for name in SETTINGS if (value := getattr(chosen, name)) is not None}
    start = photograph(chosen.photograph, chosen.denoising_strength)
    noise = None
    if start:
        uploads.keep(project, start.image)
        noise = {"sha256": start.sha256, "denoising_strength": start.denoising_strength}
    settings = GenerationSettings.checked(given)
    return xy_grid.draw(project, xy_grid.Plan(*sides, chosen.prompt, chosen.drawer, settings, noise))


def pictures(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Tell the pictures that were found, the newest first; pack them, or take them away."""
    from ghibli_studio import gallery
    from ghibli_studio.files import write_atomic
    from ghibli_studio.words import counted

    project = workspace.project(chosen.project)
    names = ("method", "seed", "adapter", "kind", "since", "until")
    wanted = gallery.Search.checked({"words": " ".join(chosen.words), **{n: getattr(chosen, n) for n in names}})
    found = gallery.search(project, wanted)
    if chosen.limit is not None:
        if chosen.limit < 1:
            raise StudioError(f"--limit is {chosen.limit}; it must be 1 or more")
        found = found[: chosen.limit]
    if chosen.delete and not chosen.yes:
        raise StudioError(f"--delete would take {counted(len(found), 'picture')} away for good; say --yes if that is "
                          "meant")
    for entry in found:
        seed = "" if entry.seed is None else f", seed {entry.seed}"
        told.line(f"{entry.made:%Y-%m-%d %H:%M}  {entry.title}{seed}  {entry.id}", event="picture", **entry.told(),
                  recipe=entry.recipe)
    if chosen.zip:
        write_atomic(chosen.zip, gallery.pack(found))
    if chosen.delete:
        gallery.remove(project, [entry.id for entry in found])
    what = "taken away" if chosen.delete else "found"
    told.line(f"{counted(len(found), 'picture')} {what}", event="done", count=len(found), deleted=chosen.delete)
    return 0
