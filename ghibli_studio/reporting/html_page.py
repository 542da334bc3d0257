"""The report as one HTML file: images, figures and style sheet are inside, without scripts or external requests.

Texts and numbers come from `report`, figures from the plot modules, and the layout from `templates`.
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
from ghibli_studio.reporting.findings import HOW_TO_READ, QUESTIONS, proxy_networks
from ghibli_studio.reporting.training_findings import format_values, method_label
from ghibli_studio.workspace.project import Project

TEMPLATES = Path(__file__).parent / "templates"
VERDICT_LABELS = {
    "difference": "difference",
    "no_difference": "no evidence of a difference",
    "mixed": "mixed",
    "inconclusive": "inconclusive",
}


def render_page(report: dict[str, Any], project: Project, evaluation: Path | None) -> str:
    """Return the whole page of a report of `report.build`; `evaluation` is the folder of its images."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    result = report["evaluation"]
    sections = image_selection.image_sections(project, evaluation, result) if result and evaluation else []
    figures = {name: [Markup(figure) for figure in group] for name, group in figures_by_section(report).items()}
    return templates.get_template("report.html").render(
        report=report,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        facts=dict(facts(report)),
        findings=[{**finding, "chip": _chip(finding)} for finding in report["findings"]],
        how_to_read=HOW_TO_READ if result else "",
        proxy_networks=proxy_networks(result) if result else [],
        images=sections,
        figures=figures,
        provenance=list(provenance(report)),
        created=_format_date(report["created"]),
        metrics=list(result["metrics"].values()) if result else [],
        runs=[
            {**run, "label": method_label(run["method"]), "settings_text": _format_settings(run["settings"])}
            for run in report["runs"]
        ],
    )


def figures_by_section(report: dict[str, Any]) -> dict[str, list[str]]:
    """Return all figures of a report as HTML, by section."""
    result = report["evaluation"]
    figures: dict[str, list[str]] = {
        "training": training_plot.training_plots(report["training_cost"], report["training_dynamics"]),
        "study": [study_plot.study_plots(report["study"]["values"])] if report["study"] else [],
    }
    if result is None:
        return figures
    figures |= {
        "forest_plots": evaluation_plot.forest_plots(result),
        "style_landmark": sweep_plot.style_landmark_plots(result),
        "adapter_scale": sweep_plot.adapter_scale_plots(result),
        "distributions": evaluation_plot.distribution_plots(result),
        "comparisons": [evaluation_plot.comparison_table(result)] if result["comparisons"] else [],
    }
    for question in QUESTIONS:
        figures[question] = [
            plot
            for task in evaluation_result.tasks_of(result)
            for plot in evaluation_plot.mean_plots(result, task, question)
        ]
    return figures


def facts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the key facts for the head of the page, as (name, value)."""
    result = report["evaluation"]
    if result:
        names = [variant["name"] for variant in result["variants"] if variant["group"] == "compare"]
        yield "compared", ", ".join(names)
        yield "landmarks", str(len(result["subjects"]))
        yield "images", str(len(result["rows"]))
    yield "training runs", str(len(report["runs"]))
    if report["dataset"]:
        yield "training images", str(report["dataset"]["train"])
        yield "base model", report["dataset"]["base_model"]


def provenance(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield everything that is needed to reproduce the report, as (name, value)."""
    result, dataset = report["evaluation"], report["dataset"]
    if result:
        yield "Evaluation", f"{result['folder']}, {_format_date(result['created'])}, took {duration(result['seconds'])}"
        yield "Settings", _format_settings(result["settings"])
        for name, network in result["networks"].items():
            if network is None:
                yield f"Network: {name}", "missing"
            else:
                proxy = ", a proxy" if network["proxy"] else ""
                yield f"Network: {name}", f"{network['name']}{proxy}, SHA-256 {network.get('digest', 'unknown')}"
        for variant in result["variants"]:
            if variant["group"] == "compare" and variant["sha256"]:
                yield (
                    variant["name"],
                    f"run {variant['run']}, epoch {variant['epoch']}, adapter scale {variant['adapter_scale']:g}, "
                    f"SHA-256 {variant['sha256']}",
                )
        yield "Evaluated dataset", f"SHA-256 {result['dataset']['digest']}"
        yield "Evaluated on", format_values(result["machine"])
        yield "Versions at evaluation", format_values(result["versions"])
    if dataset:
        yield (
            "Current dataset",
            f"{dataset['train']} training images, {dataset['validation']} validation images of other landmarks, "
            f"{dataset['resolution']} px, SHA-256 {dataset['digest']}",
        )
    memory = {**report["machine"], "memory_bytes": size(report["machine"]["memory_bytes"])}
    yield "Report created on", format_values({key.removesuffix("_bytes"): value for key, value in memory.items()})
    yield "Versions at report", format_values(report["versions"])


def _chip(finding: dict[str, Any]) -> str:
    """Return the short verdict beside a finding's title; the limitations have none."""
    return "" if finding["question"] == "limitations" else VERDICT_LABELS[finding["verdict"]]


def _format_settings(settings: dict[str, Any]) -> str:
    """Return settings in one line; sections are flattened and empty values are omitted."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= value if isinstance(value, dict) else {key: value}
    texts = {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in flat.items()}
    return "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in texts.items() if value not in ("", None))


def _format_date(moment: str) -> str:
    """Return an ISO time as `2 January 2025, 03:04`; any other text unchanged."""
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{time.day} {time:%B %Y, %H:%M}"
