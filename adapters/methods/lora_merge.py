"""The arithmetic of LoRA matrices: one update scaled, and several updates merged.

The weighted sum of low-rank updates is itself a low-rank update, of the sum of their ranks: the matrices are
concatenated, which is exact. Reduced to a given rank by the singular value decomposition, it is the nearest update of
that rank (Eckart & Young 1936), and the truncation error is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from adapters.formats.diffusers_lora import DOWN, MAGNITUDE, TEXT, UP, pad_ranks, settings_from_shapes
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor

    from adapters.methods.lora import LoraSettings


MAX_RANK = 512


def scale(
    settings: LoraSettings, state: dict[str, Tensor], weight: float, start: Callable[[], dict[str, Tensor]]
) -> tuple[LoraSettings, dict[str, Tensor]]:
    """Return the update scaled by `weight`: alpha is multiplied and the matrices stay, so it is exact.

    A weight below zero negates `lora_B`. DoRA's magnitudes move on the line from the base model's own (`start`).
    """
    if weight == 0:
        raise StudioError("the weight is 0, which leaves nothing of the adapter; choose another one, such as 0.8")
    result = dict(state)
    untrained = start() if settings.use_dora else {}
    for name, tensor in state.items():
        if MAGNITUDE in name:
            result[name] = untrained[name] + weight * (tensor - untrained[name])
        elif weight < 0 and name.endswith(UP):
            result[name] = -tensor
    return settings.changed(lora_alpha=settings.lora_alpha * abs(weight)), result


def merge(
    parents: Sequence[tuple[LoraSettings, dict[str, Tensor]]], weights: Sequence[float], rank: int | None = None
) -> tuple[LoraSettings, dict[str, Tensor], dict[str, Any]]:
    """Return the weighted sum of the updates, exact with the ranks added up or the nearest of `rank`, and which it is.

    A layer that only some parents update is zero in the others. Raises StudioError for DoRA, whose magnitudes divide by
    the updated weight, so that the sum is not a DoRA; and for a rank above the maximum.
    """
    import torch

    if any(settings.use_dora for settings, _ in parents):
        raise StudioError("DoRA adapters cannot be merged: a sum of them is not a DoRA; merge plain LoRA only")
    updates: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for (settings, state), weight in zip(parents, weights):
        factor = weight * settings.lora_alpha / settings.rank
        for name, down in state.items():
            if name.endswith(DOWN):
                layer = name.removesuffix(DOWN)
                updates.setdefault(layer, []).append((down, factor * state[layer + UP]))
    result: dict[str, Tensor] = {}
    error = 0.0
    for layer, pairs in updates.items():
        if len({(down.shape[1:], up.shape[0]) for down, up in pairs}) > 1:
            raise StudioError(
                f"layer {layer} has different widths in the adapters: they were made for different base models; "
                "merge adapters of one base model"
            )
        down, up = torch.cat([down for down, _ in pairs]), torch.cat([up for _, up in pairs], dim=1)
        if rank is not None and rank < down.shape[0]:
            down, up, missing = truncate_rank(down, up, rank)
            error = max(error, missing)
        result[layer + DOWN], result[layer + UP] = down, up
    largest = max(tensor.shape[0] for name, tensor in result.items() if name.endswith(DOWN))
    if largest > MAX_RANK:
        raise StudioError(f"the ranks add up to {largest}; an adapter may have at most {MAX_RANK}, so set a rank")
    how: dict[str, Any] = (
        {"how": "exact, ranks added up"}
        if rank is None or not error
        else {"how": f"nearest of rank {rank}", "truncation_error": round(error, 6)}
    )
    # without a header alpha is the rank, so the scale is 1
    return _merged_settings(parents[0][0], result), pad_ranks(result, {}), how


def _merged_settings(first: LoraSettings, state: dict[str, Tensor]) -> LoraSettings:
    """Return the settings that describe the merged matrices, with the first parent's trigger; none of its training."""
    values = settings_from_shapes({name: tuple(tensor.shape) for name, tensor in state.items()}, {})
    if not any(name.startswith(TEXT) for name in state):
        values["text_encoder_rank"] = 0
    return type(first).checked({**values, "trigger": first.trigger})


def truncate_rank(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Return (down, up, share of the update's norm that is lost) of the nearest update with that rank.

    `up @ down` is never computed: the two small triangles of QR decompositions have its singular values.
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
