"""The Library and what it fills: images are found and shown, forms filled in again, X/Y plots generated."""

from pathlib import Path

import gradio as gr
import pytest

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import gallery, image_set, init_image, model_choice
from ghibli_studio.generation import xy_grid as generation_xy_grid
from ghibli_studio.ui.app import build
from ghibli_studio.ui.components import shortcuts
from ghibli_studio.ui.generation import form, tab, xy_grid
from ghibli_studio.ui.library import images
from tests.support.collection_project import encoded, scene

FEW = GenerationSettings(num_inference_steps=2, seed=3, guidance_scale=2.5)


def handler(page, elem_id):
    """The function behind a button's click."""
    (button,) = [id for id, block in page.blocks.items() if getattr(block, "elem_id", None) == elem_id]
    return next(one.fn for one in page.fns.values() if (button, "click") in one.targets)


def test_a_page_of_results_is_shown_as_thumbnails(generated_project):
    ids, text, shown, page, pack = images.results_view(generated_project, gallery.Search(kind="generated"), 1)
    assert ids == [entry.id for entry in gallery.search(generated_project, gallery.Search(kind="generated"))]
    assert 'role="status">' in text
    assert f"{len(ids)} images<" in text
    assert [Path(path).suffix for path, _ in shown["value"]] == [".webp"] * len(ids)
    assert (page["visible"], pack["visible"]) == (False, True)


def test_an_empty_result_shows_a_hint(generated_project):
    _, text, shown, _, pack = images.results_view(generated_project, gallery.Search(words="nowhere"), 1)
    assert "No image matches. Remove a word" in text
    assert (shown["visible"], pack["visible"]) == (False, False)
    assert "Generate some in the Generate tab" in images.results_view(None, gallery.Search(), 1)[1]


def test_only_unused_images_can_be_deleted(generated_project):
    shown = {
        kind: images.detail_view(gallery.search(generated_project, gallery.Search(kind=kind))[0])
        for kind in ("generated", "sample")
    }
    assert {kind: updates[-1]["visible"] for kind, updates in shown.items()} == {"generated": True, "sample": False}


def test_a_prompt_from_metadata_never_becomes_markup(generated_project):
    entry = gallery.search(generated_project, gallery.Search(kind="generated"))[0]
    metadata = {**entry.metadata, "prompt": "<img src=x>"}
    hostile = gallery.Entry(entry.id, entry.file, entry.kind, entry.created, metadata)
    assert "<img" not in images.detail_view(hostile)[2]


def test_the_search_form_is_checked():
    assert images.search_of("a", "", "", 7.0, " x ", " ", "2026-01-31").seed == 7
    with pytest.raises(StudioError, match=r"seed is 1\.5"):
        images.search_of("", "", "", 1.5, "", "", "")


def test_metadata_fills_the_form_including_the_photo(generated_copy, tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes(encoded(scene(5)))
    run = generated_copy.runs()[0]
    start = init_image.InitImage(init_image.open_photo(file), 0.3)
    requests = image_set.requests_for_prompts(["Petra"])
    files = model_choice.adapter_files(generated_copy, [f"{run.id}@1"])
    list(image_set.generate_set(generated_copy, requests, files, FEW, init_image=start))
    entry = gallery.search(generated_copy, gallery.Search(kind="generated"))[0]
    prompt, models, more, upload, strength, *values = images.reused_view(generated_copy.workspace, "sample", entry.id)
    again = gallery.reusable_settings(generated_copy, entry)["model"]
    assert (prompt, strength) == ("Petra", 0.3)
    assert [*models, *more["value"]] == [again]
    assert again in {name for _, name in more["choices"]} | set(models)
    names = [*form.MAIN_SETTINGS, *form.ADVANCED]
    assert dict(zip(names, values))["guidance_scale"] == 2.5
    assert form.init_image_of(upload, strength).sha256 == start.sha256


def test_a_photo_needs_words_and_must_be_one(generated_project, tmp_path):
    with pytest.raises(StudioError, match="describe in a few words what it shows"):
        form.requests_of(generated_project, ["Big Ben"], " ", True)
    for data in (b"", b"not an image", encoded(scene(1))[:200]):
        (tmp_path / "x.png").write_bytes(data)
        with pytest.raises(StudioError, match=r"x\.png"):
            form.init_image_of(str(tmp_path / "x.png"), 0.5)
    (tmp_path / "x.png").write_bytes(encoded(scene(1)))
    with pytest.raises(StudioError, match=r"^strength is 0\.0; it must be above 0"):
        form.init_image_of(str(tmp_path / "x.png"), 0)


def test_a_photo_on_its_side_is_turned_upright(tmp_path):
    image = scene(1, (120, 80))
    exif = image.getexif()
    exif[0x0112] = 6
    (tmp_path / "x.jpg").write_bytes(encoded(image, "JPEG", exif=exif))
    assert init_image.open_photo(tmp_path / "x.jpg").size == (80, 120)


def test_a_image_generated_again_by_its_metadata_leaves_the_sets_readable(generated_copy):
    """Such a folder has no list of what was asked for."""
    before = tab.sets_of(generated_copy)
    (generated_copy.new_image_set() / "001-base.png").write_bytes(b"")
    assert tab.sets_of(generated_copy) == before
    assert tab.choices_view(generated_copy.workspace, "sample")[2]["value"] == before[0]


def test_a_runs_settings_fill_the_training_form(generated_project):
    page = build(generated_project.workspace)
    run = generated_project.runs()[0]
    methods, preset, seeds, grid, *values = handler(page, "reuse-run")("sample", run.id)
    assert (methods, preset, seeds, grid) == (["lora"], "quick", "1", "")
    config = run.config()
    assert [value for value in values if value != gr.skip()].count(config.adapter.rank) >= 1
    training = values[: len(type(config.training).model_fields)]
    assert training[list(type(config.training).model_fields).index("seed")] == config.training.seed
    assert values[-1] == gr.skip()  # Textual Inversion's own settings stay
    with pytest.raises(gr.Error, match="has no run"):
        handler(page, "reuse-run")("sample", "x")


def test_a_grid_is_generated_in_the_page_stopped_and_resumed(generated_copy):
    of = generated_copy
    sides = [("adapter_scale", "0.5, 1"), ("seed", "1, 2")]
    prompt = xy_grid.prompt_of(of, ["Big Ben"], "Petra\nBig Ben", ("adapter_scale", "seed"))
    assert prompt == "Petra"
    plan = xy_grid.plan_of(of, sides, "lora", prompt, None, 0.6, FEW)
    going = xy_grid.follow_generation(of.workspace, of, generation_xy_grid.generate_grid(of, plan))
    bars = [next(going)]
    while not bars[-1][1]:
        bars.append(next(going))
    assert "loading the base model" in bars[0][0]
    assert any(" left)" in bar for bar, _ in bars)
    going.close()
    folder = of.outputs.grids()[0]
    nothing, image, file, resume = xy_grid.shown(folder)
    assert (nothing["visible"], image["visible"], file["visible"], resume["visible"]) == (False, True, False, True)
    assert xy_grid.grids_view(of)["choices"] == [(f"{folder.name} (not finished)", folder.name)]
    list(xy_grid.follow_generation(of.workspace, of, generation_xy_grid.resume(of, folder)))
    _, image, file, resume = xy_grid.shown(folder)
    assert (Path(file["value"]).read_bytes(), resume["visible"]) == (
        (folder / generation_xy_grid.GRID_IMAGE).read_bytes(),
        False,
    )


def test_the_default_model_of_a_grid_is_the_first_trained_one(generated_project, workspace):
    choice, grids = xy_grid.model_view(generated_project)
    assert choice["value"] == "lora"
    assert grids["value"] is None
    assert xy_grid.model_view(None)[0]["choices"] == []
    assert set(xy_grid.EXAMPLES) == set(generation_xy_grid.AXES)


def test_the_help_lists_every_tab(workspace):
    labels = [block.label for block in build(workspace).blocks.values() if isinstance(block, gr.Tab)]
    assert set(shortcuts.TABS.values()) <= set(labels)
    assert {f"g {letter}" for letter in shortcuts.TABS} <= set(shortcuts.SHORTCUTS)
