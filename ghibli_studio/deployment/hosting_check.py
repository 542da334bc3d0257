"""What `doctor` says of hosting: whether files stay, who may come in, and what the Hub is used for. Never a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ghibli_studio.runtime import environment
from ghibli_studio.runtime.environment import PASSWORD_VARIABLE, forgets, on_space
from ghibli_studio.workspace.project import Workspace

Fact = tuple[str, bool, str]
"""Name, whether it is fine, what is to be said."""
SHORT = 8


def facts(workspace: Workspace) -> Iterator[Fact]:
    """Storage, second store, login, the Hub."""
    why = forgets(workspace.root)
    yield (
        "storage",
        why is None,
        why or (f"below {environment.LASTING}, which this Space keeps" if on_space() else "on this machine's own disk"),
    )
    yield _second_store()
    yield _login()
    yield _hub()


def _second_store() -> Fact:
    """Read, not written: a place that can be read tells most of what can go wrong."""
    from study.replica.backend import DATASET_VARIABLE, FOLDER_VARIABLE, Folder, Unreachable, configured

    name, places = "second store", configured()
    if not places:
        return (
            name,
            not on_space(),
            (f"none, so a study's answers are on this disk alone; {FOLDER_VARIABLE} or {DATASET_VARIABLE} names one"),
        )
    for place in places:
        try:
            if isinstance(place, Folder) and not (place.root.is_dir() and os.access(place.root, os.W_OK)):
                raise Unreachable(f"{place.label} is not there or may not be written; mount it, or name another")
            place.names()
        except Unreachable as error:
            return name, False, str(error)
    return name, True, f"{' and '.join(place.label for place in places)}: has every answer before it is acknowledged"


def _login() -> Fact:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        fine = len(password) >= SHORT
        return (
            "login",
            fine,
            f"{PASSWORD_VARIABLE} is asked for"
            + ("" if fine else f"; it has fewer than {SHORT} characters, so choose a longer one"),
        )
    if on_space():
        return (
            "login",
            True,
            f"none: whoever sees the Space may use it, and no study is served; {PASSWORD_VARIABLE} "
            "(a secret) asks for one",
        )
    return (
        "login",
        True,
        f"none on this machine; beyond it a new password is printed at each start, or {PASSWORD_VARIABLE} chooses one",
    )


def _hub() -> Fact:
    """Whether there is a token, never what it is."""
    if os.environ.get("HF_TOKEN"):
        told = "a token is there (HF_TOKEN)"
    elif (Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "token").is_file():
        told = "a token is there (stored by the Hub's own program)"
    else:
        told = "no token; one is needed to push, and for a private model (HF_TOKEN)"
    return "hub", True, told + (", offline (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else "")
