"""Training dynamics: validation curves over seeds, the best epoch with its interval, and overfitting.

Reads the runs' files and trains or evaluates nothing. The landmark of the validation images is the unit: statements
about the best epoch must generalize to other landmarks.
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
NO_EVIDENCE = "no evidence of overfitting"


def describe(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one entry per method and settings, over its seeds (`run_group.groups`), ready for JSON.

    `{name, method, runs, seeds, images, landmarks, epochs, loss, low, high, band, base_loss, per_timestep, best,
    overfitting}`: `loss` is the fixed validation loss's mean over seeds, one value per epoch, epoch 0 being before
    training; `low` and `high` are its band, which `band` describes. `per_timestep`: `timesteps`, the losses of `base`,
    `best` and `last` epoch, and `change`, percent of the best against the base. Epochs that not all seeds finished are
    omitted.
    """
    return [_describe_group(group) for group in groups(runs)]


def _describe_group(group: Group) -> dict[str, Any]:
    events = [{event["epoch"]: event for event in run.progress() if event["event"] == "epoch"} for run in group.runs]
    epochs = sorted(set.intersection(*(set(of_run) for of_run in events)))
    losses = np.array([[of_run[epoch]["per_image"] for epoch in epochs] for of_run in events])  # (seeds, epochs, n)
    metrics = group.runs[-1].metrics()
    # older runs did not record the landmarks: every image counts as a landmark of its own
    membership = _membership(metrics.get("validation_landmarks") or range(losses.shape[2]))
    trained = losses[:, 1:] if epochs[0] == 0 else losses
    numbers = [epoch for epoch in epochs if epoch]
    best = best_epoch(trained.mean(axis=0), membership, numbers)
    best["by_seed"] = [numbers[int(seed_losses.mean(axis=1).argmin())] for seed_losses in trained]
    return {
        "name": group.name,
        "method": group.method,
        "runs": [run.id for run in group.runs],
        "seeds": group.seeds,
        "images": losses.shape[2],
        "landmarks": len(membership),
        "epochs": epochs,
        **_curve(losses, membership),
        "base_loss": metrics["base_validation_loss"],
        "per_timestep": _timestep_profile(events, metrics, best["epoch"], epochs[-1]),
        "best": best,
        "overfitting": overfitting(trained, membership, numbers),
    }


def _membership(landmarks: Sequence[Any]) -> np.ndarray:
    """Return which image shows which landmark as 0 and 1, (landmarks, images); `landmarks` has one name per image."""
    names = list(dict.fromkeys(landmarks))
    return np.array([[landmark == name for landmark in landmarks] for name in names], dtype=float)


def _resample(losses: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Return the mean loss over images in each bootstrap resample of landmarks, (resamples, epochs).

    `losses` is (epochs, images). A landmark brings all its images, so the mean over images is the one that the run
    reported.
    """
    weights = bootstrap.resample_weights((1,) * len(membership)) @ membership
    return weights @ losses.T / weights.sum(axis=1, keepdims=True)


def _curve(losses: np.ndarray, membership: np.ndarray) -> dict[str, Any]:
    """Return the mean over seeds with its band: over seeds if there are several, else over landmarks."""
    seeds, means = len(losses), losses.mean(axis=2)
    curve: dict[str, Any] = {"loss": means.mean(axis=0).tolist(), "low": None, "high": None, "band": None}
    if seeds > 1:
        curve |= {"low": means.min(axis=0).tolist(), "high": means.max(axis=0).tolist()}
        return curve | {"band": f"range of {seeds} seeds"}
    resampled = _resample(losses[0], membership).T
    intervals = [bootstrap.percentile_interval(column, len(membership)) for column in resampled]
    ends = [interval for interval in intervals if interval is not None]  # either all or none
    if ends:
        curve |= {"low": [low for low, _ in ends], "high": [high for _, high in ends]}
        curve["band"] = f"95 % interval over {len(membership)} landmarks, one seed"
    return curve


def _timestep_profile(events: list[dict[int, Any]], metrics: dict[str, Any], best: int, last: int) -> dict[str, Any]:
    def losses(epoch: int) -> list[float]:
        return np.mean([of_run[epoch]["per_timestep"] for of_run in events], axis=0).tolist()

    base = list(metrics["base_per_timestep"])
    change = [100 * (loss / base_loss - 1) for loss, base_loss in zip(losses(best), base)]
    return {
        "timesteps": list(metrics["validation_timesteps"]),
        "base": base,
        "best": losses(best),
        "last": losses(last),
        "change": change,
    }


def best_epoch(losses: np.ndarray, membership: np.ndarray, epochs: Sequence[int]) -> dict[str, Any]:
    """Return `{epoch, interval, share}` of the epoch with the lowest loss.

    `losses` is (epochs, images). The best epoch is determined in each bootstrap resample of the landmarks: `interval`
    is its 95 % interval (None with fewer than six landmarks), and `share` is the share of resamples with this epoch.
    """
    lowest = int(losses.mean(axis=1).argmin())
    resampled = np.asarray(epochs)[_resample(losses, membership).argmin(axis=1)]
    interval = bootstrap.percentile_interval(resampled, len(membership), discrete=True)
    share = float((resampled == epochs[lowest]).mean()) if interval else None
    return {"epoch": epochs[lowest], "interval": interval, "share": share}


def overfitting(losses: np.ndarray, membership: np.ndarray, epochs: Sequence[int]) -> dict[str, Any]:
    """Return `{verdict, epoch, rise, interval, p, by_seed}`: whether the loss rises from its best epoch to the last.

    `losses` is (seeds, epochs, images). The minimum of a noisy curve is biased downward, so every curve seems to rise
    after it. Therefore the best epoch is chosen on one half of the landmarks and the rise is measured on the other half
    (cross-fitting), in both directions, averaged over many random halves: no landmark takes part in choosing the epochs
    that its own rise is measured from. Overfitting is reported only if the interval of the mean rise is above 0, p is
    below .05 (sign-flip test over landmarks), and the loss rises in every seed. In simulation without overfitting it is
    reported at most 5 times in 100.
    """
    count = len(membership)
    by_landmark = losses @ (membership / membership.sum(axis=1, keepdims=True)).T  # (seeds, epochs, landmarks)
    lowest = int(losses.mean(axis=(0, 2)).argmin())
    result: dict[str, Any] = {
        "verdict": NO_EVIDENCE,
        "epoch": None,
        "rise": None,
        "interval": None,
        "p": None,
        "by_seed": None,
    }
    if count < bootstrap.MIN_LANDMARKS:
        landmarks = f"{count} validation landmark{'s' if count > 1 else ''}"
        return result | {"verdict": f"inconclusive: {landmarks}, but the minimum is {bootstrap.MIN_LANDMARKS}"}
    chosen = _cross_fitted_epochs(by_landmark.mean(axis=0))
    positions = np.arange(count)
    by_seed = [(seed_losses[-1] - seed_losses[chosen, positions]).mean(axis=0) for seed_losses in by_landmark]
    rises = np.mean(by_seed, axis=0)
    result |= {
        "rise": float(rises.mean()),
        "interval": bootstrap.mean_interval(rises),
        "p": bootstrap.sign_flip(rises),
        "by_seed": [float(seed_rises.mean()) for seed_rises in by_seed],
    }
    if result["interval"][0] > 0 and result["p"] < ALPHA and min(result["by_seed"]) > 0 and lowest < len(epochs) - 1:
        return result | {"verdict": f"overfits from epoch {epochs[lowest]}", "epoch": epochs[lowest]}
    return result


def _cross_fitted_epochs(losses: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the index of the best epoch by the half that excludes the landmark, (splits, landmarks).

    `losses` is (epochs, landmarks).
    """
    random, count = np.random.default_rng(seed), losses.shape[1]
    first = random.permuted(np.tile(np.arange(count) < count // 2, (SPLITS, 1)), axis=1)
    by_first, by_second = (
        (half @ losses.T / half.sum(axis=1, keepdims=True)).argmin(axis=1) for half in (first, ~first)
    )
    return np.where(first, by_second[:, None], by_first[:, None])
