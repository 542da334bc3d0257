"""Short trainings to choose settings by: the one loop on a project's own data, of which nothing is kept."""

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
from ghibli_studio.training.preparation import Prepared, examples, grafted, prepare
from ghibli_studio.training.runs import check_settings
from ghibli_studio.workspace.project import Project


@dataclass(frozen=True)
class Trial:
    """An untrained adapter on the base model, just as a run of these settings begins."""

    config: RunConfig
    base: BaseModel
    """With the adapter on it."""
    adapter: Adapter
    examples: Examples
    """What the run would learn from."""


def prepared(project: Project, configs: Sequence[RunConfig]) -> Iterator[Progress | Prepared]:
    """What runs of these settings need, which differ in nothing but the method; the last event is the result.

    Raises StudioError where nothing is chosen, and for all that the runs themselves would refuse.
    """
    if not configs:
        raise StudioError("no method is chosen; tick at least one")
    *_, dataset = [check_settings(project, config) for config in configs]
    yield from prepare(project, dataset, configs[0])


@contextmanager
def untrained(ready: Prepared, config: RunConfig) -> Iterator[Trial]:
    """Put a new adapter onto the base model, and take it off in the end."""
    with grafted(ready, config) as (attached, adapter):
        *_, learned = examples(attached, "train", adapter, config.training)
        yield Trial(config, attached.base, adapter, learned)


def first_steps(trial: Trial, count: int, rate: Callable[[int], float] | None = None) -> Iterator[Step]:
    """The run's first steps, with `rate` in place of its schedule, which is stretched over these steps otherwise.

    Raises Diverged where the loss is no number any more.
    """
    settings = trial.config.training.changed(early_stopping_patience=None)
    an_epoch = -(-len(trial.examples.captions) // (settings.train_batch_size * settings.gradient_accumulation_steps))
    epochs = trial.config.adapter.changed(num_train_epochs=-(-count // an_epoch))
    longer = trial.config.model_copy(update={"training": settings, "adapter": epochs})
    # the loop validates after each epoch, which nobody reads here: one picture will do
    one = Examples(trial.examples.latents[:1], trial.examples.captions[:1])
    events = loop.train(trial.base, trial.adapter, trial.examples, one, longer, rate=rate)
    with closing(events):
        for event in events:
            if isinstance(event, Step):
                yield event
                if event.step == count:
                    return
