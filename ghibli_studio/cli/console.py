"""What the command line prints: sentences and bars for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.jobs import queue
from ghibli_studio.jobs import status as job_status
from ghibli_studio.workspace.run import Run

if TYPE_CHECKING:
    from ghibli_studio.workspace.project import Workspace


def follow(runs: Sequence[Run], told: Told) -> int:
    """Tell the runs' events, one run after the other as they are queued; returns the exit code.

    An interrupt of this command cancels them all. A run that fails does not stop the others: the first one's sentence
    is raised as StudioError in the end.
    """
    code, failure = 0, None
    for run in runs:
        try:
            code = max(code, _follow(run, told))
        except StudioError as error:
            failure = failure or error
        except KeyboardInterrupt:
            for each in reversed(runs):  # the last first, so that none begins while another ends
                queue.cancel(each)
            raise
    if failure:
        raise failure
    return code


def _follow(run: Run, told: Told) -> int:
    told.line(f"run {run.id}", event="run", run=run.id)
    seen, waiting = 0, None
    for status in job_status.watch(run):
        if status.state == "waiting" and status.ahead != waiting:
            waiting = status.ahead
            told.line(f"waiting; {waiting} runs are ahead", event="waiting", ahead=waiting)
        for event in status.events[seen:]:
            if told.as_json:
                print(json.dumps(event), flush=True)
            elif event["event"] == "epoch":
                told.line(
                    f"epoch {event['epoch']}: validation loss {event['validation_loss']:.4f} "
                    f"(base model {event['base_validation_loss']:.4f})"
                )
        seen = len(status.events)
        if not told.as_json and status.active and status.events:
            told.progress(round(status.fraction, 4), 1.0, status.events[-1].get("what", "training"))
    if status.state == "failed":
        raise StudioError(status.message)
    told.line(f"{status.state}: {run.folder}", event=status.state, run=run.id, **run.metrics())
    return 0 if status.state == "done" else 130


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
        from ghibli_studio.jobs import lock

        for step in work if workspace is None else lock.in_turn(workspace, work):
            if isinstance(step, lock.Waiting):
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
