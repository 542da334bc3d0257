"""The `evaluate` and `report` commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.cli.console import Console
from ghibli_studio.cli.options import (
    AsJson,
    GuidanceScale,
    ProjectName,
    Seed,
    Steps,
    Strength,
    WorkspaceFolder,
    given,
    names,
    open_workspace,
)
from ghibli_studio.config.evaluation import EvaluationSettings
from ghibli_studio.workspace.project import Project

app = typer.Typer()


class Sweep(StrEnum):
    """What an evaluation can sweep."""

    ADAPTER_SCALE = "adapter_scale"
    EPOCH = "epoch"


@app.command()
def evaluate(
    project: ProjectName,
    runs: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Runs, separated by commas. Default: each method's newest.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ADAPTER", help="Also this file, or this adapter of the library. Repeatable."),
    ] = None,
    no_base: Annotated[bool, typer.Option("--no-base", help="Omit the base model.")] = False,
    tasks: Annotated[str | None, typer.Option(help="txt2img, img2img, or both separated by a comma.")] = None,
    landmarks: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Held-out landmarks, separated by commas. Default: all.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Images of each landmark.")] = None,
    seed: Seed = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    strength: Strength = None,
    clip_model: Annotated[str | None, typer.Option(help="Folder or Hub id of a published CLIP.")] = None,
    sweep: Annotated[list[Sweep] | None, typer.Option(help="Also sweep this, for curves. Repeatable.")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="EVALUATION", help="Resume an evaluation that was stopped.")
    ] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Generate held-out landmarks with several models, score and compare the images."""
    from ghibli_studio.evaluation import evaluator

    console, target = Console(as_json), open_workspace(workspace).project(project)
    if resume:
        work = evaluator.resume(target, target.evaluation(resume))
    else:
        lists = {name: tuple(names(text)) for name, text in (("tasks", tasks), ("landmarks", landmarks)) if text}
        settings = EvaluationSettings.checked(
            {
                **given(
                    seeds=seeds,
                    seed=seed,
                    num_inference_steps=steps,
                    guidance_scale=guidance_scale,
                    strength=strength,
                    clip_model=clip_model,
                ),
                **lists,
            }
        )
        work = evaluator.evaluate(target, _variants(target, runs, adapter or (), not no_base, sweep or ()), settings)
    for step in console.progress_of(work, target.workspace):
        if step.row and console.as_json:
            console.line("", event="scored", **step.row)
    folder = target.evaluation(resume) if resume else evaluator.evaluations(target)[0]
    result = evaluator.load(folder)
    for text, comparison in _comparisons(result):
        console.line(text, event="comparison", **comparison)
    for warning in result["warnings"]:
        console.line(f"note: {warning}", event="note", message=warning)
    console.line(str(folder / evaluator.RESULT_FILE), event="done", folder=str(folder))


def _variants(
    project: Project, runs: str | None, adapters: Sequence[str], base: bool, sweeps: Sequence[str]
) -> list[Any]:
    """What is compared: runs, adapter files, the base model, and their sweeps."""
    from ghibli_studio.adapter_library import catalog
    from ghibli_studio.evaluation import variants
    from ghibli_studio.generation import model_choice

    if runs:
        chosen = names(runs)
    elif adapters:
        chosen = []
    else:
        chosen = [
            model_choice.newest_finished_run(project, name).id for name in registry.methods() if project.runs(name)
        ]
    compared = variants.variants_of_runs(project, chosen, base=base)
    for text in adapters:
        name, equals, file = text.partition("=")
        if not equals:
            raise StudioError(f"--adapter {text!r} has no '='; write it as --adapter 'my LoRA=file.safetensors'")
        compared.append(variants.variant_of_file(name, catalog.resolve_file(project, file)))
    sweep_of = {"adapter_scale": variants.adapter_scale_sweep, "epoch": variants.epoch_sweep}
    return compared + [variant for name in sweeps for variant in sweep_of[name](project, compared)]


def _comparisons(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A line of text and the values of each comparison; the first of a pair has the pair's names above it."""
    labels = {key: metric["label"] for key, metric in result["metrics"].items()}
    width, before = max(map(len, labels.values())), None
    for comparison in result["comparisons"]:
        pair = (comparison["task"], comparison["a"], comparison["b"])
        head = "" if pair == before else f"\n{comparison['a']} minus {comparison['b']}, {comparison['task']}\n"
        low, high = comparison["interval"] or (None, None)
        within = f"{low:>9.3g} to {high:>9.3g}" if low is not None else " " * 22
        before = pair
        verdict = comparison["verdict"].partition(":")[0]  # the reason is the same for all, and printed below
        label = labels[comparison["metric"]]
        yield f"{head}  {label:{width}} {comparison['difference']:>+9.3g} {within}  {verdict}", comparison


@app.command()
def report(
    project: ProjectName,
    evaluation: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name. Default: the newest finished one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to. Default: the project's folder.")] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Create the report: one HTML page, and its values as JSON."""
    from ghibli_studio.evaluation import evaluator
    from ghibli_studio.reporting import report as reports

    target = open_workspace(workspace).project(project)
    folders = evaluator.evaluations(target)
    finished = [folder for folder in folders if (folder / evaluator.RESULT_FILE).exists()]
    folder = finished[0] if finished else None
    if evaluation:
        folder = next((each for each in folders if each.name == evaluation), None)
        if folder is None:
            known = ", ".join(each.name for each in finished) or "none yet"
            raise StudioError(f"project {target.name!r} has no evaluation {evaluation!r}; it has {known}")
    page = reports.write(target, folder, out)
    Console(as_json).line(str(page), event="done", page=str(page), values=str(page.with_suffix(".json")))
