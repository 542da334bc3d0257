"""What a run needs before its first step: the base model, the latents, the captions dressed, the base's validation.

What does not change between runs is computed once and kept in the project's cache.
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
from ghibli_studio.models.tensor_cache import POLL_SECONDS, cached
from ghibli_studio.models.text_encoder import token_ids
from ghibli_studio.models.tokenizer import fit
from ghibli_studio.runtime.distributed import place
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.training import validation
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.diffusion import derived_seed
from ghibli_studio.training.validation import Validating, Validation
from ghibli_studio.workspace.files import read_json, write_json
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.base import Adapter


@dataclass(frozen=True)
class Prepared:
    """Everything that is the same for every method."""

    project: Project
    base: BaseModel
    dataset: Dataset
    latents: dict[str, Tensor]
    """By item id, (channels, height, width)."""
    base_validation: Validation
    """Of the bare model, asked for its plain style."""


def prepare(project: Project, dataset: Dataset, config: RunConfig) -> Iterator[Progress | Prepared]:
    """Load, encode and measure; the last event is the result."""
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
    tokenizer, dress = base.host.tokenizer, base.description.plain_caption
    extra = len(tokenizer(dress("a")).input_ids) - len(tokenizer("a").input_ids)
    plain = _examples(base, dataset.part("validation"), latents, dress, extra)
    for event in _base_validation(base, project, dataset, plain, settings):
        if isinstance(event, Validating):
            yield Progress(event.done, event.total, "measuring the base model")
        else:
            yield Prepared(project, base, dataset, latents, event)


@contextmanager
def grafted(prepared: Prepared, config: RunConfig) -> Iterator[tuple[Prepared, Adapter]]:
    """A new adapter of these settings on the base model, as every run of them begins; taken off in the end."""
    adapter = registry.build(config.method, config.adapter)
    seed = derived_seed(config.training.seed, "adapter", 0) % 2**31
    host = adapter.attach(prepared.base.host, seed)
    try:
        yield replace(prepared, base=replace(prepared.base, host=host)), adapter
    finally:
        adapter.detach()


def examples(
    prepared: Prepared, side: Split, adapter: Adapter, settings: TrainingSettings
) -> Iterator[Progress | Examples]:
    """One side of the data set as an adapter learns it: captions dressed; the last event is the result.

    A caption too long for that was allowed to be cut, else the run would not have come so far. What changes neither
    with the adapter nor in training is kept on disk: text states, and latents of mirrored or uncut pictures.
    """
    project, base, items = prepared.project, prepared.base, prepared.dataset.part(side)
    extra = adapter.trigger_tokens(base.host.tokenizer)
    made = _examples(base, items, prepared.latents, adapter.caption, extra)
    made = replace(made, promptless=adapter.unconditional())
    uncut = settings.aspect_buckets
    for name, wanted in (("latents", uncut), ("mirrored", settings.random_flip)) if side == "train" else ():
        if not wanted:
            continue
        for event in cached_latents(base, project, prepared.dataset, mirrored=name == "mirrored", uncut=uncut):
            if isinstance(event, Progress):
                yield event
            else:
                made = replace(made, **{name: [event[item.id] for item in items]})
    if side == "train" and not adapter.changes_text:
        words = made.prompts(settings)
        key = hashlib.sha256(repr((base.digest, str(base.dtype), words)).encode()).hexdigest()[:16]

        def encode(captions: Sequence[str]) -> Tensor:
            ids = token_ids(base.host, captions, base.description.token_limit)
            return text_encoder.text_states(base, ids).cpu()

        for event in cached(project, f"text-{key}", words, encode, "encoding prompts", batch_size=32):
            if isinstance(event, Progress):
                yield event
            else:
                made = replace(made, states=event)
    yield made


def _examples(
    base: BaseModel, items: Sequence[Item], latents: dict[str, Tensor], dress: Callable[[str], str], extra: int
) -> Examples:
    room = base.description.token_limit - extra
    captions = [dress(fit(base.host.tokenizer, item.caption, room)) for item in items]
    return Examples([latents[item.id] for item in items], captions, dress(""))


def _base_validation(
    base: BaseModel, project: Project, dataset: Dataset, plain: Examples, settings: TrainingSettings
) -> Iterator[Validating | Validation]:
    """The bare model's validation, kept on disk: it is the same for every run on this data set."""
    facts = (base.digest, str(base.dtype), base.device.type, datasets.digest(dataset), settings.validation_timesteps)
    key = hashlib.sha256(repr((facts, plain.captions)).encode()).hexdigest()[:16]
    path = project.cache_file(f"base-validation-{key}.json")
    while place().number and not path.exists():  # process 0 measures it for all
        yield Validating(0, len(plain.latents))
        time.sleep(POLL_SECONDS)
    if path.exists():
        yield Validation(settings.validation_timesteps, tuple(tuple(row) for row in read_json(path)))
        return
    for event in validation.validate(base, plain, settings):
        if isinstance(event, Validation):
            write_json(path, event.losses)
        yield event
