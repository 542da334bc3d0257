"""How the command line tells what it does: sentences and bars for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ghibli_studio.workspace import Workspace


class Told:
    """Tells progress: a bar on a terminal, nothing in a pipe, one JSON object a line with --json."""

    def __init__(self, as_json: bool):
        self.as_json = as_json
        self._bar: Any = None

    def line(self, text: str, **values: Any) -> None:
        """A sentence for people, or its values for programs."""
        self.close()
        print(json.dumps(values) if self.as_json else text, flush=True)

    def progress(self, done: float, total: float, what: str) -> None:
        """How far it is."""
        if self.as_json:
            print(json.dumps({"event": "progress", "done": done, "total": total, "what": what}), flush=True)
        elif sys.stderr.isatty():
            from tqdm import tqdm

            if self._bar is None or self._bar.total != total:
                self.close()
                self._bar = tqdm(total=total, bar_format="{l_bar}{bar}| {elapsed}, {remaining} left")
            self._bar.set_description(what[:40], refresh=False)
            self._bar.update(done - self._bar.n)

    def followed(self, work: Iterator[Any], workspace: Workspace | None = None) -> Iterator[Any]:
        """The steps of some work, each told as progress; with a workspace, when it is its turn to compute."""
        from ghibli_studio import jobs

        for step in work if workspace is None else jobs.in_turn(workspace, work):
            if isinstance(step, jobs.Waiting):
                self.progress(0, 1, "waiting for another computation")
                continue
            self.progress(step.done, step.total, step.what)
            yield step

    def taken(self, notes: Iterable[str], problems: Iterable[Mapping[str, str]]) -> None:
        """What was decided on the person's behalf, and what was left out and why."""
        for note in notes:
            self.line(note, event="note", message=note)
        for problem in problems:
            self.line(f"left out: {problem['reason']}", event="left_out", **problem)

    def close(self) -> None:
        """Leave the bar as it is and go on below it."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
