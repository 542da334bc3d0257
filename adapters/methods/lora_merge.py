"""The arithmetic of LoRA matrices: an update at another strength, and the average of several.

An average of low-rank updates is itself one, of the sum of their ranks: the matrices are set side by side. That is
exact. Brought back to a given rank by the singular value decomposition, it is the nearest update of that rank (Eckart &
Young 1936), and what it leaves out is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from adapters.base import AdapterSettings
from adapters.formats.diffusers_lora import DOWN, LENGTHS, TEXT, UP, described, evened
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


Lora = tuple[AdapterSettings, dict[str, "Tensor"]]
LARGEST_RANK = 512


def scaled(
    settings: AdapterSettings, state: dict[str, Tensor], weight: float, start: Callable[[], dict[str, Tensor]]
) -> Lora:
    """The update `weight` times as strong: alpha takes the weight and the matrices stay, so that it is exact.

    A weight below zero turns `lora_B` round. DoRA's lengths move on the line from the untouched model's (`start`).
    """
    if weight == 0:
        raise StudioError("the weight is 0, which leaves nothing of the adapter; choose another, such as 0.8")
    result = dict(state)
    untouched = start() if settings.use_dora else {}
    for name, tensor in state.items():
        if LENGTHS in name:
            result[name] = untouched[name] + weight * (tensor - untouched[name])
        elif weight < 0 and name.endswith(UP):
            result[name] = -tensor
    return settings.changed(lora_alpha=settings.lora_alpha * abs(weight)), result


def averaged(
    parents: Sequence[Lora], weights: Sequence[float], rank: int | None = None
) -> tuple[AdapterSettings, dict[str, Tensor], dict[str, Any]]:
    """The weighted sum of the updates: exact with the ranks added up, or the nearest one of `rank`; and which it is.

    A layer that only some parents update is zero in the others. Raises StudioError for DoRA, whose lengths divide by
    the updated weight and so have no average that is one, and for more ranks than an adapter can have.
    """
    import torch

    if any(settings.use_dora for settings, _ in parents):
        raise StudioError("an average of DoRA is no DoRA: its lengths are not linear in it; average plain LoRA only")
    updates: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for (settings, state), weight in zip(parents, weights):
        factor = weight * settings.lora_alpha / settings.rank
        for name, down in state.items():
            if name.endswith(DOWN):
                layer = name.removesuffix(DOWN)
                updates.setdefault(layer, []).append((down, factor * state[layer + UP]))
    result, lost = {}, 0.0
    for layer, pairs in updates.items():
        if len({(down.shape[1:], up.shape[0]) for down, up in pairs}) > 1:
            raise StudioError(
                f"layer {layer} has different widths in the adapters: they were made for different base models; "
                "average adapters of one base model"
            )
        down, up = torch.cat([down for down, _ in pairs]), torch.cat([up for _, up in pairs], dim=1)
        if rank is not None and rank < down.shape[0]:
            down, up, missing = nearest(down, up, rank)
            lost = max(lost, missing)
        result[layer + DOWN], result[layer + UP] = down, up
    largest = max(tensor.shape[0] for name, tensor in result.items() if name.endswith(DOWN))
    if largest > LARGEST_RANK:
        raise StudioError(
            f"the ranks add up to {largest}, and an adapter has at most {LARGEST_RANK}; give a rank to bring them to"
        )
    how = (
        {"way": "exact, ranks added up"}
        if rank is None or not lost
        else {"way": f"nearest of rank {rank}", "left_out": round(lost, 6)}
    )
    # where no header tells alpha it is the rank, so that the scale is 1
    return _settings(parents[0][0], result), evened(result, {}), how


def _settings(first: AdapterSettings, state: dict[str, Tensor]) -> AdapterSettings:
    """What tells the averaged matrices, and the first parent's trigger; nothing of how it was trained."""
    values = described({name: tuple(tensor.shape) for name, tensor in state.items()}, {})
    if not any(name.startswith(TEXT) for name in state):
        values["text_encoder_rank"] = 0
    return type(first).checked({**values, "trigger": first.trigger})


def nearest(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """(down, up, share of the update's norm that is left out) of the nearest update with that rank.

    `up @ down` is never built: two small triangles from QR decompositions have its singular values.
    """
    import torch

    flat_down, flat_up = down.flatten(1).double(), up.flatten(1).double()
    left, upper = torch.linalg.qr(flat_up)  # (out, R), (R, R)
    right, lower = torch.linalg.qr(flat_down.T)  # (in, R), (R, R)
    u, values, v = torch.linalg.svd(upper @ lower.T)
    root = values[:rank].sqrt()
    new_up, new_down = left @ (u[:, :rank] * root), (v[:rank] * root[:, None]) @ right.T
    total = values.square().sum().sqrt().item()
    missing = values[rank:].square().sum().sqrt().item() / total if total else 0.0
    return (
        new_down.to(down.dtype).reshape(new_down.shape[0], *down.shape[1:]),
        new_up.to(up.dtype).reshape(*up.shape[:1], new_up.shape[1], *up.shape[2:]),
        missing,
    )
