"""The study's command line: the same functions as the studio's tab.

`python -m study VERB FOLDER [--json]`. Exit codes: 0 done, 1 something to mend (one sentence says what), 2 wrong
usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from study import StudyError
from study.cli import replica
from study.cli.console import Told


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    told = Told(chosen.json)
    try:
        return chosen.act(chosen, told)
    except StudyError as error:
        told.complain(str(error))
        return 1
    except OSError as error:
        told.complain(f"{error.filename or chosen.folder} cannot be used ({error.strerror}); look at the disk")
        return 1
    except KeyboardInterrupt:
        told.complain("interrupted; what was answered is kept")
        return 130


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("folder", type=Path, metavar="FOLDER", help="the study's folder")
    common.add_argument("--json", action="store_true", help="one JSON object a line")
    parser = argparse.ArgumentParser(prog="python -m study", description="A blind study of two ways to learn a style.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, act: Any, text: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, parents=[common], help=text, description=text)
        command.set_defaults(act=act)
        return command

    make = verb("create", _create, "make a draft from a definition and pictures")
    make.add_argument("--spec", type=Path, required=True, metavar="study.json", help="the definition and the pictures")
    verb("lock", _lock, "plan all places, fix definition and analysis, and open the study")
    serve = verb("serve", _serve, "serve the participants' pages until interrupted")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s: this machine only)")
    serve.add_argument("--port", type=int, default=8765, help="0 for any that is free (%(default)s)")
    serve.add_argument(
        "--mode", choices=("live", "simulated"), default="live", help="what answers count as (%(default)s)"
    )
    walk = verb("simulate", _simulate, "let artificial people take part in a temporary copy, and analyze it")
    walk.add_argument("--people", type=int, help="how many (default: as many as the study wants)")
    walk.add_argument(
        "--prefer",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help=(
            "lora, buy, landmark, style: choose the LoRA's picture, of those who choose a method's (lora: all three); "
            "either: choose a method's at all; guess; steady; correlation"
        ),
    )
    walk.add_argument("--seed", type=int, default=0, help="decides what they choose (%(default)s)")
    walk.add_argument("--at-once", type=int, default=50, help="how many at the same time (%(default)s)")
    walk.add_argument("--pause", type=float, default=0.0, help="seconds of thought over each question (%(default)s)")
    verb("status", _status, "how far the study is: counts, and never a result")
    verb("close", _close, "end the study for good, so that it can be analyzed")
    report = verb("analyze", _analyse, "analyze a closed study")
    report.add_argument("--out", type=Path, metavar="DIR", help="write results.json and findings.md there")
    out = verb("export", _export, "write tables, codebook, database and result of a closed study")
    out.add_argument("to", type=Path, metavar="DIR", help="a new folder")
    leave = verb("withdraw", _withdraw, "delete all answers of a person")
    leave.add_argument("code", metavar="CODE", help="the withdrawal code, twelve letters and digits")
    replica.add(verb)
    verb("audit", _audit, "check that nothing was changed, and that nothing served tells the origins apart")
    return parser


def _create(chosen: argparse.Namespace, told: Told) -> int:
    from study.design import spec
    from study.store import create

    definition, pictures = spec.read(chosen.spec)
    store = create(chosen.folder, definition, pictures)
    side, digest = store.status().side, definition.digest()
    told.line(
        f"{chosen.folder}: a draft of {len(pictures)} pictures, each copied to {side} x {side} px\ndefinition {digest}",
        event="created",
        pictures=len(pictures),
        side=side,
        definition_sha256=digest,
    )
    _offer_balance(definition.participants, told)
    return 0


def _offer_balance(participants: int, told: Told) -> None:
    """A study that is no multiple of six uses some arrangements more often than others."""
    from study.design.plan import balanced_sizes

    low, high = balanced_sizes(participants)
    if participants not in (low, high):
        way_out = f"{low} or {high}" if low != high else f"{low}"
        told.note(
            f"{participants} participants are not a multiple of six, so some arrangements of the pictures are "
            f"seen more often than others; with {way_out} all are seen equally often"
        )


def _lock(chosen: argparse.Namespace, told: Told) -> int:
    from study.analysis.preregistered import analysis_sha256, planned_power
    from study.store import Store

    store = Store(chosen.folder)
    seal, power = store.lock(analysis_sha256()), planned_power(store.definition())
    chances = ", ".join(f"{name} {value:.0%}" for name, value in power.items() if ":" in name)
    told.line(
        f"locked {seal}\nchance to find a difference with {power['n']} people (alpha {power['alpha']:.4f}): {chances}",
        event="locked",
        lock_sha256=seal,
        power=power,
    )
    _offer_balance(power["n"], told)
    return 0


def _serve(chosen: argparse.Namespace, told: Told) -> int:
    from study.store import Store
    from study.web.server import serve

    store = Store(chosen.folder)
    if not 0 <= chosen.port <= 65_535:
        raise StudyError(f"the port is {chosen.port}; it must be 0 to 65535, where 0 takes any that is free")
    if (refusal := store.refusal(chosen.mode)) is not None:
        told.note(f"nobody can join just now: {refusal}")
    serve(store, chosen.host, chosen.port, chosen.mode)
    return 0


def _simulate(chosen: argparse.Namespace, told: Told) -> int:
    from study.simulation.dry_run import rehearse
    from study.simulation.preferences import Preferences
    from study.store import Store

    store = Store(chosen.folder)
    people = store.status().target if chosen.people is None else chosen.people
    seen = rehearse(store, people, Preferences.told(chosen.prefer), chosen.seed, chosen.at_once, chosen.pause)
    walked = seen.simulated
    if not told.as_json:
        print(seen.result.text())
    answers, pages = walked.latency(), walked.latency("pages")
    finished = f"{len(walked.codes)} of {people} people finished, {chosen.at_once} at once"
    told.line(
        f"{finished}, with {len(walked.answers)} answers in {walked.seconds:.1f} s\n"
        f"{_milliseconds('an answer', answers)}\n{_milliseconds('a page', pages)}",
        event="simulated",
        people=people,
        finished=len(walked.codes),
        answers=len(walked.answers),
        seconds=round(walked.seconds, 3),
        answer_ms=answers,
        page_ms=pages,
        retries=walked.retries,
        errors=walked.errors,
        result=seen.result.values,
    )
    for error in walked.errors:
        if not told.as_json:
            told.complain(error)
    return 1 if walked.errors else 0


def _milliseconds(what: str, told: Mapping[str, float]) -> str:
    return f"{what}: {', '.join(f'{name} {value:g} ms' for name, value in told.items()) or 'none'}"


def _status(chosen: argparse.Namespace, told: Told) -> int:
    from study.store import Store

    now = Store(chosen.folder).status()
    lines = [f"{now.state}; {now.target} complete participants are wanted"]
    for mode, counts in sorted(now.counts.items()):
        lines.append(f"{mode}: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}")
    if now.places:
        lines.append(f"places: {', '.join(f'{count} {state}' for state, count in sorted(now.places.items()))}")
    for name in ("created", "locked", "closed"):
        if at := getattr(now, f"{name}_at"):
            lines.append(f"{name} {at}")
    lines += [
        f"{name} {value}" for name in ("definition", "analysis", "lock") if (value := getattr(now, f"{name}_sha256"))
    ]
    told.line("\n".join(lines), event="status", **asdict(now))
    return 0


def _close(chosen: argparse.Namespace, told: Told) -> int:
    from study.store import Store

    store = Store(chosen.folder)
    store.close()
    now = store.status()
    complete = now.places.get("complete", 0)
    told.line(
        f"closed with {complete} complete participants of {now.target}",
        event="closed",
        complete=complete,
        target=now.target,
    )
    return 0


def _analyse(chosen: argparse.Namespace, told: Told) -> int:
    from study.analysis.result import result
    from study.store import Store

    found = result(Store(chosen.folder))
    written = found.write(chosen.out) if chosen.out else []
    files = [str(path) for path in written]
    told.line("\n".join([found.text(), *files]), event="analyzed", files=files, notes=found.notes, result=found.values)
    return 0


def _export(chosen: argparse.Namespace, told: Told) -> int:
    from study.analysis.result import result
    from study.store import Store

    store = Store(chosen.folder)
    folder = store.export(chosen.to, result(store).files())
    files = sorted(path.name for path in folder.iterdir())
    told.line(f"{folder}: {', '.join(files)}", event="exported", folder=str(folder), files=files)
    return 0


def _withdraw(chosen: argparse.Namespace, told: Told) -> int:
    from study.store import Store

    answers = Store(chosen.folder).withdraw(chosen.code)
    told.line(
        f"{answers} answers and everything that belonged to them are deleted; replace backups made before",
        event="withdrawn",
        answers=answers,
    )
    return 0


def _audit(chosen: argparse.Namespace, told: Told) -> int:
    from study.store import Store

    store = Store(chosen.folder)
    whole = store.audit_chain_ok()
    for entry in store.audit():
        told.line(
            f"{entry['seq']:>4}  {entry['action']}  {json.dumps(entry['detail'], sort_keys=True)}",
            event="entry",
            **entry,
        )
    told.line(
        "ok   the audit is whole, and what was locked stands as it was"
        if whole
        else "BAD  the audit or what was locked has been changed; compare with a backup",
        event="chain",
        fine=whole,
    )
    if store.status().state not in ("draft", "pilot"):
        told.note("whether the study is blind is audited on a draft, since the key of a live study stays shut")
        return 0 if whole else 1
    from study.blindness.audit import audit_draft

    leaks = audit_draft(store)
    for leak in leaks:
        told.line(f"BAD  {leak.kind}: {leak.what}: {leak.detail}", event="leak", **asdict(leak))
    told.line(
        "ok   nothing that is served tells the origins apart"
        if not leaks
        else f"BAD  {len(leaks)} leaks tell origins apart, or may",
        event="blindness",
        fine=not leaks,
        leaks=len(leaks),
    )
    return 0 if whole and not leaks else 1


if __name__ == "__main__":
    sys.exit(main())
