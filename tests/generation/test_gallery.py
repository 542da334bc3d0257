"""The gallery: search, listing, ZIP, deletion, and reuse of an image's settings."""

import io
import json
import os
import zipfile
from datetime import date

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.cli.app import main
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import gallery, image_set, metadata, model_cache, model_choice, pipeline, reproduction
from ghibli_studio.imaging.image_io import png_bytes
from ghibli_studio.workspace import files as workspace_files

FEW = GenerationSettings(num_inference_steps=1, seed=7)


def search(project, **terms):
    return gallery.search(project, gallery.Search.checked(terms))


def test_all_images_are_found_newest_first(generated_project):
    entries = gallery.search(generated_project)
    assert [entry.kind for entry in entries].count("generated") == 4
    assert [entry.kind for entry in entries].count("sample") == 3
    assert entries == sorted(entries, key=lambda entry: (entry.created, entry.id), reverse=True)
    assert entries[0].metadata == metadata.read_metadata(entries[0].file)
    assert entries[0].title == "LoRA · Big Ben"


@pytest.mark.parametrize(
    ("terms", "count"),
    [
        ({"words": "temple JORDAN", "kind": "generated"}, 2),
        ({"words": "temple London"}, 0),
        ({"kind": "generated", "method": "lora"}, 2),
        ({"seed": 8}, 2),
        ({"method": "ti"}, 0),
        ({"kind": "sample"}, 3),
        ({"since": "2001-01-01", "until": date(2001, 1, 2)}, 0),
        ({"since": "2001-01-01", "kind": "generated"}, 4),
    ],
)
def test_a_search_finds_images_that_match_all_terms(generated_project, terms, count):
    assert len(search(generated_project, **terms)) == count


def test_images_are_found_by_their_adapter(generated_project):
    run = generated_project.runs()[0]
    digest = workspace_files.sha256_of(run.adapter_file)
    assert len(search(generated_project, adapter=run.id, kind="generated")) == 2
    assert len(search(generated_project, adapter=digest[:12])) == 2
    assert {entry.method for entry in search(generated_project, adapter=run.id)} == {"lora"}


def test_images_are_found_by_day(generated_copy):
    entry = search(generated_copy, kind="generated")[0]
    os.utime(entry.file, (1_000_000_000, 1_000_000_000))  # 2001-09-09
    assert [one.id for one in search(generated_copy, until="2001-09-10")] == [entry.id]
    with pytest.raises(StudioError, match="since must not be later than until"):
        search(generated_copy, since="2002-01-01", until="2001-01-01")


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [({"since": "yesterday"}, "since is 'yesterday'"), ({"seed": -1}, "seed is -1"), ({"kind": "x"}, "kind is 'x'")],
)
def test_a_wrong_search_is_reported(generated_project, terms, sentence):
    with pytest.raises(StudioError, match=sentence):
        search(generated_project, **terms)


def test_files_without_valid_metadata_are_skipped(generated_copy):
    folder = generated_copy.image_sets()[0]
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "plain.png").write_bytes(png_bytes(Image.new("RGB", (8, 8))))
    (folder / "odd.png").write_bytes(png_bytes(Image.new("RGB", (8, 8)), {metadata.METADATA_KEY: "[1"}))
    assert len(search(generated_copy, kind="generated")) == 4


def test_page_numbers_stay_in_range():
    assert gallery.paginate(list(range(50)), 3) == ([48, 49], 3, 3)
    assert gallery.paginate(list(range(50)), 99) == ([48, 49], 3, 3)
    assert gallery.paginate([], 0) == ([], 1, 1)


def test_a_thumbnail_is_small_and_created_once(generated_copy):
    entry = gallery.search(generated_copy)[0]
    entry.file.write_bytes(metadata.to_png(Image.new("RGB", (640, 320), "red"), entry.metadata))
    entry = gallery.find(generated_copy, entry.id)
    file = gallery.thumbnail(generated_copy, entry)
    with Image.open(file) as small:
        assert small.size == (256, 128)
    before = file.stat().st_mtime_ns
    assert gallery.thumbnail(generated_copy, entry) == file
    assert file.stat().st_mtime_ns == before


def test_only_deletable_images_are_deleted(generated_copy):
    folder = generated_copy.image_sets()[0]
    ids = [entry.id for entry in search(generated_copy, kind="generated")]
    sample = search(generated_copy, kind="sample")[0]
    with pytest.raises(StudioError, match="a training run shows it"):
        gallery.remove(generated_copy, [ids[0], sample.id])
    with pytest.raises(StudioError, match="has no image 'images/x"):
        gallery.remove(generated_copy, [ids[0], "images/x.png"])
    assert len(search(generated_copy, kind="generated")) == 4
    assert gallery.remove(generated_copy, ids[:1]) == 1
    assert len(image_set.load_set(folder).files) == 3
    gallery.remove(generated_copy, ids[1:])
    assert not folder.exists()
    assert sample.file.exists()


@pytest.mark.parametrize("id", ["../sample/project.json", "project.json", "/etc/passwd", "dataset/0001.png"])
def test_no_other_file_is_deleted(generated_copy, id):
    with pytest.raises(StudioError, match="has no image"):
        gallery.remove(generated_copy, [id])
    assert generated_copy.marker_file.exists()


def test_a_zip_has_the_unchanged_images(generated_project):
    entries = search(generated_project, kind="generated")
    with zipfile.ZipFile(io.BytesIO(gallery.zip_images(entries))) as archive:
        assert sorted(archive.namelist()) == sorted(["images.json", *(entry.id for entry in entries)])
        assert archive.read(entries[0].id) == entries[0].file.read_bytes()
        assert json.loads(archive.read("images.json"))[0]["metadata"] == entries[0].metadata
    with pytest.raises(StudioError, match="there is no image to download"):
        gallery.zip_images([])


def test_the_reused_settings_generate_the_same_image(generated_copy):
    for entry in search(generated_copy, kind="generated"):
        again = gallery.reusable_settings(generated_copy, entry)
        file = model_choice.adapter_file(generated_copy, again["model"])
        settings = GenerationSettings.checked(again["settings"])
        model = model_cache.load_base_model(datasets.load(generated_copy).base_model)
        with model_cache.with_optional_adapter(model, file) as loaded:
            event = list(pipeline.generate(loaded, again["prompt"], settings))[-1]
        assert metadata.to_png(event.image, event.metadata) == entry.file.read_bytes()


def test_the_model_of_an_image_is_the_epoch_that_generated_it(generated_copy):
    run = generated_copy.runs()[0]
    files = run.epoch_adapter_files()
    best = run.metrics()["best_epoch"]
    other = next(epoch for epoch in files if epoch != best)
    requests = image_set.requests_for_prompts(["Petra"])
    name = f"{run.id}@{other}"
    list(image_set.generate_set(generated_copy, requests, model_choice.adapter_files(generated_copy, [name]), FEW))
    entry = search(generated_copy, kind="generated")[0]
    assert gallery.reusable_settings(generated_copy, entry)["model"] == name
    last = next(entry for entry in search(generated_copy, kind="sample") if entry.metadata["adapter"]["epoch"] == 2)
    assert gallery.reusable_settings(generated_copy, last)["model"] == f"{run.id}@2"
    *_, again = reproduction.reproduce(generated_copy, last.file)  # a sample's adapter is that of its epoch
    with Image.open(last.file) as sample:
        assert again.image.tobytes() == sample.convert("RGB").tobytes()
    first = next(entry for entry in search(generated_copy, kind="sample") if entry.metadata["adapter"]["epoch"] == 0)
    with pytest.raises(
        StudioError, match="before its first training step, and that adapter was not saved; choose the base"
    ):
        gallery.reusable_settings(generated_copy, first)
    run.adapter_file.unlink()
    for file in files.values():
        file.unlink()
    with pytest.raises(StudioError, match="has no adapter with the hash"):
        gallery.reusable_settings(generated_copy, entry)


def test_every_model_choice_has_a_name(generated_copy):
    run = generated_copy.runs()[0]
    assert [choice.name for choice in model_choice.model_choices(generated_copy)] == ["base", "lora", run.id]
    generated_copy.outputs.folder.joinpath("adapters").mkdir()
    (generated_copy.outputs.folder / "adapters/mine.safetensors").write_bytes(run.adapter_file.read_bytes())
    assert model_choice.adapter_file(generated_copy, "mine").name == "mine.safetensors"
    assert (
        model_choice.adapter_file(generated_copy, run.id)
        == model_choice.adapter_file(generated_copy, "lora")
        == run.adapter_file
    )
    assert model_choice.adapter_file(generated_copy, f"{run.id}@1") == run.epoch_adapter_file(1)
    for name, sentence in (
        (f"{run.id}@9", "has no epoch 9; it has epochs 1 to 2"),
        ("../x", "has no model '../x'"),
        ("ti", "no trained Textual Inversion"),
        ("20010101-000000-lora", "has no run"),
    ):
        with pytest.raises(StudioError, match=sentence):
            model_choice.adapter_file(generated_copy, name)
    assert model_choice.short_label(f"{run.id}@3").startswith("LoRA of ")


def test_the_command_line_lists_zips_and_deletes_images(generated_copy, capsys, tmp_path):
    place = ["--workspace", str(generated_copy.workspace.root)]
    assert main(["images", "list", "sample", "big", "ben", "--type", "generated", "--json", *place]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["image", "image", "done"]
    assert {line["seed"] for line in lines[:-1]} == {8}
    assert main(["images", "pack", "sample", str(tmp_path / "all.zip"), "--limit", "1", *place]) == 0
    assert zipfile.ZipFile(tmp_path / "all.zip").namelist()[0] == "images.json"
    assert main(["images", "delete", "sample", "--type", "generated", *place]) == 1
    assert "add --yes to confirm" in capsys.readouterr().err
    assert main(["images", "delete", "sample", "--type", "generated", "--yes", *place]) == 0
    assert search(generated_copy, kind="generated") == []
