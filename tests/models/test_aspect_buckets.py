"""Buckets of sizes: what the model can take, of about as many pixels as its square, nearest to a picture's shape."""

import pytest
import torch
from PIL import Image

from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.importer import import_pictures
from ghibli_studio.data.latent_cache import cached_latents
from ghibli_studio.models.aspect_buckets import fitted, sizes, step_of


def test_sizes_of_stable_diffusion():
    found = sizes(512, 64)
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
def test_a_picture_goes_into_the_nearest(size, bucket):
    assert fitted(Image.new("RGB", size), sizes(512, 64)).size == bucket


def test_the_step_is_what_autoencoder_and_unet_halve(tiny):
    assert step_of(tiny) == 16


def test_whole_pictures_are_encoded_each_in_its_bucket(tiny, tiny_folder, workspace, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (name, size) in enumerate((("Petra", (128, 64)), ("Big Ben", (64, 64)))):
        Image.effect_noise(size, 50 + number).convert("RGB").save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"{name}, somewhere")
    project = workspace.project("p", new=True)
    list(import_pictures(project, folder, str(tiny_folder)))
    dataset = datasets.load(project)
    *_, squares = cached_latents(tiny, project, dataset)
    *_, whole = cached_latents(tiny, project, dataset, uncut=True)
    by_name = {item.landmark: item.id for item in dataset.items}
    assert whole[by_name["Petra"]].shape == (4, 6, 10)
    torch.testing.assert_close(whole[by_name["Big Ben"]], squares[by_name["Big Ben"]])
    assert {tuple(one.shape) for one in squares.values()} == {(4, 8, 8)}


def test_a_photograph_is_no_picture_of_the_style(project):
    """The sample's pictures were styled from photographs: they stay squares."""
    items = datasets.load(project).items
    assert [datasets.uncut(project, item) is None for item in items] == [
        datasets.photograph(project, item) is not None or not item.source for item in items
    ]
