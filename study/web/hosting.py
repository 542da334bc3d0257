"""A study on a host that may forget everything at a restart, such as a Space: `python -m study.hosted`.

It finds the study, takes in what the second store has, and refuses to serve where answers would not outlive the host.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from study import StudyError
from study.replica.backend import DATASET_VARIABLE, FOLDER_VARIABLE, TOKEN_VARIABLE, configured
from study.replica.replication import fetch
from study.store import Store
from study.web.server import serve

STUDY_VARIABLE = "STUDY_FOLDER"
LASTING = Path("/data")
"""Where a Space keeps what outlives a restart, if it has such a place."""
PORT = 7860

VARIABLES = {
    DATASET_VARIABLE: "a private dataset on the Hub, `name/dataset`: every answer is there before it is acknowledged",
    FOLDER_VARIABLE: "the same in a folder on other storage, such as a mounted bucket; either, or both",
    STUDY_VARIABLE: f"where the study lies; without it {LASTING}/study where that lasts, else ./study",
}
"""What may be set for everybody to see."""
SECRETS = {TOKEN_VARIABLE: f"a token that may write to the dataset in {DATASET_VARIABLE} and to nothing else"}
"""What must be set as a secret."""


def lasting() -> bool:
    """True if a host like this keeps files over a restart."""
    return LASTING.is_dir() and os.access(LASTING, os.W_OK)


def place(environment: Mapping[str, str]) -> Path:
    """The study's folder."""
    if chosen := environment.get(STUDY_VARIABLE, "").strip():
        return Path(chosen)
    return LASTING / "study" if lasting() else Path("study")


def prepared(environment: Mapping[str, str] | None = None) -> Store:
    """The study, fetched where it is not there yet; StudyError where there is none, or answers would be forgotten."""
    given = os.environ if environment is None else environment
    folder, places = place(given), configured(given)
    if not places and not (lasting() and folder.absolute().is_relative_to(LASTING)):
        raise StudyError(
            f"this host forgets its files at a restart, and no second store is named; set {DATASET_VARIABLE} (with "
            f"{TOKEN_VARIABLE}) or {FOLDER_VARIABLE}, or give it storage at {LASTING}"
        )
    file = folder / "study.db"
    if not file.is_file():
        if not places:
            raise StudyError(f"there is no study in {folder}; put a locked study's study.db there, and keep its key")
        found = fetch(file, places[0])
        print(f"fetched {found} from {places[0].label}", flush=True)
    return Store(folder)


def main() -> int:
    """Serve until interrupted; returns the exit code."""
    try:
        store = prepared()
        serve(store, "0.0.0.0", int(os.environ.get("PORT") or PORT))
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename} cannot be used ({error.strerror}); look at the disk", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
