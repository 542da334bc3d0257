"""The Evaluate tab: generate held-out landmarks with the selected models, score the images, show the findings.

`ui.evaluation.results` lays out a result; `ghibli_studio.evaluation` generates and scores the images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS, EvaluationSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import model_choice
from ghibli_studio.generation.model_cache import BASE
from ghibli_studio.plotting.formatting import pluralize
from ghibli_studio.reporting import report
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.evaluation import results
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from ghibli_studio.evaluation.variants import Variant


SWEEPS = [("adapter scale", "adapter_scale"), ("epochs of each run", "epoch")]
FORM = ("seed", "num_inference_steps", "guidance_scale", "strength", "clip_model", "device", "attention")
TRAIN_FIRST = "Train a method first. Then its images of held-out landmarks are scored here."
NOTHING = "No evaluation yet. Select what to compare, then press Evaluate."
FEW = 9  # with fewer, the smallest p of a sign-flip test, 2 / 2^n, is over .05 after Holm's correction for 9 measures


def held_out(project: Project) -> list[str]:
    """Return the landmarks that no method was trained on, those of the published study first."""
    names = list(dict.fromkeys(item.landmark for item in datasets.load(project).part("validation")))
    return sorted(names, key=lambda name: name not in PAPER_LANDMARKS)


def choices_view(project: Project | None) -> list[Any]:
    """Return updates of (hint, form, models to compare, landmarks, evaluations) for a project."""
    choices = model_choice.model_choices(project) if project is not None and datasets.exists(project) else []
    comparable = [choice for choice in choices if choice.kind != "method"]  # its newest run is listed as a run
    if project is None or len(comparable) < 2:
        return [
            gr.update(value=html_parts.empty(TRAIN_FIRST), visible=True),
            gr.update(visible=False),
            gr.skip(),
            gr.skip(),
            gr.update(choices=[], value=None, visible=False),
        ]
    newest = [model_choice.run_of(project, choice.name).id for choice in choices if choice.kind == "method"]
    count = len(held_out(project))
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        gr.update(choices=[(choice.label, choice.name) for choice in comparable], value=[BASE, *newest]),
        gr.update(label=f"Held-out landmarks, of {count}", value=count),
        evaluations_view(project),
    ]


def evaluations_view(project: Project, chosen: str | None = None) -> Any:
    """Return the update of the list of evaluations, the newest first."""
    from ghibli_studio.evaluation import evaluator

    names = [folder.name for folder in evaluator.evaluations(project)]
    value = chosen if chosen in names else next(iter(names), None)
    return gr.update(choices=names, value=value, visible=bool(names))


def folder_of(project: Project, name: str | None) -> Path | None:
    """Return the folder of an evaluation by its name, or None."""
    from ghibli_studio.evaluation import evaluator

    return next((folder for folder in evaluator.evaluations(project) if folder.name == name), None)


def variants_of(project: Project, chosen: Sequence[str], sweeps: Sequence[str]) -> list[Variant]:
    """Return the variants to compare, then those of the sweeps; raise StudioError if nothing is selected."""
    from ghibli_studio.evaluation import variants

    if not chosen:
        raise StudioError("nothing is selected to compare; tick two or more")
    files = {file.stem: file for file in project.adapters.files()}
    runs = [name for name in chosen if name not in (BASE, *files)]
    compared = variants.variants_of_runs(project, runs, base=BASE in chosen)
    compared += [variants.variant_of_file(name, files[name]) for name in chosen if name in files]
    chosen_variants = list(compared)
    if "adapter_scale" in sweeps:
        chosen_variants += variants.adapter_scale_sweep(project, compared)
    if "epoch" in sweeps:
        chosen_variants += variants.epoch_sweep(project, compared)
    return chosen_variants


def settings_of(
    project: Project, tasks: Sequence[str], count: float, seeds: float, values: dict[str, Any]
) -> EvaluationSettings:
    """Return the form's settings, checked, with `count` held-out landmarks; raise StudioError for a wrong value."""
    if not tasks:
        raise StudioError("no task is selected; tick text to image, image to image, or both")
    names, number = held_out(project), int(count or 0)
    if not 1 <= number <= len(names):
        raise StudioError(f"landmarks is {number}; it must be 1 to {len(names)}, the number of held-out landmarks")
    landmarks = () if number == len(names) else tuple(names[:number])
    seeds = int(seeds) if isinstance(seeds, float) and seeds.is_integer() else seeds
    return EvaluationSettings.checked({**values, "tasks": tuple(tasks), "landmarks": landmarks, "seeds": seeds})


def plan_note(count: float, tasks: Sequence[str], seeds: float, chosen: Sequence[str]) -> str:
    """Return the number of images, with a warning if there are too few landmarks, as HTML."""
    compared, landmarks, each = len(chosen), int(count or 0), int(seeds or 0)
    total = landmarks * len(tasks) * each * compared
    note = (
        f"{pluralize(landmarks, 'landmark')} x {pluralize(len(tasks), 'task')} x {pluralize(each, 'image')} x "
        f"{pluralize(compared, 'model')} = {pluralize(total, 'image')}, plus those of the sweeps."
    )
    if 0 < landmarks < FEW:
        note += f" With fewer than {FEW} landmarks, hardly any difference can become significant."
    return f'<div class="foot">{note}</div>'


def create_report(project: Project, name: str | None) -> list[str]:
    """Write the report of an evaluation; return the paths of (page, values) for download."""
    page = report.write(project, folder_of(project, name))
    return [html_parts.served(page), html_parts.served(page.with_suffix(".json"))]


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab) -> None:
    """Lay out the tab and wire its events; what it shows is refreshed whenever the tab is opened."""
    first = gr.HTML(html_parts.empty(TRAIN_FIRST), elem_id="evaluate-first", padding=False)
    with gr.Column(visible=False, elem_id="evaluate-form") as form, gr.Row():
        with gr.Column(min_width=300):
            chosen = gr.CheckboxGroup(
                [], label="Models", elem_id="evaluate-variants", info="All use the same prompts and the same noise."
            )
            tasks = gr.CheckboxGroup(
                [(text, name) for name, text in results.TASK_LABELS.items()],
                value=list(results.TASK_LABELS),
                label="Tasks",
                elem_id="evaluate-tasks",
            )
            sweeps = gr.CheckboxGroup(
                SWEEPS, value=[], label="Also sweep", elem_id="evaluate-sweeps", info="Takes several times as long."
            )
        with gr.Column(min_width=300):
            count = gr.Number(
                None,
                precision=0,
                label="Held-out landmarks",
                elem_id="evaluate-landmarks",
                info="The sample size of every test: more landmarks detect smaller differences.",
            )
            seeds = gr.Number(
                1,
                precision=0,
                label="Images per subject",
                elem_id="evaluate-seeds",
                info="Each with its own seed, the same for all models.",
            )
            plan = gr.HTML(elem_id="evaluate-plan", padding=False)
            with gr.Accordion("More settings", open=False):
                fields = forms.widgets(EvaluationSettings, "evaluate", FORM)
            with gr.Row():
                go = gr.Button("Evaluate", variant="primary", elem_id="evaluate", scale=2, min_width=160)
                stop = gr.Button("Stop", elem_id="evaluate-stop", scale=1, min_width=80)
    progress = gr.HTML(elem_id="evaluate-progress", padding=False, visible=False)
    with gr.Row():
        which = gr.Dropdown([], label="Evaluation", elem_id="evaluations", visible=False, scale=3, min_width=240)
        resume = gr.Button("Resume", elem_id="evaluate-resume", visible=False, scale=1, min_width=100)
        write = gr.Button("Create report", elem_id="create-report", visible=False, scale=1, min_width=160)
    files = gr.File(label="Report", visible=False, elem_id="report-files", file_count="multiple")
    answers = gr.HTML(elem_id="evaluate-answers", padding=False)
    with gr.Column(visible=False) as box:
        with gr.Accordion("Findings in detail: certainty and limits", open=False):
            words = gr.Markdown(elem_id="evaluate-findings")
        table = gr.Dataframe(
            headers=list(results.COLUMNS),
            interactive=False,
            wrap=True,
            datatype=[kind for kind, _ in results.COLUMNS.values()],
            column_widths=[width for _, width in results.COLUMNS.values()],
            label="All comparisons",
            elem_id="evaluate-table",
            show_search="filter",
        )
        with gr.Row():
            task = gr.Dropdown([], label="Best and worst of", elem_id="evaluate-task", min_width=200)
            variant = gr.Dropdown([], label="Model", elem_id="evaluate-variant", min_width=200)
            measure = gr.Dropdown([], label="Metric", elem_id="evaluate-measure", min_width=260)
        extremes = gr.Gallery(
            label="Best, then worst",
            columns=6,
            height="auto",
            object_fit="contain",
            elem_id="evaluate-images",
            buttons=["download", "fullscreen"],
        )
        figures = gr.HTML(elem_id="evaluate-figures", padding=False)
    shown = [answers, words, table, figures, task, measure, variant, extremes, box]
    buttons = [resume, write, files]
    choices = [first, form, chosen, count, which]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def result(of: Project | None, name: str | None) -> list[Any]:
        """Return updates of the buttons and of the result."""
        folder = folder_of(of, name) if of else None
        done = folder is not None and (folder / report.RESULT_FILE).exists()
        updates = results.view(of, folder) if of else ["", *[gr.skip()] * 7, gr.update(visible=False)]
        if of is not None and folder is None:
            updates[0] = ""
        return [
            gr.update(visible=folder is not None and not done),
            gr.update(visible=of is not None),
            gr.update(value=None, visible=False),
            *updates,
        ]

    @handlers.friendly
    def opened(name: str | None, shown_name: str | None) -> list[Any]:
        of = workspace.project(name) if name else None
        updates = choices_view(of)
        if of is not None:
            updates[4] = evaluations_view(of, shown_name)
        return [*updates, *result(of, updates[4]["value"])]

    @handlers.friendly
    def show(name: str | None, which_one: str | None) -> list[Any]:
        return result(chosen_project(workspace, name), which_one)

    def with_progress(of: Project, work: Iterator[Any]) -> Iterator[list[Any]]:
        """Show the progress bar while it works, then the newest evaluation."""
        untouched = [gr.skip()] * (1 + len(buttons) + len(shown))
        yield [gr.update(value=html_parts.bar(0, "preparing"), visible=True), *untouched]
        for bar in handlers.follow(workspace, work):
            yield [gr.update(value=bar, visible=True), *untouched]
        update = evaluations_view(of)
        yield [gr.update(value="", visible=False), update, *result(of, update["value"])]

    @handlers.friendly
    def started(
        name: str | None,
        models: list[str],
        task_names: list[str],
        landmark_count: float,
        images_each: float,
        sweep_names: list[str],
        *values: Any,
    ) -> Iterator[list[Any]]:
        from ghibli_studio.evaluation import evaluator

        of = chosen_project(workspace, name)
        settings = settings_of(
            of, task_names, landmark_count, images_each, forms.read(EvaluationSettings, fields, values)
        )
        yield from with_progress(of, evaluator.evaluate(of, variants_of(of, models, sweep_names), settings))

    @handlers.friendly
    def resumed(name: str | None, which_one: str | None) -> Iterator[list[Any]]:
        from ghibli_studio.evaluation import evaluator

        of = chosen_project(workspace, name)
        folder = folder_of(of, which_one)
        if folder is None:
            raise StudioError("no evaluation is selected; press Evaluate to start one")
        yield from with_progress(of, evaluator.resume(of, folder))

    @handlers.friendly
    def written(name: str | None, which_one: str | None) -> Any:
        return gr.update(value=create_report(chosen_project(workspace, name), which_one), visible=True)

    @handlers.friendly
    def show_extremes(name: str | None, which_one: str | None, of_task: str, of_variant: str, key: str) -> list[Any]:
        """Show the metrics of the task, and the best and worst images by one of them."""
        folder = folder_of(chosen_project(workspace, name), which_one)
        return results.extremes_view(folder, of_task, of_variant, key)

    outputs = [progress, which, *buttons, *shown]
    computing: dict[str, Any] = {"concurrency_id": "accelerator", "concurrency_limit": 1, **quiet}
    asked = [project, chosen, tasks, count, seeds, sweeps, *fields.values()]
    evaluating = go.click(started, asked, outputs, **computing)
    resuming = resume.click(resumed, [project, which], outputs, **computing)
    stopped = stop.click(
        lambda: gr.update(value="", visible=False), None, progress, cancels=[evaluating, resuming], **quiet
    )
    everything = [*choices, *buttons, *shown]
    stopped.then(opened, [project, which], everything, **quiet)
    write.click(written, [project, which], files, api_visibility="private")
    which.input(show, [project, which], [*buttons, *shown], **quiet)
    for widget in (task, variant, measure):
        widget.input(show_extremes, [project, which, task, variant, measure], [measure, extremes], **quiet)
    asking = [widget.change for widget in (count, tasks, seeds, chosen)]
    # always_last: several widgets change at once when the tab opens; the last answer counts.
    gr.on(asking, plan_note, [count, tasks, seeds, chosen], plan, trigger_mode="always_last", **quiet)
    tab.select(opened, [project, which], everything, **quiet)
    project.change(opened, [project, which], everything, **quiet)
