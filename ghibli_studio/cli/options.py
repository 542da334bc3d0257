"""Arguments and options that several commands share, and how their values become projects and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ghibli_studio.runtime.environment import default_base_model, default_root
from ghibli_studio.workspace.project import Workspace


def _projects(ctx: typer.Context, incomplete: str) -> list[str]:
    """Projects that complete a word in the shell."""
    workspace = open_workspace(ctx.params.get("workspace"))
    return [name for name in workspace.projects() if name.startswith(incomplete)]


def _runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runs of the project that complete a word in the shell."""
    workspace, project = open_workspace(ctx.params.get("workspace")), ctx.params.get("project")
    if project not in workspace.projects():
        return []
    return [run.id for run in workspace.project(project).runs() if run.id.startswith(incomplete)]


ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.", autocompletion=_projects)]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.", autocompletion=_runs)]
WorkspaceFolder = Annotated[
    Path | None,
    typer.Option(
        "--workspace", metavar="DIR", help="Folder of all projects. Default: $GHIBLI_WORKSPACE, or workspace."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
BaseModelId = Annotated[
    str | None,
    typer.Option("--base-model", metavar="MODEL", help="miniature, a diffusers folder, a checkpoint or a Hub id."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Overwrite the existing dataset.")]
SplitSeed = Annotated[int, typer.Option("--seed", help="Seed of the random split.")]
ValidationShare = Annotated[float, typer.Option("--share", help="Share of the images to validate on.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the noise.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Inference steps.")]
GuidanceScale = Annotated[
    float | None, typer.Option("--guidance-scale", help="Higher follows the prompt more closely.")
]
AdapterScale = Annotated[
    float | None, typer.Option("--adapter-scale", help="How strongly the adapter acts, -2 to 2; 1 is as trained.")
]
NegativePrompt = Annotated[str | None, typer.Option("--negative-prompt", help="What not to show.")]
InitImageFile = Annotated[Path | None, typer.Option("--init-image", metavar="FILE", help="Image to start from.")]
Strength = Annotated[
    float | None, typer.Option("--strength", help="How much changes: near 0 keeps the image, 1 ignores it.")
]
SheetFile = Annotated[Path | None, typer.Option("--sheet", metavar="PNG", help="Also write a contact sheet.")]
SheetPage = Annotated[int, typer.Option("--page", help="Page of the contact sheet.")]
StyleSource = Annotated[
    Literal["teacher", "prompt", "adapter"] | None, typer.Option("--source", help="Where the style comes from.")
]
AdapterFile = Annotated[
    str | None, typer.Option("--adapter-file", metavar="FILE", help="LoRA or Textual Inversion that knows the style.")
]
StyleWords = Annotated[
    str | None, typer.Option("--style-words", help="Words that ask for the style (--source prompt).")
]
Ids = Annotated[str | None, typer.Option("--ids", help="Photos, separated by commas.")]


def open_workspace(folder: Path | None) -> Workspace:
    """The workspace in the folder given, else in the default one."""
    return Workspace(folder or default_root())


def model_or_default(model_id: str | None) -> str:
    """The base model given, else the default one."""
    return model_id or default_base_model()


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None: what the user has set."""
    return {name: value for name, value in values.items() if value is not None}


def names(text: str) -> list[str]:
    """Names separated by commas, without white space around them."""
    return [part.strip() for part in text.split(",") if part.strip()]


def stylization_of(
    source: str | None,
    adapter_file: str | None,
    style_words: str | None,
    strength: float | None,
    guidance_scale: float | None,
    num_inference_steps: int | None,
    seed: int | None,
    adapter_scale: float | None,
    negative_prompt: str | None,
) -> dict[str, Any]:
    """The settings of a stylization that were given; an adapter file or style words alone imply the source."""
    if source is None:
        source = "adapter" if adapter_file is not None else "prompt" if style_words is not None else None
    return given(
        source=source,
        adapter_file=adapter_file,
        style_words=style_words,
        strength=strength,
        guidance_scale=guidance_scale,
        num_inference_steps=num_inference_steps,
        seed=seed,
        adapter_scale=adapter_scale,
        negative_prompt=negative_prompt,
    )
