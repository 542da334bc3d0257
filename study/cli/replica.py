"""The study's verbs for a second store: what is in it is `second`'s business."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from study import StudyError
from study.cli.console import Told


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `publish` and `restore` to the command line."""
    verb("publish", _publish, "put a locked study, without its key and its people, into the second store")
    back = verb("restore", _restore, "take from the second store what this folder lacks, the study itself if need be")
    back.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="a second store's folder (default: what STUDY_COPY_FOLDER and STUDY_COPY_DATASET name)",
    )
    back.add_argument("--name", help="which study, where the store has several and this folder none")


def _publish(chosen: argparse.Namespace, told: Told) -> int:
    from study.replica import replication
    from study.store import Store

    file = Store(chosen.folder).file
    for place in _places():
        name = replication.publish(file, place)
        told.line(f"{place.label} has {name}; the key stays here", event="published", name=name, place=place.label)
    return 0


def _restore(chosen: argparse.Namespace, told: Told) -> int:
    from study.replica import replication
    from study.replica.backend import Folder
    from study.store import Store, milliseconds

    file = chosen.folder / "study.db"
    for place in [Folder(chosen.source)] if chosen.source else _places():
        fetched = not file.is_file()
        if fetched:
            replication.fetch(file, place, chosen.name)
        store = Store(chosen.folder)
        done = replication.restored(store.file, place, milliseconds)
        name = replication.name(store.file)
        what = (
            f"{done.people} people and {done.answers} answers added, {done.withdrawn} withdrawn people deleted"
            if done.anything
            else "nothing was missing"
        )
        told.line(f"{name} from {place.label}: {what}", event="restored", name=name, fetched=fetched, **asdict(done))
    return 0


def _places() -> tuple[Any, ...]:
    from study.replica.backend import DATASET_VARIABLE, FOLDER_VARIABLE, configured

    if not (found := configured()):
        raise StudyError(f"no second store is named; set {FOLDER_VARIABLE} or {DATASET_VARIABLE}")
    return found
