"""Stable Diffusion 1.5 with its real configuration and random weights trains a step and generates, on a CPU."""

import os
from dataclasses import replace

import pytest
import torch

from adapters.registry import build, methods
from benchmarks import sd15
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.generation.model_cache import LoadedModel
from ghibli_studio.generation.pipeline import generate
from ghibli_studio.models import base_model
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.loop import Epoch, Step, train

SIDE = 16  # latents of 128 px: a sixteenth of the work, with the same architecture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def every_core():
    """Use all cores: a test process has one thread, which is right only for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def full(tmp_path_factory, every_core):
    folder = sd15.write(tmp_path_factory.mktemp("full") / "sd15")
    base = base_model.load(str(folder), device="cpu", mixed_precision="no")
    assert base.description.resolution == 512
    small = replace(base.description, latent_shape=(4, SIDE, SIDE))
    return replace(base, description=small)


def test_it_is_the_published_architecture(full):
    parts = {"unet": full.host.unet, "vae": full.vae, "text_encoder": full.host.text_encoder}
    assert {name: sd15.count(part) for name, part in parts.items()} == sd15.PARAMETERS
    assert full.shape == [320, 640, 1280, 1280, 768, 768]


@pytest.mark.parametrize("method", sorted(methods()))
def test_it_trains_a_step(full, method):
    config = preset("default", method, train_batch_size=1, lr_warmup_steps=0)
    adapter = build(method, config.adapter)
    attached = replace(full, host=adapter.attach(full.host, 1))
    weights = [next(part.parameters()).detach().clone() for part in (full.host.unet, full.host.text_encoder)]
    try:
        before = adapter.state()
        latents = torch.randn((1, *full.description.latent_shape), generator=torch.Generator().manual_seed(3))
        examples = Examples(latents, [adapter.format_prompt("Petra, Jordan")])
        events = train(attached, adapter, examples, examples, config)
        first = next(event for event in events if isinstance(event, Epoch))
        step = next(event for event in events if isinstance(event, Step))
        events.close()
        after = adapter.state()
    finally:
        adapter.detach()
    assert 0 < first.validation.loss < 100
    assert 0 < step.loss < 100
    assert step.grad_norm > 0
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(
        torch.equal(one, next(part.parameters()))
        for one, part in zip(weights, (full.host.unet, full.host.text_encoder))
    )


def test_it_generates(full):
    *_, last = generate(LoadedModel(full), "Petra, Jordan", GenerationSettings(num_inference_steps=1))
    assert last.image.size == (8 * SIDE, 8 * SIDE)
    assert last.metadata["base_model"]["digest"] == full.digest
