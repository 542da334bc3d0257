"""The report of a project: what was evaluated, trained and asked, as values, as findings in words, and as one page.

`build` gathers and says, `write` puts `report.json` and `report.html` on the disk. The words are `findings` and
`findings_training`, the page is `report_page`; no number is computed here.
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
from ghibli_studio.reporting.findings import Finding, of_pictures
from ghibli_studio.runtime import environment
from ghibli_studio.workspace.files import read_json, write_atomic
from ghibli_studio.workspace.project import Project
from ghibli_studio.workspace.run import Run

SCHEMA = 1
RESULT = "result.json"
MODELS = ("base_model", "clip_model")  # values that may be a folder of this machine


def build(project: Project, evaluation: Path | None = None) -> dict[str, Any]:
    """Everything that is known of a project as JSON values; `evaluation` is a finished one's folder.

    Keys: `schema`, `project`, `created`, `findings` (see `findings.Finding`), `evaluation` (its `result.json` with its
    `folder`; None without), `efficiency`, `dynamics`, `study` (None unless closed), `runs`, `dataset`, `versions`,
    `machine`. Raises StudioError for an evaluation that is not finished, or damaged.
    """
    result = None if evaluation is None else {**result_of(evaluation), "folder": evaluation.name}
    for one in result["variants"] if result else ():
        one.pop("file", None)  # its hash tells which it is
    runs = runs_of(project, result)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "project": project.name,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "evaluation": result,
        **trainings(runs),
        "study": blind_study.closed_outcome(project),
        "runs": [_described(run) for run in runs],
        "dataset": _dataset(project),
        "versions": environment.versions(),
        "machine": _machine(),
    }
    report["findings"] = [asdict(one) for one in findings(report)]
    return _without_paths(report)


def findings(report: dict[str, Any]) -> list[Finding]:
    """One finding a question, in the order of the report."""
    return [
        *of_pictures(report["evaluation"]),
        training_findings.speed(report["efficiency"]),
        training_findings.overfitting(report["dynamics"]),
        training_findings.people(report["study"]),
        training_findings.limits(report),
    ]


def write(project: Project, evaluation: Path | None = None, folder: Path | None = None) -> Path:
    """Write `report.json`, then `report.html`, each all or nothing, into a folder (the project's if none is given).

    Returns the page; raises StudioError where the disk refuses.
    """
    from ghibli_studio.reporting.html_page import page

    report = build(project, evaluation)
    place = project.report_file if folder is None else folder / project.report_file.name
    values = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(place.with_suffix(".json"), values)
    write_atomic(place, page(report, project, evaluation))
    return place


def result_of(evaluation: Path) -> dict[str, Any]:
    """What came out of an evaluation; StudioError where it is not finished, or damaged."""
    if not (evaluation / RESULT).exists():
        raise StudioError(f"the evaluation {evaluation.name} is not finished (it has no {RESULT}); go on with it first")
    return _finite(read_json(evaluation / RESULT))


def runs_of(project: Project, result: dict[str, Any] | None) -> list[Run]:
    """The runs that a report is about: those evaluated (else the newest of each method), and their repetitions.

    A repetition has every setting alike but for the seed. Only runs that finished an epoch count.
    """
    usable = [run for run in project.runs() if run.metrics()]
    named = {one["run"] for one in result["variants"]} if result else set()
    chosen = [run for run in usable if run.id in named]
    if not chosen:
        chosen = list({run.config().method: run for run in usable}.values())
    alike = [_without_seed(run) for run in chosen]
    return [run for run in usable if _without_seed(run) in alike]


def trainings(runs: Sequence[Run]) -> dict[str, Any]:
    """`efficiency` and `dynamics` of runs; None each without a run."""
    if not runs:
        return {"efficiency": None, "dynamics": None}
    from ghibli_studio.evaluation import efficiency, training_dynamics

    return {"efficiency": efficiency.describe(runs), "dynamics": training_dynamics.describe(runs)}


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _without_paths(value: Any) -> Any:
    """The same with a model's folder called by its name: where it lies on this machine is nobody's business."""
    if isinstance(value, dict):
        return {
            key: Path(one).name if key in MODELS and Path(str(one)).is_absolute() else _without_paths(one)
            for key, one in value.items()
        }
    return [_without_paths(one) for one in value] if isinstance(value, list) else value


def _without_seed(run: Run) -> dict[str, Any]:
    settings = run.config().model_dump(mode="json")
    settings["training"].pop("seed")
    return settings


def _described(run: Run) -> dict[str, Any]:
    """A run with its settings and its adapter's hash."""
    config, file = run.config(), run.adapter_file
    return {
        "run": run.id,
        "method": config.method,
        "settings": config.model_dump(mode="json"),
        "adapter_sha256": hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None,
    }


def _dataset(project: Project) -> dict[str, Any] | None:
    """The data set as it is now, which may be another than the evaluation's; None without one."""
    if not datasets.exists(project):
        return None
    made = datasets.load(project)
    return {
        "digest": datasets.digest(made),
        "train": len(made.part("train")),
        "validation": len(made.part("validation")),
        "resolution": made.resolution,
        "base_model": made.base_model,
    }


def _machine() -> dict[str, Any]:
    """The machine that made the report; what a run was made on is in `efficiency`."""
    import psutil

    return {
        "system": platform.platform(terse=True),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
