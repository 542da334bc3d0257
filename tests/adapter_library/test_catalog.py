"""The library: its entries, imports, merges and scaled copies, and that all of them can generate."""

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
from tests.support.adapter_files import ATTENTION, kohya_file, small_kohya_file
from tests.support.adapter_runs import adapter_run

FEW = GenerationSettings(num_inference_steps=2, seed=3)


@pytest.fixture
def stocked(project, tiny):
    """The project with a run of each method."""
    return project, adapter_run(project, tiny, "lora"), adapter_run(project, tiny, "ti")


def test_runs_and_imported_files_are_listed_and_found(stocked, tmp_path):
    project, lora, ti = stocked
    entry = catalog.import_adapter(
        project, small_kohya_file(tmp_path, metadata={"modelspec.trigger_phrase": "moss"}), "moss"
    )
    assert {found.name: found.origin for found in catalog.entries(project)} == {
        lora.id: "run",
        ti.id: "run",
        "moss": "imported",
    }
    assert (entry.method, entry.trigger, entry.to_dict()["base_model"]) == ("lora", "moss", None)
    assert catalog.find(project, f"{lora.id}@1").file == lora.epoch_adapter_file(1)
    assert catalog.resolve_file(project, str(lora.adapter_file)) == lora.adapter_file
    with pytest.raises(StudioError, match="has no epoch '9'; it has 1, 2"):
        catalog.find(project, f"{lora.id}@9")
    with pytest.raises(StudioError, match="has no adapter 'nothing'; it has"):
        catalog.find(project, "nothing")
    broken = project.adapters.file("broken")
    broken.write_bytes(b"no adapter")
    assert "not a safetensors file" in catalog.find(project, "broken").to_dict()["problem"]
    catalog.delete(project, "moss")
    assert not entry.file.exists()
    with pytest.raises(StudioError, match="belongs to a run"):
        catalog.delete(project, lora.id)


def test_an_imported_file_is_written_as_our_own_and_names_its_source(project, tiny, tmp_path):
    path = small_kohya_file(tmp_path, metadata={"ss_output_name": "secret moss", "ss_base_model_version": "sd_v1"})
    entry = catalog.import_adapter(project, path, trigger="moss")
    metadata = entry.metadata
    assert metadata["imported"]["layout"] == "kohya"
    assert metadata["imported"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert metadata["imported"]["header"] == {"ss_output_name": "secret moss", "ss_base_model_version": "sd_v1"}
    assert entry.trigger == "moss"
    before, after = load_file(path)[1], load_file(entry.file)[1]
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(StudioError, match="an adapter named 'theirs' exists already"):
        catalog.import_adapter(project, path)
    with pytest.raises(StudioError, match="cannot be an adapter's name"):
        catalog.import_adapter(project, path, "../outside")


def test_an_embedding_keeps_its_token_when_the_file_is_renamed(project, tmp_path):
    save_file({"emb_params": torch.randn(2, 32)}, tmp_path / "moss.safetensors")
    entry = catalog.import_adapter(project, tmp_path / "moss.safetensors", "another name")
    assert entry.trigger == "<moss>"
    with pytest.raises(StudioError, match="is triggered by its token"):
        catalog.import_adapter(project, tmp_path / "moss.safetensors", "again", trigger="x")


def test_a_file_for_another_base_model_is_refused(stocked, workspace, tmp_path):
    project, lora, _ = stocked
    path = kohya_file(tmp_path / "theirs.safetensors", {f"{ATTENTION}attn2_to_k": (2, 768, 320)}, {})
    with pytest.raises(StudioError, match=r"made for Stable Diffusion 1\.x \(its text is 768 wide"):
        catalog.import_adapter(project, path)
    other = safetensors_file.read_adapter_metadata(lora.adapter_file)
    other["base_model"]["shape"] = [1, 2, 3]
    foreign = tmp_path / "foreign.safetensors"
    from adapters.formats.safetensors_file import METADATA_KEY, with_metadata

    foreign.write_bytes(with_metadata(lora.adapter_file.read_bytes(), {METADATA_KEY: json.dumps(other)}))
    with pytest.raises(StudioError, match="import it into a project with that base model"):
        catalog.import_adapter(project, foreign)
    assert project.adapters.files() == []


def test_an_imported_file_generates_and_its_image_can_be_reproduced(project, tmp_path):
    entry = catalog.import_adapter(project, small_kohya_file(tmp_path))
    request = image_set.requests_for_prompts(["Petra, a temple"])
    drawn = [
        step.image
        for step in image_set.generate_set(project, request, {"base": None, "lora": entry.file}, FEW)
        if step.image
    ]
    assert [picture.metadata["method"] for picture in drawn] == ["base", "lora"]
    assert drawn[0].file.read_bytes() != drawn[1].file.read_bytes()
    *_, last = reproduction.reproduce(project, drawn[1].file)
    assert generation_metadata.to_png(last.image, last.metadata) == drawn[1].file.read_bytes()
    variant = variants.variant_of_file("moss", catalog.resolve_file(project, "theirs"))
    assert (variant.method, variant.epoch) == ("lora", None)


def test_merged_and_scaled_adapters_name_their_parents(stocked, tiny):
    project, lora, ti = stocked
    again = adapter_run(project, tiny, "lora", rank=3)
    merged = catalog.merge_adapters(project, [lora.id, f"{again.id}@1"], "merged", [0.25, 0.75])
    metadata = merged.metadata
    assert (merged.origin, metadata["merge"]["how"]) == ("merged", "exact, ranks added up")
    assert [(parent["file"], parent["weight"]) for parent in metadata["parents"]] == [
        (lora.id, 0.25),
        (f"{again.id}@1", 0.75),
    ]
    assert metadata["parents"][0]["metadata"] == safetensors_file.read_adapter_metadata(lora.adapter_file)
    assert metadata["base_model"]["shape"] == tiny.shape
    half = catalog.scale_adapter(project, ti.id, "half", 0.5, lambda: tiny)
    assert (half.origin, half.metadata["adapter_scale"], half.method) == ("scaled", 0.5, "ti")
    for entry in (merged, half):
        with model_cache.with_adapter(tiny, entry.file) as loaded:
            assert loaded.identity["sha256"] == entry.sha256
    with pytest.raises(StudioError, match="different methods"):
        catalog.merge_adapters(project, [lora.id, ti.id], "both")


def test_published_metadata_has_no_local_paths(stocked, tiny_folder):
    project, lora, _ = stocked
    merged = catalog.merge_adapters(project, [lora.id, lora.id], "merged")
    published = catalog.without_local_paths(merged.metadata)
    assert str(tiny_folder) in json.dumps(merged.metadata)
    assert str(tiny_folder.parent) not in json.dumps(published)
    assert published["base_model"]["model_id"] == tiny_folder.name
    assert (
        catalog.without_local_paths({"base_model": {"model_id": "someone/model"}})["base_model"]["model_id"]
        == "someone/model"
    )
