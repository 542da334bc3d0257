"""Tells on the command line what runs do until they have ended."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ghibli_studio import jobs
from ghibli_studio.config import StudioError
from ghibli_studio.telling import Told
from ghibli_studio.workspace import Run


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
                jobs.cancel(each)
            raise
    if failure:
        raise failure
    return code


def _follow(run: Run, told: Told) -> int:
    told.line(f"run {run.id}", event="run", run=run.id)
    seen, waiting = 0, None
    for status in jobs.watch(run):
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
