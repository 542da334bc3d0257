"""The commands for the replica: `push` writes a study to it, `pull` reads it back. Its format is in `study.replica`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study import StudyError
from study.cli.console import Console
from study.cli.options import AsJson, StudyFolder

if TYPE_CHECKING:
    from study.replica.backend import ReplicaBackend


def push(folder: StudyFolder, as_json: AsJson = False) -> None:
    """Write a locked study to its replica, without the key.

    Answers are not written either: they arrive as participants give them.
    """
    from study.replica import replication
    from study.store import Store

    console, file = Console(as_json), Store(folder).file
    for backend in _backends():
        name = replication.push(file, backend)
        console.line(
            f"pushed {name} to {backend.label}; the key stays here", event="pushed", name=name, replica=backend.label
        )


def pull(
    folder: StudyFolder,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Folder of the replica. Default: the one in STUDY_REPLICA_FOLDER and STUDY_REPLICA_DATASET.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Which study, if the replica has several and FOLDER has none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add what only the replica has to FOLDER.

    Adds answers, withdrawals, and the study itself if FOLDER has none.
    """
    from study.replica import replication
    from study.replica.backend import FolderBackend
    from study.store import Store, now_ms

    console, file = Console(as_json), folder / "study.db"
    for backend in [FolderBackend(source)] if source else _backends():
        fetched = not file.is_file()
        if fetched:
            replication.fetch_study(file, backend, name)
        store = Store(folder)
        summary = replication.pull(store.file, backend, now_ms)
        study_name = replication.replica_name(store.file)
        described = (
            f"added {summary.participants} participants and {summary.answers} answers, "
            f"deleted {summary.withdrawn} withdrawn participants"
            if summary.changed
            else "nothing was missing"
        )
        console.line(
            f"pulled {study_name} from {backend.label}: {described}",
            event="pulled",
            name=study_name,
            fetched=fetched,
            **asdict(summary),
        )


def _backends() -> tuple[ReplicaBackend, ...]:
    from study.replica.backend import DATASET_VARIABLE, FOLDER_VARIABLE, configured_backends

    if not (backends := configured_backends()):
        raise StudyError(f"no replica is configured; set {FOLDER_VARIABLE} or {DATASET_VARIABLE}")
    return backends
