"""One training run from its `config.json` to its last epoch: what is kept after each, and in which order.

Yields one JSON object an event, which is also a line of `progress.jsonl`. Processes and queues are `jobs`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import adapters
from ghibli_studio import base_model, generation, training
from ghibli_studio import dataset as datasets
from ghibli_studio.captions import fit
from ghibli_studio.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from ghibli_studio.clock import Clock, Event
from ghibli_studio.config import GenerationSettings, RunConfig, StudioError
from ghibli_studio.dataset import Dataset, Progress
from ghibli_studio.energy import meter
from ghibli_studio.files import append_line, write_atomic, write_json
from ghibli_studio.machine import machine
from ghibli_studio.preparing import Prepared, examples, grafted, prepare
from ghibli_studio.training import Examples, Step, Stopped, Validating
from ghibli_studio.workspace import Project, Run

if TYPE_CHECKING:
    from adapters import Adapter
    from ghibli_studio.base_model import BaseModel

SAMPLE_STEPS = 12
PASSES_PER_STEP = 3  # a training step goes forward, and back at twice the cost


def check(run: Run) -> Dataset:
    """The run's data set, or StudioError for all that can be known to be wrong before a model is loaded."""
    return check_settings(run.project, run.config())


def check_settings(project: Project, config: RunConfig) -> Dataset:
    """The same for a project and settings that have no run (yet)."""
    dataset = datasets.load(project)
    description = base_model.describe(config.base_model)
    datasets.refuse_other_size(dataset, description)
    tokenizer = base_model.load_tokenizer(config.base_model)
    extra = adapters.build(config.method, config.adapter).trigger_tokens(tokenizer)
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

    def training(self) -> Iterator[training.Event]:
        """The loop, from the start or after the checkpoint."""
        done = self.checkpoint
        return training.train(
            self.attached, self.adapter, *self.sides, self.config, finished_epochs=done.epoch if done else 0,
            optimizer_state=done.optimizer if done else None,
        )


def _ready(run: Run, dataset: Dataset, checkpoint: Checkpoint | None, stack: ExitStack) -> Iterator[Progress | _Ready]:
    """Load, encode, attach; the last event is the result. The adapter is detached when the stack is closed."""
    config = run.config()
    for event in prepare(run.project, dataset, config):
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
                yield _stage(event.what, event.done, event.total)
            else:
                ready = event
        keeper = _Keeper(run, config, ready.prepared, ready.attached, ready.adapter, clock, list(before))
        clock.start_work(meter(ready.prepared.base.device))
        if checkpoint:
            clock.skip(_work(config, dataset, checkpoint.epoch))
            keeper.keep(checkpoint.event)
            if checkpoint.event not in before:  # killed between the checkpoint and its line
                yield checkpoint.event
        for event in ready.training():
            yield from keeper.told(event)


@dataclass(frozen=True)
class _Keeper:
    """Turns what the loop yields into files and events."""

    run: Run
    config: RunConfig
    prepared: Prepared
    attached: BaseModel
    """The base model with the adapter on it."""
    adapter: Adapter
    clock: Clock
    history: list[Event]
    """Steps and epochs so far: a file of a long run is not read again after every epoch."""

    def told(self, event: training.Event) -> Iterator[Event]:
        """The events of one thing that the loop did; an epoch is on disk before its event."""
        if isinstance(event, Step):
            self.clock.worked(PASSES_PER_STEP * event.pictures)
            step = {
                "event": "step", "epoch": event.epoch, "step": event.step, "epochs": event.epochs, "loss": event.loss,
                "learning_rate": event.learning_rate, "grad_norm": event.grad_norm,
                "step_seconds": event.seconds, "images_per_second": event.images_per_second,
                "peak_memory_bytes": event.peak_memory_bytes, **self.clock.reading(),
            }
            self.history.append(step)
            yield step
        elif isinstance(event, Validating):
            self.clock.worked(len(self.config.training.validation_timesteps))
            yield {**_stage("validating", event.done, event.total), **self.clock.reading()}
        elif isinstance(event, Stopped):
            yield {"event": "stopped_early", "epoch": event.epoch, "patience": event.patience}
        else:
            if has_sample(self.config, event.epoch):
                yield from self.sample(event.epoch)
            told = {
                "event": "epoch", "epoch": event.epoch, "step": event.step,
                "validation_loss": event.validation.loss, "per_timestep": event.validation.per_timestep,
                "per_picture": event.validation.per_picture,
                "base_validation_loss": self.prepared.base_validation.loss, **self.clock.reading(),
            }
            if event.epoch:
                state = Checkpoint(event.epoch, self.adapter.state(), event.optimizer_state, told)
                write_checkpoint(self.run, state)
                self.keep(told)
            yield told

    def keep(self, told: Event) -> None:
        """Put what follows from an epoch's checkpoint on disk; done again after a kill it gives the same files."""
        if told not in self.history[-1:]:
            self.history.append(told)
        best = min(
            (event for event in self.history if event["event"] == "epoch" and event["epoch"]),
            key=lambda event: (event["validation_loss"], event["epoch"]),
        )
        data = adapters.to_bytes(self.adapter, self._recipe(told["epoch"]))
        write_atomic(self.run.epoch_adapter_file(told["epoch"]), data)
        if best["epoch"] == told["epoch"]:
            write_atomic(self.run.adapter_file, data)
        write_json(self.run.metrics_file, self._metrics(told, best))

    def sample(self, epoch: int) -> Iterator[Event]:
        """Draw the fixed prompt with the adapter as it is now."""
        settings = GenerationSettings(seed=self.config.training.seed, num_inference_steps=SAMPLE_STEPS)
        identity = {"method": self.adapter.method, "run": self.run.id, "epoch": epoch}
        loaded = generation.Loaded(self.attached, self.adapter.method, self.adapter, identity)
        tokenizer, limit = self.prepared.base.host.tokenizer, self.prepared.base.description.token_limit
        wanted = self.config.training.sample_prompt or self.prepared.dataset.part("validation")[0].caption
        prompt = fit(tokenizer, wanted, limit - self.adapter.trigger_tokens(tokenizer))
        file = self.run.sample_file(epoch)
        for drawing in generation.draw(loaded, prompt, settings):
            if drawing.image is None:
                self.clock.worked(2)  # with guidance, a step is two passes
                yield {**_stage("drawing a sample", drawing.step, drawing.steps), **self.clock.reading()}
            else:
                write_atomic(file, generation.to_png(drawing.image, drawing.recipe))
                yield {"event": "sample", "epoch": epoch, "file": file.name}

    def _recipe(self, epoch: int) -> dict[str, Any]:
        base, dataset = self.prepared.base, self.prepared.dataset
        return {
            **self.config.model_dump(mode="json"),
            "run": self.run.id,
            "epoch": epoch,
            "base_model": {"spec": self.config.base_model, "digest": base.digest, "shape": base.shape},
            "dataset": {"digest": datasets.digest(dataset), "pictures": len(dataset.part("train"))},
            "versions": generation.versions(),
        }

    def _metrics(self, told: Event, best: Event) -> dict[str, Any]:
        steps = [event for event in self.history if event["event"] == "step"]
        speeds = sorted(event["images_per_second"] for event in steps)
        return {
            "method": self.config.method,
            "base_validation_loss": self.prepared.base_validation.loss,
            "base_per_timestep": self.prepared.base_validation.per_timestep,
            "best_validation_loss": best["validation_loss"],
            "best_epoch": best["epoch"],
            "best_per_timestep": best["per_timestep"],
            "last_validation_loss": told["validation_loss"],
            "validation_timesteps": self.config.training.validation_timesteps,
            "epochs": told["epoch"],
            "steps": told["step"],
            "seconds": told["seconds"],
            "images_per_second": speeds[len(speeds) // 2],
            "compile_seconds": _compile_seconds(steps) if self.config.training.compile else None,
            "peak_memory_bytes": max(event["peak_memory_bytes"] for event in steps),
            "joules": told.get("joules"),
            "energy_source": self.clock.meter and self.clock.meter.source,
            "trainable_parameters": sum(parameter.numel() for parameter in self.adapter.parameters()),
            "adapter_bytes": self.run.adapter_file.stat().st_size,
            "validation_landmarks": [item.landmark for item in self.prepared.dataset.part("validation")],
            "dataset": datasets.digest(self.prepared.dataset),
            "base_model": self.prepared.base.digest,
            "machine": machine(self.prepared.base.device, self.prepared.base.dtype),
            "versions": generation.versions(),
        }


def _compile_seconds(steps: Sequence[Event]) -> float:
    """What the first step took beyond a usual one: torch.compile builds its code in it."""
    took = [event["step_seconds"] for event in steps]
    return round(max(took[0] - sorted(took)[len(took) // 2], 0.0), 3)


def has_sample(config: RunConfig, epoch: int) -> bool:
    """Whether a sample picture is drawn after an epoch."""
    every = config.training.sample_every
    return every > 0 and (epoch % every == 0 or epoch == config.adapter.num_train_epochs)


def _work(config: RunConfig, dataset: Dataset, epochs: int) -> float:
    """The run up to and with these epochs, in passes of one picture through the UNet."""
    checking = len(dataset.part("validation")) * len(config.training.validation_timesteps)
    samples = sum(has_sample(config, epoch) for epoch in range(epochs + 1))
    return epochs * len(dataset.part("train")) * PASSES_PER_STEP + (epochs + 1) * checking + 2 * SAMPLE_STEPS * samples


def _stage(what: str, done: int, total: int) -> Event:
    return {"event": "stage", "what": what, "done": done, "total": total}


def _forget_unfinished(run: Run, epoch: int | None) -> list[Event]:
    """Drop the events after the checkpoint, since they will come again; return the others."""
    events = run.progress()
    kept = [] if epoch is None else [
        e for e in events if e["event"] in ("step", "epoch", "sample") and e["epoch"] <= epoch
    ]
    if len(kept) != len(events):
        write_atomic(run.progress_file, "".join(json.dumps(event) + "\n" for event in kept))
    if epoch is None:
        for sample in run.samples():
            sample.unlink()
    return kept
