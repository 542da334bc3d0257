"""The state of a run after a finished epoch, as one safetensors file: no pickle, all or nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.run import Run

if TYPE_CHECKING:
    from torch import Tensor


ADAPTER, OPTIMIZER = "adapter/", "optimizer/"  # name spaces of the file's tensors


@dataclass(frozen=True)
class Checkpoint:
    """The state after a finished epoch."""

    epoch: int
    adapter: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    event: dict[str, Any]
    """The epoch's line in `progress.jsonl`."""


def write_checkpoint(run: Run, checkpoint: Checkpoint) -> None:
    """Replace the run's checkpoint, all or nothing."""
    from safetensors.torch import save

    tensors = {ADAPTER + name: tensor for name, tensor in checkpoint.adapter.items()}
    tensors |= {OPTIMIZER + name: tensor for name, tensor in checkpoint.optimizer.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": "pt", "epoch": str(checkpoint.epoch), "event": json.dumps(checkpoint.event)}
    write_atomic(run.checkpoint_file, save(tensors, header))


def read_checkpoint(run: Run) -> Checkpoint | None:
    """The last finished epoch's state; None before the first."""
    if not run.checkpoint_file.exists():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.checkpoint_file, "pt") as file:
            header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise StudioError(f"{run.checkpoint_file} is damaged ({error}); start a new run") from error
    parts = [
        {name.removeprefix(space): tensor for name, tensor in tensors.items() if name.startswith(space)}
        for space in (ADAPTER, OPTIMIZER)
    ]
    return Checkpoint(int(header["epoch"]), *parts, json.loads(header["event"]))
