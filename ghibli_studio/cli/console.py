"""What the command line prints: sentences and progress bars for users, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError

if TYPE_CHECKING:
    from ghibli_studio.workspace.project import Workspace
    from ghibli_studio.workspace.run import Run


class Console:
    """Prints sentences and a progress bar on a terminal, no bar in a pipe, one JSON object per line with --json."""

    def __init__(self, as_json: bool):
        self.as_json = as_json
        self._bar: Any = None

    def line(self, text: str, **values: Any) -> None:
        """Print a sentence, or its values as JSON."""
        self.close()
        print(json.dumps(values) if self.as_json else text, flush=True)

    def progress(self, done: float, total: float, what: str) -> None:
        """Show how far the work has got."""
        if self.as_json:
            print(json.dumps({"event": "progress", "done": done, "total": total, "what": what}), flush=True)
        elif sys.stderr.isatty():
            from tqdm import tqdm

            if self._bar is None or self._bar.total != total:
                self.close()
                self._bar = tqdm(total=total, bar_format="{l_bar}{bar}| {elapsed}, {remaining} left")
            self._bar.set_description(what[:40], refresh=False)
            self._bar.update(done - self._bar.n)

    def progress_of(self, work: Iterator[Any], workspace: Workspace | None = None) -> Iterator[Any]:
        """The steps of some work, each shown as progress; with a workspace, only while it holds the compute lock."""
        from ghibli_studio.jobs import lock

        for step in work if workspace is None else lock.gpu_lock(workspace, work):
            if isinstance(step, lock.Queued):
                self.progress(0, 1, "waiting for another computation")
                continue
            self.progress(step.done, step.total, step.what)
            yield step

    def generated(self, work: Iterator[Any], workspace: Workspace, what: str) -> Any:
        """The last event of one image's generation, which has the image; its steps are shown as progress."""
        from ghibli_studio.jobs import lock

        event: Any = None
        for event in lock.gpu_lock(workspace, work):
            if isinstance(event, lock.Queued):
                self.progress(0, 1, "waiting for another computation")
            else:
                self.progress(event.step, event.steps, what)
        return event

    def skipped(self, notes: Iterable[str], skipped: Iterable[Mapping[str, str]]) -> None:
        """Print what was decided without asking, and what was skipped and why."""
        for note in notes:
            self.line(note, event="note", message=note)
        for item in skipped:
            self.line(f"skipped: {item['reason']}", event="skipped", **item)

    def error(self, message: str) -> None:
        """Print an error: a sentence on stderr, or a JSON object on stdout."""
        self.close()
        if self.as_json:
            print(json.dumps({"event": "error", "message": message}), flush=True)
        else:
            print(f"error: {message}", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is and go on below it."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def follow(runs: Sequence[Run], console: Console) -> int:
    """Print the events of runs, one run after the other as they are queued; returns the exit code.

    An interrupt of this command cancels them all. A run that fails does not stop the others: the first one's sentence
    is raised as StudioError in the end.
    """
    from ghibli_studio.jobs import queue

    code, failure = 0, None
    for run in runs:
        try:
            code = max(code, _follow(run, console))
        except StudioError as error:
            failure = failure or error
        except KeyboardInterrupt:
            for each in reversed(runs):  # the last first, so that none begins while another ends
                queue.cancel(each)
            raise
    if failure:
        raise failure
    return code


def _follow(run: Run, console: Console) -> int:
    from ghibli_studio.jobs import status as job_status

    console.line(f"run {run.id}", event="run", run=run.id)
    seen, waiting, status = 0, None, job_status.status(run)
    for status in job_status.watch(run):
        if status.state == "queued" and status.ahead != waiting:
            waiting = status.ahead
            console.line(f"waiting; {waiting} runs are ahead", event="queued", ahead=waiting)
        for event in status.events[seen:]:
            if console.as_json:
                print(json.dumps(event), flush=True)
            elif event["event"] == "epoch":
                console.line(
                    f"epoch {event['epoch']}: validation loss {event['validation_loss']:.4f} "
                    f"(base model {event['base_validation_loss']:.4f})"
                )
        seen = len(status.events)
        if not console.as_json and status.active and status.events:
            console.progress(round(status.fraction, 4), 1.0, status.events[-1].get("what", "training"))
    if status.state == "failed":
        raise StudioError(status.message)
    console.line(f"{status.state}: {run.folder}", event=status.state, run=run.id, **run.metrics())
    return 0 if status.state == "done" else 130
