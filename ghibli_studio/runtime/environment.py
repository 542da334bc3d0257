"""Where the studio runs, and what that means for its files: this machine, or a Hugging Face Space.

A Space restarts when it is rebuilt and goes to sleep when nobody uses it; files outside persistent storage are then
lost.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

PERSISTENT_STORAGE = Path("/data")
"""Mount point of a Space's persistent storage, if it has any."""
BASE_MODEL_VARIABLE = "GHIBLI_BASE_MODEL"
WORKSPACE_VARIABLE = "GHIBLI_WORKSPACE"
PASSWORD_VARIABLE = "GHIBLI_PASSWORD"


def on_space() -> bool:
    """Report whether the program runs in a Hugging Face Space."""
    return "SPACE_ID" in os.environ


def on_zero_gpu() -> bool:
    """Report whether the program runs on a ZeroGPU Space with the package `spaces` installed."""
    enabled = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true", "t", "yes")
    return on_space() and enabled and find_spec("spaces") is not None


def has_persistent_storage() -> bool:
    """Report whether there is writable persistent storage."""
    return PERSISTENT_STORAGE.is_dir() and os.access(PERSISTENT_STORAGE, os.W_OK)


def default_root() -> Path:
    """Return the default workspace: `$GHIBLI_WORKSPACE`, else a Space's persistent storage, else `workspace`."""
    if chosen := os.environ.get(WORKSPACE_VARIABLE):
        return Path(chosen)
    return PERSISTENT_STORAGE / "workspace" if on_space() and has_persistent_storage() else Path("workspace")


def default_base_model() -> str:
    """Return the base model of a new project: `$GHIBLI_BASE_MODEL`, else the embedded miniature."""
    return os.environ.get(BASE_MODEL_VARIABLE, "").strip() or "miniature"


def storage_warning(root: Path) -> str | None:
    """Return a warning where files below `root` are lost at a restart, with the way out; None where they persist."""
    if not on_space() or root.absolute().is_relative_to(PERSISTENT_STORAGE):
        return None
    if has_persistent_storage():
        return (
            f"{root} is lost at every restart of this Space; unset {WORKSPACE_VARIABLE}, or set it to a folder below "
            f"{PERSISTENT_STORAGE}"
        )
    return (
        "This Space loses all projects when it restarts or goes to sleep; add persistent storage (Settings, Storage), "
        "and download what you want to keep"
    )


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    names = ("torch", "diffusers", "transformers", "peft", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def requirements() -> list[str]:
    """Return what the program depends on, one PEP 508 line each: of requirements.txt, or of the installed package."""
    file = Path(__file__).parents[2] / "requirements.txt"
    if file.is_file():
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [line for line in requires("ghibli-studio") or () if "extra ==" not in line]
