"""The study's command line: the same functions as the studio's Study tab.

`python -m study COMMAND FOLDER [--json]`. Exit codes: 0 done, 1 an error (one sentence says what to do), 2 wrong
usage, 130 cancelled, 141 the reader of the output has gone.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from study import StudyError
from study.cli import checks, replica
from study.cli.console import CONTEXT_SETTINGS, Console, StudyCommand
from study.cli.console import run as run_app
from study.cli.options import AsJson, StudyFolder

HOST, PORT = "127.0.0.1", 8765

app = typer.Typer(
    name="ghibli-study",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT_SETTINGS,
    help="A blind study that compares two ways to learn a style.",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run_app(app, arguments, "ghibli-study")


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


@app.command(cls=StudyCommand)
def create(
    folder: StudyFolder,
    spec: Annotated[Path, typer.Option("--spec", metavar="study.json", help="The definition and the images.")],
    as_json: AsJson = False,
) -> None:
    """Create a draft from a definition and images."""
    from study.design.spec import read
    from study.store import create

    definition, images = read(spec)
    store = create(folder, definition, images)
    console, side, digest = Console(as_json), store.status().side, definition.digest()
    console.line(
        f"{folder}: created a draft of {len(images)} images, each copied to {side} x {side} px\ndefinition {digest}",
        event="created",
        images=len(images),
        side=side,
        definition_sha256=digest,
    )
    _note_balance(definition.participants, console)


@app.command(cls=StudyCommand)
def lock(folder: StudyFolder, as_json: AsJson = False) -> None:
    """Plan all slots, fix definition and analysis, and open the study."""
    from study.analysis.preregistered import analysis_sha256, planned_power
    from study.store import Store

    store, console = Store(folder), Console(as_json)
    lock_sha256, power = store.lock(analysis_sha256()), planned_power(store.definition())
    chances = ", ".join(f"{name} {value:.0%}" for name, value in power.items() if ":" in name)
    console.line(
        f"locked {lock_sha256}\npower with {power['n']} participants (alpha {power['alpha']:.4f}): {chances}",
        event="locked",
        lock_sha256=lock_sha256,
        power=power,
    )
    _note_balance(power["n"], console)


def _note_balance(participants: int, console: Console) -> None:
    """Print a note if the number is not a multiple of six: some arrangements are then used more often than others."""
    from study.design.plan import balanced_sizes

    low, high = balanced_sizes(participants)
    if participants not in (low, high):
        sizes = f"{low} or {high}" if low != high else f"{low}"
        console.note(
            f"{participants} participants are not a multiple of six, so some arrangements of the images are shown "
            f"more often than others; use {sizes} to show all equally often"
        )


@app.command(cls=StudyCommand)
def serve(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Folder of the study. Optional with --hosted: STUDY_FOLDER.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help=f"Address to listen on. Default: {HOST}, this machine only; with --hosted 0.0.0.0."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help=f"Port to listen on, 0 for any free one. Default: {PORT}; with --hosted $PORT or 7860."),
    ] = None,
    mode: Annotated[Literal["live", "simulated"], typer.Option(help="How the answers count.")] = "live",
    hosted: Annotated[
        bool,
        typer.Option(
            "--hosted",
            help="On a host that loses its disk at a restart, such as a Space: fetch the study from its "
            "replica, and refuse to serve without one.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the participants' pages until interrupted."""
    from study.store import Store
    from study.web.server import serve

    if hosted:
        from study.web import hosting

        environment = os.environ | ({hosting.STUDY_VARIABLE: str(folder)} if folder else {})
        store = hosting.open_study(environment)
        host = "0.0.0.0" if host is None else host
        port = int(os.environ.get("PORT") or hosting.PORT) if port is None else port
    elif folder is None:
        raise typer.BadParameter("name the study's folder, or use --hosted", param_hint="FOLDER")
    else:
        store = Store(folder)
    port = PORT if port is None else port
    if not 0 <= port <= 65_535:
        raise StudyError(f"the port is {port}; it must be 0 to 65535, where 0 takes any free one")
    if (refusal := store.refusal(mode)) is not None and not hosted:
        Console(as_json).note(f"nobody can join at the moment: {refusal}")
    serve(store, host or HOST, port, mode)


@app.command(cls=StudyCommand)
def status(folder: StudyFolder, as_json: AsJson = False) -> None:
    """Show the progress of the study: counts, and never a result."""
    from study.store import Store

    now = Store(folder).status()
    lines = [f"{now.state}; the target is {now.target} complete participants"]
    for mode, counts in sorted(now.counts.items()):
        lines.append(f"{mode}: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}")
    if now.slots:
        lines.append(f"slots: {', '.join(f'{count} {state}' for state, count in sorted(now.slots.items()))}")
    for name in ("created", "locked", "closed"):
        if at := getattr(now, f"{name}_at"):
            lines.append(f"{name} {at}")
    for name in ("definition", "analysis", "lock"):
        if digest := getattr(now, f"{name}_sha256"):
            lines.append(f"{name} {digest}")
    Console(as_json).line("\n".join(lines), event="status", **asdict(now))


@app.command(cls=StudyCommand)
def close(folder: StudyFolder, as_json: AsJson = False) -> None:
    """End the study for good, so that it can be analyzed."""
    from study.store import Store

    store = Store(folder)
    store.close()
    now = store.status()
    complete = now.slots.get("complete", 0)
    Console(as_json).line(
        f"closed with {complete} of {now.target} complete participants",
        event="closed",
        complete=complete,
        target=now.target,
    )


@app.command(cls=StudyCommand)
def analyze(
    folder: StudyFolder,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Also write results.json and findings.md there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Analyze a closed study."""
    from study.analysis.result import study_result
    from study.store import Store

    result = study_result(Store(folder))
    files = [str(path) for path in (result.write(out) if out else [])]
    Console(as_json).line(
        "\n".join([result.text(), *files]), event="analyzed", files=files, notes=result.notes, result=result.values
    )


@app.command(cls=StudyCommand)
def export(
    folder: StudyFolder,
    destination: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write tables, codebook, database and result of a closed study."""
    from study.analysis.result import study_result
    from study.store import Store

    store = Store(folder)
    written = store.export(destination, study_result(store).files())
    files = sorted(path.name for path in written.iterdir())
    Console(as_json).line(f"{written}: {', '.join(files)}", event="exported", folder=str(written), files=files)


@app.command(cls=StudyCommand)
def withdraw(
    folder: StudyFolder,
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="Withdrawal code, 12 letters and digits.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Delete all answers of a participant."""
    from study.store import Store

    answers = Store(folder).withdraw(code)
    Console(as_json).line(
        f"deleted {answers} answers and everything that belongs to them; replace backups made before",
        event="withdrawn",
        answers=answers,
    )


for command in (replica.push, replica.pull, checks.simulate, checks.audit):
    app.command(cls=StudyCommand)(command)


if __name__ == "__main__":
    run()
