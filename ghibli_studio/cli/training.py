"""The verbs `train`, `find-rate`, `find-batch`, `runs` and `cancel` of the command line."""

from __future__ import annotations

import argparse
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.cli.console import Told
from ghibli_studio.config.training import PRESETS, RunConfig, setting_of
from ghibli_studio.workspace.project import Project, Workspace

ALL = "all"


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verbs into the parser."""
    methods = [*sorted(registry.methods()), ALL]
    train_ = verb("train", train, "train an adapter, or a grid of them")
    train_.add_argument("--method", choices=methods, required=True, help="what to train; all: one after the other")
    train_.add_argument("--epochs", type=int, help="how often every picture is seen")
    train_.add_argument(
        "--seeds",
        default="1",
        metavar="N",
        help="runs to queue, from the seed upwards, or the seeds themselves, as 1,5,9 (%(default)s)",
    )
    train_.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="try every combination of values, as rank=4,8; may be given for several settings",
    )
    train_.add_argument(
        "--no-start",
        action="store_true",
        help="only create the runs, and tell their folders: to be started by hand with torchrun on several machines",
    )
    train_.add_argument("--resume", metavar="RUN", help="go on with a run after its last finished epoch")
    rate = verb("find-rate", find_rate, "look for a good learning rate by a short range test")
    rate.add_argument("--from", type=float, dest="lowest_rate", metavar="RATE", help="learning rate of the first step")
    rate.add_argument("--to", type=float, dest="highest_rate", metavar="RATE", help="learning rate of the last step")
    rate.add_argument("--steps", type=int, dest="search_steps", help="from the one to the other")
    batch = verb("find-batch", find_batch, "look for the largest batch that fits and the smallest that is as fast")
    for finder in (rate, batch):
        finder.add_argument("--method", choices=methods, default=ALL, help="for which (%(default)s)")
        finder.add_argument("--figure", type=Path, metavar="FILE", help="write what was found as a page, an .html file")
    for command in (train_, rate, batch):
        command.add_argument("--preset", choices=sorted(PRESETS), default="default", help="settings (%(default)s)")
        command.add_argument("--base-model", help="default: the data set's")
        command.add_argument("--seed", type=int, help="decides every random draw")
        command.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting, as JSON"
        )
    verb("runs", runs, "list the project's runs with their figures")
    cancel_ = verb("cancel", cancel, "stop a run; its best epoch so far stays usable")
    cancel_.add_argument("run", help="the run's name")


def train(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Queue the runs, or go on with one, and tell what they do."""
    from ghibli_studio.cli.console import follow
    from ghibli_studio.jobs import queue

    project = workspace.project(chosen.project)
    if chosen.resume:
        for option, given in (("--seeds", chosen.seeds != "1"), ("--grid", bool(chosen.grid))):
            if given:
                raise StudioError(f"--resume goes on with one run; leave {option} out")
        queued = [project.run(chosen.resume)]
        queue.start(queued[0])
    else:
        changes = {} if chosen.epochs is None else {"num_train_epochs": chosen.epochs}
        configs = _configs(chosen, project, changes)
        queued = [queue.submit(project, config, begin=not chosen.no_start) for config in configs]
    if chosen.no_start:
        for run in queued:
            told.line(str(run.folder), event="created", run=run.id, folder=str(run.folder))
        return 0
    return follow(queued, told)


def _configs(chosen: argparse.Namespace, project: Project, more: dict[str, Any]) -> list[RunConfig]:
    """The configurations that were asked for, of one method or of all."""
    from ghibli_studio.data import dataset as datasets
    from ghibli_studio.tuning import sweep

    changes = {**dict(setting_of(text) for text in chosen.set), **more}
    if chosen.seed is not None:
        changes["seed"] = chosen.seed
    base = {"base_model": chosen.base_model or datasets.load(project).base_model}
    methods = list(registry.methods()) if chosen.method == ALL else [chosen.method]
    # one method says itself what it does not know, and what was meant
    of_methods = sweep.for_each(changes, methods) if len(methods) > 1 else {chosen.method: changes}
    grid, seeds = sweep.read_grid(getattr(chosen, "grid", [])), getattr(chosen, "seeds", 1)
    return sweep.plan(chosen.preset, methods, {m: {**base, **of_methods[m]} for m in methods}, grid, seeds)


def find_rate(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Test the methods in turn; the exit code is 1 where one has no suggestion."""
    from ghibli_studio.tuning import lr_finder

    project = workspace.project(chosen.project)
    names = ("lowest_rate", "highest_rate", "search_steps")
    given = {name: value for name in names if (value := getattr(chosen, name)) is not None}
    search = lr_finder.RateSearch.checked(given)
    found = []
    for step in told.followed(lr_finder.find(project, _configs(chosen, project, {}), search), workspace):
        if step.found:
            found.append(step.found)
            for row in lr_finder.rows_of(step.found) if told.as_json else ():
                told.line("", event="rate", **row)
            told.line(
                step.what,
                event="found",
                method=step.found.method,
                learning_rate=step.found.suggestion,
                diverged=step.found.diverged,
                message=step.what,
            )
    _write_figure(chosen, "Loss by learning rate", lr_finder.figure(found), told)
    return int(any(one.suggestion is None for one in found))


def find_batch(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Try batch sizes with the methods; the exit code is 1 where not even one picture fits."""
    from ghibli_studio.tuning import batch_size_finder

    project, found = workspace.project(chosen.project), None
    for step in told.followed(batch_size_finder.find(project, _configs(chosen, project, {})), workspace):
        if step.row:
            told.line(step.what, event="batch", **vars(step.row))
        found = step.found or found
    told.line(found.words, event="found", largest=found.largest, suggestion=found.suggestion, message=found.words)
    _write_figure(chosen, "Batch sizes", batch_size_finder.figure(found), told)
    return int(found.largest is None)


def _write_figure(chosen: argparse.Namespace, title: str, figure: str, told: Told) -> None:
    from ghibli_studio.workspace.files import write_atomic

    if not chosen.figure:
        return
    style = (
        "body{max-width:40rem;margin:2rem auto;padding:0 1rem;font-family:system-ui,sans-serif}"
        ".legend{list-style:none;padding:0}.legend svg{width:1.8rem;height:.8rem}figure{margin:0}"
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style>{figure}</html>\n"
    )
    write_atomic(chosen.figure, page)
    told.line(str(chosen.figure), event="figure", file=str(chosen.figure))


def runs(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """List the runs."""
    from ghibli_studio.jobs import status as job_status

    for run in workspace.project(chosen.project).runs():
        status, metrics = job_status.status(run), run.metrics()
        best = ""
        if metrics:
            best = f"best validation loss {metrics['best_validation_loss']:.4f} in epoch {metrics['best_epoch']}"
        told.line(f"{run.id}  {status.state}  {best}", event="run", run=run.id, state=status.state, **metrics)
    return 0


def cancel(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Stop a run."""
    from ghibli_studio.jobs import queue

    run = workspace.project(chosen.project).run(chosen.run)
    status = queue.cancel(run)
    told.line(f"{run.id}: {status.state}", event=status.state, run=run.id)
    return 0
