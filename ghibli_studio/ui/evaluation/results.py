"""The result of an evaluation as values of the Evaluate tab's widgets: findings, comparisons, figures, best and worst.

No number is computed here, and no widget is created.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from ghibli_studio.reporting import (
    evaluation_plot,
    evaluation_result,
    image_selection,
    report,
    sweep_plot,
    training_plot,
)
from ghibli_studio.reporting.findings import HOW_TO_READ, QUESTIONS, Finding, image_findings
from ghibli_studio.reporting.training_findings import overfitting_finding, training_cost_finding
from ghibli_studio.ui.components import html_parts
from ghibli_studio.workspace.project import Project

COLUMNS: dict[str, tuple[Literal["str", "number"], str]] = {
    "Metric": ("str", "230px"),
    "Task": ("str", "140px"),
    "Pair": ("str", "200px"),
    "Difference": ("number", "105px"),
    "Low": ("number", "85px"),
    "High": ("number", "85px"),
    "p (Holm)": ("number", "90px"),
    "Effect": ("number", "80px"),
    "Conclusion": ("str", "190px"),
}
"""Column header -> (datatype, width)."""
TASK_LABELS = {"txt2img": "text to image", "img2img": "image to image, from the photo"}
BEST_AND_WORST = 6
COUNT = 9
"""The number of widgets that `view` updates."""


def view(project: Project, folder: Path | None) -> list[Any]:
    """Return updates of (answers, findings, table, figures, task, metric, variant, gallery, box) for an evaluation."""
    if folder is None or not (folder / report.RESULT_FILE).exists():
        hint = html_parts.empty("This evaluation is not finished. Press Resume.") if folder else ""
        return [hint, *[gr.skip()] * (COUNT - 2), gr.update(visible=False)]
    result = report.load_result(folder)
    trainings = report.training_summaries(report.runs_of(project, result))
    tasks = evaluation_result.tasks_of(result)
    measures = evaluation_result.metrics_of(result, tasks[0])
    names = list(evaluation_result.variant_styles(result["variants"]))
    findings = [
        *image_findings(result),
        training_cost_finding(trainings["training_cost"]),
        overfitting_finding(trainings["training_dynamics"]),
    ]
    return [
        answers(findings, result["warnings"]),
        findings_text(findings),
        gr.update(value=table(result), visible=bool(result["comparisons"])),
        plots(result, trainings),
        gr.update(choices=[(TASK_LABELS[task], task) for task in tasks], value=tasks[0]),
        gr.update(choices=[(result["metrics"][key]["label"], key) for key in measures], value=measures[0]),
        gr.update(choices=names, value=names[-1]),
        gallery(folder, result, tasks[0], names[-1], measures[0]),
        gr.update(visible=True),
    ]


def answers(findings: list[Finding], warnings: list[str]) -> str:
    """Return questions with one-sentence answers, then the warnings, as HTML."""
    rows = "".join(f"<dt>{html.escape(one.title)}</dt><dd>{html.escape(one.answer)}</dd>" for one in findings)
    notes = "".join(f"<li>{html.escape(text)}</li>" for text in warnings)
    return f'<dl class="answers">{rows}</dl>' + (f'<ul class="notes">{notes}</ul>' if notes else "")


def findings_text(findings: list[Finding]) -> str:
    """Return the findings as Markdown, with all outside text escaped."""
    parts = [f"*{HOW_TO_READ}*"]
    for one in findings:
        parts.append(f"### {one.title}\n\n**{_plain(one.answer)}**")
        for title, sentences in (
            ("", one.results),
            ("Certainty", one.certainty),
            ("What it does not show", one.not_claimed),
        ):
            if sentences:
                parts.append((f"{title}:\n\n" if title else "") + "\n".join(f"- {_plain(text)}" for text in sentences))
    return "\n\n".join(parts)


def table(result: dict[str, Any]) -> list[list[Any]]:
    """Return a row under COLUMNS for every comparison, with numbers as numbers so that the table sorts them."""
    rows = []
    for comparison, row in zip(evaluation_result.sorted_comparisons(result), evaluation_plot.comparison_rows(result)):
        low, high = comparison["interval"] or (None, None)
        rows.append(
            [
                *row[:3],
                *map(_rounded, (comparison["difference"], low, high)),
                _rounded(comparison["p_holm"]),
                _rounded(comparison["effect_size"]),
                row[-1],
            ]
        )
    return rows


def plots(result: dict[str, Any], trainings: dict[str, Any]) -> str:
    """Return all figures under headings, as HTML."""
    groups = {
        "Differences at a glance": evaluation_plot.forest_plots(result),
        "Style against landmark": sweep_plot.style_landmark_plots(result),
        "Means with 95 % intervals": [
            figure
            for question in QUESTIONS
            for task in evaluation_result.tasks_of(result)
            for figure in evaluation_plot.mean_plots(result, task, question)
        ],
        "By adapter scale": sweep_plot.adapter_scale_plots(result),
        "Distances between image sets": evaluation_plot.distribution_plots(result),
        "Training": training_plot.training_plots(trainings["training_cost"], trainings["training_dynamics"]),
    }
    return "".join(
        f'<h3>{title}</h3><div class="figures">{"".join(figures)}</div>' for title, figures in groups.items() if figures
    )


def extremes_view(folder: Path | None, task: str, variant: str, key: str | None) -> list[Any]:
    """Return updates of (metric, gallery); a metric that the task does not have is replaced by its first one."""
    if folder is None or not (folder / report.RESULT_FILE).exists():
        return [gr.skip(), gr.update(value=[])]
    result = report.load_result(folder)
    known = evaluation_result.metrics_of(result, task)
    key = key if key in known else known[0]
    choices = [(result["metrics"][name]["label"], name) for name in known]
    return [gr.update(choices=choices, value=key), gallery(folder, result, task, variant, key)]


def gallery(folder: Path, result: dict[str, Any], task: str, variant: str, key: str) -> list[tuple[str, str]]:
    """Return a variant's best images by one metric, then its worst, with their scores; deleted files are skipped."""
    found = []
    for name, rows in zip(("best", "worst"), image_selection.extremes(result, task, variant, key, BEST_AND_WORST)):
        for row in rows:
            file = image_selection.image_file(folder, row)
            if file.exists():
                found.append((html_parts.served(file), f"{name} {row['scores'][key]:.3g} · {row['landmark']}"))
    return found


def _plain(text: str) -> str:
    """Return the text with all Markdown and HTML signs escaped."""
    for sign in "\\`*_[]<>#|~":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return text


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
