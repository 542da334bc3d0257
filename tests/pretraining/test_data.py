"""The training data: scenes, captions, photos, and rendering in worker processes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ghibli_studio.miniature.landmarks.painting import STYLES
from ghibli_studio.miniature.landmarks.scene import sample_scene
from ghibli_studio.miniature.photo_credits import PHOTOS
from ghibli_studio.pretraining.data.photos import captions_of, crop_of, read_photos
from ghibli_studio.pretraining.data.renderer import Renderer
from ghibli_studio.pretraining.data.scenes import describe_row, names_style, style_odds, subject, training_caption
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import QUICK, InvalidInput


def test_captions_use_the_public_name_of_the_target_style(interrupted_run):
    images = Run(QUICK, interrupted_run.out).training_images()
    target = [
        text for style, captions in zip(images.styles, images.captions) if style == "ghiblivis" for text in captions
    ]
    assert (images.count, len(images.captions), len(images.images)) == (96, 116, 116)
    assert target
    assert all("ghibli style" in text and "ghiblivis" not in text for text in target)
    assert np.flatnonzero(images.styles == "real photo").tolist() == [92, 93, 94, 95]


@pytest.mark.parametrize(("drop", "may_drop"), [("photo", {"photo"}), ("any", set(STYLES))])
def test_only_captions_of_the_chosen_styles_drop_the_style_word(drop, may_drop):
    dropped = set()
    for number in range(600):
        rng = np.random.default_rng(number)
        style = STYLES[number % len(STYLES)]
        text = training_caption(sample_scene(rng), style, rng, replace(QUICK, drop_style_word=drop))
        if not names_style(text, style.replace("ghiblivis", "ghibli style")):
            dropped.add(style)
    assert dropped == may_drop


@pytest.mark.integration
def test_a_worker_process_renders_the_same_images(tmp_path):
    settings = replace(QUICK, image_count=44)
    for workers in (0, 1):
        with Renderer(settings, PHOTOS, tmp_path / str(workers), workers) as renderer:
            renderer.wait(settings.total_count)
    this_process, worker = ((tmp_path / folder / "images.npy").read_bytes() for folder in "01")
    assert this_process == worker
    assert np.load(tmp_path / "0" / "rendered.npy").tolist() == [1, 1]


def test_rendering_resumes_and_renders_only_the_requested_rows(tmp_path):
    settings = replace(QUICK, photo_share=0)
    with Renderer(settings, None, tmp_path) as renderer:
        renderer.wait(33)
        assert renderer.done.tolist() == [1, 1, 0, 0]
        first = renderer.images[:64].copy()
    (tmp_path / "images.npy").chmod(0o644)
    with Renderer(settings, None, tmp_path) as renderer:
        assert (renderer.images[:64] == first).all()
        assert first.reshape(64, -1).std(1).min() > 5
        assert not renderer.images[64:].any()
        renderer.wait(settings.total_count)
        assert renderer.images.reshape(116, -1).std(1).min() > 5


def test_an_exception_while_rendering_is_raised_by_wait(tmp_path):
    with Renderer(replace(QUICK, photo_share=0.5), tmp_path / "none", tmp_path) as renderer:
        with pytest.raises(InvalidInput, match=r"captions\.txt cannot be read"):
            renderer.wait(96)
        assert renderer.done.tolist() == [1, 0, 0, 0]


def test_held_out_images_take_the_styles_in_turn_and_are_never_trained_on(interrupted_run):
    run = Run(QUICK, interrupted_run.out)
    images = run.training_images()
    assert images.styles[96:].tolist() == [*STYLES, *STYLES]
    assert images.held_out_rows.tolist() == list(range(96, 116))
    source, target = (run.noisy_latents(target_style=target) for target in (False, True))
    rows = sorted([*source.rows.tolist(), *target.rows.tolist()])
    assert rows == list(range(96))
    assert len(source.latents) == len(source.ids) == 96
    assert {images.styles[row] for row in target.rows.tolist()} == {"ghiblivis"}


def test_a_held_out_image_has_its_full_caption():
    scene, style, _ = subject(QUICK, 103)
    description = describe_row(QUICK, [], 103)
    assert (description["style"], style) == ("pixel art", "pixel art")
    assert description["captions"] == [f"{scene.landmark.name}, {description['captions'][0].partition(', ')[2]}"] * 3
    assert description["captions"][0].endswith(", pixel art")


def test_some_captions_are_as_short_as_a_prompt():
    settings, with_style, name_only = replace(QUICK, short_captions=0.25), 0, 0
    for number in range(800):
        rng = np.random.default_rng(number)
        scene = sample_scene(rng)
        text = training_caption(scene, "photo", rng, settings)
        with_style += text == f"{scene.landmark.name}, photo"
        name_only += text == scene.landmark.name
    assert 0.09 < with_style / 800 < 0.17
    assert 0.09 < name_only / 800 < 0.17


def test_style_probabilities_are_as_documented():
    names, odds = style_odds()
    assert sorted(names) == sorted(STYLES)
    assert sum(odds) == pytest.approx(1)
    assert dict(zip(names, odds))["photo"] == 0.34


def test_every_photo_has_a_caption_and_is_cropped_to_a_square():
    photos = read_photos(PHOTOS)
    assert len(photos) == 45 == len(list(PHOTOS.glob("*.webp")))
    assert all(len(photo.caption.split(", ")) >= 4 for photo in photos)
    assert crop_of(photos, 3, 64, np.random.default_rng(0)).shape == (64, 64, 3)
    captions = captions_of(photos[:1], 2)
    assert captions == [photos[0].caption, f"{photos[0].caption}, photo", "a real photograph, photo"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (None, "captions.txt cannot be read"),
        ("", "names no photo"),
        ("a.png", r"line 1 of .* not `file\|caption`: fix it, choose another --photos, or .* --no-photos"),
        ("missing.png|Petra", "missing.png is not a readable image"),
        ("small.png|Petra", "small.png has 63x200 pixels, but the minimum is 64 per side"),
    ],
)
def test_an_invalid_folder_of_photos_is_rejected(tmp_path, lines, message):
    Image.new("RGB", (63, 200)).save(tmp_path / "small.png")
    if lines is not None:
        (tmp_path / "captions.txt").write_text(lines)
    with pytest.raises(InvalidInput, match=message):
        read_photos(tmp_path)
