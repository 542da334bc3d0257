"""Dry runs: the first steps of a training run on a project's own data, of which nothing is kept.

The finders use them to measure losses, speed and memory; what a run keeps is in `training.runs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from adapters.base import Adapter
from adapters.settings import StudioError
from ghibli_studio.config.training import RunConfig
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.training import loop
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.loop import Step
from ghibli_studio.training.preparation import RunContext, attached, examples, prepare
from ghibli_studio.training.runs import check_settings
from ghibli_studio.workspace.project import Project


@dataclass(frozen=True)
class DryRun:
    """A new adapter on the base model, as a run with these settings starts."""

    config: RunConfig
    base: BaseModel
    """With the adapter attached."""
    adapter: Adapter
    examples: Examples
    """The training images and captions of the run."""


def load_context(project: Project, configs: Sequence[RunConfig]) -> Iterator[Progress | RunContext]:
    """Load what runs with these configurations need, which differ only in the method; the last event is the result.

    Raises StudioError if there is no configuration, and for everything that the runs themselves would refuse.
    """
    if not configs:
        raise StudioError("no method is selected; select at least one")
    *_, dataset = [check_settings(project, config) for config in configs]
    yield from prepare(project, dataset, configs[0])


@contextmanager
def start_dry_run(context: RunContext, config: RunConfig) -> Iterator[DryRun]:
    """Attach a new adapter to the base model, and detach it at the end."""
    with attached(context, config) as (with_adapter, adapter):
        train_set = Examples([], [])
        for event in examples(with_adapter, "train", adapter, config.training):
            if not isinstance(event, Progress):
                train_set = event
        yield DryRun(config, with_adapter.base, adapter, train_set)


def first_steps(dry_run: DryRun, count: int, lr_schedule: Callable[[int], float] | None = None) -> Iterator[Step]:
    """Yield the run's first `count` steps; `lr_schedule` replaces its schedule, which else is stretched over them.

    Raises Diverged if the loss is no longer finite.
    """
    settings = dry_run.config.training.changed(early_stopping_patience=None)
    images_per_step = settings.train_batch_size * settings.gradient_accumulation_steps
    steps_per_epoch = -(-len(dry_run.examples.captions) // images_per_step)
    adapter_settings = dry_run.config.adapter.changed(num_train_epochs=-(-count // steps_per_epoch))
    config = dry_run.config.model_copy(update={"training": settings, "adapter": adapter_settings})
    # the loop validates after each epoch, but no one reads the result here: one image is enough
    validation_set = Examples(dry_run.examples.latents[:1], dry_run.examples.captions[:1])
    events = loop.train(
        dry_run.base, dry_run.adapter, dry_run.examples, validation_set, config, lr_schedule=lr_schedule
    )
    with closing(events):
        for event in events:
            if isinstance(event, Step):
                yield event
                if event.step == count:
                    return
