"""The `generate` commands: images, grid, stylize."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.settings import StudioError
from ghibli_studio.cli.console import Console
from ghibli_studio.cli.options import (
    AdapterFile,
    AdapterScale,
    AsJson,
    BaseModelId,
    GuidanceScale,
    InitImageFile,
    NegativePrompt,
    ProjectName,
    Seed,
    Steps,
    Strength,
    StyleSource,
    StyleWords,
    WorkspaceFolder,
    given,
    model_or_default,
    names,
    open_workspace,
    stylization_of,
)
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.config.generation import GenerationSettings

if TYPE_CHECKING:
    from ghibli_studio.generation.init_image import InitImage
    from ghibli_studio.generation.xy_grid import Axis

STRENGTH = 0.6
"""How much of an init image changes, if nothing else is said."""

app = typer.Typer(no_args_is_help=True, help="Generate images, X/Y plots and stylized photos.")


@app.command("images")
def images(
    project: ProjectName,
    models: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="base, lora, ti, runs, RUN@EPOCH or imported adapters, separated by commas."
        ),
    ] = "base,lora,ti",
    landmarks: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Landmarks, separated by commas. Default: the paper's five.")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(metavar="FILE", help="A text file with one prompt per line.")] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD=ADAPTER", help="Use this file, or this adapter of the library. Repeatable."),
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Default: the one that the adapters were trained on.")
    ] = None,
    seed: Seed = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    adapter_scale: AdapterScale = None,
    negative_prompt: NegativePrompt = None,
    init_image: InitImageFile = None,
    strength: Strength = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Generate images, with every model from the same noise."""
    from ghibli_studio.adapter_library import catalog
    from ghibli_studio.generation import image_set, model_choice

    if landmarks and prompts:
        raise typer.BadParameter("give --landmarks or --prompts, not both")
    console, target = Console(as_json), open_workspace(workspace).project(project)
    settings = GenerationSettings.checked(
        given(
            seed=seed,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            adapter_scale=adapter_scale,
            negative_prompt=negative_prompt,
        )
    )
    if prompts:
        try:
            lines = prompts.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StudioError(f"{prompts} cannot be read ({error}); give a text file of prompts") from error
        requests = image_set.requests_for_prompts(lines)
    else:
        requests = image_set.requests_for_landmarks(target, names(landmarks) if landmarks else PAPER_LANDMARKS)
    named = dict(text.partition("=")[::2] for text in adapter or ())
    chosen = names(models)
    files = model_choice.adapter_files(target, [name for name in chosen if name not in named])
    files = {
        name: catalog.resolve_file(target, named[name]) if name in named else files[name] for name in [*chosen, *named]
    }
    start = _read_init_image(init_image, strength)
    work = image_set.generate_set(target, requests, files, settings, base=base_model, init_image=start)
    for step in console.progress_of(work, target.workspace):
        if step.image:
            file = str(step.image.file)
            console.line(file, event="image", title=step.image.title, method=step.image.method, file=file)


def _read_init_image(file: Path | None, strength: float | None) -> InitImage | None:
    """The image to start from; None where none was named."""
    from ghibli_studio.generation import init_image

    if file is None:
        return None
    return init_image.InitImage(init_image.open_photo(file), STRENGTH if strength is None else strength)


@app.command()
def grid(
    project: ProjectName,
    x: Annotated[str, typer.Option("--x", metavar="NAME=VALUES", help="X axis, such as adapter_scale=0,0.5,1.")] = "",
    y: Annotated[str, typer.Option("--y", metavar="NAME=VALUES", help="Y axis, such as seed=0,1,2.")] = "",
    prompt: Annotated[str, typer.Option(help="What the images show; or vary it: --y 'prompt=one | another'.")] = "",
    model: Annotated[str, typer.Option(metavar="NAME", help="base, a method, a run, or RUN@EPOCH.")] = "lora",
    init_image: InitImageFile = None,
    strength: Strength = None,
    seed: Seed = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    adapter_scale: AdapterScale = None,
    resume: Annotated[str | None, typer.Option(metavar="GRID", help="Resume a grid that was stopped.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="Also write the sheet there.")] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Generate an X/Y plot: every combination of two settings' values, on one sheet with labeled axes."""
    from ghibli_studio.generation import init_image as init_images
    from ghibli_studio.generation import xy_grid
    from ghibli_studio.workspace.files import write_atomic

    console, target = Console(as_json), open_workspace(workspace).project(project)
    if resume:
        work = xy_grid.resume(target, target.outputs.grid(resume))
    else:
        axes = [_axis(side, text) for side, text in (("x", x), ("y", y))]
        start, noise = _read_init_image(init_image, strength), None
        if start:
            init_images.store(target, start.image)
            noise = {"sha256": start.sha256, "strength": start.strength}
        settings = GenerationSettings.checked(
            given(seed=seed, num_inference_steps=steps, guidance_scale=guidance_scale, adapter_scale=adapter_scale)
        )
        work = xy_grid.generate_grid(target, xy_grid.Plan(axes[0], axes[1], prompt, model, settings, noise))
    for step in console.progress_of(work, target.workspace):
        if step.image_file:
            console.line(str(step.image_file), event="image", file=str(step.image_file))
    if out:
        write_atomic(out, step.grid_file.read_bytes())
    path = str(out or step.grid_file)
    console.line(path, event="done", file=path, grid=step.grid_file.parent.name)


def _axis(side: str, text: str) -> Axis:
    from ghibli_studio.generation import xy_grid

    name, equals, values = text.partition("=")
    if not equals:
        raise StudioError(f"--{side} is {text!r}; write it as --{side} adapter_scale=0,0.5,1")
    return xy_grid.read_axis(name, values)


@app.command()
def stylize(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="An image file.")],
    prompt: Annotated[str, typer.Option(help="What it shows.")],
    out: Annotated[Path, typer.Option(metavar="PNG", help="Where to.")],
    base_model: BaseModelId = None,
    source: StyleSource = None,
    adapter_file: AdapterFile = None,
    style_words: StyleWords = None,
    strength: Strength = None,
    guidance_scale: GuidanceScale = None,
    steps: Steps = None,
    seed: Seed = None,
    adapter_scale: AdapterScale = None,
    negative_prompt: NegativePrompt = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Stylize one photo with img2img, without a project; the PNG carries its generation metadata."""
    from ghibli_studio.config.stylization import StylizationSettings
    from ghibli_studio.data.file_source import read_file
    from ghibli_studio.generation import metadata, stylization
    from ghibli_studio.imaging.image_io import open_image
    from ghibli_studio.workspace.files import write_atomic

    console = Console(as_json)
    settings = StylizationSettings.checked(
        stylization_of(
            source, adapter_file, style_words, strength, guidance_scale, steps, seed, adapter_scale, negative_prompt
        )
    )
    if out.suffix.lower() != ".png":
        raise StudioError(f"--out is {str(out)!r}; it must end in .png, which keeps the generation metadata")
    image = open_image(read_file(photo, photo.name), photo.name)
    work = stylization.stylize_photo(image, prompt, settings, base_model=model_or_default(base_model))
    event = console.generated(work, open_workspace(workspace), "stylizing")
    write_atomic(out, metadata.to_png(event.image, event.metadata))
    console.line(str(out), event="image", file=str(out))
