"""The report of a project: its evaluation, training and study as values, as findings in words, and as one page.

`build` collects the values, `write` writes `report.json` and `report.html`. The sentences are in `findings` and
`training_findings`, the page is in `html_page`; no number is computed here.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.evaluation import blind_study
from ghibli_studio.reporting import training_findings
from ghibli_studio.reporting.findings import Finding, image_findings
from ghibli_studio.runtime import environment
from ghibli_studio.workspace.files import read_json, write_atomic
from ghibli_studio.workspace.project import Project
from ghibli_studio.workspace.run import Run

SCHEMA = 1
RESULT_FILE = "result.json"
MODEL_KEYS = ("base_model", "clip_model")  # values that may be a folder of this machine


def build(project: Project, evaluation: Path | None = None) -> dict[str, Any]:
    """Return all results of a project as JSON values; `evaluation` is the folder of a finished one.

    Keys: `schema`, `project`, `created`, `findings` (see `findings.Finding`), `evaluation` (its `result.json` with its
    `folder`; None without one), `training_cost`, `training_dynamics`, `study` (None unless closed), `runs`, `dataset`,
    `versions`, `machine`. Raises StudioError for an evaluation that is unfinished or damaged.
    """
    result = None if evaluation is None else {**load_result(evaluation), "folder": evaluation.name}
    for variant in result["variants"] if result else ():
        variant.pop("file", None)  # the hash identifies it
    runs = runs_of(project, result)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "project": project.name,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "evaluation": result,
        **training_summaries(runs),
        "study": blind_study.closed_study_result(project),
        "runs": [_run_summary(run) for run in runs],
        "dataset": _dataset_summary(project),
        "versions": environment.versions(),
        "machine": _machine(),
    }
    report["findings"] = [asdict(finding) for finding in findings(report)]
    return _without_paths(report)


def findings(report: dict[str, Any]) -> list[Finding]:
    """Return one finding per question, in the order of the report."""
    return [
        *image_findings(report["evaluation"]),
        training_findings.training_cost_finding(report["training_cost"]),
        training_findings.overfitting_finding(report["training_dynamics"]),
        training_findings.participants_finding(report["study"]),
        training_findings.limitations_finding(report),
    ]


def write(project: Project, evaluation: Path | None = None, folder: Path | None = None) -> Path:
    """Write `report.json`, then `report.html`, each atomically, into a folder (by default the project's).

    Returns the page; raises StudioError if the files cannot be written.
    """
    from ghibli_studio.reporting.html_page import render_page

    report = build(project, evaluation)
    page = project.report_file if folder is None else folder / project.report_file.name
    values = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(page.with_suffix(".json"), values)
    write_atomic(page, render_page(report, project, evaluation))
    return page


def load_result(evaluation: Path) -> dict[str, Any]:
    """Return the result of an evaluation; raises StudioError if it is unfinished or damaged."""
    if not (evaluation / RESULT_FILE).exists():
        raise StudioError(f"evaluation {evaluation.name} is not finished (it has no {RESULT_FILE}); resume it first")
    return _finite(read_json(evaluation / RESULT_FILE))


def runs_of(project: Project, result: dict[str, Any] | None) -> list[Run]:
    """Return the runs of a report: the evaluated ones (else the newest of each method), and their repetitions.

    A repetition differs only in the seed. Only runs that finished an epoch count.
    """
    usable = [run for run in project.runs() if run.metrics()]
    named = {variant["run"] for variant in result["variants"]} if result else set()
    chosen = [run for run in usable if run.id in named]
    if not chosen:
        chosen = list({run.config().method: run for run in usable}.values())
    settings = [_without_seed(run) for run in chosen]
    return [run for run in usable if _without_seed(run) in settings]


def training_summaries(runs: Sequence[Run]) -> dict[str, Any]:
    """Return `training_cost` and `training_dynamics` of runs; both None without runs."""
    if not runs:
        return {"training_cost": None, "training_dynamics": None}
    from ghibli_studio.evaluation import training_cost, training_dynamics

    return {"training_cost": training_cost.describe(runs), "training_dynamics": training_dynamics.describe(runs)}


def _finite(value: Any) -> Any:
    """Return the value with None for numbers that JSON cannot represent."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _without_paths(value: Any) -> Any:
    """Return the value with a model's folder reduced to its name: the path on this machine is private."""
    if isinstance(value, dict):
        return {
            key: Path(entry).name if key in MODEL_KEYS and Path(str(entry)).is_absolute() else _without_paths(entry)
            for key, entry in value.items()
        }
    return [_without_paths(entry) for entry in value] if isinstance(value, list) else value


def _without_seed(run: Run) -> dict[str, Any]:
    settings = run.config().model_dump(mode="json")
    settings["training"].pop("seed")
    return settings


def _run_summary(run: Run) -> dict[str, Any]:
    """Return a run with its settings and its adapter's hash."""
    config, file = run.config(), run.adapter_file
    return {
        "run": run.id,
        "method": config.method,
        "settings": config.model_dump(mode="json"),
        "adapter_sha256": hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None,
    }


def _dataset_summary(project: Project) -> dict[str, Any] | None:
    """Return the current dataset, which may differ from the evaluation's; None without one."""
    if not datasets.exists(project):
        return None
    dataset = datasets.load(project)
    return {
        "digest": datasets.digest(dataset),
        "train": len(dataset.part("train")),
        "validation": len(dataset.part("validation")),
        "resolution": dataset.resolution,
        "base_model": dataset.base_model,
    }


def _machine() -> dict[str, Any]:
    """Return the machine that created the report; each run's machine is in `training_cost`."""
    import psutil

    return {
        "system": platform.platform(terse=True),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
