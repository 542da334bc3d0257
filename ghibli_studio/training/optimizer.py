"""What the loop keeps beside the adapter: AdamW's moments, the running average, and how several processes agree.

All of it fits into one flat dictionary of tensors, so that a run goes on from a safetensors file bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adapters.base import AdapterSettings
from ghibli_studio.config.training import RunConfig
from ghibli_studio.models.base_model import BaseModel

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import Tensor, nn


AVERAGE, RAW = "average.", "raw."


class Optimizer:
    """AdamW over an adapter's parameters, with a running average of them if it is wanted.

    The average (Polyak and Juditsky 1992; decay as in Song et al. 2020, arXiv:2011.13456) is what is validated and
    saved; training goes on from the parameters themselves.
    """

    def __init__(
        self, accelerator: Accelerator, base: BaseModel, parameters: Sequence[nn.Parameter], config: RunConfig
    ):
        import torch
        from diffusers.training_utils import EMAModel

        self.accelerator, self.parameters, self.settings = accelerator, list(parameters), config.training
        self.adamw = accelerator.prepare(
            torch.optim.AdamW(
                self.parameters,
                lr=config.adapter.learning_rate,
                weight_decay=self.settings.adam_weight_decay,
                fused=base.device.type in ("cpu", "cuda"),
            )
        )
        self.raw: Sequence[Tensor] = self.parameters
        """The parameters that training goes on from, also while the average stands in their place."""
        decay = self.settings.ema_decay
        self.average = None if decay is None else EMAModel(self.parameters, decay=decay)

    def step(self, learning_rate: float) -> float:
        """One step with the gradients of all processes; returns their norm before clipping."""
        if self.accelerator.num_processes > 1:
            import torch

            for parameter in self.parameters:
                # none where this process had no picture of the step
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.accelerator.reduce(own, reduction="sum")
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        self.adamw.step()
        self.adamw.zero_grad()
        if self.average is not None:
            self.average.step(self.parameters)
        return norm

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged parameters are in the adapter's place; without an average nothing changes."""
        if self.average is None:
            yield
            return
        self.raw = [parameter.detach().clone() for parameter in self.parameters]
        self.average.copy_to(self.parameters)
        try:
            yield
        finally:
            for parameter, raw in zip(self.parameters, self.raw):
                parameter.data.copy_(raw)
            self.raw = self.parameters

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, by flat names."""
        import torch

        flat = {
            f"{index}.{name}": value.detach().clone()
            for index, state in self.adamw.optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        if self.average is not None:
            flat |= {f"{RAW}{index}": one.detach().clone() for index, one in enumerate(self.raw)}
            flat |= {f"{AVERAGE}{index}": one.clone() for index, one in enumerate(self.average.shadow_params)}
            flat[f"{AVERAGE}steps"] = torch.tensor(self.average.optimization_step)
        return flat

    def load(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` gave; the parameters too where an average stood in their place."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in flat.items():
            index, name = key.split(".", 1)
            if index.isdigit():
                state.setdefault(int(index), {})[name] = value
        optimizer: torch.optim.Optimizer = self.adamw.optimizer
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        if self.average is not None:
            self.average.optimization_step = int(flat[f"{AVERAGE}steps"])
            for index, (raw, shadow) in enumerate(zip(self.parameters, self.average.shadow_params)):
                raw.data.copy_(flat[f"{RAW}{index}"])
                shadow.copy_(flat[f"{AVERAGE}{index}"])


def accelerator_for(base: BaseModel) -> Accelerator:
    """Accelerate for the device and precision that the base model was loaded for, and for all processes."""
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # It keeps one precision for the whole process; another base model may be loaded in another one.
    AcceleratorState._reset_state(reset_partial_state=True)
    half = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(base.dtype, "no")
    return Accelerator(mixed_precision=half, cpu=base.device.type == "cpu")


def learning_rate_at(step: int, total: int, settings: AdapterSettings) -> float:
    """The learning rate of a step (counted from 0) of `total`: linear warm-up, then constant or half a cosine."""
    warmup = settings.lr_warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.lr_scheduler == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
