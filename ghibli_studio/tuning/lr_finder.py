"""The learning rate finder: the range test of Smith 2017 (arXiv:1506.01186, section 3.3) on a project's own data.

The learning rate grows by the same factor in every step. A step's loss depends more on its noise level than on what
was learned, so the same steps are also done at learning rate 0, with the same images and noise. That is the baseline,
and the result is the loss relative to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from adapters import registry
from adapters.settings import Settings
from ghibli_studio.config.training import RunConfig
from ghibli_studio.plotting import charts
from ghibli_studio.plotting.figures import COLORS, SPARE_COLORS
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.training.learning_curve import smoothed
from ghibli_studio.training.loop import Diverged
from ghibli_studio.tuning import dry_run
from ghibli_studio.workspace.project import Project

SMOOTHING = 0.8
DIVERGENCE_RATIO = 1.5
"""The test ends when the smoothed loss is this many times its lowest value."""
MIN_STEPS = 5
"""Steps before the test may end, because the average of the first ones says little."""
NEAR_LOWEST = 0.9
"""Share of the largest decrease that counts as the lowest loss: the curve is flat there, and its minimum is chance."""
MIN_DECREASE = 0.5
"""Percent; a smaller decrease counts as none."""


class LearningRateSearch(Settings):
    """Settings of the learning rate finder."""

    min_lr: float = Field(default=1e-5, gt=0, le=10)
    """Learning rate of the first step."""
    max_lr: float = Field(default=1.0, gt=0, le=10)
    """Learning rate of the last step, unless the loss diverges before."""
    num_steps: int = Field(default=50, ge=10, le=1000)
    """Steps from the lowest to the highest learning rate; each is done twice."""

    @model_validator(mode="after")
    def _check_order(self) -> LearningRateSearch:
        if self.min_lr >= self.max_lr:
            raise ValueError(f"min_lr is {self.min_lr:g}; it must be less than max_lr, {self.max_lr:g}")
        return self

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return self.min_lr * (self.max_lr / self.min_lr) ** (step / (self.num_steps - 1))


@dataclass(frozen=True)
class LearningRateStep:
    """One step of the test."""

    step: int
    """Counted from 1."""
    learning_rate: float
    loss: float
    baseline_loss: float
    """Loss on the same images, noise and timesteps with the untrained adapter."""
    change: float
    """Smoothed loss relative to the smoothed baseline, in percent; below zero is better."""


@dataclass(frozen=True)
class LearningRateResult:
    """The result of the test for one method."""

    method: str
    rows: tuple[LearningRateStep, ...]
    diverged: bool
    """Whether the loss diverged before the highest learning rate."""
    suggestion: float | None
    """See `suggest`, rounded to two digits; None if the loss did not decrease."""

    @property
    def summary(self) -> str:
        """The result as a sentence."""
        label = registry.method(self.method).LABEL
        first, last = self.rows[0].learning_rate, self.rows[-1].learning_rate
        if self.suggestion is None:
            return (
                f"{label}: the loss did not decrease between learning rates {first:.1e} and {last:.1e}; "
                "use more steps or another range"
            )
        best = min(self.rows, key=lambda row: row.change)
        end = f"the loss diverged at {last:.1e}" if self.diverged else f"tested up to {last:.1e}"
        return (
            f"{label}: learning rate {self.suggestion:g}, a tenth of where the loss is near its lowest "
            f"({best.change:+.1f} % at {best.learning_rate:.1e}); {end}"
        )


@dataclass(frozen=True)
class SearchProgress:
    """One event of the search."""

    done: int
    total: int
    what: str
    result: LearningRateResult | None = None
    """In the last event of a method."""


def find(
    project: Project, configs: Sequence[RunConfig], search: LearningRateSearch | None = None
) -> Iterator[SearchProgress]:
    """Test the method of each configuration in turn; the last event of each has its `LearningRateResult`.

    The configurations differ only in the method. Raises StudioError for everything that a run of them would refuse.
    """
    search = search or LearningRateSearch()
    for event in dry_run.load_context(project, configs):
        if isinstance(event, Progress):
            yield SearchProgress(event.done, event.total, event.what)
        else:
            context = event
    total = 2 * search.num_steps * len(configs)
    for index, config in enumerate(configs):
        label, before = registry.method(config.method).LABEL, 2 * search.num_steps * index
        baseline: list[float] = []
        with dry_run.start_dry_run(context, config) as started:
            for step in dry_run.first_steps(started, search.num_steps, lambda step: 0.0):
                baseline.append(step.loss)
                yield SearchProgress(before + step.step, total, f"{label}: measuring the baseline")
        losses: list[float] = []
        diverged = False
        with dry_run.start_dry_run(context, config) as started:
            try:
                for step in dry_run.first_steps(started, search.num_steps, search.learning_rate_at):
                    losses.append(step.loss)
                    yield SearchProgress(
                        before + search.num_steps + step.step, total, f"{label}: learning rate {step.learning_rate:.1e}"
                    )
                    if diverged := has_diverged(changes(losses, baseline)):
                        break
            except Diverged:
                diverged = True
        rows = tuple(
            LearningRateStep(number + 1, search.learning_rate_at(number), loss, baseline_loss, change)
            for number, (loss, baseline_loss, change) in enumerate(zip(losses, baseline, changes(losses, baseline)))
        )
        result = LearningRateResult(config.method, rows, diverged, suggest(rows))
        yield SearchProgress(before + 2 * search.num_steps, total, result.summary, result)


def changes(losses: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Return the smoothed losses relative to the smoothed baseline of the same steps, in percent."""
    pairs = zip(smoothed(losses, SMOOTHING), smoothed(baseline, SMOOTHING))
    return [100 * (loss / before - 1) for loss, before in pairs]


def has_diverged(change: Sequence[float]) -> bool:
    """Return whether the last of these changes (percent) is a loss far above the lowest."""
    return len(change) > MIN_STEPS and 100 + change[-1] > DIVERGENCE_RATIO * (100 + min(change))


def suggest(rows: Sequence[LearningRateStep]) -> float | None:
    """Return a tenth of the learning rate at which the smoothed loss is first near its lowest; None if it never fell.

    Training begins to fail at the lowest loss itself; a tenth of it is the usual advice (fastai's `minimum`).
    """
    lowest = min((row.change for row in rows), default=0.0)
    if lowest > -MIN_DECREASE:
        return None
    near_lowest = next(row for row in rows if row.change <= NEAR_LOWEST * lowest)
    return float(f"{near_lowest.learning_rate / 10:.1e}")


def figure(results: Sequence[LearningRateResult]) -> str:
    """Return the curves of all methods with their suggestions, as HTML."""
    series, spare = [], iter(SPARE_COLORS * (len(results) + 1))
    for result in results:
        name, color = registry.method(result.method).LABEL, COLORS.get(result.method) or next(spare)
        points = tuple((row.learning_rate, row.change) for row in result.rows)
        series.append(charts.Line(name, points, color, marker=""))
        if (suggestion := result.suggestion) is not None:
            distances = [abs(row.learning_rate / suggestion - 1) for row in result.rows]
            nearest = result.rows[distances.index(min(distances))]
            point = (nearest.learning_rate, nearest.change)
            series.append(charts.Line(f"{name}: {suggestion:g}", (point,), color, marker="diamond"))
    return charts.line_chart(
        "Loss by learning rate",
        [line for line in series if line.points],
        "learning rate",
        "% relative to the untrained adapter",
        "Smoothed loss relative to the same steps with the untrained adapter, while the learning rate grows. "
        "Diamonds: suggestions, a tenth of where the loss is near its lowest.",
        mark=0.0,
        logarithmic=True,
    )


def rows_of(result: LearningRateResult) -> list[dict[str, Any]]:
    """Return the steps as JSON values."""
    return [{"method": result.method, **vars(row)} for row in result.rows]
