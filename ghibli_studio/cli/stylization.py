"""The verbs `stylize`, `style-photo`, `survey` and `export-data` of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.cli.console import Told
from ghibli_studio.cli.dataset import export_data, survey
from ghibli_studio.config.stylization import StyleSettings
from ghibli_studio.runtime.environment import default_base_model
from ghibli_studio.workspace.project import Workspace

STYLING = {
    "strength": (float, "how much of a photograph is drawn anew, above 0 to 1"),
    "guidance_scale": (float, "how strongly to follow the prompt"),
    "num_inference_steps": (int, "from noise to picture"),
    "seed": (int, "decides the noise"),
    "adapter_scale": (float, "how strongly the teacher or the adapter acts"),
    "negative_prompt": (str, "what not to show"),
}


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verbs into the parser."""
    batch = verb("stylize", stylize, "draw gathered photographs in the style, one after the other")
    batch.add_argument("--ids", help="photographs, separated by commas (default: all that are not rejected)")
    batch.add_argument("--again", action="store_true", help="also those that have a styled picture")
    batch.add_argument("--accept", action="store_true", help="choose each new picture to learn from")
    single = verb("style-photo", style_photo, "draw one photograph in the style, without a project", project=False)
    single.add_argument("photograph", type=Path, help="a picture")
    single.add_argument("--prompt", required=True, help="what it shows")
    single.add_argument("--out", type=Path, required=True, metavar="PNG", help="where to")
    single.add_argument("--base-model", default=default_base_model(), help="which model draws (%(default)s)")
    for command in (batch, single):
        command.add_argument("--source", choices=("teacher", "prompt", "adapter"), help="where the style comes from")
        command.add_argument("--adapter-file", metavar="FILE", help="a LoRA or Textual Inversion that knows the style")
        command.add_argument("--style-words", help="what asks for the style, for --source prompt")
        for name, (kind, text) in STYLING.items():
            command.add_argument(
                "--steps" if name == "num_inference_steps" else f"--{name.replace('_', '-')}",
                type=kind,
                dest=name,
                help=text,
            )

    look = verb("survey", survey, "statistics of the data set, or of the gathered photographs")
    look.add_argument("--gathered", action="store_true", help="of the photographs, not of the data set")
    look.add_argument("--sheet", type=Path, metavar="PNG", help="also a contact sheet")
    look.add_argument("--page", type=int, default=1, help="of the contact sheet (%(default)s)")

    give = verb("export-data", export_data, "write the data set for other programs")
    give.add_argument("--layout", choices=("folder", "imagefolder", "kohya"), default="folder", help="(%(default)s)")
    give.add_argument("--zip", action="store_true", help="one ZIP instead of a folder")
    give.add_argument("--no-manifest", action="store_true", help="leave manifest.json out")
    give.add_argument("--sources", action="store_true", help="also the pictures as they came")
    give.add_argument("--trigger", help="words at the end of every prompt that shall call the style")
    give.add_argument("--class-word", help="what the pictures show, for kohya's folder")
    give.add_argument("--repeats", type=int, help="how often kohya shows every picture in an epoch")
    give.add_argument("--out", type=Path, metavar="PATH", help="where to (default: the project's exports)")


def stylize(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Style photographs; the exit code is 1 where one of them could not be."""
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation import review
    from ghibli_studio.generation import stylization

    project = workspace.project(chosen.project)
    settings = stylization.batch_settings(collections.load(project)).changed(**_styling(chosen))
    ids = [id.strip() for id in chosen.ids.split(",") if id.strip()] if chosen.ids else None
    styled = failed = 0
    for step in told.followed(stylization.style(project, ids, settings, again=chosen.again), workspace):
        if step.problem:
            failed += 1
            told.line(f"not styled: {step.problem}", event="left_out", photo=step.photo, reason=step.problem)
        elif step.attempt:
            styled += 1
            file = str(project.collection.styled(step.attempt.file))
            if chosen.accept:
                review.accept(project, [step.photo])
            told.line(file, event="picture", photo=step.photo, **{**asdict(step.attempt), "file": file})
    told.line(f"{styled} styled, {failed} not", event="done", styled=styled, failed=failed)
    return int(failed > 0)


def _styling(chosen: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given; a file alone says that it is the source, and so do words."""
    given = {
        name: value
        for name in ("source", "adapter_file", "style_words", *STYLING)
        if (value := getattr(chosen, name)) is not None
    }
    if "source" not in given and "adapter_file" in given:
        given["source"] = "adapter"
    elif "source" not in given and "style_words" in given:
        given["source"] = "prompt"
    return given


def style_photo(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Style a single picture and write it with its recipe."""
    from ghibli_studio.data.file_source import read_plain
    from ghibli_studio.generation import metadata, stylization
    from ghibli_studio.imaging.image_io import open_image
    from ghibli_studio.jobs import lock
    from ghibli_studio.workspace.files import write_atomic

    settings = StyleSettings.checked(_styling(chosen))
    if chosen.out.suffix.lower() != ".png":
        raise StudioError(f"--out is {str(chosen.out)!r}; it must end in .png, which keeps the recipe")
    image = open_image(read_plain(chosen.photograph, chosen.photograph.name), chosen.photograph.name)
    work = stylization.style_one(image, chosen.prompt, settings, base_model=chosen.base_model)
    for drawing in lock.in_turn(workspace, work):
        if isinstance(drawing, lock.Waiting):
            told.progress(0, 1, "waiting for another computation")
        else:
            told.progress(drawing.step, drawing.steps, "drawing")
    write_atomic(chosen.out, metadata.to_png(drawing.image, drawing.recipe))
    told.line(str(chosen.out), event="picture", file=str(chosen.out))
    return 0
