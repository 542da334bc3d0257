"""How much memory a training step needs, computed: every tensor is counted while it lives, and none is filled.

PyTorch's fake tensors have shape and dtype but no data, so a full-size step is walked through in seconds on any machine.
What a GPU needs besides (its context, the kernels' working space, gaps between blocks) is not counted; MARGIN stands for
it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import full_size

if TYPE_CHECKING:
    import torch
    from torch import nn

GIB = 2**30
CARDS = (8, 12, 16, 24, 80)
"""Memory of usual GPUs, GB."""
BATCHES = (1, 2, 4, 8, 16, 32, 64)
MARGIN = 1.2
"""Context, working space of kernels, gaps: assumed to be a fifth, and CONTEXT besides."""
CONTEXT = 0.75 * GIB
TRAINABLE = {"lora": 797_184, "ti": 768}
"""Weights of a LoRA of rank 8 on the attention of the UNet, and of one vector; each with gradient and two moments."""


@dataclass(frozen=True)
class Budget:
    """Bytes of one training step at its worst moment."""

    weights: int
    """Frozen: UNet, autoencoder, text encoder."""
    step: int
    """What lives besides at the worst moment: activations, gradients, adapter, optimizer."""

    @property
    def total(self) -> int:
        """Both, with what cannot be counted."""
        return int((self.weights + self.step) * MARGIN + CONTEXT)


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Count the bytes of tensors made inside while they live: `{"now": ..., "peak": ...}`."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_iter
    import torch

    bytes_held = {"now": 0, "peak": 0}
    known: set[int] = set()

    def forget(key: int, size: int) -> None:
        known.discard(key)
        bytes_held["now"] -= size

    class Counter(TorchDispatchMode):
        """Looks at what every operation returns."""

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            for tensor in tree_iter(result):
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    if storage._cdata not in known:
                        known.add(storage._cdata)
                        size = storage.nbytes()
                        bytes_held["now"] += size
                        bytes_held["peak"] = max(bytes_held.values())
                        weakref.finalize(storage, forget, storage._cdata, size)
            return result

    with Counter():
        yield bytes_held


def step_bytes(method: str, batch: int, *, checkpointing: bool, pixels: int = 512, dtype: Any = None) -> Budget:
    """The budget of a step at full size, walked through with tensors that have no data."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    dtype = dtype or torch.bfloat16
    with FakeTensorMode():
        with counted() as held:
            unet = full_size.build("unet").requires_grad_(False).to(dtype)
            text_encoder = full_size.build("text_encoder").requires_grad_(False)
            vae = full_size.build("vae").requires_grad_(False).to(dtype)
