"""The tabs' functions without a browser: what they show, and that nothing from outside becomes markup."""

import dataclasses
import os
import time
from pathlib import Path

import gradio as gr
import pytest

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import image_set
from ghibli_studio.jobs import lock, queue, status
from ghibli_studio.jobs.status import Status
from ghibli_studio.plotting import formatting
from ghibli_studio.training import run_group
from ghibli_studio.ui.app import build, newest_project
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.dataset import tab as dataset_tab
from ghibli_studio.ui.generation import tab as generation_tab
from ghibli_studio.ui.training import runs as run_views
from ghibli_studio.ui.training import tab as training_tab
from ghibli_studio.workspace.files import append_line, write_json
from ghibli_studio.workspace.project import Workspace

SKIP = gr.skip()


def skipped(update):
    return update == SKIP


@pytest.fixture
def no_processes(monkeypatch):
    """Runs are created but not started."""
    monkeypatch.setattr(queue, "start", lambda run: None)


def fake_progress(run, epochs=1):
    """Events as a run writes them."""
    for epoch in range(epochs + 1):
        if epoch:
            append_line(
                run.progress_file,
                {
                    "event": "step",
                    "epoch": epoch,
                    "step": epoch,
                    "epochs": float(epoch),
                    "loss": 0.2,
                    "fraction": 0.5,
                    "seconds_left": 75.0,
                },
            )
        append_line(
            run.progress_file,
            {"event": "epoch", "epoch": epoch, "validation_loss": 0.3 - 0.1 * epoch, "base_validation_loss": 0.35},
        )


def test_the_whole_page_can_be_built(project):
    page = build(project.workspace)
    names = {component.elem_id for component in page.blocks.values() if getattr(component, "elem_id", None)}
    assert {
        "start-sample",
        "start-train",
        "start-generate",
        "project",
        "train",
        "seeds",
        "cancel",
        "generate",
        "stop",
    } <= names
    assert {
        "grid",
        "show-all",
        "find-learning-rate",
        "find-batch-size",
        "apply-learning-rate",
        "apply-batch-size",
    } <= names
    assert {"training-seed", "lora-rank", "ti-num_vectors", "generate-guidance_scale"} <= names


def test_train_queues_a_run_a_method_with_the_forms_values(project, no_processes):
    changes = {"training": {"seed": 4}, "lora": {"rank": 3}, "ti": {"num_vectors": 2}}
    runs = training_tab.submit(project.workspace, project.name, ["lora", "ti"], "quick", changes)
    configs = [run.config() for run in runs]
    assert [(c.method, c.preset, c.training.seed) for c in configs] == [("lora", "quick", 4), ("ti", "quick", 4)]
    assert (configs[0].adapter.rank, configs[1].adapter.num_vectors) == (3, 2)
    assert {c.base_model for c in configs} == {datasets.load(project).base_model}


def test_train_queues_every_method_with_one_seed_before_the_next_seed(project, no_processes):
    changes = {"training": {"seed": 4}}
    runs = training_tab.submit(project.workspace, project.name, ["lora", "ti"], "quick", changes, 2.0)
    assert [(run.config().method, run.config().training.seed) for run in runs] == [
        ("lora", 4),
        ("ti", 4),
        ("lora", 5),
        ("ti", 5),
    ]
    assert run_group.run_names(runs) == ["LoRA (seed 4)", "TI (seed 4)", "LoRA (seed 5)", "TI (seed 5)"]
    assert run_group.run_names(runs[:2]) == ["LoRA", "TI"]
    with pytest.raises(StudioError, match="seeds is None; it must be the number of runs to queue"):
        training_tab.submit(project.workspace, project.name, ["lora"], "quick", {}, None)
    assert len(project.runs()) == 4


def test_a_grid_from_the_form_is_queued_with_its_seeds(project, no_processes):
    changes = {"lora": {"rank": 3}}
    runs = training_tab.submit(
        project.workspace, project.name, ["lora", "ti"], "quick", changes, "2,7", "lora.rank=4,8\ntrain_batch_size=1"
    )
    configs = [run.config() for run in runs]
    assert [(c.training.seed, c.method, getattr(c.adapter, "rank", None)) for c in configs] == [
        (seed, *one) for seed in (2, 7) for one in (("lora", 4), ("ti", None), ("lora", 8))
    ]
    assert {c.training.train_batch_size for c in configs} == {1}
    with pytest.raises(StudioError, match="grid 'rank' is not NAME=VALUES"):
        training_tab.submit(project.workspace, project.name, ["lora"], "quick", {}, "1", "rank")
    assert len(project.runs()) == 6


def test_all_runs_of_a_grid_stay_in_the_plots(project, no_processes):
    workspace, name = project.workspace, project.name
    (old,) = training_tab.submit(workspace, name, ["ti"], "quick", {})
    seen, *_ = run_views.refresh(workspace, name, None, [], None)
    runs = training_tab.submit(workspace, name, ["lora"], "quick", {}, "1", "rank=2,4,8")
    for run in (old, *runs):
        fake_progress(run)
    together = run_views.newest_runs(project, runs)
    assert together == sorted(run.id for run in (old, *runs))
    _, *updates = run_views.refresh(workspace, name, None, together, seen)
    assert updates[3]["value"] == together
    assert updates[4]["visible"]
    table = (updates[6]["value"] if isinstance(updates[6], dict) else updates[6].value)["data"]
    assert {row[2] for row in table} == {"Base model", "TI", "LoRA (rank 2)", "LoRA (rank 4)", "LoRA (rank 8)"}
    (other,) = training_tab.submit(workspace, name, ["lora"], "quick", {})
    _, *updates = run_views.refresh(workspace, name, None, together, seen)
    assert updates[3]["value"] == sorted([old.id, other.id])  # what was queued elsewhere is shown as ever


def test_every_run_of_a_plot_has_a_color_of_its_own(project, no_processes):
    runs = training_tab.submit(project.workspace, project.name, ["lora"], "quick", {}, "13")
    names = run_group.run_names(runs)
    assert len({run_views.colors(runs, names)[name] for name in names}) == 13


@pytest.mark.parametrize(
    ("name", "methods", "sentence"),
    [
        (None, ["lora"], "no project is selected; create one in the Dataset tab"),
        ("sample", [], "no method is selected; select at least one"),
    ],
)
def test_training_without_a_choice_is_reported(project, name, methods, sentence):
    with pytest.raises(StudioError) as caught:
        training_tab.submit(project.workspace, name, methods, "quick", {})
    assert str(caught.value) == sentence


def test_live_widgets_change_only_where_there_is_news(project, no_processes):
    workspace = project.workspace
    runs = training_tab.submit(workspace, project.name, ["lora", "ti"], "quick", {})
    seen, *first = run_views.refresh(workspace, project.name, None, [], None)
    assert not any(skipped(update) for update in first[:5])
    seen, *_ = run_views.refresh(workspace, project.name, None, [], seen)
    seen, *quiet = run_views.refresh(workspace, project.name, None, [], seen)
    assert all(skipped(update) for update in quiet)
    fake_progress(runs[0])
    seen, *news = run_views.refresh(workspace, project.name, None, [], seen)
    assert [skipped(update) for update in news[:8]] == [False, *[True] * 4, *[False] * 3]
    rows = news[5]["value"] if isinstance(news[5], dict) else news[5].value
    assert rows is not None
    seen, *again = run_views.refresh(workspace, project.name, None, [], seen)  # new lines: see `plots`
    assert [skipped(update) for update in again] == [*[True] * 5, *[False] * 3, *[True] * 2]
    assert again[6].colors_in_legend == ["Base model", "LoRA"]
    _, *nothing = run_views.refresh(workspace, project.name, None, [], seen)
    assert all(skipped(update) for update in nothing)


def test_a_choice_of_run_is_kept_while_it_works(project, monkeypatch):
    monkeypatch.setattr(queue, "start", lambda run: None)
    runs = training_tab.submit(project.workspace, project.name, ["lora", "ti"], "quick", {})
    monkeypatch.setattr(status, "status", lambda run: Status("queued" if run == runs[1] else "running"))
    _, *updates = run_views.refresh(project.workspace, project.name, runs[1].id, [], None)
    assert updates[2]["value"] == runs[1].id
    _, *updates = run_views.refresh(project.workspace, project.name, None, [], None)
    assert updates[2]["value"] == runs[0].id


def test_a_run_is_described_in_words(project, no_processes):
    (run,) = training_tab.submit(project.workspace, project.name, ["lora"], "quick", {})
    fake_progress(run)
    running = Status("running", "", 0, tuple(run.progress()[:2]))
    html = run_views.card(run, running)
    assert "epoch 1, step 1 (50 %, 1 min 15 s left)" in html
    assert 'class="chip running"' in html
    assert "2 runs ahead" in run_views.card(run, Status("queued", "", 2))
    assert "1 run ahead" in run_views.card(run, Status("queued", "", 1))
    assert "&lt;b&gt;no&lt;/b&gt;" in run_views.card(run, Status("failed", "<b>no</b>"))


def test_names_from_outside_never_become_markup(project):
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: "<script>alert(1)</script>, " + "tower " * 90})
    problem = {"file": "x", "reason": "<img src=x onerror=y> is empty"}
    hostile = dataclasses.replace(datasets.load(project), skipped=(problem,), notes=("alike (<img src=x>)",))
    assert "<img" not in dataset_tab.summary(hostile)
    assert "<p>alike (&lt;img src=x&gt;)</p>" in dataset_tab.summary(hostile)
    made = html_parts.empty("<script>") + html_parts.bar(0.5, "<script>") + html_parts.facts({"<script>": "<script>"})
    assert "<script" not in made


def test_the_summary_names_captions_over_the_limit(project):
    item = datasets.load(project).items[2]
    datasets.set_captions(project, {item.id: "Petra, " + "tower " * 90})
    dataset = datasets.load(project)
    text = dataset_tab.summary(dataset)
    tokens = dataset.items[2].tokens
    assert f"over the limit of 77 tokens: {item.id} ({tokens} tokens)" in text


def test_captions_are_saved_from_the_table(project):
    rows = [[item.id, item.landmark, item.split, item.tokens, item.caption] for item in datasets.load(project).items]
    rows[1][4] = "Petra, Jordan, a temple"
    dataset_tab.save_captions(project.workspace, project.name, rows)
    assert datasets.load(project).items[1].caption == "Petra, Jordan, a temple"
    rows[1][4] = " "
    with pytest.raises(StudioError, match="image 0002 has no caption"):
        dataset_tab.save_captions(project.workspace, project.name, rows)


def test_a_page_of_pairs_is_shown(project):
    shown = dataset_tab.thumbnails(project, datasets.load(project), 1)
    assert len(shown) == 8
    image, caption = shown[0]
    assert image.size == (2 * dataset_tab.THUMBNAIL, dataset_tab.THUMBNAIL)
    assert caption == f"{datasets.load(project).items[0].landmark} · {datasets.load(project).items[0].split}"
    assert dataset_tab.thumbnails(project, datasets.load(project), 2) == []


def test_a_project_without_data_says_what_to_do(workspace):
    """Such a project exists only if its dataset was deleted by hand."""
    workspace.project("bare", new=True).register()
    hidden = [gr.update(visible=False)] * 4
    assert dataset_tab.view(workspace, "bare") == [
        gr.update(open=True),
        '<div class="empty">project &#x27;bare&#x27; has no dataset yet; create one in the Dataset tab, or with: '
        "ghibli-studio dataset sample &#x27;bare&#x27;</div>",
        *hidden,
    ]
    assert dataset_tab.view(workspace, None) == [
        gr.update(open=True),
        '<div class="empty">No project yet. Create the sample project or import your own images above.</div>',
        *hidden,
    ]


def test_a_dataset_closes_the_forms_and_shows_itself(project):
    forms, text, gallery, page, table, save = dataset_tab.view(project.workspace, project.name, 3)
    assert forms == gr.update(open=False)
    assert text == dataset_tab.summary(datasets.load(project))
    assert (len(gallery["value"]), gallery["visible"]) == (8, True)
    assert page == gr.update(value=1, maximum=2, visible=False)
    items = datasets.load(project).items
    rows = [[item.id, item.landmark, item.split, item.tokens, item.caption] for item in items]
    assert (table, save) == (gr.update(value=rows, visible=True), gr.update(visible=True))


def test_a_newcomers_button_opens_the_sample_that_is_there_and_leaves_it_alone(project, monkeypatch):
    def make_sample(*arguments, **named):
        raise AssertionError("nothing is generated")

    monkeypatch.setattr("ghibli_studio.data.sample_dataset.create_sample", make_sample)
    with gr.Blocks():
        tab = dataset_tab.build(project.workspace, gr.Dropdown([]))
    shown = [gr.update(value="", visible=False), gr.update(choices=["sample"], value="sample"), gr.update(open=False)]
    (updates,) = tab.make_sample()
    assert updates[:3] == shown
    project.dataset.rename(project.previous("dataset"))  # what a kill in the middle of a replacement leaves
    (updates,) = tab.make_sample()
    assert updates[:3] == shown
    assert len(datasets.load(project).items) == 8


def test_images_fill_a_grid_as_they_come(project):
    requests = image_set.requests_for_prompts(["Petra, a temple", "Big Ben, a tower"])
    going = image_set.generate_set(project, requests, {"base": None}, GenerationSettings(num_inference_steps=2))
    folder = next(event.image.file.parent for event in going if event.image)
    going.close()
    made = image_set.load_set(folder)
    grid = generation_tab.gallery_of(made)
    assert [caption for _, caption in grid] == ["Base · Petra", "Base · Big Ben"]
    assert isinstance(grid[0][0], str)
    assert grid[1][0] is generation_tab.placeholder()
    assert Path(grid[0][0]).read_bytes() == made.files[0, "base"].read_bytes()  # the exact file, including its metadata


def test_generation_waits_for_the_gpu_lock(project, monkeypatch):
    requests = image_set.requests_for_prompts(["Petra, a temple"])
    holder = lock.gpu_lock(project.workspace, iter(["busy", "busy"]))
    next(holder)
    drawing = generation_tab.generate(
        project.workspace, project, requests, ["base"], GenerationSettings(num_inference_steps=2)
    )
    bar, folder = next(drawing)
    assert "waiting for another generation to finish" in bar
    assert folder is None
    list(holder)
    bars = list(drawing)
    assert bars[-1][1] is not None


def test_the_last_used_project_opens_first(workspace):
    for name in ("one", "two"):
        workspace.project(name, new=True).register()
        time.sleep(0.02)
    workspace.project("three", new=True)
    assert newest_project(workspace) == "two"
    write_json(workspace.project("one").folder / "x.json", 1)
    assert newest_project(workspace) == "one"
    assert newest_project(Workspace(workspace.root / "empty")) is None


def test_errors_become_the_pages_message_and_stay(project):
    @handlers.friendly
    def fails():
        raise StudioError("rank is <0>")

    @handlers.friendly
    def fails_later():
        yield 1
        raise OSError(28, "No space left on device", str(project.folder))

    with pytest.raises(gr.Error) as caught:
        fails()
    assert (caught.value.message, caught.value.duration) == ("rank is &lt;0&gt;", None)
    going = fails_later()
    assert next(going) == 1
    with pytest.raises(gr.Error) as caught:
        next(going)
    assert caught.value.message.startswith("the disk is full (")


def test_time_left_is_reported_in_words():
    texts = [formatting.duration(seconds) for seconds in (0.4, 59, 61, 3600, 7512)]
    assert texts == ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "2 h 5 min"]
    assert html_parts.bar(1.7, "x").count("100 %") == 1


def test_every_preset_builds_for_every_method():
    for name in ("quick", "default", "paper"):
        for method in ("lora", "ti"):
            assert preset(name, method).preset == name


def test_unused_copies_are_deleted_after_a_day(workspace, tmp_path, monkeypatch):
    """The page's old copies are deleted; today's copies and those of other programs stay."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(workspace.served))
    monkeypatch.setattr(html_parts, "_last_cleanup", time.monotonic())
    source = tmp_path / "a.txt"
    copies = []
    for text in ("old", "young", "used"):
        source.write_text(text)
        copies.append(Path(html_parts.served(source)))
    for copy in copies[::2]:
        os.utime(copy, (0, 0))
    assert all(workspace.served in copy.parents for copy in copies)
    assert html_parts.served(source) == str(copies[2])
    html_parts.delete_unused(workspace.served)
    assert [copy.exists() for copy in copies] == [False, True, True]
    assert not copies[0].parent.exists()
    os.utime(copies[1], (0, 0))
    workspace.served.rename(shared := workspace.root / "shared")
    html_parts.delete_unused(shared)
    assert (shared / copies[1].relative_to(workspace.served)).exists()
