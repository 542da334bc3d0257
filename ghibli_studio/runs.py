"""One training run from its `config.json` to its last epoch: what is kept after each, and in which order.

Yields one JSON object an event, which is also a line of `progress.jsonl`. Processes and queues are `jobs`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import adapters
from ghibli_studio import base_model, generation, training
from ghibli_studio import dataset as datasets
from ghibli_studio.base_model import BaseModel
from ghibli_studio.captions import fit
from ghibli_studio.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from ghibli_studio.config import GenerationSettings, StudioError, TrainingSettings
from ghibli_studio.dataset import Dataset, Item, Progress
from ghibli_studio.files import append_line, read_json, write_atomic, write_json
from ghibli_studio.latents import cached_latents
from ghibli_studio.noise import derived_seed
from ghibli_studio.training import Examples, Step, Validating, Validation
from ghibli_studio.workspace import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


Event = dict[str, Any]
SAMPLE_STEPS = 12
PASSES_PER_STEP = 3  # a training step goes forward, and back at twice the cost


def check(run: Run) -> Dataset:
    """The run's data set, or StudioError for all that can be known to be wrong before a model is loaded."""
    config = run.config()
    dataset = datasets.load(run.project)
    description = base_model.describe(config.base_model)
    if dataset.resolution != description.resolution:
        raise StudioError(
            f"the data set has {dataset.resolution} px pictures, base model {config.base_model!r} wants "
            f"{description.resolution}; make the data set again for this base model"
        )
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
    for event in _Conductor(run, dataset).events():
        append_line(run.progress_file, event)
        yield event


@dataclass
class _Conductor:
    """Turns what the loop yields into files and events."""

    run: Run
    dataset: Dataset

    def events(self) -> Iterator[Event]:
        run, self.config = self.run, self.run.config()
        settings = self.config.training
        checkpoint = read_checkpoint(run)
        self.before = _forget_unfinished(run, checkpoint.epoch if checkpoint else None)
        self.started = time.monotonic()
        self.work_done, self.work_here, self.work_started = 0.0, 0.0, self.started
        yield self._stage("loading the base model")
        base = base_model.load(
            self.config.base_model, device=settings.device, mixed_precision=settings.mixed_precision,
            attention=settings.attention,
        )
        latents: dict[str, Tensor] = {}
        for event in cached_latents(base, run.project, self.dataset):
            if isinstance(event, Progress):
                yield self._stage(event.what, event.done, event.total)
            else:
                latents = event
        train_items, validation_items = self.dataset.part("train"), self.dataset.part("validation")
        plain = _examples(base, validation_items, latents, base.description.plain_caption, _plain_extra(base))
        for event in _base_validation(base, run, self.dataset, plain, settings):
            if isinstance(event, Validating):
                yield self._stage("measuring the base model", event.done, event.total)
            else:
                self.base_validation = event

        adapter = adapters.build(self.config.method, self.config.adapter)
        extra = adapter.trigger_tokens(base.host.tokenizer)
        host = adapter.attach(base.host, derived_seed(settings.seed, "adapter", 0) % 2**31)
        try:
            self.base = replace(base, host=host)
            self.adapter = adapter
            train_set = _examples(base, train_items, latents, adapter.caption, extra)
            validation_set = _examples(base, validation_items, latents, adapter.caption, extra)
            self.total_work = self._work(len(train_items), len(validation_items))
            self.prompt = settings.sample_prompt or validation_items[0].caption
            self.best: tuple[float, int] = min(
                ((e["validation_loss"], e["epoch"]) for e in self.before if e["event"] == "epoch" and e["epoch"]),
                default=(float("inf"), 0),
            )
            if checkpoint:
                adapter.load_state(checkpoint.adapter)
                self.work_done = self.total_work * checkpoint.epoch / self.config.adapter.num_train_epochs
                self._keep(checkpoint.epoch, checkpoint.event)
                if checkpoint.event not in self.before:  # killed between the checkpoint and its line
                    yield checkpoint.event
            self.work_started = time.monotonic()
            for event in training.train(
                self.base, adapter, train_set, validation_set, self.config,
                finished_epochs=checkpoint.epoch if checkpoint else 0,
                optimizer_state=checkpoint.optimizer if checkpoint else None,
            ):
                yield from self._told(event)
        finally:
            adapter.detach()

    def _told(self, event: training.Event) -> Iterator[Event]:
        if isinstance(event, Step):
            self._worked(PASSES_PER_STEP * self.config.training.train_batch_size)
            yield {
                "event": "step", "epoch": event.epoch, "step": event.step, "loss": event.loss,
                "epochs": event.epochs,
                "learning_rate": event.learning_rate, "grad_norm": event.grad_norm,
                "images_per_second": event.images_per_second, "peak_memory_bytes": event.peak_memory_bytes,
                **self._clock(),
            }
        elif isinstance(event, Validating):
            self._worked(len(self.config.training.validation_timesteps))
            yield {**self._stage("validating", event.done, event.total), **self._clock()}
        else:
            yield from self._sample(event.epoch)
            told = {
                "event": "epoch", "epoch": event.epoch, "step": event.step,
                "validation_loss": event.validation.loss, "per_timestep": event.validation.per_timestep,
                "per_picture": event.validation.per_picture,
                "base_validation_loss": self.base_validation.loss, **self._clock(),
            }
            if event.epoch:
                state = Checkpoint(event.epoch, self.adapter.state(), event.optimizer_state, told)
                write_checkpoint(self.run, state)
                self._keep(event.epoch, told)
            yield told

    def _keep(self, epoch: int, told: Event) -> None:
        """Put what follows from an epoch's checkpoint on disk; done again after a kill it gives the same files."""
        data = adapters.to_bytes(self.adapter, self._recipe(epoch))
        write_atomic(self.run.last_adapter_file, data)
        self.best = min(self.best, (told["validation_loss"], epoch))
        if self.best[1] == epoch:
            write_atomic(self.run.adapter_file, data)
        write_json(self.run.metrics_file, self._metrics(told))

    def _sample(self, epoch: int) -> Iterator[Event]:
        """Draw the fixed prompt with the adapter as it is now."""
        settings = GenerationSettings(seed=self.config.training.seed, num_inference_steps=SAMPLE_STEPS)
        identity = {"method": self.adapter.method, "run": self.run.id, "epoch": epoch}
        loaded = generation.Loaded(self.base, self.adapter.method, self.adapter, identity)
        prompt = fit(
            self.base.host.tokenizer, self.prompt,
            self.base.description.token_limit - self.adapter.trigger_tokens(self.base.host.tokenizer),
        )
        for drawing in generation.draw(loaded, prompt, settings):
            if drawing.image is None:
                self._worked(2)
                yield {**self._stage("drawing a sample", drawing.step, drawing.steps), **self._clock()}
            else:
                write_atomic(self.run.sample_file(epoch), generation.to_png(drawing.image, drawing.recipe))
                yield {"event": "sample", "epoch": epoch, "file": self.run.sample_file(epoch).name}

    def _work(self, train_pictures: int, validation_pictures: int) -> float:
        """The whole run in passes of one picture through the UNet, for the time left."""
        epochs = self.config.adapter.num_train_epochs
        checking = validation_pictures * len(self.config.training.validation_timesteps) + 2 * SAMPLE_STEPS
        return epochs * train_pictures * PASSES_PER_STEP + (epochs + 1) * checking

    def _worked(self, work: float) -> None:
        self.work_done += work
        self.work_here += work

    def _clock(self) -> Event:
        """Seconds of work on this run so far, share done, and seconds left at the speed of this process."""
        here = time.monotonic() - self.started
        working = time.monotonic() - self.work_started
        earlier = max((e.get("seconds", 0.0) for e in self.before), default=0.0)
        left = (self.total_work - self.work_done) * working / self.work_here if self.work_here else None
        return {
            "seconds": round(earlier + here, 3),
            "fraction": min(self.work_done / self.total_work, 1.0),
            "seconds_left": None if left is None else round(max(left, 0.0), 1),
        }

    def _stage(self, what: str, done: int = 0, total: int = 0) -> Event:
        return {"event": "stage", "what": what, "done": done, "total": total}

    def _recipe(self, epoch: int) -> dict[str, Any]:
        return {
            **self.config.model_dump(mode="json"),
            "run": self.run.id,
            "epoch": epoch,
            "base_model": {
                "spec": self.config.base_model, "digest": self.base.digest, "shape": self.base.shape,
            },
            "dataset": {"digest": datasets.digest(self.dataset), "pictures": len(self.dataset.part("train"))},
            "versions": generation.versions(),
        }

    def _metrics(self, told: Event) -> dict[str, Any]:
        events = self.run.progress()
        events += [told] if told not in events else []
        steps = [e for e in events if e["event"] == "step"]
        best = next(e for e in events if e["event"] == "epoch" and e["epoch"] == self.best[1])
        speeds = sorted(e["images_per_second"] for e in steps)
        return {
            "method": self.config.method,
            "base_validation_loss": self.base_validation.loss,
            "base_per_timestep": self.base_validation.per_timestep,
            "best_validation_loss": best["validation_loss"],
            "best_epoch": best["epoch"],
            "best_per_timestep": best["per_timestep"],
            "last_validation_loss": told["validation_loss"],
            "validation_timesteps": self.config.training.validation_timesteps,
            "epochs": told["epoch"],
            "steps": told["step"],
            "seconds": told["seconds"],
            "images_per_second": speeds[len(speeds) // 2],
            "peak_memory_bytes": max(e["peak_memory_bytes"] for e in steps),
            "trainable_parameters": sum(parameter.numel() for parameter in self.adapter.parameters()),
            "adapter_bytes": self.run.adapter_file.stat().st_size,
        }


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


def _examples(
    base: BaseModel, items: Sequence[Item], latents: dict[str, Tensor], dress: Callable[[str], str], extra: int
) -> Examples:
    """The items' latents with their captions dressed; a caption too long for that was allowed to be cut."""
    import torch

    room = base.description.token_limit - extra
    captions = [dress(fit(base.host.tokenizer, item.caption, room)) for item in items]
    return Examples(torch.stack([latents[item.id] for item in items]), captions)


def _plain_extra(base: BaseModel) -> int:
    """Tokens that the bare model's plain style adds."""
    tokenizer = base.host.tokenizer
    return len(tokenizer(base.description.plain_caption("a")).input_ids) - len(tokenizer("a").input_ids)


def _base_validation(
    base: BaseModel, run: Run, dataset: Dataset, plain: Examples, settings: TrainingSettings
) -> Iterator[Validating | Validation]:
    """The bare model's validation, kept on disk: it is the same for every run on this data set."""
    facts = (base.digest, str(base.dtype), base.device.type, datasets.digest(dataset), settings.validation_timesteps)
    key = hashlib.sha256(repr((facts, plain.captions)).encode()).hexdigest()[:16]
    path = run.project.cache_file(f"base-validation-{key}.json")
    if path.exists():
        yield Validation(settings.validation_timesteps, tuple(tuple(row) for row in read_json(path)))
        return
    for event in training.validate(base, plain, settings):
        if isinstance(event, Validation):
            write_json(path, event.losses)
        yield event
