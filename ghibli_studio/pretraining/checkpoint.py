"""A training loop that can be cut off: its state goes to disk every so often, and the next process goes on from there.

One safetensors file a stage, written all or nothing; no pickle. What is random in a step is drawn from the step's own
seed, so a loop that was cut off ends where an unbroken one would (as long as its budget counts steps, not seconds).
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
    """How long a stage may train: a number of steps, or seconds where they are over first."""

    steps: int
    seconds: float = 0
    """Bound in seconds over all processes that share the work; 0 is none."""
    spent: float = 0
    """Seconds that earlier processes trained."""
    began: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self.spent + time.monotonic() - self.began

    def done(self, step: int) -> float:
        """How much of the budget is used before this step (0 is the first), 0 to 1."""
        by_clock = self.elapsed() / self.seconds if self.seconds else 0.0
        return min(1.0, max(step / self.steps, by_clock))


@dataclass
class Training:
    """The state of one stage's loop: tensors in a fixed order, their optimizers, and how far it is."""

    file: Path
    """Where the state is kept; it is not there before the first checkpoint, and may be left when the loop is done."""
    tensors: dict[str, list[Tensor]]
    """The parameters by part ('model', 'average', ..); what was saved is copied into them."""
    optimizers: dict[str, torch.optim.Optimizer]
    budget: Budget
    seed: int
    every: float = 60.0
    """Seconds between checkpoints."""
    first: int = 0
    """The step that this process begins with."""

    def __post_init__(self) -> None:
        if self.file.exists():
            self._read()

    def steps(self) -> Iterator[tuple[int, float]]:
        """Yield each step's number and the used part of the budget, its random numbers seeded; save in between."""
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
            for part, several in self.tensors.items()
            for number, tensor in enumerate(several)
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
                for part, several in self.tensors.items():
                    for number, tensor in enumerate(several):
                        tensor.copy_(file.get_tensor(f"{part}/{number}"))
            names = [name.split("/") for name in file.keys()]  # noqa: SIM118
            for name, optimizer in self.optimizers.items():
                moments: dict[int, dict[str, Tensor]] = {}
                for _, number, moment in (parts for parts in names if parts[0] == name and len(parts) == 3):
                    moments.setdefault(int(number), {})[moment] = file.get_tensor(f"{name}/{number}/{moment}")
                optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        self.first, self.budget.spent = progress["step"], progress["seconds"]
