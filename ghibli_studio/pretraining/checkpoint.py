"""A resumable training loop: it saves its state regularly, and the next process continues from there.

One safetensors file per stage, written atomically; no pickle. The random numbers of a step depend only on the step's
own seed, so a resumed loop ends exactly like an uninterrupted one, as long as its budget counts steps, not seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ghibli_studio.pretraining.atomic_folder import flush_to_disk

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass
class Budget:
    """The limit of a stage's training: a number of steps, or of seconds if they run out first."""

    steps: int
    seconds: float = 0
    """Maximum in seconds over all processes of the stage; 0 is unlimited."""
    spent: float = 0
    """Training seconds of earlier processes."""
    began: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return the seconds of training so far."""
        return self.spent + time.monotonic() - self.began

    def done(self, step: int) -> float:
        """Return the used share of the budget before this step (0 is the first), 0 to 1."""
        by_time = self.elapsed() / self.seconds if self.seconds else 0.0
        return min(1.0, max(step / self.steps, by_time))


@dataclass
class Training:
    """The state of one stage's loop: tensors in a fixed order, their optimizers, and the progress."""

    file: Path
    """File of the state; missing before the first checkpoint, and not deleted at the end of the loop."""
    tensors: dict[str, list[Tensor]]
    """The parameters by part ('model', 'average', ..); saved values are copied into them."""
    optimizers: dict[str, torch.optim.Optimizer]
    budget: Budget
    seed: int
    every: float = 60.0
    """Seconds between checkpoints."""
    first: int = 0
    """The first step of this process."""

    def __post_init__(self) -> None:
        if self.file.exists():
            self._read()

    def steps(self) -> Iterator[tuple[int, float]]:
        """Yield each step's number and the used share of the budget, with its random seed set; saves in between."""
        import torch

        step, saved = self.first, time.monotonic()
        while (done := self.budget.done(step)) < 1:
            torch.manual_seed((self.seed << 32) + step)
            yield step, done
            step += 1
            if time.monotonic() - saved >= self.every:
                self._save(step)
                saved = time.monotonic()

    def _save(self, step: int) -> None:
        from safetensors.torch import save_file

        state = {
            f"{part}/{number}": tensor
            for part, tensors in self.tensors.items()
            for number, tensor in enumerate(tensors)
        }
        for name, optimizer in self.optimizers.items():
            for number, moments in optimizer.state_dict()["state"].items():
                state |= {f"{name}/{number}/{moment}": value for moment, value in moments.items()}
        header = {"progress": json.dumps({"step": step, "seconds": self.budget.elapsed()})}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_name(f"{self.file.name}.partial")
        save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}, partial, header)
        flush_to_disk(partial)
        partial.replace(self.file)

    def _read(self) -> None:
        import torch
        from safetensors import safe_open

        with safe_open(self.file, "pt") as file:
            progress = json.loads(file.metadata()["progress"])
            with torch.no_grad():
                for part, tensors in self.tensors.items():
                    for number, tensor in enumerate(tensors):
                        tensor.copy_(file.get_tensor(f"{part}/{number}"))
            names = [name.split("/") for name in file.keys()]  # noqa: SIM118
            for name, optimizer in self.optimizers.items():
                moments: dict[int, dict[str, Tensor]] = {}
                for _, number, moment in (parts for parts in names if parts[0] == name and len(parts) == 3):
                    moments.setdefault(int(number), {})[moment] = file.get_tensor(f"{name}/{number}/{moment}")
                optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        self.first, self.budget.spent = progress["step"], progress["seconds"]
