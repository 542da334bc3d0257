"""The benchmark: which arms are timed on which model, in which order, and the roofline that they are compared with.

The roofline is the shortest time in which the device could do the counted work, at its measured rate.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import baselines, sd15, studio
from benchmarks.growth import Growth, measure_growth
from benchmarks.timing import OURS, Arm, Row, timed
from ghibli_studio.models.base_model import BaseModel, load

if TYPE_CHECKING:
    import torch


FULL_SIZE = "sd15"
OURS_FLOAT32 = "ours-float32"
TASKS = ("lora", "ti", "sampling", "growth")
ARMS = ("reference", "cached", "tuned", OURS, OURS_FLOAT32)
GUIDANCE_SCALE = 7.5
BACKWARD = 1
"""Forward passes that a backward pass costs: the weights are frozen, so only the gradient of the inputs is computed."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    batches: tuple[int, ...] = (1, 4, 8)
    warm: int = 4
    count: int = 12
    """Timed steps; a quarter of them for batches of images, which take longer."""
    steps: int = 25
    """Sampler steps."""
    growth: int = 200
    """Timed steps of each run in the growth part."""


CPU = Scale(warm=2, count=6, steps=10, growth=60)
QUICK = Scale(batches=(1,), warm=1, count=2, steps=2, growth=4)


@dataclass
class Suite:
    """One benchmark: a model, the arms, and facts about the device."""

    model: str
    device: str
    precision: str
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    scale: Scale
    changes: dict[str, Any]
    """Settings of our arms that differ from the default preset."""
    limit: float
    """Seconds after which nothing new is started."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Filled during the run: parameters, counted work, measured rate."""

    def run(self, folder: Path) -> Iterator[str | Row | Growth]:
        """Yield messages (text) and results. A full-size model is written to `folder`."""
        from diffusers.utils import logging

        logging.set_verbosity_error()  # it warns about every copy in another precision
        started = time.monotonic()
        model_id = self.model
        if model_id == FULL_SIZE:
            yield "writing a Stable Diffusion 1.5 with random weights (2.1 GB, temporary)"
            model_id = str(sd15.write(folder / FULL_SIZE, self.device))
        base = self._load(model_id, self.precision)
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
            f"{self.facts['parameters']['unet'] / 1e6:.0f} M weights, {flop / 1e9:.1f} GFLOP per image forward; "
            f"matrix products at {rate / 1e9:.0f} GFLOP/s"
        )
        exact = self._load(model_id, "no") if OURS_FLOAT32 in self.arms else base
        for task, batch, names in self._order():
            if time.monotonic() - started > self.limit:
                yield f"the limit of {self.limit:.0f} s is reached: no further measurement is started"
                return
            roofline = self._roofline(task, batch, flop, rate)
            arms = {name: self._arm(exact if name == OURS_FLOAT32 else base, task, name, batch) for name in names}
            slow = task == "sampling"
            yield from timed(
                task,
                batch,
                arms,
                base.device,
                roofline,
                warm=1 if slow else self.scale.warm,
                count=max(self.scale.count // 4, 1) if slow else self.scale.count,
            )
            gc.collect()  # a compiled UNet and its optimizer refer to each other
        if "growth" in self.tasks:
            bases = (base, self._load(model_id, self.precision), self._load(model_id, self.precision))
            for method in ("lora", "ti"):
                yield measure_growth(bases, method, warm=self.scale.warm, count=self.scale.growth, changes=self.changes)

    def _load(self, model_id: str, precision: str) -> BaseModel:
        chosen = {name: self.changes[name] for name in ("attention",) if name in self.changes}
        return load(model_id, device=self.device, mixed_precision=precision, **chosen)

    def _order(self) -> Iterator[tuple[str, int, list[str]]]:
        """Yield task, batch and arms; arms that compile for minutes come last."""
        for names in ([arm for arm in self.arms if arm != "tuned"], [arm for arm in self.arms if arm == "tuned"]):
            for task in self.tasks:
                for batch in self.scale.batches if names and task != "growth" else ():
                    yield task, batch, names

    def _roofline(self, task: str, batch: int, flop: int, rate: float) -> float:
        if task == "sampling":
            return sampling_roofline(flop, rate, batch, self.scale.steps)
        return training_roofline(flop, rate, batch)

    def _arm(self, base: BaseModel, task: str, name: str, batch: int) -> Arm:
        is_ours = name in (OURS, OURS_FLOAT32)
        if task == "sampling":
            sampling = partial(studio.sampling, base) if is_ours else partial(baselines.sampling, base, name)
            return partial(sampling, batch, self.scale.steps, GUIDANCE_SCALE)
        if is_ours:
            return partial(studio.training, base, task, batch, images=8 * batch, changes=self.changes)
        return partial(baselines.lora if task == "lora" else baselines.ti, base, name, batch)


def forward_flop(base: BaseModel) -> int:
    """Return the floating-point operations of one image through the UNet, counted."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    latents = torch.zeros((1, *base.description.latent_shape), device=base.device, dtype=base.dtype)
    unet: Any = base.host.unet
    width = unet.config.cross_attention_dim
    text = torch.zeros((1, base.description.token_limit, width), device=base.device, dtype=base.dtype)
    timestep = torch.tensor([5], device=base.device)
    # attention as matrix products, which the counter knows on every device
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        unet(latents, timestep, text, return_dict=False)
    return counter.get_total_flops()


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a large square matrix product, the best of several."""
    import torch

    side, repeats = (8192, 20) if device.type == "cuda" else (2048, 8)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def training_roofline(flop: int, rate: float, batch: int) -> float:
    """Return the seconds of a step: forward and backward through the frozen UNet, for either method."""
    return (1 + BACKWARD) * flop * batch / rate


def sampling_roofline(flop: int, rate: float, batch: int, steps: int) -> float:
    """Return the seconds of a batch of images: with guidance, every step is two passes."""
    return 2 * steps * flop * batch / rate
