"""What is kept of a run: `RunRecorder` turns the loop's events into files and events of `progress.jsonl`.

Progress, time and energy estimates are here too; the order of the work is in `runs`.
"""

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
from ghibli_studio.models.tokenizer import truncate_caption
from ghibli_studio.runtime import environment
from ghibli_studio.runtime.device import describe_machine
from ghibli_studio.runtime.energy import Meter
from ghibli_studio.training import loop
from ghibli_studio.training.checkpoints import Checkpoint, write_checkpoint
from ghibli_studio.training.loop import Step, StoppedEarly
from ghibli_studio.training.preparation import RunContext
from ghibli_studio.training.validation import ValidationProgress
from ghibli_studio.workspace.files import write_atomic, write_json
from ghibli_studio.workspace.run import Run

if TYPE_CHECKING:
    from adapters.base import Adapter
    from ghibli_studio.models.base_model import BaseModel


SAMPLE_STEPS = 12
PASSES_PER_STEP = 3  # a training step is one forward pass, and a backward pass at twice the cost
Event = dict[str, Any]


class ProgressEstimate:
    """How much of a run is done, its time and energy so far, and the time left at this process's speed."""

    def __init__(self, total: float, earlier: Sequence[Event] = ()):
        self.total = total
        timed = [event for event in earlier if "seconds" in event]  # by an earlier process
        self.seconds_before = max((event["seconds"] for event in timed), default=0.0)
        self.joules_before: float | None = timed[-1].get("joules") if timed else 0.0
        self.started = self.work_started = time.monotonic()
        self.skipped = self.done = 0.0
        self.meter: Meter | None = None

    def start(self, meter: Meter | None = None) -> None:
        """Measure speed and energy from now on; loading does not count."""
        self.work_started, self.meter = time.monotonic(), meter

    def skip(self, passes: float) -> None:
        """Set the work that an earlier process did."""
        self.skipped = passes

    def add(self, passes: float) -> None:
        """Count more work, in passes of one image through the UNet."""
        self.done += passes

    def to_dict(self) -> Event:
        """Return the run's seconds and joules so far (None if unknown), the fraction done, and the seconds left."""
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
        if spent is None or self.joules_before is None:
            return None
        return round(self.joules_before + spent, 3)


@dataclass(frozen=True)
class RunRecorder:
    """Turns the loop's events into the run's files and events."""

    run: Run
    config: RunConfig
    context: RunContext
    attached: BaseModel
    """The base model with the adapter attached."""
    adapter: Adapter
    estimate: ProgressEstimate
    history: list[Event]
    """Steps and epochs so far, so that a long run's file is not read again after every epoch."""

    def record(self, event: loop.Event) -> Iterator[Event]:
        """Yield the run's events for one event of the loop; an epoch is on disk before its event."""
        if isinstance(event, Step):
            self.estimate.add(PASSES_PER_STEP * event.images)
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
                **self.estimate.to_dict(),
            }
            self.history.append(step)
            yield step
        elif isinstance(event, ValidationProgress):
            self.estimate.add(len(self.config.training.validation_timesteps))
            yield {**stage_event("validating", event.done, event.total), **self.estimate.to_dict()}
        elif isinstance(event, StoppedEarly):
            yield {"event": "stopped_early", "epoch": event.epoch, "patience": event.patience}
        else:
            if has_sample(self.config, event.epoch):
                yield from self.generate_sample(event.epoch)
            epoch = {
                "event": "epoch",
                "epoch": event.epoch,
                "step": event.step,
                "validation_loss": event.validation.loss,
                "per_timestep": event.validation.per_timestep,
                "per_image": event.validation.per_image,
                "base_validation_loss": self.context.base_validation.loss,
                **self.estimate.to_dict(),
            }
            if event.epoch:
                checkpoint = Checkpoint(event.epoch, self.adapter.state(), event.optimizer_state, epoch)
                write_checkpoint(self.run, checkpoint)
                self.save_epoch(epoch)
            yield epoch

    def save_epoch(self, epoch: Event) -> None:
        """Write the adapter and the metrics of an epoch whose checkpoint is on disk; repeating it is harmless."""
        if epoch not in self.history[-1:]:
            self.history.append(epoch)
        best = min(
            (event for event in self.history if event["event"] == "epoch" and event["epoch"]),
            key=lambda event: (event["validation_loss"], event["epoch"]),
        )
        data = safetensors_file.to_bytes(self.adapter, self._adapter_metadata(epoch["epoch"]))
        write_atomic(self.run.epoch_adapter_file(epoch["epoch"]), data)
        if best["epoch"] == epoch["epoch"]:
            write_atomic(self.run.adapter_file, data)
        write_json(self.run.metrics_file, self._metrics(epoch, best))

    def generate_sample(self, epoch: int) -> Iterator[Event]:
        """Generate the sample image with the adapter as it is now."""
        settings = GenerationSettings(seed=self.config.training.seed, num_inference_steps=SAMPLE_STEPS)
        identity = {"method": self.adapter.method, "run": self.run.id, "epoch": epoch}
        loaded = model_cache.LoadedModel(self.attached, self.adapter.method, self.adapter, identity)
        tokenizer, limit = self.context.base.host.tokenizer, self.context.base.description.token_limit
        text = self.config.training.sample_prompt or self.context.dataset.part("validation")[0].caption
        prompt = truncate_caption(tokenizer, text, limit - self.adapter.trigger_tokens(tokenizer))
        file = self.run.sample_file(epoch)
        for event in pipeline.generate(loaded, prompt, settings):
            if event.image is None or event.metadata is None:
                self.estimate.add(2)  # with guidance, a step is two passes
                yield {**stage_event("generating a sample", event.step, event.steps), **self.estimate.to_dict()}
            else:
                write_atomic(file, metadata.to_png(event.image, event.metadata))
                yield {"event": "sample", "epoch": epoch, "file": file.name}

    def _adapter_metadata(self, epoch: int) -> dict[str, Any]:
        base, dataset = self.context.base, self.context.dataset
        return {
            **self.config.model_dump(mode="json"),
            "run": self.run.id,
            "epoch": epoch,
            "base_model": {"model_id": self.config.base_model, "digest": base.digest, "shape": base.shape},
            "dataset": {"digest": datasets.digest(dataset), "images": len(dataset.part("train"))},
            "versions": environment.versions(),
        }

    def _metrics(self, epoch: Event, best: Event) -> dict[str, Any]:
        steps = [event for event in self.history if event["event"] == "step"]
        speeds = sorted(event["images_per_second"] for event in steps)
        return {
            "method": self.config.method,
            "base_validation_loss": self.context.base_validation.loss,
            "base_per_timestep": self.context.base_validation.per_timestep,
            "best_validation_loss": best["validation_loss"],
            "best_epoch": best["epoch"],
            "best_per_timestep": best["per_timestep"],
            "last_validation_loss": epoch["validation_loss"],
            "validation_timesteps": self.config.training.validation_timesteps,
            "epochs": epoch["epoch"],
            "steps": epoch["step"],
            "seconds": epoch["seconds"],
            "images_per_second": speeds[len(speeds) // 2],
            "compile_seconds": _compile_seconds(steps) if self.config.training.compile else None,
            "peak_memory_bytes": max(event["peak_memory_bytes"] for event in steps),
            "joules": epoch.get("joules"),
            "energy_source": self.estimate.meter and self.estimate.meter.source,
            "trainable_parameters": sum(parameter.numel() for parameter in self.adapter.parameters()),
            "adapter_bytes": self.run.adapter_file.stat().st_size,
            "validation_landmarks": [item.landmark for item in self.context.dataset.part("validation")],
            "dataset": datasets.digest(self.context.dataset),
            "base_model": self.context.base.digest,
            "machine": describe_machine(self.context.base.device, self.context.base.dtype),
            "versions": environment.versions(),
        }


def _compile_seconds(steps: Sequence[Event]) -> float:
    """Return how much longer than the median the first step took: torch.compile builds its code in it."""
    seconds = [event["step_seconds"] for event in steps]
    return round(max(seconds[0] - sorted(seconds)[len(seconds) // 2], 0.0), 3)


def has_sample(config: RunConfig, epoch: int) -> bool:
    """Return whether a sample image is generated after an epoch."""
    every = config.training.sample_every
    return every > 0 and (epoch % every == 0 or epoch == config.adapter.num_train_epochs)


def stage_event(what: str, done: int, total: int) -> Event:
    """Return an event for work that is not a training step."""
    return {"event": "stage", "what": what, "done": done, "total": total}
