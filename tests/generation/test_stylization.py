"""Photographs into styled pictures: per photograph what it wants, kept with recipe, stopped and gone on with."""

import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image

from adapters.formats.safetensors_file import to_bytes
from adapters.methods.lora import LoraSettings
from adapters.registry import build
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.stylization import StyleSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation import review
from ghibli_studio.curation.photos import Photo
from ghibli_studio.generation import metadata, model_cache, pipeline, reproduction, stylization
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.generation.metadata import read_recipe
from ghibli_studio.generation.model_cache import Loaded
from ghibli_studio.imaging.crop import crop
from ghibli_studio.imaging.image_io import png_bytes
from ghibli_studio.imaging.perceptual_hash import look
from ghibli_studio.miniature import STYLE_TEACHER
from ghibli_studio.workspace.files import write_atomic
from tests.adapters.test_base import train_a_little

FEW = StyleSettings(source="prompt", style_words="pastel", num_inference_steps=4, strength=0.5, seed=7)
NAMES = ("Big Ben", "Petra", "Colosseum")


def photograph(seed, size=(96, 64)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8), "RGB")


def photo(number, name):
    data = png_bytes(photograph(number))
    return data, Photo(
        f"{number:04d}",
        f"{number:04d}.png",
        f"{name}.png",
        hashlib.sha256(data).hexdigest(),
        96,
        64,
        *look(photograph(number)),
        name=name,
        location="somewhere",
        center=(1.0, 0.5),
    )


@pytest.fixture
def gathered(workspace, tiny_folder):
    """A project with three photographs and nothing else."""
    project = workspace.project("p", new=True)
    collections.begin(project, str(tiny_folder))
    photos = []
    for number, name in enumerate(NAMES, 1):
        data, made = photo(number, name)
        write_atomic(project.collection.source(made.file), data)
        photos.append(made)
    collections.change(project, lambda collection: dataclasses.replace(collection, photos=tuple(photos)))
    return project


@pytest.fixture
def adapter_file(tiny, tmp_path):
    adapter = build("lora", settings := LoraSettings(rank=2))
    train_a_little(tiny, adapter.attach(tiny.host), adapter)
    recipe = {
        "adapter": settings.model_dump(mode="json"),
        "run": "r1",
        "epoch": 2,
        "base_model": {"spec": tiny.description.spec, "digest": tiny.digest, "shape": tiny.shape},
    }
    file = tmp_path / "my style.safetensors"
    file.write_bytes(to_bytes(adapter, recipe))
    adapter.detach()
    return file


def attempts(project):
    return {one.id: [(a.file, a.seed, a.strength) for a in one.attempts] for one in collections.load(project).photos}


def test_a_batch_gives_every_photograph_a_picture_and_tells_every_step(gathered):
    told = list(stylization.style(gathered, settings=FEW))
    assert [(one.done, one.total, one.photo) for one in told] == [
        (0, 6, None),
        (1, 6, None),
        (2, 6, None),
        (2, 6, "0001"),
        (3, 6, None),
        (4, 6, None),
        (4, 6, "0002"),
        (5, 6, None),
        (6, 6, None),
        (6, 6, "0003"),
    ]
    assert [one.what for one in told if one.photo] == ["Big Ben, 1 of 3", "Petra, 2 of 3", "Colosseum, 3 of 3"]
    left = [one.seconds_left for one in told]
    assert (left[0], left[-1]) == (None, 0)
    assert all(seconds > 0 for seconds in left[1:-2])
    assert attempts(gathered) == {
        "0001": [("0001-1.png", 7, 0.5)],
        "0002": [("0002-1.png", 8, 0.5)],
        "0003": [("0003-1.png", 9, 0.5)],
    }
    assert StyleSettings.checked(dict(collections.load(gathered).style)) == FEW


def test_a_styled_picture_is_what_generation_draws_from_the_crop_and_says_how(gathered, tiny):
    *_, last = stylization.style(gathered, ["0002"], FEW)
    start = Photograph(crop(photograph(2), (1.0, 0.5), 64), 0.5)
    settings = GenerationSettings(num_inference_steps=4, seed=8)
    *_, drawn = pipeline.draw(Loaded(tiny, style_words="pastel"), "Petra, somewhere", settings, start)
    file = gathered.collection.styled("0002-1.png")
    assert Image.open(file).tobytes() == drawn.image.tobytes()
    assert last.attempt.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    recipe = read_recipe(file)
    assert recipe == drawn.recipe
    assert (recipe["caption"], recipe["style_words"]) == ("Petra, somewhere, pastel", "pastel")
    assert recipe["photograph"] == {"sha256": start.sha256, "strength": 0.5}


def test_a_stopped_batch_goes_on_where_it_was(gathered):
    whole = [one.attempt.sha256 for one in stylization.style(gathered, settings=FEW, again=True) if one.attempt]
    collections.change(
        gathered, lambda c: dataclasses.replace(c, photos=tuple(dataclasses.replace(p, attempts=()) for p in c.photos))
    )
    batch = stylization.style(gathered, settings=FEW)
    for step in batch:
        if step.photo == "0001":
            next(batch)  # in the middle of the second
            break
    batch.close()
    assert {id: len(there) for id, there in attempts(gathered).items()} == {"0001": 1, "0002": 0, "0003": 0}
    rest = list(stylization.style(gathered))
    assert [one.photo for one in rest if one.photo] == ["0002", "0003"]
    assert rest[0].total == 4
    assert [one.attempts[0].sha256 for one in collections.load(gathered).photos] == whole
    assert [one.what for one in stylization.style(gathered)] == ["every photograph has a styled picture already"]


def test_again_starts_from_other_noise_unless_something_else_differs(gathered):
    list(stylization.style(gathered, ["0001"], FEW))
    list(stylization.style(gathered, ["0001"], FEW, again=True))
    list(stylization.style(gathered, ["0001"], FEW.changed(strength=1.0), again=True))
    assert attempts(gathered)["0001"] == [("0001-1.png", 7, 0.5), ("0001-2.png", 8, 0.5), ("0001-3.png", 7, 1.0)]


def test_a_photograph_may_want_it_otherwise(gathered):
    own = {
        "prompt": "a red rose",
        "seed": 99,
        "strength": 1.0,
        "guidance_scale": 1.0,
        "num_inference_steps": 3,
        "negative_prompt": "blue",
    }
    collections.edit(gathered, "0002", styling=own)
    told = list(stylization.style(gathered, settings=FEW))
    assert told[0].total == 2 + 3 + 2
    recipes = [read_recipe(gathered.collection.styled(f"000{n}-1.png")) for n in (1, 2, 3)]
    assert [recipe["prompt"] for recipe in recipes] == ["Big Ben, somewhere", "a red rose", "Colosseum, somewhere"]
    assert [recipe["photograph"]["strength"] for recipe in recipes] == [0.5, 1.0, 0.5]
    names = ("seed", "guidance_scale", "num_inference_steps", "negative_prompt")
    assert [tuple(recipe["settings"][name] for name in names) for recipe in recipes] == [
        (7, 5.0, 4, ""),
        (99, 1.0, 3, "blue"),
        (9, 5.0, 4, ""),
    ]


def test_what_is_edited_meanwhile_counts_for_those_that_have_not_had_their_turn(gathered):
    batch = stylization.style(gathered, settings=FEW)
    next(batch)
    collections.edit(gathered, "0003", name="The Flavian Amphitheatre")
    list(batch)
    assert read_recipe(gathered.collection.styled("0003-1.png"))["prompt"] == "The Flavian Amphitheatre, somewhere"


def test_one_that_fails_stops_nobody(gathered):
    gathered.collection.source("0002.png").unlink()
    collections.edit(gathered, "0003", styling={"prompt": "tower " * 200})
    told = [one for one in stylization.style(gathered, settings=FEW) if one.photo]
    assert [(one.photo, one.attempt is not None) for one in told] == [("0001", True), ("0002", False), ("0003", False)]
    assert told[1].problem.startswith("photograph 0002: Petra.png cannot be read")
    assert told[2].problem.startswith("photograph 0003: the prompt 'tower tower")
    assert "the model reads 77; shorten it" in told[2].problem
    assert (told[2].done, told[2].total) == (2, 2)
    with pytest.raises(StudioError, match=r"^photograph 0002: Petra\.png cannot be read"):
        list(stylization.redo(gathered, "0002"))


def test_rejected_ones_are_passed_over_unless_named(gathered):
    review.reject(gathered, ["0001"])
    assert [one.photo for one in stylization.style(gathered, settings=FEW) if one.photo] == ["0002", "0003"]
    assert [one.photo for one in stylization.style(gathered, ["0001"]) if one.photo] == ["0001"]
    assert [one.state for one in collections.load(gathered).photos] == ["rejected", "styled", "styled"]


def test_redo_with_other_values_for_once(gathered):
    list(stylization.style(gathered, ["0001"], FEW))
    list(stylization.redo(gathered, "0001"))
    list(stylization.redo(gathered, "0001", seed=41))
    list(stylization.redo(gathered, "0001", strength=0.75))
    assert attempts(gathered)["0001"] == [
        ("0001-1.png", 7, 0.5),
        ("0001-2.png", 8, 0.5),
        ("0001-3.png", 41, 0.5),
        ("0001-4.png", 7, 0.75),
    ]
    assert collections.load(gathered).photo("0001").styling == {}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sed": 1}, "there is no setting 'sed'; did you mean 'seed'"),
        ({"strength": 1.2}, "denoising_strength is 1.2; it must be less than or equal to 1"),
    ],
)
def test_redo_refuses_what_it_does_not_know(gathered, values, reason):
    with pytest.raises(StudioError) as told:
        list(stylization.redo(gathered, "0001", **values))
    assert str(told.value).startswith(reason)


def test_accepting_and_rejecting(gathered):
    list(stylization.style(gathered, ["0001", "0002"], FEW))
    list(stylization.redo(gathered, "0001"))
    review.accept(gathered)
    review.accept(gathered, ["0001"], attempt=0)
    assert [one.chosen for one in collections.load(gathered).photos] == [0, 0, None]
    review.accept(gathered, ["0001"])
    review.reject(gathered, ["0002"])
    found = collections.load(gathered)
    assert [(one.state, one.chosen) for one in found.photos] == [("accepted", 1), ("rejected", None), ("new", None)]
    review.accept(gathered, ["0002"])
    assert collections.load(gathered).photo("0002").state == "accepted"
    with pytest.raises(StudioError, match=r"^photograph 0003 has no styled picture yet; style it first$"):
        review.accept(gathered, ["0003"])


def test_a_style_from_an_adapter_file(gathered, adapter_file):
    settings = FEW.changed(source="adapter", adapter_file=str(adapter_file), adapter_scale=0.5)
    *_, last = stylization.style(gathered, ["0001"], settings)
    assert (last.attempt.source, last.attempt.adapter_scale) == ("my style.safetensors", 0.5)
    recipe = read_recipe(gathered.collection.styled("0001-1.png"))
    assert recipe["caption"] == "Big Ben, somewhere, ghibli style"
    assert recipe["adapter"]["sha256"] == hashlib.sha256(adapter_file.read_bytes()).hexdigest()
    assert "style_words" not in recipe


def test_a_source_that_is_missing_or_does_not_fit(gathered, tiny_folder, tmp_path):
    with pytest.raises(StudioError, match=r"^source is 'adapter', but adapter_file is empty; give the .safetensors"):
        list(stylization.style(gathered, settings=FEW.changed(source="adapter")))
    with pytest.raises(StudioError, match="there is no adapter file"):
        list(stylization.style(gathered, settings=FEW.changed(source="adapter", adapter_file=str(tmp_path / "no.st"))))
    with pytest.raises(StudioError) as told:
        list(stylization.style(gathered, settings=FEW.changed(source="teacher")))
    assert str(told.value).startswith(
        f"the style teacher is made for base model 'miniature' and does not fit '{tiny_folder}'; choose an adapter file"
    )
    list(stylization.style(gathered, settings=FEW))  # the base model is as it was
    assert {len(there) for there in attempts(gathered).values()} == {1}


def test_one_photograph_with_the_embedded_teacher():
    image = photograph(5, (300, 200))
    settings = StyleSettings(num_inference_steps=2, strength=1.0)
    events = list(stylization.style_one(image, "Petra, Jordan", settings, center=(0.0, 0.5)))
    assert [(one.step, one.steps, one.image is None) for one in events] == [(1, 2, True), (2, 2, True), (2, 2, False)]
    assert events[-1].image.size == (256, 256)
    recipe = events[-1].recipe
    assert recipe["caption"] == "Petra, Jordan, ghibli style"
    assert recipe["adapter"]["sha256"] == hashlib.sha256(STYLE_TEACHER.read_bytes()).hexdigest()
    assert recipe["photograph"]["sha256"] == Photograph(crop(image, (0.0, 0.5), 256), 1.0).sha256


def test_a_picture_in_words_alone_is_drawn_again_from_its_recipe(gathered, tiny_folder):
    settings = GenerationSettings(num_inference_steps=2)
    loaded = Loaded(model_cache.loaded_base(str(tiny_folder)), style_words="pastel")
    *_, first = pipeline.draw(loaded, "Petra", settings)
    file = gathered.folder / "one.png"
    write_atomic(file, metadata.to_png(first.image, first.recipe))
    *_, again = reproduction.reproduce(gathered, file)
    assert again.recipe == first.recipe
    assert again.image.tobytes() == first.image.tobytes()


def test_a_styled_picture_can_be_drawn_again_from_its_recipe(gathered):
    """The crop is found by what it shows, wherever it was moved to since."""
    list(stylization.style(gathered, ["0002"], FEW))
    attempt = collections.load(gathered).photo("0002").attempts[0]
    collections.edit(gathered, "0002", center=(0.0, 0.5))
    file = gathered.collection.styled(attempt.file)
    *_, last = reproduction.reproduce(gathered, file)
    assert metadata.to_png(last.image, last.recipe) == file.read_bytes()
