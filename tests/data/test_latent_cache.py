"""Cached latents: computed once, read again, and never those of another image, model or precision."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data import latent_cache
from ghibli_studio.data.dataset import load, set_captions
from ghibli_studio.data.latent_cache import cached_latents
from ghibli_studio.models.vae import encode_images, to_tensor
from ghibli_studio.runtime.distributed import ProcessRank
from ghibli_studio.runtime.progress import Progress


def cached(base, project):
    """Return the latents by id, and the progress events."""
    *events, found = cached_latents(base, project, load(project))
    return found, events


@pytest.fixture
def count(monkeypatch):
    """A function that returns how many images were encoded."""
    encoded = []

    def encode(base, images):
        encoded.extend(images)
        return encode_images(base, images)

    monkeypatch.setattr(latent_cache, "encode_images", encode)
    return lambda: len(encoded)


def test_pixels_run_from_minus_one_to_one():
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 1] = (255, 51, 0)
    found = to_tensor([Image.fromarray(pixels), Image.new("RGB", (3, 2), (255, 255, 255))])
    assert (found.shape, found.dtype) == ((2, 3, 2, 3), torch.float32)
    assert found[0, :, 0, 1].tolist() == pytest.approx([1.0, -0.6, -1.0])
    assert (found[1] == 1).all()


def test_latents_are_the_scaled_mean(tiny, project):
    images = list(datasets.images(project, load(project).items[:2]))
    found = encode_images(tiny, images)
    with torch.no_grad():
        mean = tiny.vae.encode(to_tensor(images)).latent_dist.mean
    assert found.shape == (2, *tiny.description.latent_shape)
    assert torch.equal(found, mean * tiny.vae.config.scaling_factor)
    assert not found.requires_grad


def test_every_image_has_its_own_latents(tiny, project):
    found, events = cached(tiny, project)
    assert events == [Progress(4, 8, "encoding images"), Progress(8, 8, "encoding images")]
    dataset = load(project)
    assert list(found) == [item.id for item in dataset.items]
    alone = encode_images(tiny, list(datasets.images(project, dataset.items[5:6])))[0]
    assert torch.allclose(found[dataset.items[5].id], alone, atol=1e-5)
    assert not torch.allclose(found[dataset.items[4].id], alone, atol=1e-2)


def test_latents_are_computed_once(tiny, project, count):
    first, _ = cached(tiny, project)
    assert count() == 8
    second, events = cached(tiny, project)
    assert (count(), events) == (8, [])
    assert second.keys() == first.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("size", [0, 7, 500])
def test_a_damaged_cache_is_computed_again(tiny, project, count, size):
    first = {name: latents.clone() for name, latents in cached(tiny, project)[0].items()}  # mapped from the file
    (path,) = project.cache_file("").glob("latents-*")
    data = path.read_bytes()
    path.write_bytes(data[:size])
    second, _ = cached(tiny, project)
    assert count() == 16
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert path.read_bytes() == data


def test_latents_are_computed_again_for_other_images_models_and_precisions(tiny, project, count):
    cached(tiny, project)
    item = load(project).items[0]
    set_captions(project, {item.id: "another caption"})
    cached(tiny, project)
    assert count() == 16
    cached(replace(tiny, digest="another"), project)
    assert count() == 24
    cached(replace(tiny, dtype=torch.float64, vae=tiny.vae.double()), project)
    tiny.vae.float()
    assert count() == 32
    scale = tiny.vae.config.scaling_factor
    tiny.vae.register_to_config(scaling_factor=2 * scale)
    try:
        cached(tiny, project)
    finally:
        tiny.vae.register_to_config(scaling_factor=scale)
    assert count() == 40


def test_a_changed_image_is_refused(tiny, project):
    Image.new("RGB", (64, 64)).save(project.dataset / "0002.png")
    with pytest.raises(StudioError, match=r"0002\.png was changed after the import; import the images again$"):
        cached(tiny, project)
    assert list(project.folder.glob("cache/*")) == []


def test_images_of_another_size_are_refused(tiny, project, tiny_folder):
    with pytest.raises(StudioError) as caught:
        list(cached_latents(tiny, project, replace(load(project), resolution=256)))
    assert str(caught.value) == (
        f"the dataset has images of 256 px, base model {str(tiny_folder)!r} needs 64 px; create the dataset again for "
        "this base model"
    )


def test_an_unfinished_shard_is_not_kept(tiny, project):
    encoding = cached_latents(tiny, project, load(project))
    next(encoding)
    encoding.close()
    assert list(project.folder.glob("cache/*")) == []


def test_mirrored_latents_equal_those_of_flipped_images(tiny, project):
    usual, _ = cached(tiny, project)
    *_, mirrored = cached_latents(tiny, project, load(project), mirrored=True)
    item = load(project).items[2]
    (image,) = datasets.images(project, [item])
    alone = encode_images(tiny, [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])[0]
    assert torch.allclose(mirrored[item.id], alone, atol=1e-5)
    assert not torch.allclose(usual[item.id], alone, atol=1e-2)


def test_finished_shards_are_kept(tiny, project, count, monkeypatch):
    """After a stop in the second shard, the first one is not computed again."""
    from ghibli_studio.models import tensor_cache

    monkeypatch.setattr(tensor_cache, "SHARD", 3)
    encoding = cached_latents(tiny, project, load(project))
    for _ in range(2):
        next(encoding)
    encoding.close()
    assert count() == 6
    assert len(list(project.folder.glob("cache/latents-*"))) == 1
    found, _ = cached(tiny, project)
    assert count() == 6 + 5
    assert len(found) == 8


def test_processes_share_the_shards(tiny, project, count, monkeypatch):
    from ghibli_studio.models import tensor_cache

    monkeypatch.setattr(tensor_cache, "SHARD", 3)
    monkeypatch.setattr(tensor_cache, "process_rank", lambda: ProcessRank(1, 2))
    second = cached_latents(tiny, project, load(project))
    events = [next(second), next(second)]
    assert count() == 3, "the second process computes the middle shard"
    assert events[-1].what == "encoding images (other processes)"
    monkeypatch.setattr(tensor_cache, "process_rank", lambda: ProcessRank(0, 2))
    first = cached_latents(tiny, project, load(project))
    *_, found = first
    assert count() == 8
    *_, same = second
    assert all(torch.equal(found[name], same[name]) for name in found)
