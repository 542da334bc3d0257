"""One training run, from its `config.json` to its last epoch: what is done, and in which order.

Every event is one JSON object, which is also a line of `progress.jsonl`. Processes and the queue are in `jobs`.
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
from ghibli_studio.data.dataset import Dataset, Split
from ghibli_studio.models import description as descriptions
from ghibli_studio.models import tokenizer as tokenizers
from ghibli_studio.runtime.energy import meter
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.training import loop
from ghibli_studio.training.batches import Examples
from ghibli_studio.training.checkpoints import Checkpoint, read_checkpoint
from ghibli_studio.training.preparation import RunContext, attached, examples, prepare
from ghibli_studio.training.recorder import (
    PASSES_PER_STEP,
    SAMPLE_STEPS,
    Event,
    ProgressEstimate,
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
    """Return the run's dataset; raise StudioError for every mistake that shows before a model is loaded."""
    return check_settings(project_of(run), run.config())


def check_settings(project: Project, config: RunConfig) -> Dataset:
    """Return the dataset for settings that have no run yet; raise StudioError like `check`."""
    dataset = datasets.load(project)
    description = descriptions.describe(config.base_model)
    datasets.check_resolution(dataset, description)
    tokenizer = tokenizers.load_tokenizer(config.base_model)
    extra = registry.build(config.method, config.adapter).trigger_tokens(tokenizer)
    limit = description.token_limit
    long = [(item.id, item.tokens + extra) for item in dataset.items if item.tokens + extra > limit]
    if long and config.training.long_captions == "refuse":
        listed = ", ".join(f"{name}: {count}" for name, count in long[:5]) + (", ..." if len(long) > 5 else "")
        raise StudioError(
            f"{len(long)} of {len(dataset.items)} captions are over the token limit of {limit} "
            f"({listed}; trigger included); shorten them in the Dataset tab, or set long_captions to cut"
        )
    return dataset


def execute(run: Run) -> Iterator[Event]:
    """Train the run, or continue after its last finished epoch; every event is on disk before it is yielded.

    Raises StudioError for mistakes that the user can fix. Closing the iterator stops the run; finished epochs stay.
    """
    dataset = check(run)
    for event in _events(run, dataset):
        append_line(run.progress_file, event)
        yield event


def run_worker(run: Run) -> None:
    """Do a share of every step of a run that process 0 executes and records; write nothing but caches."""
    with ExitStack() as stack:
        for event in _load(run, check(run), read_checkpoint(run), stack):
            if isinstance(event, _LoadedRun):
                for _ in event.training():
                    pass


@dataclass(frozen=True)
class _LoadedRun:
    """Everything is loaded, and the adapter is attached."""

    config: RunConfig
    context: RunContext
    attached: BaseModel
    """The base model with the adapter attached."""
    adapter: Adapter
    train_set: Examples
    validation_set: Examples
    checkpoint: Checkpoint | None

    def training(self) -> Iterator[loop.Event]:
        """Return the events of the training loop, from the start or after the checkpoint."""
        return loop.train(
            self.attached,
            self.adapter,
            self.train_set,
            self.validation_set,
            self.config,
            finished_epochs=self.checkpoint.epoch if self.checkpoint else 0,
            optimizer_state=self.checkpoint.optimizer if self.checkpoint else None,
        )


def _load(
    run: Run, dataset: Dataset, checkpoint: Checkpoint | None, stack: ExitStack
) -> Iterator[Progress | _LoadedRun]:
    """Load, encode and attach; the last event is the result. Closing the stack detaches the adapter."""
    config = run.config()
    for event in prepare(project_of(run), dataset, config):
        if isinstance(event, Progress):
            yield event
            continue
        with_adapter, adapter = stack.enter_context(attached(event, config))
        sides: dict[Split, Examples] = {}
        for side in ("train", "validation"):
            for part in examples(with_adapter, side, adapter, config.training):
                if isinstance(part, Progress):
                    yield part
                else:
                    sides[side] = part
        if checkpoint:
            adapter.load_state(checkpoint.adapter)
        yield _LoadedRun(config, event, with_adapter.base, adapter, sides["train"], sides["validation"], checkpoint)


def _events(run: Run, dataset: Dataset) -> Iterator[Event]:
    config, checkpoint = run.config(), read_checkpoint(run)
    earlier = _drop_unfinished(run, checkpoint.epoch if checkpoint else None)
    estimate = ProgressEstimate(_total_work(config, dataset, config.adapter.num_train_epochs), earlier)
    with ExitStack() as stack:
        for event in _load(run, dataset, checkpoint, stack):
            if isinstance(event, Progress):
                yield stage_event(event.what, event.done, event.total)
            else:
                yield from _recorded(run, dataset, event, estimate, earlier)


def _recorded(
    run: Run, dataset: Dataset, loaded: _LoadedRun, estimate: ProgressEstimate, earlier: list[Event]
) -> Iterator[Event]:
    """Train, and record what the loop yields; with a checkpoint, write its epoch's files once more."""
    recorder = RunRecorder(run, loaded.config, loaded.context, loaded.attached, loaded.adapter, estimate, list(earlier))
    estimate.start(meter(loaded.context.base.device))
    if loaded.checkpoint:
        estimate.skip(_total_work(loaded.config, dataset, loaded.checkpoint.epoch))
        recorder.save_epoch(loaded.checkpoint.event)
        if loaded.checkpoint.event not in earlier:  # killed after the checkpoint and before its line
            yield loaded.checkpoint.event
    for event in loaded.training():
        yield from recorder.record(event)


def _total_work(config: RunConfig, dataset: Dataset, epochs: int) -> float:
    """Return the work of the run's first `epochs` epochs, in passes of one image through the UNet."""
    validation = len(dataset.part("validation")) * len(config.training.validation_timesteps)
    samples = sum(has_sample(config, epoch) for epoch in range(epochs + 1))
    training = epochs * len(dataset.part("train")) * PASSES_PER_STEP
    return training + (epochs + 1) * validation + 2 * SAMPLE_STEPS * samples


def _drop_unfinished(run: Run, epoch: int | None) -> list[Event]:
    """Drop the events after the checkpoint's epoch, which will be repeated; return the others."""
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
