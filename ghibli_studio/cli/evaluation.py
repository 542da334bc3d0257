"""The verbs `evaluate` and `report` of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.cli.console import Told
from ghibli_studio.config.evaluation import EvaluationSettings
from ghibli_studio.workspace.project import Project, Workspace

SWEEPS = ("adapter_scale", "epoch")


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verbs into the parser."""
    judge = verb("evaluate", evaluate, "draw held-out landmarks with several adapters, score and compare the pictures")
    judge.add_argument("--runs", help="names separated by commas (default: the newest of each method)")
    judge.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=ADAPTER",
        help="an adapter file as well, or one of the verb adapters",
    )
    judge.add_argument("--no-base", action="store_true", help="leave the base model out")
    judge.add_argument("--tasks", help="prompt, photo, or both separated by a comma (default: both)")
    judge.add_argument("--landmarks", help="names separated by commas (default: all that were held out)")
    judge.add_argument("--seeds", type=int, help="pictures of each landmark (default: 1)")
    judge.add_argument("--seed", type=int, help="decides the noise")
    judge.add_argument("--steps", type=int, dest="num_inference_steps", help="from noise to picture")
    judge.add_argument("--guidance-scale", type=float, help="how strongly to follow the prompt")
    judge.add_argument("--denoising-strength", type=float, help="how much of a photograph is drawn anew")
    judge.add_argument("--clip-model", help="a folder or hub id of a published CLIP")
    judge.add_argument("--sweep", action="append", default=[], choices=SWEEPS, help="draw for curves too")
    judge.add_argument("--resume", metavar="EVALUATION", help="go on with one that was stopped")
    tell = verb("report", report, "write the report: one page, and its values as JSON")
    tell.add_argument("--evaluation", help="its name (default: the newest finished one)")
    tell.add_argument("--out", type=Path, metavar="DIR", help="where to (default: the project's folder)")


def evaluate(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Draw, score and compare; tells each picture's scores, then the comparisons."""
    from ghibli_studio.evaluation import evaluator

    project = workspace.project(chosen.project)
    for step in told.followed(_work(chosen, project), workspace):
        if step.row and told.as_json:
            told.line("", event="scored", **step.row)
    folder = evaluator.evaluations(project)[0] if not chosen.resume else project.evaluation(chosen.resume)
    result = evaluator.load(folder)
    for text, one in _comparisons(result):
        told.line(text, event="comparison", **one)
    for warning in result["warnings"]:
        told.line(f"note: {warning}", event="note", message=warning)
    told.line(str(folder / evaluator.RESULT), event="done", folder=str(folder))
    return 0


def _comparisons(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A line for people and the values of each comparison; the first of a pair has the pair's names above it."""
    labels = {key: metric["label"] for key, metric in result["metrics"].items()}
    width, before = max(map(len, labels.values())), None
    for one in result["comparisons"]:
        pair = (one["task"], one["a"], one["b"])
        head = "" if pair == before else f"\n{one['a']} minus {one['b']}, drawn from the {one['task']}\n"
        low, high = one["interval"] or (None, None)
        within = f"{low:>9.3g} to {high:>9.3g}" if low is not None else " " * 22
        before = pair
        verdict = one["verdict"].partition(":")[0]  # the reason is the same for all, and told below
        yield f"{head}  {labels[one['metric']]:{width}} {one['difference']:>+9.3g} {within}  {verdict}", one


def _work(chosen: argparse.Namespace, project: Project) -> Iterator[Any]:
    from ghibli_studio.adapter_library import catalog
    from ghibli_studio.evaluation import evaluator, variants
    from ghibli_studio.generation import model_choice

    if chosen.resume:
        return evaluator.resume(project, project.evaluation(chosen.resume))
    if chosen.runs:
        runs = [name.strip() for name in chosen.runs.split(",") if name.strip()]
    elif chosen.adapter:
        runs = []
    else:
        runs = [model_choice.finished_run(project, name).id for name in registry.methods() if project.runs(name)]
    compared = variants.variants_of_runs(project, runs, base=not chosen.no_base)
    for text in chosen.adapter:
        name, equals, file = text.partition("=")
        if not equals:
            raise StudioError(f"--adapter {text!r} has no '='; write it as --adapter 'my LoRA=file.safetensors'")
        compared.append(variants.variant_of_file(name, catalog.file_of(project, file)))
    sweeps = {"adapter_scale": variants.strength_sweep, "epoch": variants.epoch_sweep}
    wanted = compared + [one for name in chosen.sweep for one in sweeps[name](project, compared)]
    return evaluator.evaluate(project, wanted, _settings(chosen))


def _settings(chosen: argparse.Namespace) -> EvaluationSettings:
    names = ("seeds", "seed", "num_inference_steps", "guidance_scale", "strength", "clip_model")
    given = {name: value for name in names if (value := getattr(chosen, name)) is not None}
    for name in ("tasks", "landmarks"):
        if text := getattr(chosen, name):
            given[name] = tuple(part.strip() for part in text.split(",") if part.strip())
    return EvaluationSettings.checked(given)


def report(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Write `report.html` and `report.json`."""
    from ghibli_studio.evaluation import evaluator
    from ghibli_studio.reporting import report as reports

    project = workspace.project(chosen.project)
    finished = [folder for folder in evaluator.evaluations(project) if (folder / evaluator.RESULT).exists()]
    if chosen.evaluation:
        folder = next((one for one in evaluator.evaluations(project) if one.name == chosen.evaluation), None)
        if folder is None:
            known = ", ".join(one.name for one in finished) or "none yet"
            raise StudioError(f"project {project.name!r} has no evaluation {chosen.evaluation!r}; it has {known}")
    else:
        folder = finished[0] if finished else None
    page = reports.write(project, folder, chosen.out)
    told.line(str(page), event="done", page=str(page), values=str(page.with_suffix(".json")))
    return 0
