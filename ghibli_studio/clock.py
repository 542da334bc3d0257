"""How far a run is: the share done, what it cost in seconds and joules, and how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ghibli_studio.energy import Meter

Event = dict[str, Any]


class Clock:
    """How much of a run is done, what it cost, and how long the rest takes at the speed of this process."""

    def __init__(self, total: float, before: Sequence[Event] = ()):
        self.total = total
        read = [event for event in before if "seconds" in event]  # by an earlier process
        self.seconds_before = max((event["seconds"] for event in read), default=0.0)
        self.joules_before: float | None = read[-1].get("joules") if read else 0.0
        self.started = self.work_started = time.monotonic()
        self.skipped = self.done = 0.0
        self.meter: Meter | None = None

    def start_work(self, meter: Meter | None = None) -> None:
        """From now on speed and energy are measured; loading does not count."""
        self.work_started, self.meter = time.monotonic(), meter

    def skip(self, passes: float) -> None:
        """So much was done by an earlier process."""
        self.skipped = passes

    def worked(self, passes: float) -> None:
        """Some more is done, counted in passes of one picture through the UNet."""
        self.done += passes

    def reading(self) -> Event:
        """Seconds and joules spent on the run so far (None: not known), the share done, and the seconds left."""
        now, done = time.monotonic(), self.skipped + self.done
        left = (self.total - done) * (now - self.work_started) / self.done if self.done else None
        return {
            "seconds": round(self.seconds_before + now - self.started, 3),
            "joules": self._joules(),
            "fraction": min(done / self.total, 1.0),
            "seconds_left": None if left is None else round(max(left, 0.0), 1),
        }

    def _joules(self) -> float | None:
        spent = self.meter.joules() if self.meter else None
        known = spent is not None and self.joules_before is not None
        return round(self.joules_before + spent, 3) if known else None
