"""Where the studio runs, and what that means for its files: this machine, or a Hugging Face Space.

A Space restarts when it is rebuilt, and goes to sleep when nobody looks; what is not on lasting storage is gone then.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

LASTING = Path("/data")
"""Where a Space has storage that outlives a restart, if it has any."""
BASE_MODEL_VARIABLE = "GHIBLI_BASE_MODEL"
WORKSPACE_VARIABLE = "GHIBLI_WORKSPACE"
PASSWORD_VARIABLE = "GHIBLI_PASSWORD"


def on_space() -> bool:
    """True inside a Space of the Hub."""
    return "SPACE_ID" in os.environ


def zero_gpu() -> bool:
    """True on a Space whose GPU is lent for a minute or so at a time, if the package that lends it is there."""
    lent = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true", "t", "yes")
    return on_space() and lent and find_spec("spaces") is not None


def lasting() -> bool:
    """True if there is lasting storage that can be written."""
    return LASTING.is_dir() and os.access(LASTING, os.W_OK)


def default_root() -> Path:
    """The workspace unless a person names one: `$GHIBLI_WORKSPACE`, a Space's lasting storage, else `workspace`."""
    if chosen := os.environ.get(WORKSPACE_VARIABLE):
        return Path(chosen)
    return LASTING / "workspace" if on_space() and lasting() else Path("workspace")


def default_base_model() -> str:
    """The base model of a new project: `$GHIBLI_BASE_MODEL`, else the embedded one."""
    return os.environ.get(BASE_MODEL_VARIABLE, "").strip() or "miniature"


def forgets(root: Path) -> str | None:
    """Why what lies there will be gone, and the way out; None where it stays."""
    if not on_space() or root.absolute().is_relative_to(LASTING):
        return None
    if lasting():
        return (
            f"{root} is forgotten at every restart of this Space; leave {WORKSPACE_VARIABLE} out, or set it below "
            f"{LASTING}"
        )
    return (
        "This Space forgets all projects when it restarts or falls asleep; give it persistent storage (Settings, "
        "Storage), and download what you want to keep"
    )


@cache
def versions() -> dict[str, str]:
    """Versions of everything that computes."""
    names = ("torch", "diffusers", "transformers", "peft", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
