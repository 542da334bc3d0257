"""Stylizing photos: overrides per photo, attempts with metadata, stopping and resuming a batch."""

import dataclasses
import hashlib

import pytest
from PIL import Image

from adapters.formats.safetensors_file import to_bytes
from adapters.methods.lora import LoraSettings
from adapters.registry import build
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.stylization import StylizationSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation import review
from ghibli_studio.generation import metadata, model_cache, pipeline, reproduction, stylization
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.generation.model_cache import LoadedModel
from ghibli_studio.imaging.crop import crop
from ghibli_studio.miniature import STYLE_TEACHER
from ghibli_studio.workspace.files import write_atomic
from tests.support.adapter_training import train_briefly
from tests.support.photo_project import FEW, noise_image


@pytest.fixture
def adapter_file(tiny, tmp_path):
    adapter = build("lora", settings := LoraSettings(rank=2))
    train_briefly(tiny, adapter.attach(tiny.host), adapter)
    adapter_metadata = {
        "adapter": settings.model_dump(mode="json"),
        "run": "r1",
        "epoch": 2,
        "base_model": {"model_id": tiny.description.model_id, "digest": tiny.digest, "shape": tiny.shape},
    }
    file = tmp_path / "my style.safetensors"
    file.write_bytes(to_bytes(adapter, adapter_metadata))
    adapter.detach()
    return file


def attempts(project):
    return {one.id: [(a.file, a.seed, a.strength) for a in one.attempts] for one in collections.load(project).photos}


def test_a_batch_stylizes_every_photo_and_reports_every_step(with_photos):
    steps = list(stylization.stylize_photos(with_photos, settings=FEW))
    assert [(one.done, one.total, one.photo) for one in steps] == [
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
    assert [one.what for one in steps if one.photo] == ["Big Ben, 1 of 3", "Petra, 2 of 3", "Colosseum, 3 of 3"]
    left = [one.seconds_left for one in steps]
    assert (left[0], left[-1]) == (None, 0)
    assert all(seconds > 0 for seconds in left[1:-2])
    assert attempts(with_photos) == {
        "0001": [("0001-1.png", 7, 0.5)],
        "0002": [("0002-1.png", 8, 0.5)],
        "0003": [("0003-1.png", 9, 0.5)],
    }
    assert StylizationSettings.checked(dict(collections.load(with_photos).stylization)) == FEW


def test_a_stylized_image_is_img2img_of_the_crop_with_its_metadata(with_photos, tiny):
    *_, last = stylization.stylize_photos(with_photos, ["0002"], FEW)
    start = InitImage(crop(noise_image(2), (1.0, 0.5), 64), 0.5)
    settings = GenerationSettings(num_inference_steps=4, seed=8)
    *_, event = pipeline.generate(LoadedModel(tiny, style_words="pastel"), "Petra, somewhere", settings, start)
    file = with_photos.collection.stylized("0002-1.png")
    assert Image.open(file).tobytes() == event.image.tobytes()
    assert last.attempt.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    values = read_metadata(file)
    assert values == event.metadata
    assert (values["caption"], values["style_words"]) == ("Petra, somewhere, pastel", "pastel")
    assert values["init_image"] == {"sha256": start.sha256, "strength": 0.5}


def test_a_stopped_batch_resumes_where_it_was(with_photos):
    expected = [
        one.attempt.sha256 for one in stylization.stylize_photos(with_photos, settings=FEW, again=True) if one.attempt
    ]
    collections.change(
        with_photos,
        lambda c: dataclasses.replace(c, photos=tuple(dataclasses.replace(p, attempts=()) for p in c.photos)),
    )
    batch = stylization.stylize_photos(with_photos, settings=FEW)
    for step in batch:
        if step.photo == "0001":
            next(batch)  # in the middle of the second
            break
    batch.close()
    assert {id: len(tries) for id, tries in attempts(with_photos).items()} == {"0001": 1, "0002": 0, "0003": 0}
    rest = list(stylization.stylize_photos(with_photos))
    assert [one.photo for one in rest if one.photo] == ["0002", "0003"]
    assert rest[0].total == 4
    assert [one.attempts[0].sha256 for one in collections.load(with_photos).photos] == expected
    assert [one.what for one in stylization.stylize_photos(with_photos)] == ["every photo already has a stylized image"]


def test_again_uses_other_noise_unless_other_settings_differ(with_photos):
    list(stylization.stylize_photos(with_photos, ["0001"], FEW))
    list(stylization.stylize_photos(with_photos, ["0001"], FEW, again=True))
    list(stylization.stylize_photos(with_photos, ["0001"], FEW.changed(strength=1.0), again=True))
    assert attempts(with_photos)["0001"] == [("0001-1.png", 7, 0.5), ("0001-2.png", 8, 0.5), ("0001-3.png", 7, 1.0)]


def test_a_photo_can_override_the_batch_settings(with_photos):
    overrides = {
        "prompt": "a red rose",
        "seed": 99,
        "strength": 1.0,
        "guidance_scale": 1.0,
        "num_inference_steps": 3,
        "negative_prompt": "blue",
    }
    collections.edit(with_photos, "0002", overrides=overrides)
    steps = list(stylization.stylize_photos(with_photos, settings=FEW))
    assert steps[0].total == 2 + 3 + 2
    saved = [read_metadata(with_photos.collection.stylized(f"000{n}-1.png")) for n in (1, 2, 3)]
    assert [values["prompt"] for values in saved] == ["Big Ben, somewhere", "a red rose", "Colosseum, somewhere"]
    assert [values["init_image"]["strength"] for values in saved] == [0.5, 1.0, 0.5]
    names = ("seed", "guidance_scale", "num_inference_steps", "negative_prompt")
    assert [tuple(values["settings"][name] for name in names) for values in saved] == [
        (7, 5.0, 4, ""),
        (99, 1.0, 3, "blue"),
        (9, 5.0, 4, ""),
    ]


def test_edits_during_a_batch_apply_to_pending_photos(with_photos):
    batch = stylization.stylize_photos(with_photos, settings=FEW)
    next(batch)
    collections.edit(with_photos, "0003", name="The Flavian Amphitheatre")
    list(batch)
    assert (
        read_metadata(with_photos.collection.stylized("0003-1.png"))["prompt"] == "The Flavian Amphitheatre, somewhere"
    )


def test_a_failed_photo_does_not_stop_the_batch(with_photos):
    with_photos.collection.source("0002.png").unlink()
    collections.edit(with_photos, "0003", overrides={"prompt": "tower " * 200})
    steps = [one for one in stylization.stylize_photos(with_photos, settings=FEW) if one.photo]
    assert [(one.photo, one.attempt is not None) for one in steps] == [("0001", True), ("0002", False), ("0003", False)]
    assert steps[1].error.startswith("photo 0002: Petra.png cannot be read")
    assert steps[2].error.startswith("photo 0003: the prompt 'tower tower")
    assert "at most 77 are allowed; shorten it" in steps[2].error
    assert (steps[2].done, steps[2].total) == (2, 2)
    with pytest.raises(StudioError, match=r"^photo 0002: Petra\.png cannot be read"):
        list(stylization.restylize(with_photos, "0002"))


def test_rejected_photos_are_skipped_unless_selected(with_photos):
    review.reject(with_photos, ["0001"])
    assert [one.photo for one in stylization.stylize_photos(with_photos, settings=FEW) if one.photo] == ["0002", "0003"]
    assert [one.photo for one in stylization.stylize_photos(with_photos, ["0001"]) if one.photo] == ["0001"]
    assert [one.state for one in collections.load(with_photos).photos] == ["rejected", "stylized", "stylized"]


def test_restylizing_with_other_values_once(with_photos):
    list(stylization.stylize_photos(with_photos, ["0001"], FEW))
    list(stylization.restylize(with_photos, "0001"))
    list(stylization.restylize(with_photos, "0001", seed=41))
    list(stylization.restylize(with_photos, "0001", strength=0.75))
    assert attempts(with_photos)["0001"] == [
        ("0001-1.png", 7, 0.5),
        ("0001-2.png", 8, 0.5),
        ("0001-3.png", 41, 0.5),
        ("0001-4.png", 7, 0.75),
    ]
    assert collections.load(with_photos).photo("0001").overrides == {}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sed": 1}, "there is no setting 'sed'; did you mean 'seed'"),
        ({"strength": 1.2}, "strength is 1.2; it must be less than or equal to 1"),
    ],
)
def test_restylizing_refuses_unknown_settings_and_bad_values(with_photos, values, reason):
    with pytest.raises(StudioError) as caught:
        list(stylization.restylize(with_photos, "0001", **values))
    assert str(caught.value).startswith(reason)


def test_accepting_and_rejecting_photos(with_photos):
    list(stylization.stylize_photos(with_photos, ["0001", "0002"], FEW))
    list(stylization.restylize(with_photos, "0001"))
    review.accept(with_photos)
    review.accept(with_photos, ["0001"], attempt=0)
    assert [one.accepted_index for one in collections.load(with_photos).photos] == [0, 0, None]
    review.accept(with_photos, ["0001"])
    review.reject(with_photos, ["0002"])
    photos = collections.load(with_photos).photos
    assert [(one.state, one.accepted_index) for one in photos] == [("accepted", 1), ("rejected", None), ("new", None)]
    review.accept(with_photos, ["0002"])
    assert collections.load(with_photos).photo("0002").state == "accepted"
    with pytest.raises(StudioError, match=r"^photo 0003 has no stylized image yet; stylize it first$"):
        review.accept(with_photos, ["0003"])


def test_an_adapter_file_as_style_source(with_photos, adapter_file):
    settings = FEW.changed(source="adapter", adapter_file=str(adapter_file), adapter_scale=0.5)
    *_, last = stylization.stylize_photos(with_photos, ["0001"], settings)
    assert (last.attempt.source, last.attempt.adapter_scale) == ("my style.safetensors", 0.5)
    values = read_metadata(with_photos.collection.stylized("0001-1.png"))
    assert values["caption"] == "Big Ben, somewhere, ghibli style"
    assert values["adapter"]["sha256"] == hashlib.sha256(adapter_file.read_bytes()).hexdigest()
    assert "style_words" not in values


def test_a_style_source_that_is_missing_or_does_not_fit_is_refused(with_photos, tiny_folder, tmp_path):
    with pytest.raises(StudioError, match=r"^source is 'adapter', but adapter_file is empty; give the .safetensors"):
        list(stylization.stylize_photos(with_photos, settings=FEW.changed(source="adapter")))
    with pytest.raises(StudioError, match="there is no adapter file"):
        list(
            stylization.stylize_photos(
                with_photos, settings=FEW.changed(source="adapter", adapter_file=str(tmp_path / "no.st"))
            )
        )
    with pytest.raises(StudioError) as caught:
        list(stylization.stylize_photos(with_photos, settings=FEW.changed(source="teacher")))
    assert str(caught.value).startswith(
        f"the style teacher was trained for base model 'miniature' and does not fit '{tiny_folder}'; choose your own "
        "adapter file"
    )
    list(stylization.stylize_photos(with_photos, settings=FEW))  # the base model is unchanged
    assert {len(tries) for tries in attempts(with_photos).values()} == {1}


def test_a_single_photo_with_the_style_teacher():
    image = noise_image(5, (300, 200))
    settings = StylizationSettings(num_inference_steps=2, strength=1.0)
    events = list(stylization.stylize_photo(image, "Petra, Jordan", settings, center=(0.0, 0.5)))
    assert [(one.step, one.steps, one.image is None) for one in events] == [(1, 2, True), (2, 2, True), (2, 2, False)]
    assert events[-1].image.size == (256, 256)
    values = events[-1].metadata
    assert values["caption"] == "Petra, Jordan, ghibli style"
    assert values["adapter"]["sha256"] == hashlib.sha256(STYLE_TEACHER.read_bytes()).hexdigest()
    assert values["init_image"]["sha256"] == InitImage(crop(image, (0.0, 0.5), 256), 1.0).sha256


def test_an_image_with_style_words_is_reproduced_from_its_metadata(with_photos, tiny_folder):
    settings = GenerationSettings(num_inference_steps=2)
    loaded = LoadedModel(model_cache.load_base_model(str(tiny_folder)), style_words="pastel")
    *_, first = pipeline.generate(loaded, "Petra", settings)
    file = with_photos.folder / "one.png"
    write_atomic(file, metadata.to_png(first.image, first.metadata))
    *_, again = reproduction.reproduce(with_photos, file)
    assert again.metadata == first.metadata
    assert again.image.tobytes() == first.image.tobytes()


def test_a_stylized_image_is_reproduced_from_its_metadata(with_photos):
    """The crop is found by its pixels, even if it was moved since."""
    list(stylization.stylize_photos(with_photos, ["0002"], FEW))
    attempt = collections.load(with_photos).photo("0002").attempts[0]
    collections.edit(with_photos, "0002", center=(0.0, 0.5))
    file = with_photos.collection.stylized(attempt.file)
    *_, last = reproduction.reproduce(with_photos, file)
    assert metadata.to_png(last.image, last.metadata) == file.read_bytes()
