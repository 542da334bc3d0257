"""Everything that was drawn: found again, told, packed, taken away, and its settings used once more."""

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


def found(project, **wanted):
    return gallery.search(project, gallery.Search.checked(wanted))


def test_everything_is_found_the_newest_first(drawn):
    entries = gallery.search(drawn)
    assert [entry.kind for entry in entries].count("generated") == 4
    assert [entry.kind for entry in entries].count("sample") == 3
    assert entries == sorted(entries, key=lambda entry: (entry.made, entry.id), reverse=True)
    assert entries[0].recipe == metadata.read_recipe(entries[0].file)
    assert entries[0].title == "LoRA · Big Ben"


@pytest.mark.parametrize(
    ("wanted", "count"),
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
def test_a_search_keeps_what_fits_in_every_respect(drawn, wanted, count):
    assert len(found(drawn, **wanted)) == count


def test_pictures_are_found_by_their_adapter(drawn):
    run = drawn.runs()[0]
    digest = workspace_files.sha256_of(run.adapter_file)
    assert len(found(drawn, adapter=run.id, kind="generated")) == 2
    assert len(found(drawn, adapter=digest[:12])) == 2
    assert {entry.method for entry in found(drawn, adapter=run.id)} == {"lora"}


def test_days_are_of_the_picture(drawn_copy):
    entry = found(drawn_copy, kind="generated")[0]
    os.utime(entry.file, (1_000_000_000, 1_000_000_000))  # 2001-09-09
    assert [one.id for one in found(drawn_copy, until="2001-09-10")] == [entry.id]
    with pytest.raises(StudioError, match="since must not be the later day"):
        found(drawn_copy, since="2002-01-01", until="2001-01-01")


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [({"since": "yesterday"}, "since is 'yesterday'"), ({"seed": -1}, "seed is -1"), ({"kind": "x"}, "kind is 'x'")],
)
def test_a_wrong_search_is_told(drawn, wanted, sentence):
    with pytest.raises(StudioError, match=sentence):
        found(drawn, **wanted)


def test_files_that_are_no_pictures_of_ours_are_passed_over(drawn_copy):
    folder = drawn_copy.image_sets()[0]
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "plain.png").write_bytes(png_bytes(Image.new("RGB", (8, 8))))
    (folder / "odd.png").write_bytes(png_bytes(Image.new("RGB", (8, 8)), {"recipe": "[1"}))
    assert len(found(drawn_copy, kind="generated")) == 4


def test_pages_never_leave_their_range():
    assert gallery.page_of(list(range(50)), 3) == ([48, 49], 3, 3)
    assert gallery.page_of(list(range(50)), 99) == ([48, 49], 3, 3)
    assert gallery.page_of([], 0) == ([], 1, 1)


def test_a_thumbnail_is_small_and_made_once(drawn_copy):
    entry = gallery.search(drawn_copy)[0]
    entry.file.write_bytes(metadata.to_png(Image.new("RGB", (640, 320), "red"), entry.recipe))
    entry = gallery.find(drawn_copy, entry.id)
    file = gallery.thumbnail(drawn_copy, entry)
    with Image.open(file) as small:
        assert small.size == (256, 128)
    before = file.stat().st_mtime_ns
    assert gallery.thumbnail(drawn_copy, entry) == file
    assert file.stat().st_mtime_ns == before


def test_what_nobody_needs_is_taken_away_and_nothing_else(drawn_copy):
    folder = drawn_copy.image_sets()[0]
    ids = [entry.id for entry in found(drawn_copy, kind="generated")]
    sample = found(drawn_copy, kind="sample")[0]
    with pytest.raises(StudioError, match="a run shows it in its strip"):
        gallery.remove(drawn_copy, [ids[0], sample.id])
    with pytest.raises(StudioError, match="has no picture 'images/x"):
        gallery.remove(drawn_copy, [ids[0], "images/x.png"])
    assert len(found(drawn_copy, kind="generated")) == 4
    assert gallery.remove(drawn_copy, ids[:1]) == 1
    assert len(image_set.load_set(folder).files) == 3
    gallery.remove(drawn_copy, ids[1:])
    assert not folder.exists()
    assert sample.file.exists()


@pytest.mark.parametrize("id", ["../sample/project.json", "project.json", "/etc/passwd", "dataset/0001.png"])
def test_no_other_file_is_taken_away(drawn_copy, id):
    with pytest.raises(StudioError, match="has no picture"):
        gallery.remove(drawn_copy, [id])
    assert drawn_copy.marker_file.exists()


def test_a_pack_has_the_pictures_as_they_are(drawn):
    entries = found(drawn, kind="generated")
    with zipfile.ZipFile(io.BytesIO(gallery.pack(entries))) as archive:
        assert sorted(archive.namelist()) == sorted(["pictures.json", *(entry.id for entry in entries)])
        assert archive.read(entries[0].id) == entries[0].file.read_bytes()
        assert json.loads(archive.read("pictures.json"))[0]["recipe"] == entries[0].recipe
    with pytest.raises(StudioError, match="there is no picture to pack"):
        gallery.pack([])


def test_the_settings_of_a_picture_draw_it_again(drawn_copy):
    for entry in found(drawn_copy, kind="generated"):
        again = gallery.settings_again(drawn_copy, entry)
        file = model_choice.file_of(drawn_copy, again["drawer"])
        settings = GenerationSettings.checked(again["settings"])
        model = model_cache.loaded_base(datasets.load(drawn_copy).base_model)
        with model_cache.on_base(model, file) as loaded:
            made = list(pipeline.draw(loaded, again["prompt"], settings))[-1]
        assert metadata.to_png(made.image, made.recipe) == entry.file.read_bytes()


def test_the_drawer_of_a_picture_is_the_epoch_that_drew_it(drawn_copy):
    run = drawn_copy.runs()[0]
    files = run.epoch_adapter_files()
    best = run.metrics()["best_epoch"]
    other = next(epoch for epoch in files if epoch != best)
    requests = image_set.requests_for_prompts(["Petra"])
    name = f"{run.id}@{other}"
    list(image_set.draw_set(drawn_copy, requests, model_choice.adapter_files(drawn_copy, [name]), FEW))
    entry = found(drawn_copy, kind="generated")[0]
    assert gallery.settings_again(drawn_copy, entry)["drawer"] == name
    last = next(entry for entry in found(drawn_copy, kind="sample") if entry.recipe["adapter"]["epoch"] == 2)
    assert gallery.settings_again(drawn_copy, last)["drawer"] == f"{run.id}@2"
    *_, again = reproduction.reproduce(drawn_copy, last.file)  # a sample's adapter is that of its epoch
    with Image.open(last.file) as drawn:
        assert again.image.tobytes() == drawn.convert("RGB").tobytes()
    first = next(entry for entry in found(drawn_copy, kind="sample") if entry.recipe["adapter"]["epoch"] == 0)
    with pytest.raises(StudioError, match="before it had learned, and no adapter of that is kept; choose the base"):
        gallery.settings_again(drawn_copy, first)
    run.adapter_file.unlink()
    for file in files.values():
        file.unlink()
    with pytest.raises(StudioError, match="has no adapter with the hash"):
        gallery.settings_again(drawn_copy, entry)


def test_all_that_can_draw_is_known_by_name(drawn_copy):
    run = drawn_copy.runs()[0]
    assert [one.name for one in model_choice.known_drawers(drawn_copy)] == ["base", "lora", run.id]
    drawn_copy.made.folder.joinpath("adapters").mkdir()
    (drawn_copy.made.folder / "adapters/mine.safetensors").write_bytes(run.adapter_file.read_bytes())
    assert model_choice.file_of(drawn_copy, "mine").name == "mine.safetensors"
    assert model_choice.file_of(drawn_copy, run.id) == model_choice.file_of(drawn_copy, "lora") == run.adapter_file
    assert model_choice.file_of(drawn_copy, f"{run.id}@1") == run.epoch_adapter_file(1)
    for name, sentence in (
        (f"{run.id}@9", "has no epoch 9; it has 1 to 2"),
        ("../x", "nothing called '../x'"),
        ("ti", "no trained Textual Inversion"),
        ("20010101-000000-lora", "has no run"),
    ):
        with pytest.raises(StudioError, match=sentence):
            model_choice.file_of(drawn_copy, name)
    assert model_choice.short_label(f"{run.id}@3").startswith("LoRA of ")


def test_the_command_line_finds_packs_and_takes_away(drawn_copy, capsys, tmp_path):
    place = ["--workspace", str(drawn_copy.workspace.root)]
    assert main(["pictures", "sample", "big", "ben", "--kind", "generated", "--json", *place]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["picture", "picture", "done"]
    assert {line["seed"] for line in lines[:-1]} == {8}
    assert main(["pictures", "sample", "--limit", "1", "--zip", str(tmp_path / "all.zip"), *place]) == 0
    assert zipfile.ZipFile(tmp_path / "all.zip").namelist()[0] == "pictures.json"
    assert main(["pictures", "sample", "--kind", "generated", "--delete", *place]) == 1
    assert "say --yes if that is meant" in capsys.readouterr().err
    assert main(["pictures", "sample", "--kind", "generated", "--delete", "--yes", *place]) == 0
    assert found(drawn_copy, kind="generated") == []
