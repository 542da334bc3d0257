"""Looks at the machine and says what will be used and why, one line each, with the mend where something is wrong."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from ghibli_studio.config import StudioError
from ghibli_studio.files import make_folder
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.workspace import Workspace

MIN_FREE_BYTES = 2**30
PAGE_PORT = 7860


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    fine: bool
    message: str


def findings(workspace: Workspace) -> Iterator[Finding]:
    """Look at versions, device, weights, workspace, disk and port."""
    from ghibli_studio.generation import versions
    from ghibli_studio.published import absent

    found = versions()
    yield Finding("versions", True, ", ".join(f"{name} {number}" for name, number in found.items()))
    yield _device()
    yield _weights()
    yield _workspace(workspace)
    free = shutil.disk_usage(next(p for p in (workspace.root, *workspace.root.absolute().parents) if p.exists())).free
    yield Finding(
        "disk", free >= MIN_FREE_BYTES,
        f"{free / 2**30:.1f} GB free" + ("" if free >= MIN_FREE_BYTES else "; 1 GB is needed, free some space"),
    )
    yield _port()
    yield Finding("evaluation", True, " ".join(absent()) or "the networks of published numbers are here")


def _device() -> Finding:
    import torch

    from ghibli_studio.base_model import choose_device, choose_dtype

    device = choose_device()
    dtype = str(choose_dtype(device)).removeprefix("torch.")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return Finding("device", True, f"{device.type} ({name}), {dtype}, attention sdpa")


def _weights() -> Finding:
    from ghibli_studio.miniature.hashes import wrong_files

    wrong = wrong_files(WEIGHTS)
    if wrong:
        return Finding("miniature", False, " ".join(wrong) + " Check the repository out again.")
    return Finding("miniature", True, "every file as published")


def _workspace(workspace: Workspace) -> Finding:
    try:
        make_folder(workspace.root)
        if not os.access(workspace.root, os.W_OK):
            raise StudioError(f"{workspace.root} may not be written here; choose another folder with --workspace")
    except StudioError as error:
        return Finding("workspace", False, str(error))
    return Finding("workspace", True, f"{workspace.root.absolute()}, projects: {len(workspace.projects())}")


def _port() -> Finding:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", PAGE_PORT)) == 0
    message = "taken, perhaps by the page itself; the next free one is used" if taken else "free for the page"
    return Finding("port", True, f"{PAGE_PORT} is {message}")
