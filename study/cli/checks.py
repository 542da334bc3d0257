"""The commands that check a study: `simulate` with simulated participants, `audit` for changes and for leaks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from study.cli.console import DONE, FAILED, Console
from study.cli.options import AsJson, StudyFolder


def simulate(
    folder: StudyFolder,
    participants: Annotated[
        int | None, typer.Option(help="How many. Default: the target of the study.", show_default=False)
    ] = None,
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="Repeatable. buy, landmark, style: share that chooses the LoRA image, of those who choose a method's; "
            "lora: all three; either: share that chooses a method's image at all; blinding_check: share of right "
            "guesses; consistency: share of retests answered alike; correlation: within a participant.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choices.")] = 0,
    at_once: Annotated[int, typer.Option(help="How many at the same time.")] = 50,
    pause: Annotated[float, typer.Option(help="Mean seconds before each answer.")] = 0.0,
    as_json: AsJson = False,
) -> int:
    """Let simulated participants answer a temporary copy."""
    from study.simulation.dry_run import simulate_on_copy
    from study.simulation.participant import percentiles
    from study.simulation.preferences import Preferences
    from study.store import Store

    store, console = Store(folder), Console(as_json)
    count = store.status().target if participants is None else participants
    run = simulate_on_copy(store, count, Preferences.parse(prefer or []), seed, at_once, pause)
    log = run.log
    if not as_json:
        print(run.result.text())
    answers, pages = percentiles(log.answer_ms), percentiles(log.page_ms)
    console.line(
        f"{len(log.codes)} of {count} participants finished, {at_once} at once, with {len(log.answers)} answers in "
        f"{log.seconds:.1f} s\n{_milliseconds('answer', answers)}\n{_milliseconds('page', pages)}",
        event="simulated",
        participants=count,
        finished=len(log.codes),
        answers=len(log.answers),
        seconds=round(log.seconds, 3),
        answer_ms=answers,
        page_ms=pages,
        retries=log.retries,
        errors=log.errors,
        result=run.result.values,
    )
    for error in log.errors:
        if not as_json:
            console.error(error)
    return FAILED if log.errors else DONE


def _milliseconds(what: str, times: Mapping[str, float]) -> str:
    return f"{what}: {', '.join(f'{name} {value:g} ms' for name, value in times.items()) or 'none'}"


def audit(folder: StudyFolder, as_json: AsJson = False) -> int:
    """Check for changes, and for anything that reveals an origin."""
    from study.store import Store

    store, console = Store(folder), Console(as_json)
    intact = store.audit_chain_ok()
    for entry in store.audit():
        detail = json.dumps(entry["detail"], sort_keys=True)
        console.line(f"{entry['seq']:>4}  {entry['action']}  {detail}", event="entry", **entry)
    console.line(
        "ok   the audit log is intact, and nothing that was locked has changed"
        if intact
        else "BAD  the audit log or what was locked has been changed; compare with a backup",
        event="chain",
        ok=intact,
    )
    if store.status().state not in ("draft", "pilot"):
        console.note("blindness is audited on a draft, because the key of a live study stays closed")
        return DONE if intact else FAILED
    from study.blindness.audit import audit_draft

    leaks = audit_draft(store)
    for leak in leaks:
        console.line(f"BAD  {leak.kind}: {leak.what}: {leak.detail}", event="leak", **asdict(leak))
    console.line(
        f"BAD  {len(leaks)} leaks reveal origins, or may reveal them"
        if leaks
        else "ok   nothing served reveals an origin",
        event="blindness",
        ok=not leaks,
        leaks=len(leaks),
    )
    return DONE if intact and not leaks else FAILED
