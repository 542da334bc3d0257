"""Which learning rate: the range test of Smith 2017 (arXiv:1506.01186, section 3.3) on a project's own data.

The learning rate grows from step to step by the same factor. A step's loss depends more on its noise level than on
what was learned, so the same steps are also done at learning rate 0, with the same pictures and noise: what counts is
the loss against that of the untrained adapter.
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
from ghibli_studio.tuning import trials
from ghibli_studio.workspace.project import Project

SMOOTHING = 0.8
DIVERGED = 1.5
"""The test ends where the smoothed loss is so many times its lowest."""
SETTLED = 5
"""Steps before it may end: the average of the first ones says little."""
REACHED = 0.9
"""Share of the deepest fall that counts as the bottom: what follows is flat, and its lowest point is chance."""
LEAST_FALL = 0.5
"""Percent; a smaller fall is none."""


class RateSearch(Settings):
    """How to look for a learning rate."""

    lowest_rate: float = Field(1e-5, gt=0, le=10)
    """Learning rate of the first step."""
    highest_rate: float = Field(1.0, gt=0, le=10)
    """Learning rate of the last step, unless the loss has grown too much before."""
    search_steps: int = Field(50, ge=10, le=1000)
    """Steps from the lowest to the highest; each is done twice."""

    @model_validator(mode="after")
    def _upwards(self) -> RateSearch:
        if self.lowest_rate >= self.highest_rate:
            raise ValueError(
                f"lowest_rate is {self.lowest_rate:g}; it must be less than highest_rate, {self.highest_rate:g}"
            )
        return self

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return self.lowest_rate * (self.highest_rate / self.lowest_rate) ** (step / (self.search_steps - 1))


@dataclass(frozen=True)
class RateStep:
    """One step of the test."""

    step: int
    """Counted from 1."""
    learning_rate: float
    loss: float
    untrained_loss: float
    """Of the same pictures, noise and time steps before anything was learned."""
    change: float
    """Smoothed loss against the smoothed untrained one, in percent; below zero is better."""


@dataclass(frozen=True)
class RateRange:
    """What the test found for one method."""

    method: str
    rows: tuple[RateStep, ...]
    diverged: bool
    """The loss grew too much before the highest rate was reached."""
    suggestion: float | None
    """See `suggested`, rounded to two digits; None where the loss never fell."""

    @property
    def words(self) -> str:
        """The finding as a sentence."""
        label = registry.method(self.method).LABEL
        first, last = self.rows[0].learning_rate, self.rows[-1].learning_rate
        if self.suggestion is None:
            return (
                f"{label}: the loss did not fall between learning rate {first:.1e} and {last:.1e}; "
                "take more steps, or other bounds"
            )
        best = min(self.rows, key=lambda row: row.change)
        end = f"it grew too much at {last:.1e}" if self.diverged else f"tried up to {last:.1e}"
        return (
            f"{label}: learning rate {self.suggestion:g}, a tenth of where the loss is near its lowest "
            f"({best.change:+.1f} % at {best.learning_rate:.1e}); {end}"
        )


@dataclass(frozen=True)
class Searching:
    """News of the search."""

    done: int
    total: int
    what: str
    found: RateRange | None = None
    """In the last event of a method."""


def find(project: Project, configs: Sequence[RunConfig], search: RateSearch | None = None) -> Iterator[Searching]:
    """Test every configuration's method in turn; each one's `RateRange` comes with its last event.

    The configurations differ in nothing but the method. Raises StudioError for all that a run of them would refuse.
    """
    search = search or RateSearch()
    for event in trials.prepared(project, configs):
        if isinstance(event, Progress):
            yield Searching(event.done, event.total, event.what)
        else:
            ready = event
    total = 2 * search.search_steps * len(configs)
    for index, config in enumerate(configs):
        label, before = registry.method(config.method).LABEL, 2 * search.search_steps * index
        with trials.untrained(ready, config) as trial:
            untrained = []
            for step in trials.first_steps(trial, search.search_steps, lambda step: 0.0):
                untrained.append(step.loss)
                yield Searching(before + step.step, total, f"{label}: measuring untrained")
        losses, diverged = [], False
        with trials.untrained(ready, config) as trial:
            try:
                for step in trials.first_steps(trial, search.search_steps, search.rate):
                    losses.append(step.loss)
                    yield Searching(
                        before + search.search_steps + step.step,
                        total,
                        f"{label}: learning rate {step.learning_rate:.1e}",
                    )
                    if diverged := has_diverged(changes(losses, untrained)):
                        break
            except Diverged:
                diverged = True
        rows = tuple(
            RateStep(number + 1, search.rate(number), loss, before_loss, change)
            for number, (loss, before_loss, change) in enumerate(zip(losses, untrained, changes(losses, untrained)))
        )
        found = RateRange(config.method, rows, diverged, suggested(rows))
        yield Searching(before + 2 * search.search_steps, total, found.words, found)


def changes(losses: Sequence[float], untrained: Sequence[float]) -> list[float]:
    """Smoothed losses against the smoothed untrained ones of the same steps, in percent."""
    pairs = zip(smoothed(losses, SMOOTHING), smoothed(untrained, SMOOTHING))
    return [100 * (loss / before - 1) for loss, before in pairs]


def has_diverged(change: Sequence[float]) -> bool:
    """Whether the last of these changes (percent) means a loss far above the lowest."""
    return len(change) > SETTLED and 100 + change[-1] > DIVERGED * (100 + min(change))


def suggested(rows: Sequence[RateStep]) -> float | None:
    """A tenth of the learning rate at which the smoothed loss is first near its lowest; None where it never fell.

    The lowest itself is where learning begins to fail; a tenth of it is the usual advice (fastai's `minimum`).
    """
    lowest = min((row.change for row in rows), default=0.0)
    if lowest > -LEAST_FALL:
        return None
    bottom = next(row for row in rows if row.change <= REACHED * lowest)
    return float(f"{bottom.learning_rate / 10:.1e}")


def figure(found: Sequence[RateRange]) -> str:
    """The curves of all methods with their suggestions, as HTML."""
    series, spare = [], iter(SPARE_COLORS * (len(found) + 1))
    for one in found:
        name, color = registry.method(one.method).LABEL, COLORS.get(one.method) or next(spare)
        points = tuple((row.learning_rate, row.change) for row in one.rows)
        series.append(charts.Line(name, points, color, marker=""))
        if one.suggestion is not None:
            at = min(one.rows, key=lambda row: abs(row.learning_rate / one.suggestion - 1))
            series.append(
                charts.Line(f"{name}: {one.suggestion:g}", ((at.learning_rate, at.change),), color, marker="diamond")
            )
    return charts.lines(
        "Loss by learning rate",
        [line for line in series if line.points],
        "learning rate",
        "% against untrained",
        "The learning rate grows from step to step; smoothed, against the same steps untrained. "
        "Diamonds: suggestions, a tenth of where it is near its lowest.",
        mark=0.0,
        logarithmic=True,
    )


def rows_of(found: RateRange) -> list[dict[str, Any]]:
    """The steps as JSON values."""
    return [{"method": found.method, **vars(row)} for row in found.rows]
