"""The optimizer: AdamW, the optional moving average (EMA) of the weights, and gradient sums over processes.

The state fits into one flat dictionary of tensors, so that a run resumes bit for bit from a safetensors file. The
learning rate schedule is here too; gradients and losses are in `loop`.
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


EMA, RAW = "ema.", "raw."


class Optimizer:
    """AdamW over an adapter's parameters, with an optional moving average of them.

    The average (Polyak and Juditsky 1992; decay as in Song et al. 2020, arXiv:2011.13456) is validated and saved;
    training continues from the raw parameters.
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
        """The parameters that training continues from, also while the average replaces them."""
        decay = self.settings.ema_decay
        self.ema = None if decay is None else EMAModel(self.parameters, decay=decay)

    def step(self, learning_rate: float) -> Tensor | float:
        """Take one step with the gradients of all processes; return their norm before clipping."""
        if self.accelerator.num_processes > 1:
            import torch

            for parameter in self.parameters:
                # a process that had no image in this step has no gradient
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.accelerator.reduce(own, reduction="sum")
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        self.adamw.step()
        self.adamw.zero_grad()
        if self.ema is not None:
            self.ema.step(self.parameters)
        return norm

    @contextmanager
    def ema_weights(self) -> Iterator[None]:
        """Put the averaged parameters into the adapter inside the context; without an average, do nothing."""
        if self.ema is None:
            yield
            return
        self.raw = [parameter.detach().clone() for parameter in self.parameters]
        self.ema.copy_to(self.parameters)
        try:
            yield
        finally:
            for parameter, raw in zip(self.parameters, self.raw):
                parameter.data.copy_(raw)
            self.raw = self.parameters

    def state(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by flat names."""
        import torch

        flat = {
            f"{index}.{name}": value.detach().clone()
            for index, state in self.adamw.optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        if self.ema is not None:
            flat |= {f"{RAW}{index}": tensor.detach().clone() for index, tensor in enumerate(self.raw)}
            flat |= {f"{EMA}{index}": tensor.clone() for index, tensor in enumerate(self.ema.shadow_params)}
            flat[f"{EMA}steps"] = torch.tensor(self.ema.optimization_step)
        return flat

    def load(self, flat: dict[str, Tensor]) -> None:
        """Restore what `state` returned, including the raw parameters if there is an average."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in flat.items():
            index, name = key.split(".", 1)
            if index.isdigit():
                state.setdefault(int(index), {})[name] = value
        optimizer: torch.optim.Optimizer = self.adamw.optimizer
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        if self.ema is not None:
            self.ema.optimization_step = int(flat[f"{EMA}steps"])
            for number, (raw, shadow) in enumerate(zip(self.parameters, self.ema.shadow_params)):
                raw.data.copy_(flat[f"{RAW}{number}"])
                shadow.copy_(flat[f"{EMA}{number}"])


def accelerator_for(base: BaseModel) -> Accelerator:
    """Return an Accelerator for the base model's device and precision, and for all processes."""
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # accelerate keeps one precision per process; another base model may use another precision
    AcceleratorState._reset_state(reset_partial_state=True)
    half = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(base.dtype, "no")
    return Accelerator(mixed_precision=half, cpu=base.device.type == "cpu")


def learning_rate_at(step: int, total: int, settings: AdapterSettings) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up, then constant or half a cosine."""
    warmup = settings.lr_warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.lr_scheduler == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
