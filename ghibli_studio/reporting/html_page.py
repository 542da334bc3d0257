"""The report as one HTML file: pictures, drawings and style sheet inside, no script, nothing fetched from anywhere.

Words and numbers come from `report`, drawings from `report_figures` and
`training_figures`, the layout from `templates`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ghibli_studio.plotting.formatting import duration, size
from ghibli_studio.reporting import (
    evaluation_plot,
    evaluation_result,
    image_selection,
    study_plot,
    sweep_plot,
    training_plot,
)
from ghibli_studio.reporting.findings import HOW_TO_READ, QUESTIONS, stand_ins
from ghibli_studio.reporting.training_findings import label, machine_words
from ghibli_studio.workspace.project import Project

HERE = Path(__file__).parent / "templates"
CHIPS = {"better": "a difference", "none": "no difference found", "mixed": "mixed", "unsaid": "cannot be said"}
EXCEPT = {"limits": ""}


def page(report: dict[str, Any], project: Project, evaluation: Path | None) -> str:
    """The whole page of a report of `report.build`; `evaluation` is the folder that its pictures are in."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    templates = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    result = report["evaluation"]
    shown = image_selection.pages(project, evaluation, result) if result and evaluation else []
    drawn = {name: [Markup(one) for one in told] for name, told in figures(report).items()}
    return templates.get_template("report.html").render(
        report=report,
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        facts=dict(facts(report)),
        findings=[{**one, "chip": EXCEPT.get(one["question"], CHIPS[one["verdict"]])} for one in report["findings"]],
        how_to_read=HOW_TO_READ if result else "",
        stand_ins=stand_ins(result) if result else [],
        pictures=shown,
        figures=drawn,
        made=list(how_made(report)),
        created=_day(report["created"]),
        metrics=list(result["metrics"].values()) if result else [],
        runs=[{**run, "label": label(run["method"]), "told": _settings(run["settings"])} for run in report["runs"]],
    )


def figures(report: dict[str, Any]) -> dict[str, list[str]]:
    """All drawings of a report as HTML, by the section that they stand in."""
    result = report["evaluation"]
    found: dict[str, list[str]] = {
        "training": training_plot.training(report["efficiency"], report["dynamics"]),
        "study": [study_plot.plots(report["study"]["values"])] if report["study"] else [],
    }
    if result is None:
        return found
    found |= {
        "forests": evaluation_plot.forests(result),
        "planes": sweep_plot.planes(result),
        "strengths": sweep_plot.strengths(result),
        "sets": evaluation_plot.sets(result),
        "compared": [evaluation_plot.comparisons(result)] if result["comparisons"] else [],
    }
    for question in QUESTIONS:
        found[question] = [
            one for task in evaluation_result.tasks_of(result) for one in evaluation_plot.means(result, task, question)
        ]
    return found


def facts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a reader wants to know first, as (name, value)."""
    result = report["evaluation"]
    if result:
        names = [one["name"] for one in result["variants"] if one["group"] == "compare"]
        yield "compared", ", ".join(names)
        yield "landmarks", str(len(result["subjects"]))
        yield "pictures", str(len(result["rows"]))
    yield "training runs", str(len(report["runs"]))
    if report["dataset"]:
        yield "pictures to learn from", str(report["dataset"]["train"])
        yield "base model", report["dataset"]["base_model"]


def how_made(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything that is needed to do it again, as (name, value)."""
    result, data = report["evaluation"], report["dataset"]
    if result:
        yield "Evaluation", f"{result['folder']}, {_day(result['created'])}, took {duration(result['seconds'])}"
        yield "Settings", _settings(result["settings"])
        for name, network in result["networks"].items():
            told = "not at hand" if network is None else network["name"]
            if network:
                told += ", a stand-in" if network["stand_in"] else ""
                told += f", SHA-256 {network.get('digest', 'unknown')}"
            yield f"Network: {name}", told
        for one in result["variants"]:
            if one["group"] == "compare" and one["sha256"]:
                yield (
                    one["name"],
                    (
                        f"run {one['run']}, epoch {one['epoch']}, strength {one['adapter_scale']:g}, SHA-256 {one['sha256']}"
                    ),
                )
        yield "Data set evaluated", f"SHA-256 {result['dataset']['digest']}"
        yield "Computed on", machine_words(result["machine"])
        yield "Versions then", machine_words(result["versions"])
    if data:
        yield (
            "Data set now",
            (
                f"{data['train']} pictures to train on, {data['validation']} of other landmarks to "
                f"validate on, {data['resolution']} px, SHA-256 {data['digest']}"
            ),
        )
    memory = {**report["machine"], "memory_bytes": size(report["machine"]["memory_bytes"])}
    yield "Report made on", machine_words({key.removesuffix("_bytes"): value for key, value in memory.items()})
    yield "Versions", machine_words(report["versions"])


def _settings(settings: dict[str, Any]) -> str:
    """Settings in one line; sections are flattened, what is empty is left out."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= value if isinstance(value, dict) else {key: value}
    told = {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in flat.items()}
    return "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in told.items() if value not in ("", None))


def _day(moment: str) -> str:
    """`2 January 2025, 03:04` of an ISO time; the text itself where it is none."""
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{found.day} {found:%B %Y, %H:%M}"
