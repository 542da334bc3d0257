"""Aspect ratio buckets: valid sizes of about as many pixels as the square, nearest to an image's aspect ratio."""

import pytest
import torch
from PIL import Image

from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.importer import import_images
from ghibli_studio.data.latent_cache import cached_latents
from ghibli_studio.models.aspect_buckets import bucket_sizes, fit_to_bucket, size_step


def test_sizes_of_stable_diffusion():
    found = bucket_sizes(512, 64)
    assert (512, 512) in found
    assert (384, 640) in found
    assert (640, 384) in found
    assert all(width % 64 == height % 64 == 0 for width, height in found)
    assert all(width * height <= 512 * 512 for width, height in found)
    assert max(max(size) / min(size) for size in found) <= 2


@pytest.mark.parametrize(
    ("size", "bucket"),
    [((1000, 1000), (512, 512)), ((1600, 900), (640, 384)), ((900, 1600), (384, 640)), ((5000, 500), (640, 384))],
)
def test_an_image_goes_into_the_nearest_bucket(size, bucket):
    assert fit_to_bucket(Image.new("RGB", size), bucket_sizes(512, 64)).size == bucket


def test_the_step_is_the_downsampling_of_autoencoder_and_unet(tiny):
    assert size_step(tiny) == 16


def test_uncropped_images_are_encoded_in_their_buckets(tiny, tiny_folder, workspace, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, (name, size) in enumerate((("Petra", (128, 64)), ("Big Ben", (64, 64)))):
        Image.effect_noise(size, 50 + number).convert("RGB").save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"{name}, somewhere")
    project = workspace.project("p", new=True)
    list(import_images(project, folder, str(tiny_folder)))
    dataset = datasets.load(project)
    *_, squares = cached_latents(tiny, project, dataset)
    *_, uncropped = cached_latents(tiny, project, dataset, keep_aspect_ratio=True)
    by_name = {item.landmark: item.id for item in dataset.items}
    assert uncropped[by_name["Petra"]].shape == (4, 6, 10)
    torch.testing.assert_close(uncropped[by_name["Big Ben"]], squares[by_name["Big Ben"]])
    assert {tuple(one.shape) for one in squares.values()} == {(4, 8, 8)}


def test_a_source_photo_is_not_encoded_uncropped(project):
    """The sample's images are stylized photos: they stay square."""
    items = datasets.load(project).items
    assert [datasets.uncropped_image(project, item) is None for item in items] == [
        datasets.source_photo(project, item) is not None or not item.source for item in items
    ]
