"""The exported folder: its files, its card by the Hub's own reader, its images; and the commands."""

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
from ghibli_studio.config.export import AdapterExportSettings
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import image_set
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.workspace.files import write_json
from tests.support.adapter_runs import adapter_run

FEW = GenerationSettings(num_inference_steps=2, seed=3)


@pytest.fixture
def sampled(project, tiny):
    """A project and the entry of a LoRA run with two images generated with it."""
    run = adapter_run(project, tiny, "lora")
    requests = image_set.requests_for_prompts(["Petra, a temple", 'Big Ben, "the" clock'])
    list(image_set.generate_set(project, requests, {"base": None, "lora": run.adapter_file}, FEW))
    return project, catalog.find(project, run.id)


def exported(project, entry, **settings):
    chosen = AdapterExportSettings.checked(settings)
    list(export.export(project, entry, chosen))
    return export.default_target(project, entry, chosen)


def test_an_export_is_a_folder_ready_for_the_hub(sampled, tiny_folder):
    project, entry = sampled
    folder = exported(project, entry, license="creativeml-openrail-m")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "README.md",
        "metadata.json",
        "pytorch_lora_weights.safetensors",
        "sample-lora.json",
        "sample-lora.safetensors",
        "samples/01.png",
        "samples/02.png",
        "training.png",
    ]
    card = ModelCard.load(folder / "README.md")
    front_matter = card.data.to_dict()
    assert front_matter["license"] == "creativeml-openrail-m"
    assert (front_matter["library_name"], front_matter["pipeline_tag"]) == ("diffusers", "text-to-image")
    assert {"lora", "text-to-image", "stable-diffusion"} <= set(front_matter["tags"])
    assert front_matter["instance_prompt"] == "ghibli style"
    assert "base_model" not in front_matter  # it is a local folder
    assert [(item["text"], item["output"]["url"]) for item in front_matter["widget"]] == [
        ("Petra, a temple, ghibli style", "samples/01.png"),
        ('Big Ben, "the" clock, ghibli style', "samples/02.png"),
    ]
    assert model_card.NO_SCORES in card.text
    assert "| rank | 2 |" in card.text
    for target in re.findall(r'(?:src="|\]\()([^")]+)', card.text):
        assert "://" in target or (folder / target).is_file()
    with Image.open(folder / "training.png") as curve:
        assert curve.width > 400
    with safe_open(folder / "sample-lora.safetensors", "pt") as file:
        keys = file.metadata()
    assert (keys["ss_steps"], keys["ss_epoch"], keys["ss_num_train_images"]) == ("8", "2", "6")
    assert keys["modelspec.resolution"] == "64x64"
    assert max(json.loads(keys["ss_tag_frequency"])["train"].values()) <= 6
    for path in folder.rglob("*"):
        assert not path.is_file() or str(tiny_folder.parent).encode() not in path.read_bytes()
    assert read_metadata(folder / "samples/01.png")["caption"] == "Petra, a temple, ghibli style"
    again = catalog.import_adapter(project, folder / "sample-lora.safetensors", "back")
    before, after = load_file(entry.file)[1], load_file(again.file)[1]
    assert all((before[name] == after[name]).all() for name in before)
    assert again.metadata["base_model"]["model_id"] == str(tiny_folder)


def test_an_embedding_is_exported_as_a_zip(project, tiny):
    run = adapter_run(project, tiny, "ti", negative_vectors=2, unconditional_dropout=0.1, placeholder_token="<moss>")
    folder = exported(project, catalog.find(project, run.id), zipped=True, name="moss-style", description="Of moss.")
    with zipfile.ZipFile(folder) as archive:
        names = set(archive.namelist())
        card = archive.read("README.md").decode()
    assert {
        "learned_embeds.safetensors",
        "learned_embeds_negative.safetensors",
        "moss.safetensors",
        "moss-negative.safetensors",
        "training.png",
        "metadata.json",
        "README.md",
    } == names
    assert "Of moss." in card
    assert "instance_prompt: <moss>" in card
    assert "`moss-negative` belongs in the negative prompt" in card


def test_scores_with_their_intervals_are_on_the_card(sampled):
    project, entry = sampled
    evaluation = project.new_evaluation()
    write_json(evaluation / "evaluation.json", {})
    common = {"task": "txt2img", "metric": "style", "landmarks": 7}
    write_json(
        evaluation / "result.json",
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
    assert "| txt2img | Style similarity | higher | 0.75 (0.7 to 0.8) | 0.5 |" in card
    assert "7 held-out subjects" in card
    assert model_card.NO_SCORES not in card


def test_a_merged_adapter_has_its_parents_on_the_card(sampled):
    project, entry = sampled
    merged = catalog.merge_adapters(project, [entry.name, f"{entry.name}@1"], "merged", [0.7, 0.3])
    folder = exported(project, merged)
    card = (folder / "README.md").read_text()
    assert f"`{entry.name}` x 0.7" in card
    assert "exact, ranks added up" in card
    with safe_open(folder / "merged.safetensors", "pt") as file:
        assert file.metadata()["modelspec.merged_from"] == f"{entry.name}, {entry.name}@1"
    assert not (folder / "training.png").exists()


def test_an_image_made_from_a_photo_is_never_on_a_card(sampled):
    from ghibli_studio.generation.metadata import to_png

    project, entry = sampled
    file = next(file for file in project.image_sets()[0].glob("*-lora.png"))
    metadata = {**read_metadata(file), "init_image": {"sha256": "x", "strength": 0.5}}
    with Image.open(file) as image:
        file.write_bytes(to_png(image.convert("RGB"), metadata))
    assert len(list((exported(project, entry) / "samples").glob("*.png"))) == 1


def test_a_method_without_other_layouts_exports_its_own_file(sampled, monkeypatch):
    project, entry = sampled
    monkeypatch.delattr(method("lora"), "export_files")
    folder = exported(project, entry, images=0)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "metadata.json",
        "sample-lora.safetensors",
        "training.png",
    ]
    before, after = load_file(entry.file)[1], load_file(folder / "sample-lora.safetensors")[1]
    assert all((before[name] == after[name]).all() for name in before)
    assert "It can be used with Ghibli Studio." in (folder / "README.md").read_text()
    again = catalog.import_adapter(project, folder / "sample-lora.safetensors")
    assert again.metadata["run"] == entry.run.id


def test_user_files_are_not_overwritten_and_broken_files_are_reported(sampled, tmp_path):
    project, entry = sampled
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("x")
    with pytest.raises(StudioError, match="exists already"):
        list(export.export(project, entry, AdapterExportSettings(), tmp_path / "mine"))
    with pytest.raises(StudioError, match="license is 'No License'"):
        AdapterExportSettings.checked({"license": "No License"})
    with pytest.raises(StudioError, match="use letters, digits"):
        AdapterExportSettings.checked({"name": "../x"})
    project.adapters.file("broken").parent.mkdir()
    project.adapters.file("broken").write_bytes(b"x")
    with pytest.raises(StudioError, match="cannot be exported"):
        list(export.export(project, catalog.find(project, "broken"), AdapterExportSettings()))


def run_command(capsys, *arguments):
    """Return the exit code and the JSON events."""
    code = main([*arguments, "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_commands(sampled, capsys, tmp_path):
    project, entry = sampled
    common = ["sample", "--workspace", str(project.workspace.root)]
    code, lines = run_command(
        capsys, "adapters", "export", *common, entry.name, "--out", str(tmp_path / "out"), "--name", "moss"
    )
    assert (code, lines[-1]["path"]) == (0, str(tmp_path / "out"))
    code, lines = run_command(
        capsys, "adapters", "import", *common, str(tmp_path / "out/moss.safetensors"), "--name", "moss"
    )
    assert (code, lines[0]["origin"], lines[0]["trigger"]) == (0, "imported", "ghibli style")
    code, lines = run_command(
        capsys,
        "adapters",
        "merge",
        *common,
        entry.name,
        "moss",
        "--name",
        "merged",
        "--weights",
        "0.5,0.5",
        "--rank",
        "2",
    )
    assert (code, lines[0]["parents"]) == (0, [entry.name, "moss"])
    code, lines = run_command(capsys, "adapters", "scale", *common, "merged", "0.5", "--name", "half")
    assert (code, lines[0]["origin"]) == (0, "scaled")
    code, lines = run_command(capsys, "adapters", "list", *common)
    assert sorted(line["name"] for line in lines) == sorted([entry.name, "moss", "merged", "half"])
    code, lines = run_command(capsys, "adapters", "export", *common, entry.name, "--scale", "0.5", "--zip")
    assert code == 0
    assert lines[-1]["path"].endswith(f"{entry.name}-x0.5.zip")
    code, lines = run_command(capsys, "adapters", "push", *common, str(tmp_path / "out"), "me/moss", "--dry-run")
    assert {"README.md", "moss.safetensors", "training.png"} <= {line["file"] for line in lines}
    code, lines = run_command(
        capsys, "adapters", "merge", *common, entry.name, "moss", "--name", "x", "--weights", "a,b"
    )
    assert (code, lines[0]["message"]) == (1, "weights are 'a,b'; write them as 0.7,0.3")
