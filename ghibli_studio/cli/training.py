"""The `train` command, and the groups `runs` and `tune`."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.cli.console import Console, follow
from ghibli_studio.cli.options import AsJson, ProjectName, RunName, WorkspaceFolder, given, open_workspace
from ghibli_studio.config.training import PRESETS, RunConfig, parse_setting
from ghibli_studio.workspace.project import Project

ALL = "all"

app = typer.Typer()
runs_app = typer.Typer(no_args_is_help=True, help="List, resume and cancel training runs.")
tune_app = typer.Typer(no_args_is_help=True, help="Find a learning rate and a batch size.")


def _methods(incomplete: str) -> list[str]:
    return [name for name in (*sorted(registry.methods()), ALL) if name.startswith(incomplete)]


def _method(name: str | None) -> str | None:
    if name is not None and name not in (known := [*sorted(registry.methods()), ALL]):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)}")
    return name


def _preset(name: str) -> str:
    if name not in PRESETS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(sorted(PRESETS))}")
    return name


Method = Annotated[
    str | None, typer.Option(metavar="METHOD", help="lora, ti, or all.", callback=_method, autocompletion=_methods)
]
Preset = Annotated[str, typer.Option(metavar="PRESET", help=f"{', '.join(sorted(PRESETS))}.", callback=_preset)]
TrainedModel = Annotated[str | None, typer.Option("--base-model", metavar="MODEL", help="Default: the dataset's.")]
TrainingSeed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, as JSON.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Write the plot as an .html file.")]


@app.command()
def train(
    project: ProjectName,
    method: Method = None,
    preset: Preset = "default",
    epochs: Annotated[int | None, typer.Option(help="How often every image is seen.")] = None,
    base_model: TrainedModel = None,
    seed: TrainingSeed = None,
    seeds: Annotated[
        str, typer.Option(metavar="N", help="How many runs to queue, from the seed up, or the seeds, as 1,5,9.")
    ] = "1",
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUES", help="Sweep: every combination of values, as rank=4,8. Repeatable."),
    ] = None,
    set_: Set = None,
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Only create the runs: start them with torchrun on several machines.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Resume a run after its last finished epoch.")
    ] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> int:
    """Train an adapter, several seeds, or a sweep."""
    from ghibli_studio.jobs import queue

    console, target = Console(as_json), open_workspace(workspace).project(project)
    if resume:
        for option, was_given in (("--seeds", seeds != "1"), ("--grid", bool(grid))):
            if was_given:
                raise StudioError(f"--resume continues one run; omit {option}")
        return _resume(target, resume, console)
    if method is None:
        raise typer.BadParameter(f"choose one of {', '.join(_methods(''))}", param_hint="--method")
    changes = {**_changes(set_, seed), **given(num_train_epochs=epochs)}
    configs = _configs(target, method, preset, base_model, changes, grid or [], seeds)
    queued = [queue.submit(target, config, begin=not no_start) for config in configs]
    if no_start:
        for run in queued:
            console.line(str(run.folder), event="created", run=run.id, folder=str(run.folder))
        return 0
    return follow(queued, console)


def _resume(project: Project, name: str, console: Console) -> int:
    from ghibli_studio.jobs import queue

    run = project.run(name)
    queue.start(run)
    return follow([run], console)


def _changes(texts: Sequence[str] | None, seed: int | None) -> dict[str, Any]:
    """Settings that differ from the preset."""
    return {**dict(parse_setting(text) for text in texts or ()), **given(seed=seed)}


def _configs(
    project: Project,
    method: str,
    preset: str,
    base_model: str | None,
    changes: dict[str, Any],
    grid: Sequence[str] = (),
    seeds: str = "1",
) -> list[RunConfig]:
    """The configurations that were asked for, of one method or of all."""
    from ghibli_studio.data import dataset as datasets
    from ghibli_studio.tuning import sweep

    base = {"base_model": base_model or datasets.load(project).base_model}
    methods = list(registry.methods()) if method == ALL else [method]
    # a single method reports unknown settings itself, with the nearest known one
    of_methods = sweep.settings_by_method(changes, methods) if len(methods) > 1 else {method: changes}
    each = {name: {**base, **of_methods[name]} for name in methods}
    return sweep.plan(preset, methods, each, sweep.parse_grid(list(grid)), seeds)


@tune_app.command("lr")
def learning_rate(
    project: ProjectName,
    method: Method = ALL,
    preset: Preset = "default",
    lowest: Annotated[float | None, typer.Option("--from", metavar="RATE", help="Rate of the first step.")] = None,
    highest: Annotated[float | None, typer.Option("--to", metavar="RATE", help="Rate of the last step.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps from the first rate to the last.")] = None,
    base_model: TrainedModel = None,
    seed: TrainingSeed = None,
    set_: Set = None,
    plot: PlotFile = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> int:
    """Find a learning rate by a short range test; exit code 1 if a method has no suggestion."""
    from ghibli_studio.tuning import lr_finder

    console, target = Console(as_json), open_workspace(workspace).project(project)
    search = lr_finder.LearningRateSearch.checked(given(min_lr=lowest, max_lr=highest, num_steps=steps))
    configs = _configs(target, method or ALL, preset, base_model, _changes(set_, seed))
    results = []
    for step in console.progress_of(lr_finder.find(target, configs, search), target.workspace):
        if step.result:
            results.append(step.result)
            for row in lr_finder.rows_of(step.result) if console.as_json else ():
                console.line("", event="rate", **row)
            console.line(
                step.what,
                event="found",
                method=step.result.method,
                learning_rate=step.result.suggestion,
                diverged=step.result.diverged,
                message=step.what,
            )
    if plot:
        _write_plot(plot, "Loss by learning rate", lr_finder.figure(results), console)
    return int(any(result.suggestion is None for result in results))


@tune_app.command("batch-size")
def batch_size(
    project: ProjectName,
    method: Method = ALL,
    preset: Preset = "default",
    base_model: TrainedModel = None,
    seed: TrainingSeed = None,
    set_: Set = None,
    plot: PlotFile = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> int:
    """Find the largest batch that fits and the smallest that is as fast; exit code 1 if not one image fits."""
    from ghibli_studio.tuning import batch_size_finder

    console, target = Console(as_json), open_workspace(workspace).project(project)
    configs = _configs(target, method or ALL, preset, base_model, _changes(set_, seed))
    result: Any = None
    for step in console.progress_of(batch_size_finder.find(target, configs), target.workspace):
        if step.row:
            console.line(step.what, event="batch", **vars(step.row))
        result = step.result or result
    console.line(
        result.summary, event="found", largest=result.largest, suggestion=result.suggestion, message=result.summary
    )
    if plot:
        _write_plot(plot, "Batch sizes", batch_size_finder.figure(result), console)
    return int(result.largest is None)


def _write_plot(file: Path, title: str, figure: str, console: Console) -> None:
    from ghibli_studio.workspace.files import write_atomic

    style = (
        "body{max-width:40rem;margin:2rem auto;padding:0 1rem;font-family:system-ui,sans-serif}"
        ".legend{list-style:none;padding:0}.legend svg{width:1.8rem;height:.8rem}figure{margin:0}"
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style>{figure}</html>\n"
    )
    write_atomic(file, page)
    console.line(str(file), event="plot", file=str(file))


@runs_app.command("list")
def list_(project: ProjectName, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """List the project's runs with their state and best validation loss."""
    from ghibli_studio.jobs import status as job_status

    console = Console(as_json)
    for run in open_workspace(workspace).project(project).runs():
        status, metrics = job_status.status(run), run.metrics()
        best = ""
        if metrics:
            best = f"best validation loss {metrics['best_validation_loss']:.4f} in epoch {metrics['best_epoch']}"
        console.line(f"{run.id}  {status.state}  {best}", event="run", run=run.id, state=status.state, **metrics)


@runs_app.command()
def cancel(project: ProjectName, run: RunName, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """Cancel a run; its best epoch so far stays usable."""
    from ghibli_studio.jobs import queue

    status = queue.cancel(open_workspace(workspace).project(project).run(run))
    Console(as_json).line(f"{run}: {status.state}", event=status.state, run=run)


@runs_app.command()
def resume(project: ProjectName, run: RunName, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> int:
    """Resume a run after its last finished epoch."""
    return _resume(open_workspace(workspace).project(project), run, Console(as_json))
