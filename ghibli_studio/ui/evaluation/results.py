"""What the Evaluate tab shows of an evaluation: findings, the table of comparisons, figures, best and worst pictures.

No number is computed here, and nothing is laid out: these are the values of the tab's widgets.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from ghibli_studio.reporting import (
    evaluation_plot,
    evaluation_result,
    image_selection,
    report,
    sweep_plot,
    training_plot,
)
from ghibli_studio.reporting.findings import HOW_TO_READ, QUESTIONS, TASKS, Finding, of_pictures
from ghibli_studio.reporting.training_findings import overfitting, speed
from ghibli_studio.ui.components import html_parts
from ghibli_studio.workspace.project import Project

COLUMNS = {
    "Measure": ("str", "250px"),
    "Drawn": ("str", "140px"),
    "Pair": ("str", "210px"),
    "Difference": ("number", "105px"),
    "Low": ("number", "85px"),
    "High": ("number", "85px"),
    "p (Holm)": ("number", "90px"),
    "Effect": ("number", "80px"),
    "What may be said": ("str", "190px"),
}
"""The table's heads: (kind, width) of each column."""
BEST_AND_WORST = 6
COUNT = 9
"""Widgets that `view` updates."""


def view(project: Project, folder: Path | None) -> list[Any]:
    """Updates of (answers, words, table, figures, task, measure, variant, gallery, box) for an evaluation or none."""
    if folder is None or not (folder / report.RESULT).exists():
        told = html_parts.empty("This evaluation is not finished; press Go on.") if folder else ""
        return [told, *[gr.skip()] * (COUNT - 2), gr.update(visible=False)]
    result = report.result_of(folder)
    trainings = report.trainings(report.runs_of(project, result))
    tasks = evaluation_result.tasks_of(result)
    measures = evaluation_result.measures_of(result, tasks[0])
    names = list(evaluation_result.looks(result["variants"]))
    findings = [*of_pictures(result), speed(trainings["efficiency"]), overfitting(trainings["dynamics"])]
    return [
        answers(findings, result["warnings"]),
        words(findings),
        gr.update(value=table(result), visible=bool(result["comparisons"])),
        plots(result, trainings),
        gr.update(choices=[(f"drawn {TASKS[task]}", task) for task in tasks], value=tasks[0]),
        gr.update(choices=[(result["metrics"][key]["label"], key) for key in measures], value=measures[0]),
        gr.update(choices=names, value=names[-1]),
        gallery(folder, result, tasks[0], names[-1], measures[0]),
        gr.update(visible=True),
    ]


def answers(findings: list[Finding], warnings: list[str]) -> str:
    """Questions with their one-sentence answers, and what has to be known before they are believed, as HTML."""
    rows = "".join(f"<dt>{html.escape(one.title)}</dt><dd>{html.escape(one.answer)}</dd>" for one in findings)
    notes = "".join(f"<li>{html.escape(text)}</li>" for text in warnings)
    return f'<dl class="answers">{rows}</dl>' + (f'<ul class="notes">{notes}</ul>' if notes else "")


def words(findings: list[Finding]) -> str:
    """Findings as Markdown; what comes from outside is text and never markup."""
    told = [f"*{HOW_TO_READ}*"]
    for one in findings:
        told.append(f"### {one.title}\n\n**{_plain(one.answer)}**")
        for title, sentences in (("", one.found), ("How sure", one.sure), ("What it does not show", one.not_shown)):
            if sentences:
                told.append((f"{title}:\n\n" if title else "") + "\n".join(f"- {_plain(text)}" for text in sentences))
    return "\n\n".join(told)


def table(result: dict[str, Any]) -> list[list[Any]]:
    """Rows under COLUMNS: every comparison, numbers as numbers so that the table sorts them."""
    rows = []
    for one, told in zip(evaluation_result.ranked(result), evaluation_plot.compared_rows(result)):
        low, high = one["interval"] or (None, None)
        rows.append(
            [
                *told[:3],
                *map(_rounded, (one["difference"], low, high)),
                _rounded(one["p_holm"]),
                _rounded(one["effect"]),
                told[-1],
            ]
        )
    return rows


def plots(result: dict[str, Any], trainings: dict[str, Any]) -> str:
    """All figures as HTML, under headings."""
    groups = {
        "Differences at a glance": evaluation_plot.forests(result),
        "Style against landmark": sweep_plot.planes(result),
        "Means with 95 % intervals": [
            figure
            for question in QUESTIONS
            for task in evaluation_result.tasks_of(result)
            for figure in evaluation_plot.means(result, task, question)
        ],
        "By the adapter's strength": sweep_plot.strengths(result),
        "Whole sets": evaluation_plot.sets(result),
        "Training": training_plot.training(trainings["efficiency"], trainings["dynamics"]),
    }
    return "".join(
        f'<h3>{title}</h3><div class="figures">{"".join(drawn)}</div>' for title, drawn in groups.items() if drawn
    )


def pictured(folder: Path | None, task: str, variant: str, key: str | None) -> list[Any]:
    """Updates of (measure, gallery) after another choice; a measure that the task does not have gives way."""
    if folder is None or not (folder / report.RESULT).exists():
        return [gr.skip(), gr.update(value=[])]
    result = report.result_of(folder)
    known = evaluation_result.measures_of(result, task)
    key = key if key in known else known[0]
    choices = [(result["metrics"][name]["label"], name) for name in known]
    return [gr.update(choices=choices, value=key), gallery(folder, result, task, variant, key)]


def gallery(folder: Path, result: dict[str, Any], task: str, variant: str, key: str) -> list[tuple[str, str]]:
    """A variant's best pictures by one measure, then its worst, with their scores; files that are gone are left out."""
    found = []
    for name, rows in zip(("best", "worst"), image_selection.extremes(result, task, variant, key, BEST_AND_WORST)):
        for row in rows:
            file = image_selection.file_of(folder, row)
            if file.exists():
                found.append((html_parts.served(file), f"{name} {row['scores'][key]:.3g} · {row['landmark']}"))
    return found


def _plain(text: str) -> str:
    """Text in which Markdown and HTML find nothing to do."""
    for sign in "\\`*_[]<>#|~":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return text


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
