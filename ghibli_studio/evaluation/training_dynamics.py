"""How methods learn: validation curves over seeds, the best epoch and how sure it is, whether they over-fit.

Reads what runs keep of themselves, and computes nothing anew. The landmarks of the validation pictures are the unit:
what is said of the best epoch would have to hold for other landmarks too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ghibli_studio.evaluation import bootstrap
from ghibli_studio.training.run_group import Group, groups
from ghibli_studio.workspace.run import Run

ALPHA = 0.05
SPLITS = 200
NO_EVIDENCE = "no evidence of over-fitting"


def describe(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry a method and its seeds (`seeds.groups`), ready for JSON.

    `{name, method, runs, seeds, pictures, landmarks, epochs, loss, low, high, band, base_loss, per_timestep, best,
    overfitting}`: `loss` is the fixed validation's mean over seeds, a number an epoch, with 0 before training;
    `low` and `high` its band, which `band` names. `per_timestep`: `timesteps`, losses of `base`, `best` and `last`
    epoch, and `change`, percent of the best against the base. Epochs that not all seeds finished are left out.
    """
    return [_described(group) for group in groups(runs)]


def _described(group: Group) -> dict[str, Any]:
    events = [{event["epoch"]: event for event in run.progress() if event["event"] == "epoch"} for run in group.runs]
    epochs = sorted(set.intersection(*(set(of_run) for of_run in events)))
    losses = np.array([[of_run[epoch]["per_picture"] for epoch in epochs] for of_run in events])  # (seeds, epochs, n)
    metrics = group.runs[-1].metrics()
    shown = metrics.get("validation_landmarks") or range(losses.shape[2])  # older runs did not say: each its own
    membership = _membership(shown)
    trained = losses[:, 1:] if epochs[0] == 0 else losses
    numbers = [epoch for epoch in epochs if epoch]
    best = best_epoch(trained.mean(axis=0), membership, numbers)
    best["by_seed"] = [numbers[int(of_seed.mean(axis=1).argmin())] for of_seed in trained]
    return {
        "name": group.name,
        "method": group.method,
        "runs": [run.id for run in group.runs],
        "seeds": group.seeds,
        "pictures": losses.shape[2],
        "landmarks": len(membership),
        "epochs": epochs,
        **_curve(losses, membership),
        "base_loss": metrics["base_validation_loss"],
        "per_timestep": _profile(events, metrics, best["epoch"], epochs[-1]),
        "best": best,
        "overfitting": over_fitting(trained, membership, numbers),
    }


def _membership(shown: Sequence[Any]) -> np.ndarray:
    """(landmarks, pictures) of 0 and 1: which picture shows which landmark."""
    names = list(dict.fromkeys(shown))
    return np.array([[one == name for one in shown] for name in names], dtype=float)


def _resampled(losses: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """(resamples, epochs): the mean over pictures with landmarks drawn with replacement; `losses` (epochs, pictures).

    A landmark brings all its pictures, so that the mean over pictures stays the mean that the run reported.
    """
    drawn = bootstrap.weights((1,) * len(membership)) @ membership
    return drawn @ losses.T / drawn.sum(axis=1, keepdims=True)


def _curve(losses: np.ndarray, membership: np.ndarray) -> dict[str, Any]:
    """The mean over seeds with its band: over seeds where there are several, else over landmarks."""
    seeds, means = len(losses), losses.mean(axis=2)
    told: dict[str, Any] = {"loss": means.mean(axis=0).tolist(), "low": None, "high": None, "band": None}
    if seeds > 1:
        told |= {"low": means.min(axis=0).tolist(), "high": means.max(axis=0).tolist()}
        return told | {"band": f"smallest to largest of {seeds} seeds"}
    ends = [bootstrap.percentiles(column, len(membership)) for column in _resampled(losses[0], membership).T]
    if ends[0] is not None:
        told |= {"low": [low for low, _ in ends], "high": [high for _, high in ends]}
        told["band"] = f"95 % interval over {len(membership)} landmarks, one seed"
    return told


def _profile(events: list[dict[int, Any]], metrics: dict[str, Any], best: int, last: int) -> dict[str, Any]:
    def of(epoch: int) -> list[float]:
        return np.mean([of_run[epoch]["per_timestep"] for of_run in events], axis=0).tolist()

    base = list(metrics["base_per_timestep"])
    change = [100 * (loss / bare - 1) for loss, bare in zip(of(best), base)]
    return {
        "timesteps": list(metrics["validation_timesteps"]),
        "base": base,
        "best": of(best),
        "last": of(last),
        "change": change,
    }


def best_epoch(losses: np.ndarray, membership: np.ndarray, epochs: Sequence[int]) -> dict[str, Any]:
    """`{epoch, interval, share}`: which epoch has the lowest loss, and which would have with other landmarks.

    `losses` is (epochs, pictures). The landmarks are resampled and the lowest epoch is looked up in each resample:
    `interval` holds it 95 times in 100 (None with fewer than six landmarks), `share` is how often it is this one.
    """
    lowest = int(losses.mean(axis=1).argmin())
    drawn = np.asarray(epochs)[_resampled(losses, membership).argmin(axis=1)]
    interval = bootstrap.percentiles(drawn, len(membership), whole=True)
    share = float((drawn == epochs[lowest]).mean()) if interval else None
    return {"epoch": epochs[lowest], "interval": interval, "share": share}


def over_fitting(losses: np.ndarray, membership: np.ndarray, epochs: Sequence[int]) -> dict[str, Any]:
    """`{verdict, epoch, rise, interval, p, by_seed}`: whether the loss truly rises from its best epoch to the last.

    `losses` is (seeds, epochs, pictures). The lowest point of a noisy curve looks lower than it is, so that any curve
    seems to rise after it. Therefore the best epoch is chosen on half of the landmarks and the rise measured on the
    other half (cross-fitting), both ways, averaged over many random halves: each landmark's rise is from epochs in
    whose choice it had no part. Over-fitting is said only where the interval of the mean rise is above 0, p < .05
    (sign-flip test over landmarks), and the loss rises in every seed. In simulation without any over-fitting it is
    said at most 5 times in 100.
    """
    count = len(membership)
    of_landmarks = losses @ (membership / membership.sum(axis=1, keepdims=True)).T  # (seeds, epochs, landmarks)
    lowest = int(losses.mean(axis=(0, 2)).argmin())
    told = {"verdict": NO_EVIDENCE, "epoch": None, "rise": None, "interval": None, "p": None, "by_seed": None}
    if count < bootstrap.FEWEST:
        shown = f"{count} validation landmark{'s' if count > 1 else ''}"
        return told | {"verdict": f"cannot be said: {shown}, {bootstrap.FEWEST} are the least"}
    chosen = _chosen_without(of_landmarks.mean(axis=0))
    places = np.arange(count)
    each = [(of_seed[-1] - of_seed[chosen, places]).mean(axis=0) for of_seed in of_landmarks]
    rises = np.mean(each, axis=0)
    told |= {
        "rise": float(rises.mean()),
        "interval": bootstrap.mean_interval(rises),
        "p": bootstrap.sign_flip(rises),
        "by_seed": [float(of_seed.mean()) for of_seed in each],
    }
    if told["interval"][0] > 0 and told["p"] < ALPHA and min(told["by_seed"]) > 0 and lowest < len(epochs) - 1:
        return told | {"verdict": f"over-fits from epoch {epochs[lowest]}", "epoch": epochs[lowest]}
    return told


def _chosen_without(losses: np.ndarray, seed: int = 0) -> np.ndarray:
    """(splits, landmarks): the place of the lowest epoch by the half that the landmark is not in.

    `losses` is (epochs, landmarks).
    """
    random, count = np.random.default_rng(seed), losses.shape[1]
    first = random.permuted(np.tile(np.arange(count) < count // 2, (SPLITS, 1)), axis=1)
    by_first, by_second = (
        (half @ losses.T / half.sum(axis=1, keepdims=True)).argmin(axis=1) for half in (first, ~first)
    )
    return np.where(first, by_second[:, None], by_first[:, None])
