"""The Evaluate tab's functions without a browser: choices, plan, progress, what is shown of a result, the report."""

import html
import json
import shutil
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import pytest

import ghibli_studio.evaluation
from adapters.settings import StudioError
from ghibli_studio.config.evaluation import EvaluationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.jobs import lock
from ghibli_studio.reporting import report
from ghibli_studio.ui.app import build
from ghibli_studio.ui.components import handlers as components_handlers
from ghibli_studio.ui.components import html_parts
from ghibli_studio.ui.evaluation import results
from ghibli_studio.ui.evaluation import tab as evaluation_tab
from ghibli_studio.workspace.files import read_json, write_json
from tests.support.evaluation_sample import (
    BASE,
    LORA,
    OTHERS,
    TI,
    evaluated,
    result,
    sample_training_cost,
    sample_training_dynamics,
)
from tests.support.study_project import with_dataset
from tests.support.study_sample import LANDMARKS

SKIP, HIDDEN, SHOWN = gr.skip(), gr.update(visible=False), gr.update(visible=True)
NAMES = (
    "progress",
    "which",
    "resume",
    "write",
    "files",
    "answers",
    "words",
    "table",
    "figures",
    "task",
    "metric",
    "variant",
    "images",
    "box",
)


@dataclass(frozen=True)
class Step:
    """What `evaluator.evaluate` yields."""

    done: int
    total: int
    what: str
    row: dict | None = None


@pytest.fixture
def comparing(monkeypatch):
    """Replace the evaluator: record what it is asked for, and put a finished evaluation into the project."""
    fake = types.ModuleType("ghibli_studio.evaluation.evaluator")
    fake.asked = []

    def work(project, folder=None):
        yield Step(0, 2, "generating Petra")
        folder = folder or project.folder / "evaluations" / "20250203-000000"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        yield Step(1, 2, "generating Petra")
        write_json(folder / "result.json", result(LANDMARKS + OTHERS, seeds=1, sweeps=False))
        yield Step(2, 2, "scoring")

    def evaluate(project, variants, settings, folder=None):
        fake.asked.append((variants, settings))
        return work(project, folder)

    def resume(project, folder):
        fake.asked.append(folder.name)
        return work(project, folder)

    fake.evaluate, fake.resume = evaluate, resume
    fake.evaluations = lambda project: sorted((project.folder / "evaluations").glob("*"), reverse=True)
    variants = types.ModuleType("ghibli_studio.evaluation.variants")
    variants.variants_of_runs = lambda project, runs, base: [*(["base"] if base else []), *runs]
    variants.variant_of_file = lambda name, file: f"{name} in {file}"
    variants.adapter_scale_sweep = lambda project, compared: [f"{one} at 0.5" for one in compared if one != "base"]
    variants.epoch_sweep = lambda project, compared: [f"{one}, epoch 1" for one in compared if one != "base"]
    for module in (fake, variants):  # instead of the heavy ones
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(ghibli_studio.evaluation, module.__name__.rsplit(".", 1)[1], module, raising=False)
    monkeypatch.setattr(
        report,
        "training_summaries",
        lambda runs: {"training_cost": sample_training_cost(), "training_dynamics": sample_training_dynamics()},
    )
    return fake


def trained(project, *methods):
    """Finished runs, as far as the tab looks."""
    runs = [project.new_run(preset("quick", method, base_model="tiny")) for method in methods]
    for run in runs:
        run.adapter_file.write_bytes(b"adapter")
        write_json(run.metrics_file, {"best_epoch": 3, "epochs": 5})
    return runs


@pytest.fixture
def press(workspace, comparing):
    """Runs what is wired to a button of the tab, by its id; the last updates by name."""
    with gr.Blocks() as page:
        name, tab = gr.Dropdown([]), gr.Tab("Evaluate")
        with tab:
            evaluation_tab.build(workspace, name, tab)
    ids = {component.elem_id: number for number, component in page.blocks.items() if getattr(component, "elem_id", "")}

    def run(button, *values):
        handlers = [one for one in page.fns.values() if (ids[button], "click") in one.targets]
        made = handlers[0].fn(*values)
        return [dict(zip(NAMES, one, strict=True)) for one in made] if isinstance(made, types.GeneratorType) else made

    run.page, run.ids = page, ids
    return run


FIELDS = (7, 4, 2.0, 0.5, "auto", "auto", "sdpa")


def shows_error(sentence, call, *arguments):
    """Assert that the handler shows exactly this message."""
    with pytest.raises(gr.Error) as raised:
        call(*arguments)
    assert html.unescape(raised.value.message) == sentence


def test_without_anything_trained_the_tab_says_what_comes_first(workspace, comparing):
    project = with_dataset(workspace.project("sample", new=True))
    nothing = [
        gr.update(value=html_parts.empty(evaluation_tab.TRAIN_FIRST), visible=True),
        HIDDEN,
        SKIP,
        SKIP,
        gr.update(choices=[], value=None, visible=False),
    ]
    assert evaluation_tab.choices_view(None) == nothing
    assert evaluation_tab.choices_view(project) == nothing


def test_everything_trained_can_be_compared_and_the_newest_of_each_method_is(workspace, comparing):
    project = with_dataset(workspace.project("sample", new=True))
    lora, other, ti = trained(project, "lora", "lora", "ti")
    project.new_run(preset("quick", "lora", base_model="tiny"))  # has no adapter yet
    project.adapters.folder.mkdir()
    project.adapters.file("theirs").write_bytes(lora.adapter_file.read_bytes())
    first, form, chosen, count, which = evaluation_tab.choices_view(project)
    assert (first, form) == (HIDDEN, SHOWN)
    assert chosen == gr.update(
        choices=[
            ("Base model", "base"),
            (f"Textual Inversion, epoch 3 of 5, seed 0, {ti.id}", ti.id),
            (f"LoRA, epoch 3 of 5, seed 0, {other.id}", other.id),
            (f"LoRA, epoch 3 of 5, seed 0, {lora.id}", lora.id),
            ("theirs, imported", "theirs"),
        ],
        value=["base", other.id, ti.id],
    )
    assert count == gr.update(label="Held-out landmarks, of 5", value=5)
    assert which == gr.update(choices=[], value=None, visible=False)


def test_the_published_landmarks_come_first(workspace):
    project = with_dataset(workspace.project("sample", new=True), landmarks=("Tower 9", *LANDMARKS))
    assert evaluation_tab.held_out(project) == [*LANDMARKS, "Tower 9"]


def test_the_forms_values_become_settings(workspace):
    project = with_dataset(workspace.project("sample", new=True))
    values = dict(zip(evaluation_tab.FORM, FIELDS))
    settings = evaluation_tab.settings_of(project, ["img2img"], 2, 3.0, values)
    assert settings == EvaluationSettings(
        tasks=("img2img",),
        landmarks=LANDMARKS[:2],
        seeds=3,
        seed=7,
        num_inference_steps=4,
        guidance_scale=2.0,
        strength=0.5,
        clip_model="auto",
    )
    assert evaluation_tab.settings_of(project, ["img2img"], 5, 1, {}).landmarks == ()  # all of them


@pytest.mark.parametrize(
    ("tasks", "count", "seeds", "sentence"),
    [
        ([], 2, 1, "no task is selected; tick text to image, image to image, or both"),
        (["img2img"], 0, 1, "landmarks is 0; it must be 1 to 5, the number of held-out landmarks"),
        (["img2img"], 6, 1, "landmarks is 6; it must be 1 to 5, the number of held-out landmarks"),
        (["img2img"], 2, 0, "seeds is 0; it must be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_evaluated_is_reported(workspace, tasks, count, seeds, sentence):
    project = with_dataset(workspace.project("sample", new=True))
    with pytest.raises(StudioError) as error:
        evaluation_tab.settings_of(project, tasks, count, seeds, {})
    assert str(error.value) == sentence


def test_sweeps_come_after_what_is_compared(workspace, comparing):
    project = workspace.project("sample", new=True)
    assert evaluation_tab.variants_of(project, ["base", "a"], ["epoch", "adapter_scale"]) == [
        "base",
        "a",
        "a at 0.5",
        "a, epoch 1",
    ]
    project.adapters.folder.mkdir(parents=True)
    (theirs := project.adapters.file("theirs")).write_bytes(b"")
    assert evaluation_tab.variants_of(project, ["theirs", "a"], []) == ["a", f"theirs in {theirs}"]
    with pytest.raises(StudioError, match="nothing is selected to compare; tick two or more"):
        evaluation_tab.variants_of(project, [], [])


def test_the_plan_counts_images_and_warns_of_too_few_landmarks():
    text = evaluation_tab.plan_note(20, ["txt2img", "img2img"], 2, ["base", "a", "b"])
    assert "20 landmarks x 2 tasks x 2 images x 3 models = 240 images" in text
    assert "hardly" not in text
    assert "With fewer than 9 landmarks, hardly any difference can become significant" in evaluation_tab.plan_note(
        8, ["img2img"], 1, []
    )
    assert "0 images" in evaluation_tab.plan_note(None, [], None, [])


def test_an_evaluation_shows_its_progress_and_then_its_result(workspace, press, comparing):
    project, _ = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    runs = trained(project, "lora", "ti")
    chosen = ["base", *(run.id for run in runs)]
    steps = press("evaluate", project.name, chosen, ["txt2img"], 2, 1, ["adapter_scale"], *FIELDS)
    ((variants, settings),) = comparing.asked
    assert variants == [*chosen, *(f"{run.id} at 0.5" for run in runs)]
    assert (settings.tasks, settings.landmarks, settings.num_inference_steps) == (("txt2img",), LANDMARKS[:2], 4)
    bars = [step["progress"]["value"] for step in steps]
    assert "preparing" in bars[0]
    assert "generating Petra (50 %" in bars[2]
    assert all(step["answers"] == SKIP for step in steps[:-1])
    last = steps[-1]
    assert last["progress"] == gr.update(value="", visible=False)
    assert last["which"] == gr.update(
        choices=["20250203-000000", "20250102-030405"], value="20250203-000000", visible=True
    )
    assert (last["resume"], last["write"], last["box"]) == (HIDDEN, SHOWN, SHOWN)
    assert "### Which is closer to the style?" in last["words"]


def test_an_evaluation_waits_for_the_gpu_lock(workspace, comparing):
    holder = lock.gpu_lock(workspace, iter(["busy", "busy"]))
    next(holder)
    going = components_handlers.follow(workspace, iter([Step(3, 4, "generating"), Step(4, 4, "scoring")]))
    assert "waiting for another generation to finish" in next(going)
    list(holder)
    rest = list(going)
    assert "scoring (100 %" in rest[-1]


def test_the_time_left_is_judged_by_what_was_made_now(workspace, monkeypatch):
    """A resumed evaluation begins with 50 of 100 done, which took no time."""
    clock = iter([0.0, 10.0, 30.0])
    monkeypatch.setattr(components_handlers.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(lock, "gpu_lock", lambda workspace, work: work)
    steps = [Step(50, 100, "generating"), Step(60, 100, "generating")]
    bars = []
    for bar in components_handlers.follow(workspace, iter(steps)):
        bars.append(bar)
    assert "left" not in bars[0]
    assert "1 min 20 s left" in bars[1]  # 20 s for ten, so 80 s for forty


def test_wrong_choices_are_reported_in_the_page(workspace, press):
    project, _ = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    shows_error(
        "nothing is selected to compare; tick two or more",
        press,
        "evaluate",
        project.name,
        [],
        ["txt2img"],
        2,
        1,
        [],
        *FIELDS,
    )
    shows_error(
        "no task is selected; tick text to image, image to image, or both",
        press,
        "evaluate",
        project.name,
        ["base"],
        [],
        2,
        1,
        [],
        *FIELDS,
    )
    shows_error(
        "no project is selected; create one in the Dataset tab",
        press,
        "evaluate",
        None,
        ["base"],
        ["txt2img"],
        2,
        1,
        [],
        *FIELDS,
    )
    shows_error("no evaluation is selected; press Evaluate to start one", press, "evaluate-resume", project.name, None)


def test_an_unfinished_evaluation_can_be_resumed(workspace, press, comparing):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    (folder / "result.json").unlink()
    text, *rest, box = results.view(project, folder)
    assert text == html_parts.empty("This evaluation is not finished. Press Resume.")
    assert (rest, box) == ([SKIP] * 7, HIDDEN)
    last = press("evaluate-resume", project.name, folder.name)[-1]
    assert comparing.asked == [folder.name]
    assert (last["resume"], last["box"]) == (HIDDEN, SHOWN)


def test_a_result_is_shown_whole(workspace, comparing):
    project, folder = evaluated(workspace, seeds=2)
    values = read_json(folder / "result.json")
    answers, findings_text, table, figures, task, metric, variant, images, box = results.view(project, folder)
    assert box == SHOWN
    for title in (
        "Which is closer to the style?",
        "Which preserves the landmark better?",
        "Which follows the prompt better?",
        "Which trains faster, and which is cheaper?",
        "Does either overfit, and which epoch is best?",
    ):
        assert f"### {title}" in findings_text
        assert f"<dt>{title}</dt>" in answers
    assert f"<li>{values['warnings'][0]}</li>" in answers
    assert len(table["value"]) == len(values["comparisons"]) == 3 * (5 + 9)
    assert all(len(row) == len(results.COLUMNS) for row in table["value"])
    first = next(one for one in values["comparisons"] if one["metric"] == "style_similarity")
    assert table["value"][0] == [
        "Style similarity (miniature CLIP)",
        "txt2img",
        f"{LORA} − {TI}",
        *(
            float(f"{value:.3g}")
            for value in (first["difference"], *first["interval"], first["p_holm"], first["effect_size"])
        ),
        "LoRA better",
    ]
    assert figures.count("<figure") > 20
    for title in ("Differences at a glance", "Style against landmark", "By adapter scale", "Training"):
        assert f"<h3>{html.unescape(title)}</h3>" in figures
    assert task == gr.update(
        choices=[("text to image", "txt2img"), ("image to image, from the photo", "img2img")], value="txt2img"
    )
    assert metric["value"] == "style_similarity"
    assert variant == gr.update(choices=[BASE, LORA, TI], value=TI)
    scores = sorted(
        (
            row["scores"]["style_similarity"]
            for row in values["rows"]
            if (row["task"], row["variant"]) == ("txt2img", TI)
        ),
        reverse=True,
    )
    assert len(images) == 12
    assert images[0][1].startswith(f"best {scores[0]:.3g} · ")
    assert images[6][1].startswith(f"worst {scores[-1]:.3g} · ")


def test_another_task_keeps_the_metric_only_where_it_has_it(workspace, comparing):
    _, folder = evaluated(workspace, sweeps=False, seeds=1)
    metric, images = results.extremes_view(folder, "img2img", LORA, "ssim")
    assert metric["value"] == "ssim"
    assert len(images) == 8
    metric, _ = results.extremes_view(folder, "txt2img", LORA, "ssim")
    assert metric["value"] == "style_similarity"
    assert results.extremes_view(None, "txt2img", LORA, "ssim") == [SKIP, gr.update(value=[])]


def test_images_that_are_gone_are_skipped(workspace, comparing):
    _, folder = evaluated(workspace, sweeps=False, seeds=1)
    shutil.rmtree(folder / "images")
    assert results.extremes_view(folder, "img2img", LORA, "ssim")[1] == []


def test_names_from_outside_never_become_markup(workspace, comparing):
    project, folder = evaluated(workspace, landmarks=("<img src=x>", "[a](javascript:b)"), sweeps=False, seeds=1)
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace('"LoRA"', '"<script>x</script>"'))
    answers, findings_text, _, figures, *_ = results.view(project, folder)
    assert "<script" not in answers + findings_text + figures
    assert "<img" not in answers + findings_text + figures
    assert "&lt;script&gt;" in findings_text


def test_the_report_is_made_and_can_be_fetched(workspace, press, comparing):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    update = press("create-report", project.name, folder.name)
    page, values = map(Path, update["value"])
    assert update["visible"] is True
    assert (page.name, values.name) == ("report.html", "report.json")
    assert page.read_bytes() == (project.folder / "report.html").read_bytes()
    assert json.loads(values.read_text())["evaluation"]["folder"] == folder.name


def test_the_tab_stands_between_generate_and_library(workspace, comparing):
    page = build(workspace)
    tabs = [block for block in page.blocks.values() if isinstance(block, gr.Tab) and block.parent.elem_id == "tabs"]
    labels = [tab.label for tab in tabs]
    assert labels == ["Dataset", "Train", "Generate", "Evaluate", "Library", "Study"]
