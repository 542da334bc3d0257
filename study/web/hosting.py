"""Serving a study on a host that may lose its files at a restart, such as a Space.

It finds or fetches the study, and refuses to serve if answers would be lost at a restart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from study import StudyError
from study.replica.backend import DATASET_VARIABLE, FOLDER_VARIABLE, TOKEN_VARIABLE, configured_backends
from study.replica.replication import fetch_study
from study.store import Store
from study.web.server import serve

STUDY_VARIABLE = "STUDY_FOLDER"
PERSISTENT_ROOT = Path("/data")
"""Persistent storage of a Space, if it has any."""
PORT = 7860

VARIABLES = {
    DATASET_VARIABLE: "a private dataset on the Hub, `name/dataset`, with every answer before it is acknowledged",
    FOLDER_VARIABLE: "the same in a folder on other storage, such as a mounted bucket; set either, or both",
    STUDY_VARIABLE: f"folder of the study; default: {PERSISTENT_ROOT}/study if it is persistent, else ./study",
}
"""Public variables: name -> meaning."""
SECRETS = {TOKEN_VARIABLE: f"a token with write access to the dataset in {DATASET_VARIABLE} only"}
"""Secret variables: name -> meaning."""


def has_persistent_storage() -> bool:
    """Return True if this host keeps files after a restart."""
    return PERSISTENT_ROOT.is_dir() and os.access(PERSISTENT_ROOT, os.W_OK)


def study_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the study."""
    if chosen := environment.get(STUDY_VARIABLE, "").strip():
        return Path(chosen)
    return PERSISTENT_ROOT / "study" if has_persistent_storage() else Path("study")


def open_study(environment: Mapping[str, str] | None = None) -> Store:
    """Return the study, fetched if it is missing; raise StudyError if there is none, or if answers would be lost."""
    variables = os.environ if environment is None else environment
    folder, backends = study_folder(variables), configured_backends(variables)
    if not backends and not (has_persistent_storage() and folder.absolute().is_relative_to(PERSISTENT_ROOT)):
        raise StudyError(
            f"this host loses its files at a restart, and no replica is configured; set {DATASET_VARIABLE} (with "
            f"{TOKEN_VARIABLE}) or {FOLDER_VARIABLE}, or add storage at {PERSISTENT_ROOT}"
        )
    file = folder / "study.db"
    if not file.is_file():
        if not backends:
            raise StudyError(f"there is no study in {folder}; put study.db of a locked study there, without its key")
        name = fetch_study(file, backends[0])
        print(f"fetched {name} from {backends[0].label}", flush=True)
    return Store(folder)


def main() -> int:
    """Serve until interrupted; return the exit code."""
    try:
        store = open_study()
        serve(store, "0.0.0.0", int(os.environ.get("PORT") or PORT))
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename} cannot be used ({error.strerror}); check the disk", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
