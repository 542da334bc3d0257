"""What a run needs before its first step: the base model, latents, formatted captions, the base model's validation.

Everything that does not change between runs is computed once and kept in the project's cache.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapters import registry
from ghibli_studio.config.training import RunConfig, TrainingSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset, Item, Split
from ghibli_studio.data.latent_cache import cached_latents
from ghibli_studio.models import base_model, text_encoder
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.tensor_cache import POLL_SECONDS, cache_tensors
from ghibli_studio.models.text_encoder import token_ids
from ghibli_studio.models.tokenizer import truncate_caption
from ghibli_studio.runtime.distributed import process_rank
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.training import validation
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.diffusion import derived_seed
from ghibli_studio.training.validation import Validation, ValidationProgress
from ghibli_studio.workspace.files import read_json, write_json
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.base import Adapter


@dataclass(frozen=True)
class RunContext:
    """Everything that is the same for every method."""

    project: Project
    base: BaseModel
    dataset: Dataset
    latents: dict[str, Tensor]
    """By item id, (channels, height, width)."""
    base_validation: Validation
    """Validation of the base model without an adapter, prompted for its plain style."""


def prepare(project: Project, dataset: Dataset, config: RunConfig) -> Iterator[Progress | RunContext]:
    """Load the base model, encode the images and validate the base model; the last event is the result."""
    settings = config.training
    yield Progress(0, 0, "loading the base model")
    base = base_model.load(
        config.base_model,
        device=settings.device,
        mixed_precision=settings.mixed_precision,
        attention=settings.attention,
    )
    latents: dict[str, Tensor] = {}
    for event in cached_latents(base, project, dataset):
        if isinstance(event, Progress):
            yield event
        else:
            latents = event
    tokenizer, format_prompt = base.host.tokenizer, base.description.base_prompt
    extra = len(tokenizer(format_prompt("a")).input_ids) - len(tokenizer("a").input_ids)
    plain = _examples(base, dataset.part("validation"), latents, format_prompt, extra)
    for measured in _base_model_validation(base, project, dataset, plain, settings):
        if isinstance(measured, ValidationProgress):
            yield Progress(measured.done, measured.total, "validating the base model")
        else:
            yield RunContext(project, base, dataset, latents, measured)


@contextmanager
def attached(context: RunContext, config: RunConfig) -> Iterator[tuple[RunContext, Adapter]]:
    """Attach a new adapter with these settings to the base model, as every run starts; detach it at the end."""
    adapter = registry.build(config.method, config.adapter)
    seed = derived_seed(config.training.seed, "adapter", 0) % 2**31
    host = adapter.attach(context.base.host, seed)
    try:
        yield replace(context, base=replace(context.base, host=host)), adapter
    finally:
        adapter.detach()


def examples(
    context: RunContext, side: Split, adapter: Adapter, settings: TrainingSettings
) -> Iterator[Progress | Examples]:
    """Return one side of the dataset with captions formatted for an adapter; the last event is the result.

    A caption over the token limit is cut: a run whose settings refuse such captions does not get here. What depends
    neither on the adapter's weights nor on training is kept on disk: text states, and latents of mirrored images or
    of images in their original aspect ratio.
    """
    project, base, items = context.project, context.base, context.dataset.part(side)
    extra = adapter.trigger_tokens(base.host.tokenizer)
    result = _examples(base, items, context.latents, adapter.format_prompt, extra)
    result = replace(result, unconditional=adapter.unconditional())
    if side == "train":
        keep_aspect_ratio = settings.aspect_buckets
        for mirrored, enabled in ((False, keep_aspect_ratio), (True, settings.random_flip)):
            if not enabled:
                continue
            for event in cached_latents(
                base, project, context.dataset, mirrored=mirrored, keep_aspect_ratio=keep_aspect_ratio
            ):
                if isinstance(event, Progress):
                    yield event
                else:
                    latents = [event[item.id] for item in items]
                    result = replace(result, mirrored=latents) if mirrored else replace(result, latents=latents)
    if side == "train" and not adapter.changes_text:
        prompts = result.prompts(settings)
        key = hashlib.sha256(repr((base.digest, str(base.dtype), prompts)).encode()).hexdigest()[:16]

        def encode(captions: Sequence[str]) -> Tensor:
            ids = token_ids(base.host, captions, base.description.token_limit)
            return text_encoder.text_states(base, ids).cpu()

        for encoded in cache_tensors(project, f"text-{key}", prompts, encode, "encoding prompts", batch_size=32):
            if isinstance(encoded, Progress):
                yield encoded
            else:
                result = replace(result, states=encoded)
    yield result


def _examples(
    base: BaseModel, items: Sequence[Item], latents: dict[str, Tensor], format_prompt: Callable[[str], str], extra: int
) -> Examples:
    limit = base.description.token_limit - extra
    captions = [format_prompt(truncate_caption(base.host.tokenizer, item.caption, limit)) for item in items]
    return Examples([latents[item.id] for item in items], captions, format_prompt(""))


def _base_model_validation(
    base: BaseModel, project: Project, dataset: Dataset, plain: Examples, settings: TrainingSettings
) -> Iterator[ValidationProgress | Validation]:
    """Validate the base model, or read the result from disk: it is the same for every run on this dataset."""
    facts = (base.digest, str(base.dtype), base.device.type, datasets.digest(dataset), settings.validation_timesteps)
    key = hashlib.sha256(repr((facts, plain.captions)).encode()).hexdigest()[:16]
    path = project.cache_file(f"base-validation-{key}.json")
    while process_rank().rank and not path.exists():  # process 0 measures it for all
        yield ValidationProgress(0, len(plain.latents))
        time.sleep(POLL_SECONDS)
    if path.exists():
        yield Validation(settings.validation_timesteps, tuple(tuple(row) for row in read_json(path)))
        return
    for event in validation.validate(base, plain, settings):
        if isinstance(event, Validation):
            write_json(path, event.losses)
        yield event
