"""The verbs `grid` and `pictures` of the command line, and the photograph that `generate` and `grid` start from."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.cli.console import Told
from ghibli_studio.cli.images import pictures
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from ghibli_studio.generation.init_image import Photograph


DENOISING = 0.6
SETTINGS = {"seed": int, "num_inference_steps": int, "guidance_scale": float, "adapter_scale": float}


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verbs into the parser."""
    draw = verb("grid", grid, "draw every combination of two settings' values, on one picture with labeled axes")
    for side, text in (("x", "across"), ("y", "down")):
        draw.add_argument(f"--{side}", metavar="NAME=VALUES", help=f"what varies {text}, such as strength=0,0.5,1")
    draw.add_argument("--prompt", default="", help="what the pictures show; or vary it: --y 'prompt=one | another'")
    draw.add_argument("--with", dest="drawer", default="lora", help="base, a method, a run, RUN@EPOCH (%(default)s)")
    draw.add_argument("--photograph", type=Path, metavar="FILE", help="start from a photograph")
    draw.add_argument(
        "--denoising-strength",
        type=float,
        default=DENOISING,
        help="how much of the photograph is drawn anew, above 0 to 1 (%(default)s)",
    )
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


def read_photograph(file: Path | None, strength: float) -> Photograph | None:
    """The photograph to start from; None where none was named."""
    from ghibli_studio.generation import init_image
    from ghibli_studio.generation.init_image import Photograph

    return None if file is None else Photograph(init_image.read(file), strength)


def grid(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Draw a grid, or go on with one; tells each picture, then the whole."""
    from ghibli_studio.workspace.files import write_atomic

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
    from ghibli_studio.generation import init_image, xy_grid

    if chosen.resume:
        return xy_grid.resume(project, project.made.grid(chosen.resume))
    sides = []
    for side in "xy":
        name, equals, values = (getattr(chosen, side) or "").partition("=")
        if not equals:
            raise StudioError(f"--{side} does not say what varies; write it as --{side} strength=0,0.5,1")
        sides.append(xy_grid.read_axis(name, values))
    given = {name: value for name in SETTINGS if (value := getattr(chosen, name)) is not None}
    start = read_photograph(chosen.photograph, chosen.strength)
    noise = None
    if start:
        init_image.keep(project, start.image)
        noise = {"sha256": start.sha256, "strength": start.strength}
    settings = GenerationSettings.checked(given)
    return xy_grid.draw(project, xy_grid.Plan(*sides, chosen.prompt, chosen.drawer, settings, noise))


def _generate(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.adapter_library import catalog
    from ghibli_studio.generation import image_set, model_choice

    project = workspace.project(chosen.project)
    if chosen.recipe:
        return _reproduce(chosen, project, told)
    names = ("seed", "num_inference_steps", "guidance_scale", "adapter_scale", "negative_prompt")
    given = {name: value for name in names if (value := getattr(chosen, name)) is not None}
    settings = GenerationSettings.checked(given)
    if chosen.prompts:
        try:
            lines = chosen.prompts.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StudioError(f"{chosen.prompts} cannot be read ({error}); give a text file of prompts") from error
        requests = image_set.requests_for_prompts(lines)
    else:
        wanted = chosen.landmarks.split(",") if chosen.landmarks else PAPER_LANDMARKS
        requests = image_set.requests_for_landmarks(project, [name.strip() for name in wanted])
    named = dict(text.partition("=")[::2] for text in chosen.adapter)
    methods = [name.strip() for name in chosen.methods.split(",") if name.strip()]
    files = model_choice.adapter_files(project, [name for name in methods if name not in named])
    files = {
        name: catalog.file_of(project, named[name]) if name in named else files[name] for name in [*methods, *named]
    }
    photograph = read_photograph(chosen.photograph, chosen.strength)
    drawing = image_set.draw_set(project, requests, files, settings, base=chosen.base_model, photograph=photograph)
    for step in told.followed(drawing, workspace):
        if step.picture:
            file = str(step.picture.file)
            told.line(file, event="picture", title=step.picture.title, method=step.picture.method, file=file)
    return 0


def _reproduce(chosen: argparse.Namespace, project: Project, told: Told) -> int:
    from ghibli_studio.generation import metadata, reproduction
    from ghibli_studio.jobs import lock
    from ghibli_studio.workspace.files import write_atomic

    for drawing in lock.in_turn(project.workspace, reproduction.reproduce(project, chosen.recipe)):
        if isinstance(drawing, lock.Waiting):
            told.progress(0, 1, "waiting for another computation")
        else:
            told.progress(drawing.step, drawing.steps, "drawing again")
    file = project.new_image_set() / chosen.recipe.name
    data = metadata.to_png(drawing.image, drawing.recipe)
    write_atomic(file, data)
    same = data == chosen.recipe.read_bytes()
    verdict = "the same bit for bit" if same else "not the same: another machine or other versions drew the first"
    told.line(f"{file}: {verdict}", event="picture", file=str(file), same=same)
    return 0 if same else 1
