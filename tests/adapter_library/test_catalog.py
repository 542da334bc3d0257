"""The library: what is in it, what gets in and how, what is made of it, and that all of it can be drawn with."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from adapters.formats import safetensors_file
from adapters.registry import load_file
from adapters.settings import StudioError
from ghibli_studio.adapter_library import catalog
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.evaluation import variants
from ghibli_studio.generation import image_set, model_cache, reproduction
from ghibli_studio.generation import metadata as generation_metadata
from tests.adapters.formats.test_interchange import ATTENTION, kohya_file
from tests.support.made_adapters import made

FEW = GenerationSettings(num_inference_steps=2, seed=3)


@pytest.fixture
def stocked(project, tiny):
    """The project with a run of each method."""
    return project, made(project, tiny, "lora"), made(project, tiny, "ti")


def kohyas(tmp_path, name="theirs", metadata=None):
    return kohya_file(
        tmp_path / f"{name}.safetensors",
        {f"{ATTENTION}attn1_to_q": (2, 32, 32), f"{ATTENTION}attn2_to_k": (3, 32, 32)},
        {f"{ATTENTION}attn1_to_q": 1},
        metadata,
    )


def test_runs_and_imported_files_are_listed_and_found(stocked, tmp_path):
    project, lora, ti = stocked
    entry = catalog.import_adapter(project, kohyas(tmp_path, metadata={"modelspec.trigger_phrase": "moss"}), "moss")
    assert {found.name: found.origin for found in catalog.entries(project)} == {
        lora.id: "run",
        ti.id: "run",
        "moss": "imported",
    }
    assert (entry.method, entry.trigger, entry.told()["base_model"]) == ("lora", "moss", None)
    assert catalog.find(project, f"{lora.id}@1").file == lora.epoch_adapter_file(1)
    assert catalog.file_of(project, str(lora.adapter_file)) == lora.adapter_file
    with pytest.raises(StudioError, match="has no epoch '9'; it has 1, 2"):
        catalog.find(project, f"{lora.id}@9")
    with pytest.raises(StudioError, match="has no adapter 'nothing'; it has"):
        catalog.find(project, "nothing")
    broken = project.adapters.file("broken")
    broken.write_bytes(b"no adapter")
    assert "not a safetensors file" in catalog.find(project, "broken").told()["problem"]
    catalog.remove(project, "moss")
    assert not entry.file.exists()
    with pytest.raises(StudioError, match="belongs to a run"):
        catalog.remove(project, lora.id)


def test_an_imported_file_is_written_as_our_own_and_says_where_it_came_from(project, tiny, tmp_path):
    path = kohyas(tmp_path, metadata={"ss_output_name": "secret moss", "ss_base_model_version": "sd_v1"})
    entry = catalog.import_adapter(project, path, trigger="moss")
    recipe = entry.recipe
    assert recipe["imported"]["layout"] == "kohya"
    assert recipe["imported"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert recipe["imported"]["header"] == {"ss_output_name": "secret moss", "ss_base_model_version": "sd_v1"}
    assert entry.trigger == "moss"
    before, after = load_file(path)[1], load_file(entry.file)[1]
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(StudioError, match="there is an adapter 'theirs' already"):
        catalog.import_adapter(project, path)
    with pytest.raises(StudioError, match="cannot be an adapter's name"):
        catalog.import_adapter(project, path, "../outside")


def test_a_word_keeps_its_name_whatever_the_file_is_called_then(project, tmp_path):
    save_file({"emb_params": torch.randn(2, 32)}, tmp_path / "moss.safetensors")
    entry = catalog.import_adapter(project, tmp_path / "moss.safetensors", "another name")
    assert entry.trigger == "<moss>"
    with pytest.raises(StudioError, match="a word is called as its file says"):
        catalog.import_adapter(project, tmp_path / "moss.safetensors", "again", trigger="x")


def test_what_was_made_for_another_base_model_is_not_taken(stocked, workspace, tmp_path):
    project, lora, _ = stocked
    path = kohya_file(tmp_path / "theirs.safetensors", {f"{ATTENTION}attn2_to_k": (2, 768, 320)}, {})
    with pytest.raises(StudioError, match=r"made for Stable Diffusion 1\.x \(its text is 768 wide"):
        catalog.import_adapter(project, path)
    other = safetensors_file.recipe_of(lora.adapter_file)
    other["base_model"]["shape"] = [1, 2, 3]
    foreign = tmp_path / "foreign.safetensors"
    from adapters.formats.safetensors_file import RECIPE_KEY, with_metadata

    foreign.write_bytes(with_metadata(lora.adapter_file.read_bytes(), {RECIPE_KEY: json.dumps(other)}))
    with pytest.raises(StudioError, match="import it into a project of that base model"):
        catalog.import_adapter(project, foreign)
    assert project.adapters.files() == []


def test_a_foreign_file_draws_is_evaluated_and_its_picture_can_be_drawn_again(project, tmp_path):
    entry = catalog.import_adapter(project, kohyas(tmp_path))
    request = image_set.requests_for_prompts(["Petra, a temple"])
    drawn = [
        step.picture
        for step in image_set.draw_set(project, request, {"base": None, "lora": entry.file}, FEW)
        if step.picture
    ]
    assert [picture.recipe["method"] for picture in drawn] == ["base", "lora"]
    assert drawn[0].file.read_bytes() != drawn[1].file.read_bytes()
    *_, last = reproduction.reproduce(project, drawn[1].file)
    assert generation_metadata.to_png(last.image, last.recipe) == drawn[1].file.read_bytes()
    variant = variants.variant_of_file("moss", catalog.file_of(project, "theirs"))
    assert (variant.method, variant.epoch) == ("lora", None)


def test_an_average_and_a_strength_are_kept_with_their_parents(stocked, tiny):
    project, lora, ti = stocked
    again = made(project, tiny, "lora", rank=3)
    mean = catalog.average(project, [lora.id, f"{again.id}@1"], "mean", [0.25, 0.75])
    recipe = mean.recipe
    assert (mean.origin, recipe["average"]["way"]) == ("average", "exact, ranks added up")
    assert [(one["file"], one["weight"]) for one in recipe["parents"]] == [(lora.id, 0.25), (f"{again.id}@1", 0.75)]
    assert recipe["parents"][0]["recipe"] == safetensors_file.recipe_of(lora.adapter_file)
    assert recipe["base_model"]["shape"] == tiny.shape
    half = catalog.at_strength(project, ti.id, "half", 0.5, lambda: tiny)
    assert (half.origin, half.recipe["adapter_scale"], half.method) == ("adapter_scale", 0.5, "ti")
    for entry in (mean, half):
        with model_cache.with_adapter(tiny, entry.file) as loaded:
            assert loaded.identity["sha256"] == entry.sha256
    with pytest.raises(StudioError, match="different methods"):
        catalog.average(project, [lora.id, ti.id], "both")


def test_recipes_for_others_have_no_paths(stocked, tiny_folder):
    project, lora, _ = stocked
    mean = catalog.average(project, [lora.id, lora.id], "mean")
    told = catalog.shareable(mean.recipe)
    assert str(tiny_folder) in json.dumps(mean.recipe)
    assert str(tiny_folder.parent) not in json.dumps(told)
    assert told["base_model"]["spec"] == tiny_folder.name
    assert catalog.shareable({"base_model": {"spec": "someone/model"}})["base_model"]["spec"] == "someone/model"
