"""The hosting checks of `doctor`: whether files persist, who has access, and how the Hub is used. Shows no secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ghibli_studio.runtime import environment
from ghibli_studio.runtime.environment import PASSWORD_VARIABLE, on_space, storage_warning
from ghibli_studio.workspace.project import Workspace

Result = tuple[str, bool, str]
"""Name, whether it is OK, message."""
MIN_PASSWORD_LENGTH = 8


def checks(workspace: Workspace) -> Iterator[Result]:
    """Check storage, replica, login and the Hub."""
    warning = storage_warning(workspace.root)
    storage = (
        f"below {environment.PERSISTENT_STORAGE}, which this Space keeps"
        if on_space()
        else "on this machine's own disk"
    )
    yield "storage", warning is None, warning or storage
    yield _replica()
    yield _login()
    yield _hub()


def _replica() -> Result:
    """Check that the replicas can be read; nothing is written to them."""
    from study.replica.backend import (
        DATASET_VARIABLE,
        FOLDER_VARIABLE,
        BackendUnreachable,
        FolderBackend,
        configured_backends,
    )

    name, backends = "replica", configured_backends()
    if not backends:
        return (
            name,
            not on_space(),
            f"none, so a study's answers are on this disk alone; set {FOLDER_VARIABLE} or {DATASET_VARIABLE}",
        )
    for backend in backends:
        try:
            folder = backend.root if isinstance(backend, FolderBackend) else None
            if folder is not None and not (folder.is_dir() and os.access(folder, os.W_OK)):
                raise BackendUnreachable(f"{backend.label} does not exist or is not writable; mount or change it")
            backend.names()
        except BackendUnreachable as error:
            return name, False, str(error)
    labels = " and ".join(backend.label for backend in backends)
    return name, True, f"{labels}: stores every answer before it is acknowledged"


def _login() -> Result:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        ok = len(password) >= MIN_PASSWORD_LENGTH
        short = "" if ok else f"; it has fewer than {MIN_PASSWORD_LENGTH} characters, so choose a longer one"
        return "login", ok, f"{PASSWORD_VARIABLE} is required{short}"
    if on_space():
        return (
            "login",
            True,
            "none: everyone who can see the Space may use it, and no study is served; set "
            f"{PASSWORD_VARIABLE} (a secret) to require a password",
        )
    return (
        "login",
        True,
        "none on this machine; for access from others each start prints a new password, or set "
        f"{PASSWORD_VARIABLE} to choose one",
    )


def _hub() -> Result:
    """Report whether there is a token, never the token itself."""
    if os.environ.get("HF_TOKEN"):
        token = "a token is set (HF_TOKEN)"
    elif (Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "token").is_file():
        token = "a token is stored by the Hub's own program"
    else:
        token = "no token; one is needed to publish, and for a private model (HF_TOKEN)"
    return "hub", True, token + (", offline (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else "")
