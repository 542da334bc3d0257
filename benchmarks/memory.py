"""The memory that a training step needs, computed: every tensor is counted while it is alive, and none has data.

PyTorch's meta device has shapes and dtypes but no data, so a full-size step (forward, backward, AdamW) takes seconds
on any machine: `python -m benchmarks.memory` prints the tables of `docs/gpu.md`. What a CUDA GPU
does differently is emulated: bfloat16 autocast, and attention that keeps no matrix of scores.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from unittest.mock import patch

from adapters import registry
from adapters.base import Host
from benchmarks import sd15
from ghibli_studio.config.training import preset
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.models.tokenizer import load_tokenizer

GB = 10**9
CARDS = (8, 12, 16, 24, 80)
"""Memory of common GPUs, GB."""
TOKENS = 77
MARGIN = 1.15
"""Factor for what is not counted, assumed: the workspace of kernels, and fragmentation."""
CONTEXT = 0.6 * GB
"""What CUDA and its libraries use themselves, assumed."""


@dataclass(frozen=True)
class Budget:
    """Bytes of one training step at its peak."""

    weights: int
    """Frozen weights, as the studio loads them on a GPU: UNet and autoencoder in bfloat16, text encoder in float32."""
    adapter: int
    """The adapter and AdamW's two moments, float32."""
    activations: int
    """Everything else at the peak: activations, gradients, copies in half precision."""

    @property
    def total(self) -> int:
        """All of it, with the margin for what is not counted."""
        return int((self.weights + self.adapter + self.activations) * MARGIN + CONTEXT)


@contextmanager
def count_bytes() -> Iterator[dict[str, int]]:
    """Count the bytes of all tensors that are created inside, while they are alive: `{"now": ..., "peak": ...}`."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    held = {"now": 0, "peak": 0}
    known: set[int] = set()

    def forget(key: int, size: int) -> None:
        known.discard(key)
        held["now"] -= size

    class Counter(TorchDispatchMode):
        """Counts what every operation returns."""

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            for tensor in tree_leaves(result):
                if isinstance(tensor, torch.Tensor) and (key := tensor.untyped_storage()._cdata) not in known:
                    storage, size = tensor.untyped_storage(), tensor.untyped_storage().nbytes()
                    known.add(key)  # views share their storage
                    held["now"] += size
                    held["peak"] = max(held["now"], held["peak"])
                    weakref.finalize(storage, forget, key, size)
            return result

    with Counter():
        yield held


@contextmanager
def cuda_kernels() -> Iterator[None]:
    """Make the functions of a UNet keep the tensors that they keep on a CUDA GPU with bfloat16 autocast.

    Norms compute in float32, products and convolutions in bfloat16 (PyTorch's lists of autocast operations); attention
    saves its inputs, its output and one float32 per query and head (Dao 2023, arXiv:2307.08691).
    """
    import torch
    from torch.nn import functional

    class Attention(torch.autograd.Function):
        """The shapes of fused attention, forward and backward."""

        @staticmethod
        def forward(ctx, query, key, value):
            output = torch.empty_like(query)
            ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1], dtype=torch.float32))
            return output

        @staticmethod
        def backward(ctx, gradient):
            return tuple(torch.empty_like(saved) for saved in ctx.saved_tensors[:3])

    def attention(query, key, value, *_, **__):
        return Attention.apply(query, key, value)

    def casting(function, dtype):
        def called(*arguments, **keywords):
            cast = [a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in arguments]
            return function(*cast, **keywords)

        return called

    precisions = {
        "linear": torch.bfloat16,
        "conv2d": torch.bfloat16,
        "group_norm": torch.float32,
        "layer_norm": torch.float32,
    }
    with ExitStack() as stack:
        stack.enter_context(patch.object(functional, "scaled_dot_product_attention", attention))
        for name, dtype in precisions.items():
            stack.enter_context(patch.object(functional, name, casting(getattr(functional, name), dtype)))
        yield


@cache
def budget(method: str, batch: int, *, checkpointing: bool = False, pixels: int = 512) -> Budget:
    """Return the bytes of the second step (with AdamW's moments) in bfloat16, for the method's default settings."""
    import torch

    with torch.device("meta"), count_bytes() as held:
        unet, vae = (sd15.build(part, torch.bfloat16) for part in ("unet", "vae"))
        text_encoder = sd15.build("text_encoder")
        for module in (unet, vae, text_encoder):
            module.requires_grad_(False)
        if checkpointing:
            unet.enable_gradient_checkpointing()
        weights = held["now"]
        adapter = registry.build(method, preset("default", method).adapter)
        with patch.object(torch.Tensor, "cpu", lambda tensor: tensor):  # there is no data to copy
            adapter.attach(Host(unet, text_encoder, load_tokenizer(MINIATURE)))
        unet.train()
        parameters = adapter.parameters()
        optimizer = torch.optim.AdamW(parameters, foreach=False)
        ids = torch.empty((batch, TOKENS), dtype=torch.long)
        latents = torch.empty((batch, sd15.UNET["in_channels"], pixels // 8, pixels // 8))
        timesteps = torch.empty((batch,), dtype=torch.long)
        for _ in range(2):
            held["peak"] = held["now"]
            text = text_encoder(ids)[0].to(torch.bfloat16)
            with cuda_kernels():
                prediction = unet(latents.to(torch.bfloat16), timesteps, text, return_dict=False)[0].float()
                loss = (prediction - latents).pow(2).mean()
                loss.backward()  # inside the context, because checkpointed parts are computed again
            optimizer.step()
            optimizer.zero_grad()
            del text, prediction, loss
    trained = 3 * sum(parameter.numel() * 4 for parameter in parameters)
    return Budget(weights, trained, held["peak"] - weights - trained)


def largest_batch(method: str, card: int, *, checkpointing: bool) -> int:
    """Return the largest batch that fits a GPU of `card` GB, 0 if not even one image fits."""
    one, two = (budget(method, batch, checkpointing=checkpointing).total for batch in (1, 2))
    return max((card * GB - one) // (two - one) + 1, 0)


def table() -> str:
    """Return Markdown: the largest batch that fits each GPU."""
    head = ["GPU memory", "LoRA", "LoRA, checkpointing", "Textual Inversion", "Textual Inversion, checkpointing"]
    lines = [head, ["---"] * len(head)]
    for card in CARDS:
        cells = [largest_batch(m, card, checkpointing=c) for m in ("lora", "ti") for c in (False, True)]
        lines.append([f"{card} GB", *(f"batch {cell}" if cell else "does not fit" for cell in cells)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def parts(batches: tuple[int, ...] = (1, 4, 8)) -> str:
    """Return Markdown: the memory of each part."""
    head = ["method", "batch", "checkpointing", "frozen weights", "adapter and AdamW", "activations", "with margin"]
    lines = [head, ["---"] * len(head)]
    for method in ("lora", "ti"):
        for checkpointing in (False, True):
            for batch in batches:
                step = budget(method, batch, checkpointing=checkpointing)
                sizes = (step.weights, step.adapter, step.activations, step.total)
                cells = [method, str(batch), "on" if checkpointing else "off"]
                lines.append(cells + [f"{size / GB:.2f} GB" for size in sizes])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    print(parts(), table(), sep="\n\n")
