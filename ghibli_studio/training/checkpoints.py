"""A run's checkpoint: the state after a finished epoch in one safetensors file, written atomically, without pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.workspace.files import write_atomic
from ghibli_studio.workspace.run import Run

if TYPE_CHECKING:
    from torch import Tensor


ADAPTER, OPTIMIZER = "adapter/", "optimizer/"  # prefixes of the tensors' names in the file


@dataclass(frozen=True)
class Checkpoint:
    """The state after a finished epoch."""

    epoch: int
    adapter: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    event: dict[str, Any]
    """The epoch's line in `progress.jsonl`."""


def write_checkpoint(run: Run, checkpoint: Checkpoint) -> None:
    """Replace the run's checkpoint atomically."""
    from safetensors.torch import save

    tensors = {ADAPTER + name: tensor for name, tensor in checkpoint.adapter.items()}
    tensors |= {OPTIMIZER + name: tensor for name, tensor in checkpoint.optimizer.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": "pt", "epoch": str(checkpoint.epoch), "event": json.dumps(checkpoint.event)}
    write_atomic(run.checkpoint_file, save(tensors, header))


def read_checkpoint(run: Run) -> Checkpoint | None:
    """Return the state after the last finished epoch, or None before the first; StudioError if the file is damaged."""
    if not run.checkpoint_file.exists():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.checkpoint_file, "pt") as file:
            header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise StudioError(f"{run.checkpoint_file} is damaged ({error}); start a new run") from error
    adapter, optimizer = (
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in (ADAPTER, OPTIMIZER)
    )
    return Checkpoint(int(header["epoch"]), adapter, optimizer, json.loads(header["event"]))
