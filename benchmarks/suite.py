"""Which arms are timed on which model, in which order; yields each figure as it is measured."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import baselines, sd15, studio
from benchmarks.growth import Growth, grown
from benchmarks.roofline import forward_flop, matmul_rate, sampling_floor, training_floor
from benchmarks.timing import OURS, Arm, Row, timed
from ghibli_studio.models.base_model import BaseModel, load

FULL_SIZE = "sd15"
OURS_FLOAT32 = "ours-float32"
TASKS = ("lora", "ti", "sampling", "growth")
ARMS = ("reference", "cached", "tuned", OURS, OURS_FLOAT32)
GUIDANCE_SCALE = 7.5


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    batches: tuple[int, ...] = (1, 4, 8)
    warm: int = 4
    count: int = 12
    """Timed steps; of batches of pictures a quarter, for they are long."""
    steps: int = 25
    """Of the sampler."""
    growth: int = 200
    """Timed steps of each run in the growth part."""


CPU = Scale(warm=2, count=6, steps=10, growth=60)
QUICK = Scale(batches=(1,), warm=1, count=2, steps=2, growth=4)


@dataclass
class Suite:
    """One benchmark: a model, the arms, and what was found of the device."""

    model: str
    device: str
    precision: str
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    scale: Scale
    changes: dict[str, Any]
    """Settings of ours that are not the default's."""
    limit: float
    """Seconds after which nothing new is started."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Filled as it becomes known: parameters, counted work, measured rate."""

    def run(self, folder: Path) -> Iterator[str | Row | Growth]:
        """Measure; a text is news, the rest are results. A full-size model is written into `folder`."""
        from diffusers.utils import logging

        logging.set_verbosity_error()  # it warns of every copy in another precision
        started = time.monotonic()
        spec = self.model
        if spec == FULL_SIZE:
            yield "writing a Stable Diffusion 1.5 with random weights (2.1 GB, temporary)"
            spec = str(sd15.write(folder / FULL_SIZE, self.device))
        base = self._load(spec, self.precision)
        flop, rate = forward_flop(base), matmul_rate(base.device, base.dtype)
        parts = {"unet": base.host.unet, "vae": base.vae, "text_encoder": base.host.text_encoder}
        self.facts |= {
            "parameters": {name: sd15.count(part) for name, part in parts.items()},
            "forward_flop": flop,
            "matmul_flop_per_second": rate,
            "dtype": str(base.dtype).removeprefix("torch."),
        }
        yield (
            f"{self.model} at {base.description.resolution} px on {base.device.type} in {self.facts['dtype']}: UNet "
            f"{self.facts['parameters']['unet'] / 1e6:.0f} M weights, {flop / 1e9:.1f} GFLOP a picture forward; "
            f"products at {rate / 1e9:.0f} GFLOP/s"
        )
        exact = self._load(spec, "no") if OURS_FLOAT32 in self.arms else base
        for task, batch, names in self._order():
            if time.monotonic() - started > self.limit:
                yield f"the limit of {self.limit:.0f} s is over: nothing new is started"
                return
            floor = self._floor(task, batch, flop, rate)
            arms = {name: self._arm(exact if name == OURS_FLOAT32 else base, task, name, batch) for name in names}
            slow = task == "sampling"
            yield from timed(
                task,
                batch,
                arms,
                base.device,
                floor,
                warm=1 if slow else self.scale.warm,
                count=max(self.scale.count // 4, 1) if slow else self.scale.count,
            )
            gc.collect()  # a compiled UNet and its optimizer hold each other
        if "growth" in self.tasks:
            bases = (base, self._load(spec, self.precision), self._load(spec, self.precision))
            for method in ("lora", "ti"):
                yield grown(bases, method, warm=self.scale.warm, count=self.scale.growth, changes=self.changes)

    def _load(self, spec: str, precision: str) -> BaseModel:
        chosen = {name: self.changes[name] for name in ("attention",) if name in self.changes}
        return load(spec, device=self.device, mixed_precision=precision, **chosen)

    def _order(self) -> Iterator[tuple[str, int, list[str]]]:
        """Task, batch, arms: what compiles for minutes comes last."""
        for names in ([arm for arm in self.arms if arm != "tuned"], [arm for arm in self.arms if arm == "tuned"]):
            for task in self.tasks:
                for batch in self.scale.batches if names and task != "growth" else ():
                    yield task, batch, names

    def _floor(self, task: str, batch: int, flop: int, rate: float) -> float:
        if task == "sampling":
            return sampling_floor(flop, rate, batch, self.scale.steps)
        return training_floor(flop, rate, batch)

    def _arm(self, base: BaseModel, task: str, name: str, batch: int) -> Arm:
        mine = name in (OURS, OURS_FLOAT32)
        if task == "sampling":
            drawn = partial(studio.sampling, base) if mine else partial(baselines.sampling, base, name)
            return partial(drawn, batch, self.scale.steps, GUIDANCE_SCALE)
        if mine:
            return partial(studio.training, base, task, batch, pictures=8 * batch, changes=self.changes)
        return partial(baselines.lora if task == "lora" else baselines.ti, base, name, batch)
