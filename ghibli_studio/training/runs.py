"""One training run from its `config.json` to its last epoch: what is kept after each, and in which order.

Yields one JSON object an event, which is also a line of `progress.jsonl`. Processes and queues are `jobs`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.config.training import RunConfig
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Dataset
from ghibli_studio.models import description as descriptions
from ghibli_studio.models import tokenizer as tokenizers
from ghibli_studio.runtime.energy import meter
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.training import loop
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.checkpoints import Checkpoint, read_checkpoint
from ghibli_studio.training.preparation import Prepared, examples, grafted, prepare
from ghibli_studio.training.recorder import (
    PASSES_PER_STEP,
    SAMPLE_STEPS,
    Clock,
    Event,
    RunRecorder,
    has_sample,
    stage_event,
)
from ghibli_studio.workspace.files import append_line, write_atomic
from ghibli_studio.workspace.project import Project, project_of
from ghibli_studio.workspace.run import Run

if TYPE_CHECKING:
    from adapters.base import Adapter
    from ghibli_studio.models.base_model import BaseModel


def check(run: Run) -> Dataset:
    """The run's data set, or StudioError for all that can be known to be wrong before a model is loaded."""
    return check_settings(project_of(run), run.config())


def check_settings(project: Project, config: RunConfig) -> Dataset:
    """The same for a project and settings that have no run (yet)."""
    dataset = datasets.load(project)
    description = descriptions.describe(config.base_model)
    datasets.refuse_other_size(dataset, description)
    tokenizer = tokenizers.load_tokenizer(config.base_model)
    extra = registry.build(config.method, config.adapter).trigger_tokens(tokenizer)
    limit = description.token_limit
    long = [(item.id, item.tokens + extra) for item in dataset.items if item.tokens + extra > limit]
    if long and config.training.long_captions == "refuse":
        listed = ", ".join(f"{name}: {count}" for name, count in long[:5]) + (", ..." if len(long) > 5 else "")
        raise StudioError(
            f"{len(long)} of {len(dataset.items)} captions are longer than the {limit} tokens that the model reads "
            f"({listed}; trigger included); shorten them in the Data set tab, or choose long_captions = cut"
        )
    return dataset


def execute(run: Run) -> Iterator[Event]:
    """Do the run, or go on after its last finished epoch; every event is on disk before it is yielded.

    Raises StudioError for what a person can mend. Closing the iterator stops the run; what finished stays.
    """
    dataset = check(run)
    for event in _events(run, dataset):
        append_line(run.progress_file, event)
        yield event


def assist(run: Run) -> None:
    """Do a share of every step of a run that another process executes and keeps; nothing is written but caches."""
    with ExitStack() as stack:
        *_, ready = _ready(run, check(run), read_checkpoint(run), stack)
        for _ in ready.training():
            pass


@dataclass(frozen=True)
class _Ready:
    """Everything is loaded, and the adapter is attached."""

    config: RunConfig
    prepared: Prepared
    attached: BaseModel
    """The base model with the adapter on it."""
    adapter: Adapter
    sides: tuple[Examples, Examples]
    checkpoint: Checkpoint | None

    def training(self) -> Iterator[loop.Event]:
        """The loop, from the start or after the checkpoint."""
        done = self.checkpoint
        return loop.train(
            self.attached,
            self.adapter,
            *self.sides,
            self.config,
            finished_epochs=done.epoch if done else 0,
            optimizer_state=done.optimizer if done else None,
        )


def _ready(run: Run, dataset: Dataset, checkpoint: Checkpoint | None, stack: ExitStack) -> Iterator[Progress | _Ready]:
    """Load, encode, attach; the last event is the result. The adapter is detached when the stack is closed."""
    config = run.config()
    for event in prepare(project_of(run), dataset, config):
        if isinstance(event, Progress):
            yield event
        else:
            prepared = event
    attached, adapter = stack.enter_context(grafted(prepared, config))
    sides = []
    for side in ("train", "validation"):
        for event in examples(attached, side, adapter, config.training):
            if isinstance(event, Progress):
                yield event
            else:
                sides.append(event)
    if checkpoint:
        adapter.load_state(checkpoint.adapter)
    yield _Ready(config, prepared, attached.base, adapter, tuple(sides), checkpoint)


def _events(run: Run, dataset: Dataset) -> Iterator[Event]:
    config, checkpoint = run.config(), read_checkpoint(run)
    before = _forget_unfinished(run, checkpoint.epoch if checkpoint else None)
    clock = Clock(_work(config, dataset, config.adapter.num_train_epochs), before)
    with ExitStack() as stack:
        for event in _ready(run, dataset, checkpoint, stack):
            if isinstance(event, Progress):
                yield stage_event(event.what, event.done, event.total)
            else:
                ready = event
        keeper = RunRecorder(run, config, ready.prepared, ready.attached, ready.adapter, clock, list(before))
        clock.start_work(meter(ready.prepared.base.device))
        if checkpoint:
            clock.skip(_work(config, dataset, checkpoint.epoch))
            keeper.keep(checkpoint.event)
            if checkpoint.event not in before:  # killed between the checkpoint and its line
                yield checkpoint.event
        for event in ready.training():
            yield from keeper.told(event)


def _work(config: RunConfig, dataset: Dataset, epochs: int) -> float:
    """The run up to and with these epochs, in passes of one picture through the UNet."""
    checking = len(dataset.part("validation")) * len(config.training.validation_timesteps)
    samples = sum(has_sample(config, epoch) for epoch in range(epochs + 1))
    return epochs * len(dataset.part("train")) * PASSES_PER_STEP + (epochs + 1) * checking + 2 * SAMPLE_STEPS * samples


def _forget_unfinished(run: Run, epoch: int | None) -> list[Event]:
    """Drop the events after the checkpoint, since they will come again; return the others."""
    events = run.progress()
    kept = (
        []
        if epoch is None
        else [e for e in events if e["event"] in ("step", "epoch", "sample") and e["epoch"] <= epoch]
    )
    if len(kept) != len(events):
        write_atomic(run.progress_file, "".join(json.dumps(event) + "\n" for event in kept))
    if epoch is None:
        for sample in run.samples():
            sample.unlink()
    return kept
