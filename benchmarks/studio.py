"""Our own `train(...)` and `generate(...)`, as generators of seconds like the baselines."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

from adapters import registry
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.generation.model_cache import LoadedModel
from ghibli_studio.generation.pipeline import generate
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.diffusion import generator
from ghibli_studio.training.loop import Step, train

CAPTION = "Petra, Jordan, a temple cut into a red cliff, seen from below"
SINGLE_VECTOR = {"ti": {"num_vectors": 1}}
"""Like the example script."""
LONG = 10_000
"""Epochs, more than any benchmark takes."""


def training(
    base: BaseModel, method: str, batch: int, *, images: int, changes: dict[str, Any], finished_epochs: int = 0
) -> Generator[float, None, None]:
    """Yield the seconds of each step of the real loop, as its caller sees them: everything between two events.

    Validation is not a step and does not count.
    """
    chosen = {"num_train_epochs": LONG, **SINGLE_VECTOR.get(method, {}), **changes}
    config = preset("default", method, train_batch_size=batch, **chosen)
    adapter = registry.build(method, config.adapter)
    attached = replace(base, host=adapter.attach(base.host, 1))
    train_set, validation_set = (_examples(base, count, adapter.format_prompt) for count in (images, 1))
    try:
        with closing(
            train(attached, adapter, train_set, validation_set, config, finished_epochs=finished_epochs)
        ) as events:
            before = time.perf_counter()
            for event in events:
                if isinstance(event, Step):
                    yield time.perf_counter() - before
                before = time.perf_counter()
    finally:
        adapter.detach()


def sampling(base: BaseModel, batch: int, steps: int, guidance_scale: float) -> Generator[float, None, None]:
    """Yield the seconds of each batch of images, generated one after the other like in the studio."""
    settings = GenerationSettings(num_inference_steps=steps, guidance_scale=guidance_scale)
    while True:
        started = time.perf_counter()
        for _ in range(batch):
            for _ in generate(LoadedModel(base), CAPTION, settings):
                pass
        yield time.perf_counter() - started


def _examples(base: BaseModel, count: int, format_prompt: Callable[[str], str]) -> Examples:
    import torch

    latents = torch.randn((count, *base.description.latent_shape), generator=generator(0, "benchmark", count))
    return Examples(list(latents), [format_prompt(CAPTION)] * count)
