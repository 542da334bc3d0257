"""How far a run is: the share done, what it cost in seconds and joules, and how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.formats import safetensors_file
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import RunConfig
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import metadata, model_cache, pipeline
from ghibli_studio.models.tokenizer import fit
from ghibli_studio.runtime import environment
from ghibli_studio.runtime.device import machine
from ghibli_studio.runtime.energy import Meter
from ghibli_studio.training import loop
from ghibli_studio.training.checkpoints import Checkpoint, write_checkpoint
from ghibli_studio.training.loop import Step, Stopped
from ghibli_studio.training.preparation import Prepared
from ghibli_studio.training.validation import Validating
from ghibli_studio.workspace.files import write_atomic, write_json
from ghibli_studio.workspace.run import Run

if TYPE_CHECKING:
    from adapters.base import Adapter
    from ghibli_studio.models.base_model import BaseModel


SAMPLE_STEPS = 12
PASSES_PER_STEP = 3  # a training step goes forward, and back at twice the cost
Event = dict[str, Any]


class Clock:
    """How much of a run is done, what it cost, and how long the rest takes at the speed of this process."""

    def __init__(self, total: float, before: Sequence[Event] = ()):
        self.total = total
        read = [event for event in before if "seconds" in event]  # by an earlier process
        self.seconds_before = max((event["seconds"] for event in read), default=0.0)
        self.joules_before: float | None = read[-1].get("joules") if read else 0.0
        self.started = self.work_started = time.monotonic()
        self.skipped = self.done = 0.0
        self.meter: Meter | None = None

    def start_work(self, meter: Meter | None = None) -> None:
        """From now on speed and energy are measured; loading does not count."""
        self.work_started, self.meter = time.monotonic(), meter

    def skip(self, passes: float) -> None:
        """So much was done by an earlier process."""
        self.skipped = passes

    def worked(self, passes: float) -> None:
        """Some more is done, counted in passes of one picture through the UNet."""
        self.done += passes

    def reading(self) -> Event:
        """Seconds and joules spent on the run so far (None: not known), the share done, and the seconds left."""
        now, done = time.monotonic(), self.skipped + self.done
        left = (self.total - done) * (now - self.work_started) / self.done if self.done else None
        return {
            "seconds": round(self.seconds_before + now - self.started, 3),
            "joules": self._joules(),
            "fraction": min(done / self.total, 1.0),
            "seconds_left": None if left is None else round(max(left, 0.0), 1),
        }

    def _joules(self) -> float | None:
        spent = self.meter.joules() if self.meter else None
        known = spent is not None and self.joules_before is not None
        return round(self.joules_before + spent, 3) if known else None


@dataclass(frozen=True)
class RunRecorder:
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

    def told(self, event: loop.Event) -> Iterator[Event]:
        """The events of one thing that the loop did; an epoch is on disk before its event."""
        if isinstance(event, Step):
            self.clock.worked(PASSES_PER_STEP * event.pictures)
            step = {
                "event": "step",
                "epoch": event.epoch,
                "step": event.step,
                "epochs": event.epochs,
                "loss": event.loss,
                "learning_rate": event.learning_rate,
                "grad_norm": event.grad_norm,
                "step_seconds": event.seconds,
                "images_per_second": event.images_per_second,
                "peak_memory_bytes": event.peak_memory_bytes,
                **self.clock.reading(),
            }
            self.history.append(step)
            yield step
        elif isinstance(event, Validating):
            self.clock.worked(len(self.config.training.validation_timesteps))
            yield {**stage_event("validating", event.done, event.total), **self.clock.reading()}
        elif isinstance(event, Stopped):
            yield {"event": "stopped_early", "epoch": event.epoch, "patience": event.patience}
        else:
            if has_sample(self.config, event.epoch):
                yield from self.sample(event.epoch)
            told = {
                "event": "epoch",
                "epoch": event.epoch,
                "step": event.step,
                "validation_loss": event.validation.loss,
                "per_timestep": event.validation.per_timestep,
                "per_picture": event.validation.per_picture,
                "base_validation_loss": self.prepared.base_validation.loss,
                **self.clock.reading(),
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
        data = safetensors_file.to_bytes(self.adapter, self._recipe(told["epoch"]))
        write_atomic(self.run.epoch_adapter_file(told["epoch"]), data)
        if best["epoch"] == told["epoch"]:
            write_atomic(self.run.adapter_file, data)
        write_json(self.run.metrics_file, self._metrics(told, best))

    def sample(self, epoch: int) -> Iterator[Event]:
        """Draw the fixed prompt with the adapter as it is now."""
        settings = GenerationSettings(seed=self.config.training.seed, num_inference_steps=SAMPLE_STEPS)
        identity = {"method": self.adapter.method, "run": self.run.id, "epoch": epoch}
        loaded = model_cache.Loaded(self.attached, self.adapter.method, self.adapter, identity)
        tokenizer, limit = self.prepared.base.host.tokenizer, self.prepared.base.description.token_limit
        wanted = self.config.training.sample_prompt or self.prepared.dataset.part("validation")[0].caption
        prompt = fit(tokenizer, wanted, limit - self.adapter.trigger_tokens(tokenizer))
        file = self.run.sample_file(epoch)
        for drawing in pipeline.draw(loaded, prompt, settings):
            if drawing.image is None:
                self.clock.worked(2)  # with guidance, a step is two passes
                yield {**stage_event("drawing a sample", drawing.step, drawing.steps), **self.clock.reading()}
            else:
                write_atomic(file, metadata.to_png(drawing.image, drawing.recipe))
                yield {"event": "sample", "epoch": epoch, "file": file.name}

    def _recipe(self, epoch: int) -> dict[str, Any]:
        base, dataset = self.prepared.base, self.prepared.dataset
        return {
            **self.config.model_dump(mode="json"),
            "run": self.run.id,
            "epoch": epoch,
            "base_model": {"spec": self.config.base_model, "digest": base.digest, "shape": base.shape},
            "dataset": {"digest": datasets.digest(dataset), "pictures": len(dataset.part("train"))},
            "versions": environment.versions(),
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
            "versions": environment.versions(),
        }


def _compile_seconds(steps: Sequence[Event]) -> float:
    """What the first step took beyond a usual one: torch.compile builds its code in it."""
    took = [event["step_seconds"] for event in steps]
    return round(max(took[0] - sorted(took)[len(took) // 2], 0.0), 3)


def has_sample(config: RunConfig, epoch: int) -> bool:
    """Whether a sample picture is drawn after an epoch."""
    every = config.training.sample_every
    return every > 0 and (epoch % every == 0 or epoch == config.adapter.num_train_epochs)


def stage_event(what: str, done: int, total: int) -> Event:
    """An event of the work before the first epoch."""
    return {"event": "stage", "what": what, "done": done, "total": total}
