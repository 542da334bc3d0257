"""Sets of images: the same noise for every method, saved one by one, reproduced from their metadata."""

import json
import shutil

import pytest
from PIL import Image

from adapters.formats import safetensors_file
from adapters.registry import methods
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import image_set, model_cache, model_choice, reproduction
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.generation.metadata import read_metadata, to_png
from ghibli_studio.generation.model_cache import LoadedModel
from ghibli_studio.generation.pipeline import generate
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.training.runs import execute
from ghibli_studio.workspace.project import Workspace

FEW = GenerationSettings(num_inference_steps=3, seed=7)


@pytest.fixture(scope="module")
def trained_workspace(sample_workspace, tmp_path_factory):
    """Return a workspace whose project has a finished run of each method. Read only."""
    root = tmp_path_factory.mktemp("trained") / "workspace"
    shutil.copytree(sample_workspace.root, root)
    project = Workspace(root).project("sample")
    base = datasets.load(project).base_model
    for name in methods():
        small = {"rank": 2} if name == "lora" else {"num_vectors": 2}
        list(execute(project.new_run(preset("quick", name, base_model=base, num_train_epochs=1, **small))))
    return project.workspace


@pytest.fixture
def trained(trained_workspace, workspace):
    """Return the test's own copy of that project."""
    shutil.copytree(trained_workspace.root, workspace.root)
    return workspace.project("sample")


def generate_images(project, names=("base", "lora", "ti"), landmarks=2):
    chosen = [item.landmark for item in datasets.load(project).items[:landmarks]]
    requests = image_set.requests_for_landmarks(project, chosen)
    events = list(image_set.generate_set(project, requests, model_choice.adapter_files(project, names), FEW))
    return events, [event.image for event in events if event.image]


def test_every_method_generates_every_prompt_from_the_same_noise(trained):
    events, images = generate_images(trained)
    assert [(p.method, p.metadata["settings"]["seed"]) for p in images] == [
        ("base", 7),
        ("base", 8),
        ("lora", 7),
        ("lora", 8),
        ("ti", 7),
        ("ti", 8),
    ]
    assert len({p.file.read_bytes() for p in images}) == 6
    assert [p.metadata for p in images] == [read_metadata(p.file) for p in images]
    assert (events[-1].done, events[-1].total) == (18, 18)
    loaded = image_set.load_set(trained.image_sets()[0])
    assert loaded.methods == ("base", "lora", "ti")
    assert len(loaded.titles) == 2
    assert [loaded.files[index, method] for method in loaded.methods for index in range(2)] == [p.file for p in images]


def test_an_image_is_reproduced_bit_for_bit_from_its_metadata(trained):
    for image in generate_images(trained, landmarks=1)[1]:
        model_cache._loaded.clear()
        again = list(reproduction.reproduce(trained, image.file))[-1]
        assert to_png(again.image, again.metadata) == image.file.read_bytes()


def test_an_image_is_reproduced_from_the_adapter_of_its_epoch(trained):
    _, (image,) = generate_images(trained, names=("lora",), landmarks=1)
    for run in trained.runs("lora"):
        run.adapter_file.unlink()
    again = list(reproduction.reproduce(trained, image.file))[-1]
    assert again.image.tobytes() == Image.open(image.file).tobytes()


def test_an_img2img_image_is_reproduced_from_its_metadata(trained, tmp_path):
    item = datasets.load(trained).items[0]
    start = InitImage(open_image((trained.sources / item.source).read_bytes(), item.source), 0.5)
    model = model_cache.load_base_model(datasets.load(trained).base_model)
    first = list(generate(LoadedModel(model), item.caption, FEW, start))[-1]
    file = tmp_path / "one.png"
    file.write_bytes(to_png(first.image, first.metadata))
    assert list(reproduction.reproduce(trained, file))[-1].image.tobytes() == first.image.tobytes()
    (trained.sources / item.source).unlink()
    with pytest.raises(StudioError, match="has no photo with the hash"):
        list(reproduction.reproduce(trained, file))


def test_a_deleted_adapter_is_reported(trained):
    _, (image,) = generate_images(trained, names=("lora",), landmarks=1)
    for run in trained.runs("lora"):
        run.adapter_file.unlink()
        for file in run.epoch_adapter_files().values():
            file.unlink()
    with pytest.raises(StudioError, match="has no adapter with the hash"):
        list(reproduction.reproduce(trained, image.file))


def test_a_stopped_set_keeps_its_images(trained):
    names = [item.landmark for item in datasets.load(trained).items[:2]]
    requests = image_set.requests_for_landmarks(trained, names)
    events = image_set.generate_set(trained, requests, model_choice.adapter_files(trained, ("base", "lora")), FEW)
    for event in events:
        if event.image and event.image.method == "lora":
            break
    events.close()
    loaded = image_set.load_set(trained.image_sets()[0])
    assert sorted(loaded.files) == [(0, "base"), (0, "lora"), (1, "base")]
    _, images = generate_images(trained, names=("base",), landmarks=1)
    assert [image.method for image in images] == ["base"]


def test_the_newest_finished_run_is_used(trained):
    base = datasets.load(trained).base_model
    newer = trained.new_run(preset("quick", "lora", base_model=base, num_train_epochs=1, rank=2, seed=1))
    assert model_choice.newest_finished_run(trained, "lora") != newer
    list(execute(newer))
    assert model_choice.newest_finished_run(trained, "lora") == newer


def test_missing_models_landmarks_and_prompts_are_reported(project):
    with pytest.raises(StudioError) as caught:
        model_choice.adapter_files(project, ["base", "ti"])
    assert str(caught.value) == (
        f"project {project.name!r} has no trained Textual Inversion yet; train one in the Train tab, or with: "
        f"ghibli-studio train {project.name!r} --method ti"
    )
    with pytest.raises(
        StudioError, match="the dataset has no landmark 'Bik Ben'; choose one of its 8, such as Big Ben"
    ):
        image_set.requests_for_landmarks(project, ["Bik Ben"])
    with pytest.raises(StudioError, match="there is no prompt"):
        image_set.requests_for_prompts(["", "  "])
    with pytest.raises(StudioError, match="there are 501 prompts, and at most 500"):
        image_set.requests_for_prompts(["a"] * 501)


def test_each_line_is_a_prompt():
    requests = image_set.requests_for_prompts(["Petra, Jordan, a temple", "", " a castle "])
    assert requests == [
        image_set.Request("Petra", "Petra, Jordan, a temple"),
        image_set.Request("a castle", "a castle"),
    ]


def test_adapters_of_two_base_models_are_refused(trained, monkeypatch):
    model_ids = iter(["one/model", "another/model"])
    monkeypatch.setattr(
        safetensors_file, "read_adapter_metadata", lambda path: {"base_model": {"model_id": next(model_ids)}}
    )
    with pytest.raises(StudioError, match=r"were trained on different base models \(another/model, one/model\)"):
        model_cache.base_model_of(trained, model_choice.adapter_files(trained, ["lora", "ti"]))


def test_set_json_has_the_prompts_and_settings(trained):
    generate_images(trained, names=("base",), landmarks=1)
    content = json.loads((trained.image_sets()[0] / image_set.SET_FILE).read_text())
    item = datasets.load(trained).items[0]
    assert content["requests"] == [{"title": item.landmark, "prompt": item.caption}]
    assert content["settings"] == FEW.model_dump()
