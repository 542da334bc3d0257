"""The folder for others: its files, its card by the hub's own reader, its pictures; the commands that make it."""

import json
import re
import zipfile

import pytest
from huggingface_hub import ModelCard
from PIL import Image
from safetensors import safe_open

from adapters.registry import load_file, method
from adapters.settings import StudioError
from ghibli_studio.adapter_library import catalog, export, model_card
from ghibli_studio.cli.app import main
from ghibli_studio.config.export import SharingSettings
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import image_set
from ghibli_studio.generation.metadata import read_recipe
from ghibli_studio.workspace.files import write_json
from tests.support.made_adapters import made

FEW = GenerationSettings(num_inference_steps=2, seed=3)


@pytest.fixture
def drawn(project, tiny):
    """(project, entry of a LoRA run) with two pictures drawn with it."""
    run = made(project, tiny, "lora")
    requests = image_set.requests_for_prompts(["Petra, a temple", 'Big Ben, "the" clock'])
    list(image_set.draw_set(project, requests, {"base": None, "lora": run.adapter_file}, FEW))
    return project, catalog.find(project, run.id)


def exported(project, entry, **settings):
    chosen = SharingSettings.checked(settings)
    list(export.export(project, entry, chosen))
    return export.default_place(project, entry, chosen)


def test_an_export_is_a_folder_ready_for_the_hub(drawn, tiny_folder):
    project, entry = drawn
    place = exported(project, entry, license="creativeml-openrail-m")
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()) == [
        "README.md",
        "pytorch_lora_weights.safetensors",
        "recipe.json",
        "sample-lora.json",
        "sample-lora.safetensors",
        "samples/01.png",
        "samples/02.png",
        "training.png",
    ]
    card = ModelCard.load(place / "README.md")
    front = card.data.to_dict()
    assert front["license"] == "creativeml-openrail-m"
    assert (front["library_name"], front["pipeline_tag"]) == ("diffusers", "text-to-image")
    assert {"lora", "text-to-image", "stable-diffusion"} <= set(front["tags"])
    assert front["instance_prompt"] == "ghibli style"
    assert "base_model" not in front  # a folder of this machine is none
    assert [(one["text"], one["output"]["url"]) for one in front["widget"]] == [
        ("Petra, a temple, ghibli style", "samples/01.png"),
        ('Big Ben, "the" clock, ghibli style', "samples/02.png"),
    ]
    assert model_card.NO_SCORES in card.text
    assert "| rank | 2 |" in card.text
    for target in re.findall(r'(?:src="|\]\()([^")]+)', card.text):
        assert "://" in target or (place / target).is_file()
    with Image.open(place / "training.png") as curve:
        assert curve.width > 400
    with safe_open(place / "sample-lora.safetensors", "pt") as file:
        told = file.metadata()
    assert (told["ss_steps"], told["ss_epoch"], told["ss_num_train_images"]) == ("8", "2", "6")
    assert told["modelspec.resolution"] == "64x64"
    assert max(json.loads(told["ss_tag_frequency"])["train"].values()) <= 6
    for path in place.rglob("*"):
        assert not path.is_file() or str(tiny_folder.parent).encode() not in path.read_bytes()
    assert read_recipe(place / "samples/01.png")["caption"] == "Petra, a temple, ghibli style"
    again = catalog.import_adapter(project, place / "sample-lora.safetensors", "back")
    before, after = load_file(entry.file)[1], load_file(again.file)[1]
    assert all((before[name] == after[name]).all() for name in before)
    assert again.recipe["base_model"]["spec"] == str(tiny_folder)


def test_words_and_a_zip(project, tiny):
    run = made(project, tiny, "ti", negative_vectors=2, unconditional_dropout=0.1, placeholder_token="<moss>")
    place = exported(project, catalog.find(project, run.id), zipped=True, name="moss-style", description="Of moss.")
    with zipfile.ZipFile(place) as archive:
        names = set(archive.namelist())
        card = archive.read("README.md").decode()
    assert {
        "learned_embeds.safetensors",
        "learned_embeds_negative.safetensors",
        "moss.safetensors",
        "moss-negative.safetensors",
        "training.png",
        "recipe.json",
        "README.md",
    } == names
    assert "Of moss." in card
    assert "instance_prompt: <moss>" in card
    assert "`moss-negative` belongs into the negative prompt" in card


def test_scores_with_their_intervals_are_on_the_card(drawn):
    project, entry = drawn
    folder = project.new_evaluation()
    write_json(folder / "evaluation.json", {})
    common = {"task": "prompt", "metric": "style", "landmarks": 7}
    write_json(
        folder / "result.json",
        {
            "variants": [
                {"name": "Base model", "method": "base", "sha256": None, "group": "compare"},
                {"name": "LoRA", "method": "lora", "sha256": entry.sha256, "group": "compare"},
            ],
            "metrics": {"style": {"label": "Style similarity", "better": "higher"}},
            "means": [
                {**common, "variant": "Base model", "mean": 0.5, "interval": None},
                {**common, "variant": "LoRA", "mean": 0.75, "interval": [0.7, 0.8]},
            ],
        },
    )
    card = (exported(project, entry) / "README.md").read_text()
    assert "| prompt | Style similarity | higher | 0.75 (0.7 to 0.8) | 0.5 |" in card
    assert "7 held-out subjects" in card
    assert model_card.NO_SCORES not in card


def test_an_averaged_one_has_its_parents_on_the_card(drawn):
    project, entry = drawn
    mean = catalog.average(project, [entry.name, f"{entry.name}@1"], "mean", [0.7, 0.3])
    place = exported(project, mean)
    card = (place / "README.md").read_text()
    assert f"`{entry.name}` x 0.7" in card
    assert "exact, ranks added up" in card
    with safe_open(place / "mean.safetensors", "pt") as file:
        assert file.metadata()["modelspec.merged_from"] == f"{entry.name}, {entry.name}@1"
    assert not (place / "training.png").exists()


def test_a_picture_from_a_photograph_is_never_on_a_card(drawn):
    from ghibli_studio.generation.metadata import to_png

    project, entry = drawn
    file = next(file for file in project.image_sets()[0].glob("*-lora.png"))
    recipe = {**read_recipe(file), "photograph": {"sha256": "x", "strength": 0.5}}
    with Image.open(file) as image:
        file.write_bytes(to_png(image.convert("RGB"), recipe))
    assert len(list((exported(project, entry) / "samples").glob("*.png"))) == 1


def test_a_method_that_knows_no_other_layout_gives_its_own_file(drawn, monkeypatch):
    project, entry = drawn
    monkeypatch.delattr(method("lora"), "interchange")
    place = exported(project, entry, pictures=0)
    assert sorted(path.name for path in place.iterdir()) == [
        "README.md",
        "recipe.json",
        "sample-lora.safetensors",
        "training.png",
    ]
    before, after = load_file(entry.file)[1], load_file(place / "sample-lora.safetensors")[1]
    assert all((before[name] == after[name]).all() for name in before)
    assert "It can be used with Ghibli Studio." in (place / "README.md").read_text()
    again = catalog.import_adapter(project, place / "sample-lora.safetensors")
    assert again.recipe["run"] == entry.run.id


def test_nothing_of_a_person_is_overwritten_and_broken_files_are_told(drawn, tmp_path):
    project, entry = drawn
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("x")
    with pytest.raises(StudioError, match="is there already"):
        list(export.export(project, entry, SharingSettings(), tmp_path / "mine"))
    with pytest.raises(StudioError, match="license is 'No License'"):
        SharingSettings.checked({"license": "No License"})
    with pytest.raises(StudioError, match="use letters, digits"):
        SharingSettings.checked({"name": "../x"})
    project.adapters.file("broken").parent.mkdir()
    project.adapters.file("broken").write_bytes(b"x")
    with pytest.raises(StudioError, match="cannot be handed on"):
        list(export.export(project, catalog.find(project, "broken"), SharingSettings()))


def told(capsys, *arguments):
    code = main([*arguments, "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_commands(drawn, capsys, tmp_path):
    project, entry = drawn
    common = ["sample", "--workspace", str(project.workspace.root)]
    code, lines = told(capsys, "export-adapter", *common, entry.name, "--out", str(tmp_path / "out"), "--name", "moss")
    assert (code, lines[-1]["place"]) == (0, str(tmp_path / "out"))
    code, lines = told(capsys, "import-adapter", *common, str(tmp_path / "out/moss.safetensors"), "--name", "moss")
    assert (code, lines[0]["origin"], lines[0]["trigger"]) == (0, "imported", "ghibli style")
    code, lines = told(
        capsys, "average", *common, entry.name, "moss", "--name", "mean", "--weights", "0.5,0.5", "--rank", "2"
    )
    assert (code, lines[0]["parents"]) == (0, [entry.name, "moss"])
    code, lines = told(capsys, "at-strength", *common, "mean", "0.5", "--name", "half")
    assert (code, lines[0]["origin"]) == (0, "adapter_scale")
    code, lines = told(capsys, "adapters", *common)
    assert sorted(line["name"] for line in lines) == sorted([entry.name, "moss", "mean", "half"])
    code, lines = told(capsys, "export-adapter", *common, entry.name, "--strength", "0.5", "--zip")
    assert code == 0
    assert lines[-1]["place"].endswith(f"{entry.name}-x0.5.zip")
    code, lines = told(capsys, "push", *common, str(tmp_path / "out"), "me/moss", "--dry-run")
    assert {"README.md", "moss.safetensors", "training.png"} <= {line["file"] for line in lines}
    code, lines = told(capsys, "average", *common, entry.name, "moss", "--name", "x", "--weights", "a,b")
    assert (code, lines[0]["message"]) == (1, "weights are 'a,b'; write them as 0.7,0.3")
