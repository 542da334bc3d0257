"""When to stop early: once epochs are no longer better than the best one before them, beyond chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ghibli_studio.validation import Validation

if TYPE_CHECKING:
    from torch import Tensor

ALPHA = 0.05
BEST, WAITED = "patience.best", "patience.waited"


class Patience:
    """Counts the epochs in a row that were not better, by a paired test over the validation pictures.

    The same pictures on the same noise are measured after every epoch, so their differences tell a small gain from
    luck where the means could not (one-sided paired t-test; Student 1908).
    """

    def __init__(self, patience: int | None):
        self.patience, self.waited = patience, 0
        self.best: tuple[float, ...] | None = None

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self.patience is not None and self.waited >= self.patience

    def saw(self, validation: Validation) -> None:
        """Count an epoch."""
        if self.patience is None:
            return
        if self.best is None or better(validation.per_picture, self.best):
            self.best, self.waited = validation.per_picture, 0
        else:
            self.waited += 1

    def state(self) -> dict[str, Tensor]:
        """What a resumed run has to know; nothing without patience."""
        import torch

        if self.patience is None or self.best is None:
            return {}
        return {BEST: torch.tensor(self.best, dtype=torch.float64), WAITED: torch.tensor(self.waited)}

    def load(self, flat: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        if BEST in flat:
            self.best, self.waited = tuple(flat[BEST].tolist()), int(flat[WAITED])


def better(losses: tuple[float, ...], before: tuple[float, ...]) -> bool:
    """Whether the losses of the same pictures are lower, beyond chance; a single picture is taken at its word."""
    from scipy.stats import ttest_1samp

    differences = [new - old for new, old in zip(losses, before)]
    if len(set(differences)) == 1:  # no spread, no test
        return differences[0] < 0
    return bool(ttest_1samp(differences, 0, alternative="less").pvalue < ALPHA)
