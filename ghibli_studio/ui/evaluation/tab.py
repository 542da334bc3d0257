"""The Evaluate tab: draw held-out landmarks with everything that was trained, score the pictures, say what it means.

What a result looks like is `evaluation_results`; what is drawn and scored is `ghibli_studio.comparing`.
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
from ghibli_studio.plotting.formatting import counted
from ghibli_studio.reporting import report
from ghibli_studio.ui.components import forms, handlers, html_parts
from ghibli_studio.ui.components.handlers import chosen_project
from ghibli_studio.ui.evaluation import results
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from ghibli_studio.evaluation.variants import Variant


TASKS = [("from the prompt alone", "prompt"), ("from the landmark's photograph", "photo")]
SWEEPS = [("strengths of each adapter", "adapter_scale"), ("epochs of each run", "epoch")]
FORM = ("seed", "num_inference_steps", "guidance_scale", "strength", "clip_model", "device", "attention")
WHAT_FIRST = "Train a method first: then its pictures of landmarks that it has never seen are scored here."
NOTHING = "No evaluation yet. Choose what to compare and press Evaluate."
FEW = 9  # with fewer, the smallest p of a sign-flip test, 2 / 2^n, is over .05 after Holm's correction for 9 measures


def held_out(project: Project) -> list[str]:
    """Landmarks that no method was trained on, those of the published study first."""
    known = list(dict.fromkeys(item.landmark for item in datasets.load(project).part("validation")))
    return sorted(known, key=lambda name: name not in PAPER_LANDMARKS)


def choices_view(project: Project | None) -> list[Any]:
    """Updates of (what to do first, form, what to compare, landmarks, evaluations) for a project."""
    known = model_choice.known_drawers(project) if project is not None and datasets.exists(project) else []
    comparable = [one for one in known if one.kind != "method"]  # a method's newest run is there as a run
    if project is None or len(comparable) < 2:
        return [
            gr.update(value=html_parts.empty(WHAT_FIRST), visible=True),
            gr.update(visible=False),
            gr.skip(),
            gr.skip(),
            gr.update(choices=[], value=None, visible=False),
        ]
    newest = [model_choice.run_of(project, one.name).id for one in known if one.kind == "method"]
    count = len(held_out(project))
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        gr.update(choices=[(one.label, one.name) for one in comparable], value=[BASE, *newest]),
        gr.update(label=f"Held-out landmarks, of {count}", value=count),
        evaluations_view(project),
    ]


def evaluations_view(project: Project, chosen: str | None = None) -> Any:
    """Update of the evaluations to look at, the newest first."""
    from ghibli_studio.evaluation import evaluator

    names = [folder.name for folder in evaluator.evaluations(project)]
    value = chosen if chosen in names else next(iter(names), None)
    return gr.update(choices=names, value=value, visible=bool(names))


def folder_of(project: Project, name: str | None) -> Path | None:
    """The folder of an evaluation by its name; None where there is none of that name."""
    from ghibli_studio.evaluation import evaluator

    return next((folder for folder in evaluator.evaluations(project) if folder.name == name), None)


def variants_of(project: Project, chosen: Sequence[str], sweeps: Sequence[str]) -> list[Variant]:
    """What is compared, and what is only drawn for curves; StudioError where nothing is chosen."""
    from ghibli_studio.evaluation import variants

    if not chosen:
        raise StudioError("nothing is chosen to compare; tick two or more")
    files = {file.stem: file for file in project.adapters.files()}
    runs = [name for name in chosen if name not in (BASE, *files)]
    compared = variants.variants_of_runs(project, runs, base=BASE in chosen)
    compared += [variants.variant_of_file(name, files[name]) for name in chosen if name in files]
    found = list(compared)
    if "adapter_scale" in sweeps:
        found += variants.strength_sweep(project, compared)
    if "epoch" in sweeps:
        found += variants.epoch_sweep(project, compared)
    return found


def settings_of(
    project: Project, tasks: Sequence[str], count: float, seeds: float, values: dict[str, Any]
) -> EvaluationSettings:
    """The form's values, checked; as many landmarks as asked for, all of them where `count` is their number."""
    if not tasks:
        raise StudioError("no task is chosen; tick the prompt, the photograph, or both")
    known, wanted = held_out(project), int(count or 0)
    if not 1 <= wanted <= len(known):
        raise StudioError(f"landmarks is {wanted}; it must be 1 to {len(known)}, those that were held out")
    landmarks = () if wanted == len(known) else tuple(known[:wanted])
    seeds = int(seeds) if isinstance(seeds, float) and seeds.is_integer() else seeds
    return EvaluationSettings.checked({**values, "tasks": tuple(tasks), "landmarks": landmarks, "seeds": seeds})


def planned(count: float, tasks: Sequence[str], seeds: float, chosen: Sequence[str]) -> str:
    """How many pictures that is, and whether it is enough to show anything, as HTML."""
    compared, landmarks, each = len(chosen), int(count or 0), int(seeds or 0)
    total = landmarks * len(tasks) * each * compared
    told = (
        f"{counted(landmarks, 'landmark')} x {counted(len(tasks), 'task')} x {each} of each x {compared} "
        f"to compare: {counted(total, 'picture')}; those for curves come on top."
    )
    if 0 < landmarks < FEW:
        told += f" With fewer than {FEW} landmarks hardly any difference can be shown, however large it is."
    return f'<div class="foot">{told}</div>'


def made_report(project: Project, name: str | None) -> list[str]:
    """Write the project's report on an evaluation; (page, values) where the page may fetch them."""
    page = report.write(project, folder_of(project, name))
    return [html_parts.served(page), html_parts.served(page.with_suffix(".json"))]


def build(workspace: Workspace, project: gr.Dropdown, tab: gr.Tab) -> None:
    """Lay the tab out and wire it; what it shows is made new whenever the tab is opened."""
    first = gr.HTML(html_parts.empty(WHAT_FIRST), elem_id="evaluate-first", padding=False)
    with gr.Column(visible=False, elem_id="evaluate-form") as form, gr.Row():
        with gr.Column(min_width=300):
            chosen = gr.CheckboxGroup(
                [], label="Compare", elem_id="evaluate-variants", info="All draw the same pictures from the same noise."
            )
            tasks = gr.CheckboxGroup(TASKS, value=["prompt", "photo"], label="Draw", elem_id="evaluate-tasks")
            sweeps = gr.CheckboxGroup(
                SWEEPS,
                value=[],
                label="Draw for curves too",
                elem_id="evaluate-sweeps",
                info="Takes several times as long.",
            )
        with gr.Column(min_width=300):
            count = gr.Number(
                None,
                precision=0,
                label="Held-out landmarks",
                elem_id="evaluate-landmarks",
                info="The unit of every test: more landmarks show smaller differences.",
            )
            seeds = gr.Number(
                1,
                precision=0,
                label="Pictures of each",
                elem_id="evaluate-seeds",
                info="Each from noise of its own, the same for all that are compared.",
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
        resume = gr.Button("Go on", elem_id="evaluate-resume", visible=False, scale=1, min_width=100)
        write = gr.Button("Make the report", elem_id="make-report", visible=False, scale=1, min_width=160)
    files = gr.File(label="Report", visible=False, elem_id="report-files", file_count="multiple")
    answers = gr.HTML(elem_id="evaluate-answers", padding=False)
    with gr.Column(visible=False) as box:
        with gr.Accordion("The findings in full: how sure they are, and what they do not show", open=False):
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
            task = gr.Dropdown([], label="Best and worst, drawn", elem_id="evaluate-task", min_width=200)
            variant = gr.Dropdown([], label="By", elem_id="evaluate-variant", min_width=200)
            measure = gr.Dropdown([], label="Measured by", elem_id="evaluate-measure", min_width=260)
        extremes = gr.Gallery(
            label="Best, then worst",
            columns=6,
            height="auto",
            object_fit="contain",
            elem_id="evaluate-pictures",
            buttons=["download", "fullscreen"],
        )
        figures = gr.HTML(elem_id="evaluate-figures", padding=False)
    shown = [answers, words, table, figures, task, measure, variant, extremes, box]
    buttons = [resume, write, files]
    choices = [first, form, chosen, count, which]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def result(of: Project | None, name: str | None) -> list[Any]:
        """Updates of the buttons and of all that is shown."""
        folder = folder_of(of, name) if of else None
        done = folder is not None and (folder / report.RESULT).exists()
        told = results.view(of, folder) if of else ["", *[gr.skip()] * 7, gr.update(visible=False)]
        if of is not None and folder is None:
            told[0] = ""
        return [
            gr.update(visible=folder is not None and not done),
            gr.update(visible=of is not None),
            gr.update(value=None, visible=False),
            *told,
        ]

    @handlers.friendly
    def opened(name: str | None, looked_at: str | None) -> list[Any]:
        of = workspace.project(name) if name else None
        updates = choices_view(of)
        if of is not None:
            updates[4] = evaluations_view(of, looked_at)
        return [*updates, *result(of, updates[4]["value"])]

    @handlers.friendly
    def looked(name: str | None, which_one: str | None) -> list[Any]:
        return result(chosen_project(workspace, name), which_one)

    def followed(of: Project, work: Iterator[Any]) -> Iterator[list[Any]]:
        """The bar while it works; then the newest evaluation."""
        untouched = [gr.skip()] * (1 + len(buttons) + len(shown))
        yield [gr.update(value=html_parts.bar(0, "getting ready"), visible=True), *untouched]
        for bar in handlers.follow(workspace, work):
            yield [gr.update(value=bar, visible=True), *untouched]
        update = evaluations_view(of)
        yield [gr.update(value="", visible=False), update, *result(of, update["value"])]

    @handlers.friendly
    def started(
        name: str | None,
        what: list[str],
        which_tasks: list[str],
        how_many: float,
        each: float,
        also: list[str],
        *values: Any,
    ) -> Iterator[list[Any]]:
        from ghibli_studio.evaluation import evaluator

        of = chosen_project(workspace, name)
        settings = settings_of(of, which_tasks, how_many, each, forms.read(EvaluationSettings, fields, values))
        yield from followed(of, evaluator.evaluate(of, variants_of(of, what, also), settings))

    @handlers.friendly
    def resumed(name: str | None, which_one: str | None) -> Iterator[list[Any]]:
        from ghibli_studio.evaluation import evaluator

        of = chosen_project(workspace, name)
        folder = folder_of(of, which_one)
        if folder is None:
            raise StudioError("no evaluation is chosen; press Evaluate to begin one")
        yield from followed(of, evaluator.resume(of, folder))

    @handlers.friendly
    def written(name: str | None, which_one: str | None) -> Any:
        return gr.update(value=made_report(chosen_project(workspace, name), which_one), visible=True)

    @handlers.friendly
    def pictured(name: str | None, which_one: str | None, of_task: str, of_variant: str, key: str) -> list[Any]:
        """The measures of the task, and the best and worst by one of them."""
        folder = folder_of(chosen_project(workspace, name), which_one)
        return results.pictured(folder, of_task, of_variant, key)

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
    which.input(looked, [project, which], [*buttons, *shown], **quiet)
    for widget in (task, variant, measure):
        widget.input(pictured, [project, which, task, variant, measure], [measure, extremes], **quiet)
    asking = [widget.change for widget in (count, tasks, seeds, chosen)]
    # always_last: several change at once when the tab opens, and an early answer must not have the last word.
    gr.on(asking, planned, [count, tasks, seeds, chosen], plan, trigger_mode="always_last", **quiet)
    tab.select(opened, [project, which], everything, **quiet)
    project.change(opened, [project, which], everything, **quiet)
