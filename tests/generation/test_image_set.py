"""Sets of pictures: same noise for every method, saved as they come, reproduced from their own recipe."""

import json

import pytest
from PIL import Image

from adapters import registry
from adapters.registry import methods
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import image_set, model_cache, model_choice, reproduction
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.generation.metadata import read_recipe, to_png
from ghibli_studio.generation.model_cache import Loaded
from ghibli_studio.generation.pipeline import draw as draw_one
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.training.runs import execute

FEW = GenerationSettings(num_inference_steps=3, seed=7)


@pytest.fixture
def trained(project):
    """A project with a finished run of each method."""
    base = datasets.load(project).base_model
    for name in methods():
        small = {"rank": 2} if name == "lora" else {"num_vectors": 2}
        list(execute(project.new_run(preset("quick", name, base_model=base, num_train_epochs=1, **small))))
    return project


def draw(project, wanted=("base", "lora", "ti"), landmarks=2):
    names = [item.landmark for item in datasets.load(project).items[:landmarks]]
    requests = image_set.requests_for_landmarks(project, names)
    return list(image_set.draw_set(project, requests, model_choice.adapter_files(project, wanted), FEW))


def test_every_method_draws_every_prompt_from_the_same_noise(trained):
    events = draw(trained)
    drawn = [event.picture for event in events if event.picture]
    assert [(p.method, p.recipe["settings"]["seed"]) for p in drawn] == [
        ("base", 7),
        ("base", 8),
        ("lora", 7),
        ("lora", 8),
        ("ti", 7),
        ("ti", 8),
    ]
    assert len({p.file.read_bytes() for p in drawn}) == 6
    assert [p.recipe for p in drawn] == [read_recipe(p.file) for p in drawn]
    assert (events[-1].done, events[-1].total) == (18, 18)
    made = image_set.load_set(trained.image_sets()[0])
    assert made.methods == ("base", "lora", "ti")
    assert len(made.titles) == 2
    assert [made.files[index, method] for method in made.methods for index in range(2)] == [p.file for p in drawn]


def test_a_picture_is_reproduced_bit_for_bit_from_its_recipe(trained):
    for event in draw(trained, landmarks=1):
        if event.picture:
            model_cache._loaded.clear()
            again = list(reproduction.reproduce(trained, event.picture.file))[-1]
            assert to_png(again.image, again.recipe) == event.picture.file.read_bytes()


def test_a_picture_of_an_adapter_that_another_epoch_has_replaced_is_reproduced(trained):
    drawn = [event.picture for event in draw(trained, wanted=("lora",), landmarks=1) if event.picture]
    for run in trained.runs("lora"):
        run.adapter_file.unlink()
    again = list(reproduction.reproduce(trained, drawn[0].file))[-1]
    assert again.image.tobytes() == Image.open(drawn[0].file).tobytes()


def test_a_picture_from_a_photograph_is_reproduced_from_its_recipe(trained, tmp_path):
    item = datasets.load(trained).items[0]
    start = Photograph(open_image((trained.sources / item.source).read_bytes(), item.source), 0.5)
    model = model_cache.loaded_base(datasets.load(trained).base_model)
    first = list(draw_one(Loaded(model), item.caption, FEW, start))[-1]
    file = tmp_path / "one.png"
    file.write_bytes(to_png(first.image, first.recipe))
    assert list(reproduction.reproduce(trained, file))[-1].image.tobytes() == first.image.tobytes()
    (trained.sources / item.source).unlink()
    with pytest.raises(StudioError, match="has no photograph with the hash"):
        list(reproduction.reproduce(trained, file))


def test_a_recipe_whose_adapter_is_gone_is_told(trained):
    drawn = [event.picture for event in draw(trained, wanted=("lora",), landmarks=1) if event.picture]
    for run in trained.runs("lora"):
        run.adapter_file.unlink()
        for file in run.epoch_adapter_files().values():
            file.unlink()
    with pytest.raises(StudioError, match="has no adapter with the hash"):
        list(reproduction.reproduce(trained, drawn[0].file))


def test_a_set_that_was_stopped_keeps_what_was_drawn(trained):
    names = [item.landmark for item in datasets.load(trained).items[:2]]
    requests = image_set.requests_for_landmarks(trained, names)
    going = image_set.draw_set(trained, requests, model_choice.adapter_files(trained, ("base", "lora")), FEW)
    for event in going:
        if event.picture and event.picture.method == "lora":
            break
    going.close()
    made = image_set.load_set(trained.image_sets()[0])
    assert sorted(made.files) == [(0, "base"), (0, "lora"), (1, "base")]
    assert [event.picture.method for event in draw(trained, wanted=("base",), landmarks=1) if event.picture] == ["base"]


def test_the_newest_finished_run_is_used(trained):
    base = datasets.load(trained).base_model
    newer = trained.new_run(preset("quick", "lora", base_model=base, num_train_epochs=1, rank=2, seed=1))
    assert model_choice.finished_run(trained, "lora") != newer
    list(execute(newer))
    assert model_choice.finished_run(trained, "lora") == newer


def test_what_is_missing_is_told(project):
    with pytest.raises(StudioError) as caught:
        model_choice.adapter_files(project, ["base", "ti"])
    assert str(caught.value) == (
        f"project {project.name!r} has no trained Textual Inversion yet; train one in the Train tab, or with: "
        f"python -m ghibli_studio train {project.name!r} --method ti"
    )
    with pytest.raises(StudioError, match="the data set has no landmark 'Bik Ben'; near are Big Ben"):
        image_set.requests_for_landmarks(project, ["Bik Ben"])
    with pytest.raises(StudioError, match="there is no prompt"):
        image_set.requests_for_prompts(["", "  "])
    with pytest.raises(StudioError, match="there are 501 prompts, at most 500"):
        image_set.requests_for_prompts(["a"] * 501)


def test_prompts_are_taken_a_line_each():
    requests = image_set.requests_for_prompts(["Petra, Jordan, a temple", "", " a castle "])
    assert requests == [
        image_set.Request("Petra", "Petra, Jordan, a temple"),
        image_set.Request("a castle", "a castle"),
    ]


def test_adapters_of_two_base_models_are_not_compared(trained, monkeypatch):
    specs = iter(["one/model", "another/model"])
    monkeypatch.setattr(registry, "recipe_of", lambda path: {"base_model": {"spec": next(specs)}})
    with pytest.raises(StudioError, match=r"were trained on different base models \(another/model, one/model\)"):
        model_cache.base_of(trained, model_choice.adapter_files(trained, ["lora", "ti"]))


def test_a_set_says_what_was_asked_for(trained):
    draw(trained, wanted=("base",), landmarks=1)
    asked = json.loads((trained.image_sets()[0] / image_set.SET_FILE).read_text())
    item = datasets.load(trained).items[0]
    assert asked["requests"] == [{"title": item.landmark, "prompt": item.caption}]
    assert asked["settings"] == FEW.model_dump()
